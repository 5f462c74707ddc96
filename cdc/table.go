package cdc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// DefaultTable is the table that a [Table] uses if its options name none.
const DefaultTable = "cdc_checkpoint"

// TableOptions are the settings of a [Table]. The zero value is usable.
type TableOptions struct {
	// Name is the name of the table; "" means [DefaultTable]. It may have letters, digits and
	// underscores.
	Name string
	// Dollar writes parameters as $1 and $2, for PostgreSQL, instead of ?.
	Dollar bool
}

// Table is a checkpoint in a table of a database: rqlite through this driver, or any other that
// database/sql reaches. It creates the table when it is first used. One table serves any number of
// clusters and receivers. A Table is safe for concurrent use.
type Table struct {
	db     *sql.DB
	name   string
	dollar bool
	made   chan bool // holds whether the table exists
}

var _ Checkpoint = (*Table)(nil)

// NewTable returns a checkpoint in a table of db. A nil opts means the defaults. NewTable sends no
// request. It returns an error for an invalid name.
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

// create creates the table unless this Table has done so. Several receivers may do so at once.
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
		return fmt.Errorf("rqlite: creating the checkpoint table %s: %w", t.name, err)
	}
	made = true
	return nil
}

// Save implements Checkpoint.
func (t *Table) Save(ctx context.Context, serviceID string, from, to Mark) error {
	return t.save(ctx, t.db, serviceID, from, to)
}

// Execer is the part of *sql.Tx that [Table.SaveTx] uses. Wrappers of a transaction, such as
// sqlx.Tx, have it as well.
type Execer interface {
	// ExecContext runs a write in the transaction.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// SaveTx stores the mark of a callback's changes in a transaction of the callback. So the effects
// and the mark are committed together or not at all. ctx is the context of the callback, or one
// derived from it. After SaveTx the callback must return nil only if the transaction was committed.
//
// SaveTx returns [ErrMoved] if another receiver was faster: roll the transaction back then, and
// return the error. The transaction must count the rows that a statement has changed, as those of this
// driver do in every mode.
func (t *Table) SaveTx(ctx context.Context, tx Execer) error {
	s, ok := ctx.Value(stepKey{}).(*step)
	if !ok {
		return errors.New("rqlite: SaveTx without the context of a callback: pass the context that the callback got")
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

// save is a compare-and-swap. If two receivers have the same mark, only one of them can commit its
// effects.
func (t *Table) save(ctx context.Context, on Execer, serviceID string, from, to Mark) error {
	var result sql.Result
	var err error
	if from == (Mark{}) { // another receiver's row violates the primary key, or the INSERT adds no row
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
		return fmt.Errorf("rqlite: a checkpoint needs a database that counts changed rows: %w", err)
	}
	if n != 1 {
		return fmt.Errorf("%w: service %q, table %s", ErrMoved, serviceID, t.name)
	}
	return nil
}

// query formats a statement with the table's name and numbers, and numbers its parameters.
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
