package txn

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/stretchr/testify/require"
)

// testTimeout is the time-out of the tests, which run in a bubble where waiting takes no time.
const testTimeout = 10 * time.Second

// step is one thing that a program did in a transaction, and what it saw of it.
type step struct {
	text    string // with its values
	failure string
	rows    [][]int64 // as far as they were read
	begun   bool      // the rows have columns
	ended   bool      // they were read to their end
	counted bool      // the program knows changes
	changes int64
	asked   bool // the program knows id
	id      int64
	op      *operation // of a write
	waited  bool       // it had not run before the end of the transaction
}

// looks says when a program looks at the result of a write.
type looks uint8

const (
	atNothing   looks = iota
	atRows            // at once
	atID              // and at the rows, at once
	atRowsLater       // after the commit
	atIDLater
)

// client is a program with one transaction after the other.
type client struct {
	t     testing.TB
	env   *Env
	from  *sender
	tx    *Tx
	opts  Options
	steps []*step
	open  *openRows // rows that are left to read
	later []func()  // looks at results after the commit
}

// openRows are rows that a program is reading.
type openRows struct {
	sets *result.Sets
	seen *step
}

func newClient(t testing.TB, env *Env, from *sender) *client {
	return &client{t: t, env: env, from: from}
}

// begin begins a transaction.
func (c *client) begin(opts Options) error {
	if opts.Ctx == nil {
		opts.Ctx = context.Background()
	}
	if opts.Run == nil {
		opts.Run = new(Run)
	}
	opts.State = new(bind.ConnState)
	tx, err := Begin(c.env, opts)
	c.tx, c.opts, c.steps, c.open, c.later = tx, opts, nil, nil, nil
	return err
}

// parse returns the statements of a text with values.
func parse(t testing.TB, text string, values ...any) []bind.Stmt {
	script, err := sqltext.Parse(text)
	require.NoError(t, err, text)
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	stmts, err := bind.Deal(script, args)
	require.NoError(t, err, text)
	return stmts
}

// failureOf returns what the database said of a statement, "" if the error is another.
func failureOf(err error) string {
	var failure *sqlerr.Error
	if !errors.As(err, &failure) || errors.Is(err, sqlerr.ErrTxConflict) {
		return ""
	}
	for _, message := range toyFailures {
		if strings.HasPrefix(failure.Message, message) {
			return message
		}
	}
	return ""
}

// did notes a step.
func (c *client) did(s *step) *step {
	c.steps = append(c.steps, s)
	return s
}

// failed notes that a statement failed, if it was the database that said so.
func (c *client) failed(text string, err error) error {
	if message := failureOf(err); message != "" {
		c.did(&step{text: text, failure: message})
	}
	return err
}

// exec runs one statement.
func (c *client) exec(at looks, text string, values ...any) error {
	res, err := c.tx.Exec(context.Background(), parse(c.t, text, values...))
	text = inline(text, values)
	if err != nil {
		return c.failed(text, err)
	}
	s := c.did(&step{text: text})
	if n := len(c.tx.untried); n > 0 {
		s.op = c.tx.untried[n-1]
	}
	if res == nil {
		return nil
	}
	s.op = res.(*operation)
	switch at {
	case atNothing:
	case atRows, atID:
		return s.look(at == atID)
	case atRowsLater, atIDLater:
		c.later = append(c.later, func() {
			if err := s.look(at == atIDLater); err != nil {
				require.True(c.t, errors.Is(err, sqlerr.ErrRowsLost) || errors.Is(err, errFused), err)
			}
		})
	}
	return nil
}

// look looks at the result of a write.
func (s *step) look(atID bool) error {
	n, err := s.op.RowsAffected()
	if err != nil {
		return err
	}
	s.counted, s.changes = true, n
	if atID {
		if s.id, err = s.op.LastInsertId(); err != nil {
			return err
		}
		s.asked = true
	}
	return nil
}

// query runs a statement that gives rows, and reads so many of them, all if most is negative. With keep the
// rows stay open.
func (c *client) query(most int, keep bool, text string, values ...any) error {
	sets, err := c.tx.Query(context.Background(), parse(c.t, text, values...))
	text = inline(text, values)
	if err != nil {
		return c.failed(text, err)
	}
	rows := &openRows{sets, c.did(&step{text: text, begun: true})}
	if err := rows.read(most); err != nil {
		return err
	}
	if keep && !rows.seen.ended {
		c.open = rows
		return nil
	}
	sets.Close()
	return nil
}

// read reads so many rows more, all if most is negative.
func (r *openRows) read(most int) error {
	dest := make([]driver.Value, len(r.sets.Names))
	for n := 0; n != most; n++ {
		err := r.sets.Next(dest)
		if errors.Is(err, io.EOF) {
			r.seen.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		row := make([]int64, len(dest))
		for i, v := range dest {
			row[i] = v.(int64)
		}
		r.seen.rows = append(r.seen.rows, row)
	}
	return nil
}

// readOn reads the rest of rows that were left open.
func (c *client) readOn() error {
	if c.open == nil {
		return nil
	}
	rows := c.open
	c.open = nil
	defer rows.sets.Close()
	return rows.read(-1)
}

// batch runs several statements.
func (c *client) batch(atomic bool, texts ...string) error {
	outcomes, err := c.tx.ExecBatch(context.Background(), atomic, parse(c.t, strings.Join(texts, ";")))
	if atomic && err != nil || outcomes == nil {
		if failureOf(err) == "" || errors.Is(err, sqlerr.ErrTxConflict) {
			return err
		}
		// What the batch did before it failed was seen by nobody but for that.
		var failure *sqlerr.Error
		require.ErrorAs(c.t, err, &failure)
		c.did(&step{text: "SAVEPOINT batch"})
		for _, text := range texts[:failure.Statement] {
			c.did(&step{text: text})
		}
		c.did(&step{text: texts[failure.Statement], failure: failureOf(err)})
		c.did(&step{text: "ROLLBACK TO batch"})
		return err
	}
	for i, o := range outcomes {
		s := &step{text: texts[i]}
		switch {
		case o.Err != nil:
			s.failure = failureOf(o.Err)
			require.NotEmpty(c.t, s.failure, "%v", o.Err)
		case o.Columns != nil:
			s.begun, s.ended = true, true
			for _, row := range o.Rows {
				numbers := make([]int64, len(row))
				for i, v := range row {
					numbers[i] = v.(int64)
				}
				s.rows = append(s.rows, numbers)
			}
		case !strings.HasPrefix(texts[i], "CREATE"):
			s.counted, s.changes = true, o.RowsAffected
			s.asked, s.id = strings.HasPrefix(texts[i], "INSERT"), o.LastInsertID
		}
		c.did(s)
	}
	return err
}

// commit ends the transaction.
func (c *client) commit() error {
	waiting := slices.Clone(c.tx.untried)
	err := c.tx.Commit()
	if err == nil {
		for _, look := range c.later {
			look()
		}
	}
	c.end(waiting)
	return err
}

// end ends the transaction. It marks the steps of operations that waited to the end: if they are not
// applied, their program was told nothing that has to be true.
func (c *client) end(waiting operations) {
	for _, s := range c.steps {
		s.waited = s.op != nil && slices.Contains(waiting, s.op)
	}
	c.tx = nil
}

// rollback ends the transaction.
func (c *client) rollback() {
	waiting := slices.Clone(c.tx.untried)
	c.tx.Rollback()
	c.end(waiting)
}

// replay runs the steps of a transaction one after the other, as if it were alone, and says where they
// show something else than the program saw. It also returns how many writes are left to commit, and the
// database behind them.
func replay(steps []*step, opts Options, from *data) (difference string, writes int, after *data) {
	r := &replaying{now: from.clone()}
	for i, s := range steps {
		if r.control(s.text) {
			continue
		}
		if opts.ReadCommitted && s.failure != "" {
			continue // it was not applied, whatever it would do now
		}
		e, ok := r.now.run(s.text)
		if !ok && !strings.Contains(s.text, "_rqlite_tx") {
			panic(s.text)
		}
		if opts.ReadCommitted && e.reads {
			continue
		}
		if e.inserted != 0 {
			r.rowid = e.inserted
		}
		if what := s.differs(e, r.rowid); what != "" && difference == "" {
			difference = fmt.Sprintf("step %d, %q: %s", i, s.text, what)
		}
		if !e.reads && s.failure == "" {
			r.writes++
		}
	}
	return difference, r.writes, r.now
}

// replaying is a transaction that is run alone.
type replaying struct {
	now    *data
	rowid  int64
	writes int
	marks  []mark
}

// mark is a savepoint.
type mark struct {
	name   string
	now    *data
	rowid  int64
	writes int
}

// control carries out a statement on savepoints.
func (r *replaying) control(text string) bool {
	action, name, ok := strings.Cut(text, " ")
	name = name[strings.LastIndex(name, " ")+1:]
	at := -1
	for i, m := range r.marks {
		if m.name == name {
			at = i
		}
	}
	switch {
	case !ok:
		return false
	case action == "SAVEPOINT":
		r.marks = append(r.marks, mark{name, r.now.clone(), r.rowid, r.writes})
	case action == "RELEASE" && at >= 0:
		r.marks = r.marks[:at]
	case action == "ROLLBACK" && at >= 0:
		m := r.marks[at]
		r.marks = r.marks[:at+1]
		r.now, r.rowid, r.writes = m.now.clone(), m.rowid, m.writes
	default:
		return action == "RELEASE" || action == "ROLLBACK"
	}
	return true
}

// differs says how what a statement does differs from what the program saw of it.
func (s *step) differs(e effect, rowid int64) string {
	switch {
	case s.failure != e.failure:
		return fmt.Sprintf("failure %q, not %q", e.failure, s.failure)
	case s.failure != "":
		return ""
	case s.counted && s.changes != e.changes && !strings.Contains(s.text, "_rqlite_tx"):
		return fmt.Sprintf("%d rows affected, not %d", e.changes, s.changes)
	case s.asked && s.id != rowid && strings.HasPrefix(s.text, "INSERT"):
		return fmt.Sprintf("id %d, not %d", rowid, s.id)
	case s.begun && (len(e.rows) < len(s.rows) || s.ended && len(e.rows) != len(s.rows) ||
		!slices.EqualFunc(s.rows, e.rows[:len(s.rows)], slices.Equal)):
		return fmt.Sprintf("rows %v, not %v", e.rows, s.rows)
	}
	return ""
}
