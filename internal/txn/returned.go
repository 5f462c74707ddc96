package txn

import (
	"bytes"
	"reflect"
	"slices"
	"time"

	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// returned foresees the row that RETURNING gives for an INSERT of one row. It learns from executions
// that were tried what each column may come from. Like an id, the row is compared before the commit.
type returned struct {
	times          result.Times // how times are read
	columns, types []string
	text           string     // of the last execution that was tried, as it was sent
	row            []any      // of that execution; nil before the first
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
	same                    // the value of the execution before, which was sent with the same text
)

// learn takes in the row of an execution. It returns the id in it. follows says that it follows the
// one of the execution before. It is not ok if there is none.
func (r *returned) learn(o *operation) (id int64, follows, ok bool) {
	set := o.set
	if set == nil || len(set.Rows) != 1 {
		*r = returned{times: r.times}
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
				return !equal(row[column], r.given(o, s.param, column))
			default:
				return follows && (r.text != o.Text || !equal(row[column], before[column]))
			}
		})
	}
	r.row, r.text = row, o.Text
	column := r.idColumn()
	if column < 0 {
		return 0, false, false
	}
	return row[column].(int64), follows, true
}

// begin makes everything a possible source of each column.
func (r *returned) begin(o *operation, set *result.Set) {
	*r = returned{times: r.times, columns: set.Columns, types: set.Types, sources: make([][]source, len(set.Columns))}
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
				value = r.given(o, s.param, column)
			case same:
				if r.text != o.Text {
					return nil, false
				}
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

// given returns the value of one of the statement's Params as the column would give it back, if it
// stores the value as it is.
func (r *returned) given(o *operation, param, column int) any {
	in := r.times.StorageOf(r.types[column])
	if truth, ok := o.param(param).(bool); ok && in == result.BoolStorage {
		return truth
	}
	cell := cellOf(o.param(param))
	if at, ok := o.param(param).(time.Time); ok && in == result.TimeStorage {
		cell.Data = at.AppendFormat(nil, time.RFC3339Nano) // as rqlite sends times
	}
	values := result.Values{Times: r.times}
	value, err := values.Value(cell, in)
	if err != nil {
		return err // which equals no value
	}
	return value
}

// equal reports whether two values of columns are the same.
func equal(a, b any) bool {
	switch a := a.(type) {
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b) && a.Format(time.RFC3339Nano) == b.Format(time.RFC3339Nano)
	}
	return alike(a, b) && a == b
}

// alike reports whether two values are of the same type.
func alike(a, b any) bool { return reflect.TypeOf(a) == reflect.TypeOf(b) }

// sameSet reports whether two result sets are the same.
func sameSet(a, b *result.Set) bool {
	return slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Types, b.Types) &&
		slices.EqualFunc(a.Rows, b.Rows, func(a, b []any) bool { return slices.EqualFunc(a, b, equal) })
}

// param returns the value of one of the statement's Params.
func (o *operation) param(p int) any { return o.Values[o.Params[p].Index-1] }

// cellOf returns a value as the server sends it back, if the column stores it as it is.
func cellOf(value any) wire.Cell {
	switch v := value.(type) {
	case nil:
		return wire.Cell{Kind: wire.Null}
	case string:
		return wire.Cell{Kind: wire.Text, Data: []byte(v)}
	case []byte:
		if v == nil {
			return wire.Cell{Kind: wire.Null}
		}
		return wire.Cell{Kind: wire.Blob, Data: v}
	case bool:
		if v {
			return wire.Cell{Kind: wire.Number, Data: []byte("1")}
		}
		return wire.Cell{Kind: wire.Number, Data: []byte("0")}
	case time.Time:
		text, _ := wire.AppendValue(nil, v)
		return wire.Cell{Kind: wire.Text, Data: text[1 : len(text)-1]}
	}
	text, _ := wire.AppendValue(nil, value)
	return wire.Cell{Kind: wire.Number, Data: text}
}
