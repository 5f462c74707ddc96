package cdc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// DefaultTable is the name of the table that a [Table] uses unless told otherwise.
const DefaultTable = "cdc_checkpoint"

// TableOptions are settings of a [Table].
type TableOptions struct {
	// Name is the table's; "" is [DefaultTable]. It may have letters, digits and
	// underscores.
	Name string
	// Dollar makes parameters $1 and $2, as PostgreSQL wants them, and not ?.
	Dollar bool
}

// Table is a checkpoint in a table of a database: of rqlite, by this driver, or of
// anything else that database/sql reaches. It makes the table when it is first used.
// One table serves any number of clusters and of receivers.
type Table struct {
	db     *sql.DB
	name   string
	dollar bool
	made   chan bool // holds whether the table is there
}

var _ Checkpoint = (*Table)(nil)

// NewTable returns a checkpoint in a table of db; nil options are defaults. It
// contacts nobody. The error is about the name.
func NewTable(db *sql.DB, opts *TableOptions) (*Table, error) {
	if opts == nil {
		opts = &TableOptions{}
	}
	t := &Table{db: db, name: opts.Name, dollar: opts.Dollar, made: make(chan bool, 1)}
	if t.name == "" {
		t.name = DefaultTable
	}
	for i, r := range t.name {
		if r != '_' && (r|0x20 < 'a' || r|0x20 > 'z') && (i == 0 || r < '0' || r > '9') {
			return nil, fmt.Errorf("rqlite: %.40q cannot be the table of a checkpoint: use ASCII letters, digits and underscores", t.name)
		}
	}
	t.made <- false
	return t, nil
}

// Load implements Checkpoint.
func (t *Table) Load(ctx context.Context, serviceID string) (m Mark, err error) {
	if err := t.create(ctx); err != nil {
		return m, err
	}
	var index int64
	err = t.db.QueryRowContext(ctx, t.query("SELECT idx, part, node FROM %s WHERE service = ?"), serviceID).
		Scan(&index, &m.Part, &m.NodeID)
	if errors.Is(err, sql.ErrNoRows) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("rqlite: reading the checkpoint: %w", err)
	}
	m.Index = uint64(index)
	return m, nil
}

// create makes the table, unless it has done so. Several receivers may do so at once.
func (t *Table) create(ctx context.Context) error {
	var made bool
	select {
	case made = <-t.made:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { t.made <- made }()
	if made {
		return nil
	}
	_, err := t.db.ExecContext(ctx, t.query("CREATE TABLE IF NOT EXISTS %s"+
		" (service VARCHAR(255) NOT NULL PRIMARY KEY, idx BIGINT NOT NULL, part BIGINT NOT NULL, node VARCHAR(255) NOT NULL)"))
	if err != nil {
		return fmt.Errorf("rqlite: making the table %s of the checkpoint: %w", t.name, err)
	}
	made = true
	return nil
}

// Save implements Checkpoint.
func (t *Table) Save(ctx context.Context, serviceID string, from, to Mark) error {
	return t.save(ctx, t.db, serviceID, from, to)
}

// Execer is the part of *sql.Tx that [Table.SaveTx] uses. What wraps a transaction,
// such as sqlx.Tx, has it as well.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// SaveTx moves the checkpoint past the changes that a callback was given, by a
// transaction of the callback's: its effects and the mark are committed together or
// not at all. ctx is the callback's, or one made from it. A callback that has called
// SaveTx must return nil only if the transaction was committed.
//
// It is an error if another receiver has been faster ([ErrMoved]): the transaction is
// to be rolled back then, and the error to be returned. It takes a transaction that
// tells how many rows a statement has changed, which those of this driver's mode
// "deferred" do not.
func (t *Table) SaveTx(ctx context.Context, tx Execer) error {
	s, ok := ctx.Value(stepKey{}).(*step)
	if !ok {
		return errors.New("rqlite: SaveTx without the context of a callback: pass the one that the callback was given")
	}
	if s.checkpoint != Checkpoint(t) {
		return errors.New("rqlite: SaveTx of a checkpoint that is not the handler's: set Options.Checkpoint to it")
	}
	if s.from != s.to {
		if err := t.save(ctx, tx, s.serviceID, s.from, s.to); err != nil {
			return err
		}
	}
	s.setSaved()
	return nil
}

// save is a compare-and-swap, so that of two receivers with the same mark only one
// gets its effects committed.
func (t *Table) save(ctx context.Context, on Execer, serviceID string, from, to Mark) error {
	var result sql.Result
	var err error
	if from == (Mark{}) { // another receiver's row violates the primary key, or counts as none
		result, err = on.ExecContext(ctx, t.query("INSERT INTO %s (service, idx, part, node)"+
			" SELECT ?, %d, %d, ? WHERE NOT EXISTS (SELECT 1 FROM %[1]s WHERE service = ?)", to.Index, to.Part),
			serviceID, to.NodeID, serviceID)
	} else {
		result, err = on.ExecContext(ctx, t.query("UPDATE %s SET idx = %d, part = %d, node = ?"+
			" WHERE service = ? AND idx = %d AND part = %d", to.Index, to.Part, from.Index, from.Part),
			to.NodeID, serviceID)
	}
	if err != nil {
		return fmt.Errorf("rqlite: writing the checkpoint: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("rqlite: writing the checkpoint takes a database that counts changed rows: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("%w: service %q, table %s", ErrMoved, serviceID, t.name)
	}
	return nil
}

// query puts the table's name and numbers into a text, and numbers the parameters.
func (t *Table) query(format string, numbers ...any) string {
	text := fmt.Sprintf(format, append([]any{t.name}, numbers...)...)
	if !t.dollar {
		return text
	}
	var b strings.Builder
	n := 0
	for _, r := range text {
		if r == '?' {
			n++
			fmt.Fprintf(&b, "$%d", n)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
