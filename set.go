package rqlite

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// resultSet is a result set in memory.
type resultSet struct {
	columns, types []string
	rows           [][]any
}

// readRows reads the rows of the entry that answer has begun, up to their end.
// What it reads is seen, unless that is nil.
func readRows(answer *cluster.Answer, entry *wire.Result, values *valuer, seen *observation) (*resultSet, error) {
	set := &resultSet{columns: entry.Columns, types: entry.Types}
	in := make([]storage, len(set.types))
	for column, typ := range set.types {
		in[column] = storageOf(typ)
	}
	for {
		err := answer.NextRow()
		if errors.Is(err, io.EOF) {
			if seen != nil {
				seen.end()
			}
			return set, nil
		}
		if err != nil {
			return nil, err
		}
		if seen != nil {
			seen.row()
		}
		row := make([]any, len(in))
		for column := range row {
			cell, err := answer.Cell()
			if err != nil {
				return nil, err
			}
			if seen != nil {
				seen.cell(cell)
			}
			if row[column], err = values.value(cell, in[column]); err != nil {
				return nil, &unreadableValue{fmt.Errorf("column %d (%s): %w", column+1, set.columns[column], err)}
			}
		}
		set.rows = append(set.rows, row)
	}
}

// unreadableValue is the error of a value that is none of its column's.
type unreadableValue struct{ error }
