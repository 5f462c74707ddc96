package txn

import (
	"slices"
	"strconv"

	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// returned foresees the row that RETURNING gives for an INSERT of one row. It learns from executions
// that were tried what each column may come from. Like an id, the row is compared before the commit.
type returned struct {
	columns, types []string
	row            []any      // of the last execution that was tried; nil before the first
	sources        [][]source // by columns, what each may come from, given all executions so far
}

// source is what the value of a column may come from.
type source struct {
	from  origin
	param int // of the statement's Params, if fromParam
}

type origin uint8

const (
	fromID    origin = iota // one more than in the execution before
	fromParam               // the value of a parameter
	same                    // the value of the execution before
)

// learn takes in the row of an execution. It returns the id in it. follows says that it follows the
// one of the execution before. It is not ok if there is none.
func (r *returned) learn(o *operation, set *result.Set) (id int64, follows, ok bool) {
	if set == nil || len(set.Rows) != 1 {
		*r = returned{}
		return 0, false, false
	}
	row := set.Rows[0]
	follows = r.row != nil && slices.Equal(r.columns, set.Columns) && slices.Equal(r.types, set.Types)
	if !follows {
		r.begin(o, set)
	}
	before := r.row
	for column, sources := range r.sources {
		r.sources[column] = slices.DeleteFunc(sources, func(s source) bool {
			switch s.from {
			case fromID:
				n, isInt := row[column].(int64)
				return !isInt || follows && before[column] != any(n-1)
			case fromParam:
				return !equal(row[column], o.param(s.param))
			default:
				return follows && !equal(row[column], before[column])
			}
		})
	}
	r.row = row
	column := r.idColumn()
	if column < 0 {
		return 0, false, false
	}
	return row[column].(int64), follows, true
}

// begin makes everything a possible source of each column.
func (r *returned) begin(o *operation, set *result.Set) {
	*r = returned{columns: set.Columns, types: set.Types, sources: make([][]source, len(set.Columns))}
	for column := range r.sources {
		r.sources[column] = append(r.sources[column], source{from: fromID}, source{from: same})
		for p := range o.Params {
			r.sources[column] = append(r.sources[column], source{from: fromParam, param: p})
		}
	}
}

// idColumn returns the first column that may be the id, or -1.
func (r *returned) idColumn() int {
	return slices.IndexFunc(r.sources, func(sources []source) bool {
		return slices.ContainsFunc(sources, func(s source) bool { return s.from == fromID })
	})
}

// foresee returns the row that an execution is going to give with an id. It is not ok if a column has
// no source, or its sources do not agree.
func (r *returned) foresee(o *operation, id int64) (row []any, ok bool) {
	ids := r.idColumn()
	if ids < 0 {
		return nil, false
	}
	further := id - r.row[ids].(int64)
	row = make([]any, len(r.row))
	for column, sources := range r.sources {
		for i, s := range sources {
			value := r.row[column]
			switch s.from {
			case fromID:
				value = value.(int64) + further
			case fromParam:
				value = o.param(s.param)
			case same:
			}
			if i > 0 && !equal(value, row[column]) {
				return nil, false
			}
			row[column] = value
		}
		if len(sources) == 0 || !alike(row[column], r.row[column]) {
			return nil, false
		}
	}
	return row, true
}

// equal reports whether two values are the same NULL, integer or text. Of others it is not known: the
// server may store them otherwise.
func equal(a, b any) bool { return alike(a, b) && a == b }

// alike reports whether two values are both NULL, integers or texts.
func alike(a, b any) bool {
	switch a.(type) {
	case nil:
		return b == nil
	case int64:
		_, ok := b.(int64)
		return ok
	case string:
		_, ok := b.(string)
		return ok
	}
	return false
}

// param returns the value of one of the statement's Params.
func (o *operation) param(p int) any { return o.Values[o.Params[p].Index-1] }

// cellOf returns a value as the server sends it.
func cellOf(value any) wire.Cell {
	switch v := value.(type) {
	case int64:
		return wire.Cell{Kind: wire.Number, Data: strconv.AppendInt(nil, v, 10)}
	case string:
		return wire.Cell{Kind: wire.Text, Data: []byte(v)}
	}
	return wire.Cell{Kind: wire.Null}
}
