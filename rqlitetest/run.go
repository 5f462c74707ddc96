package rqlitetest

import (
	"context"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// written is SQLite's report on a statement that was run for its effect.
type written struct {
	lastInsertID, changes int64
}

// takeParams returns the parameters of a statement: n of them from start on, and every named one
// elsewhere. It returns false if there are fewer than n.
func takeParams(params []param, start, n int) ([]param, bool) {
	if len(params)-start < n {
		return nil, false
	}
	taken := slices.Clone(params[start : start+n])
	for i, p := range params {
		// i >= n instead of start+n copies the server's SQLite driver.
		if (i < start || i >= n) && p.name != "" {
			taken = append(taken, p)
		}
	}
	return taken, true
}

// checkNames refuses the names that database/sql refuses. The real server uses it.
func checkNames(params []param) error {
	for _, p := range params {
		if first, _ := utf8.DecodeRuneInString(p.name); p.name != "" && !unicode.IsLetter(first) {
			return fmt.Errorf("name %q does not begin with a letter", p.name)
		}
	}
	return nil
}

// exec runs every statement of a text in turn, and returns the outcome of the last one. It ignores
// rows, and stops a statement at its first row. A text that ends in a comment reports zeros,
// because the comment counts as its last statement.
func (c *conn) exec(ctx context.Context, text string, params []param) (written, error) {
	if err := checkNames(params); err != nil {
		return written{}, err
	}
	start := 0
	for {
		s, tail, err := c.prepare(text)
		if err != nil {
			return written{}, err
		}
		var w written
		if s.handle != 0 {
			n := s.numParams()
			taken, enough := takeParams(params, start, n)
			if !enough {
				s.finalize()
				return written{}, fmt.Errorf("not enough args to execute query: want %d got %d", n, len(params))
			}
			if n == 0 {
				taken = nil
			}
			w, err = s.execOne(ctx, taken)
			start += n
		}
		s.finalize()
		if err != nil || tail == "" {
			return w, err
		}
		text = tail
	}
}

func (s *stmt) execOne(ctx context.Context, params []param) (written, error) {
	if err := s.bind(params); err != nil {
		return written{}, err
	}
	if err := s.stepOnce(ctx); err != nil {
		return written{}, err
	}
	return written{lastInsertID: s.c.lastInsertID(), changes: s.c.changes()}, nil
}

// stepOnce steps once. If the context interrupts the step, it returns the error of the context. It
// begins even if the context has ended, and a short statement finishes before the interrupt. That
// is how a late write of a request is applied.
func (s *stmt) stepOnce(ctx context.Context) error {
	stop := s.c.interruptOn(ctx)
	_, err := s.step()
	stop()
	if isInterrupt(err) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// query returns the rows of the last statement of a text. The statements before it are compiled but
// not run: their results are closed before the first step.
func (c *conn) query(ctx context.Context, text string, params []param, opts rowOptions) (*rowsResult, error) {
	if err := checkNames(params); err != nil {
		return nil, err
	}
	start := 0
	for {
		s, tail, err := c.prepare(text)
		if err != nil {
			return nil, err
		}
		n := s.numParams()
		taken, enough := takeParams(params, start, n)
		if !enough {
			s.finalize()
			return nil, fmt.Errorf("not enough args to execute query: want %d got %d", n, len(params)-start)
		}
		if err = s.bind(taken); err != nil {
			s.finalize()
			return nil, err
		}
		if tail == "" {
			rows, err := s.rows(ctx, opts)
			s.finalize()
			return rows, err
		}
		s.finalize()
		start, text = start+n, tail
	}
}

// rows runs the statement and collects its rows. Column names and declared types are read before
// the first step. If another connection has changed the schema, SQLite recompiles the statement in
// that step. The answer then has old names over new values, as on the real server.
func (s *stmt) rows(ctx context.Context, opts rowOptions) (*rowsResult, error) {
	r := &rowsResult{}
	for i := range s.columnCount() {
		r.columns = append(r.columns, s.columnName(i))
		r.types = append(r.types, s.declaredType(i))
	}
	if opts.qualify {
		for i := range r.columns {
			if table := s.columnTable(i); table != "" {
				r.columns[i] = table + "." + r.columns[i]
			}
		}
	}
	if s.handle == 0 {
		return r, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stop := s.c.interruptOn(ctx)
	defer stop()
	untyped := slices.Contains(r.types, "")
	var declared []string
	for {
		more, err := s.step()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if !more || len(r.columns) == 0 {
			return r, nil
		}
		if declared == nil {
			for i := range r.columns {
				declared = append(declared, s.declaredType(i))
			}
		}
		row, err := s.row(r.types, declared, opts)
		if err != nil {
			return nil, err
		}
		if untyped {
			nameTypes(r.types, row)
			untyped = false
		}
		r.values = append(r.values, row)
	}
}

// row converts the current row.
func (s *stmt) row(types, declared []string, opts rowOptions) ([]any, error) {
	row := make([]any, len(types))
	for i := range row {
		v, err := convert(s.column(i), types[i], declared[i])
		if err != nil {
			return nil, err
		}
		if b, ok := v.([]byte); ok && opts.blobArray {
			v = blobArray(b)
		}
		row[i] = v
	}
	return row, nil
}
