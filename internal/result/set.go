package result

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Set is a result set in memory.
type Set struct {
	Columns, Types []string
	Rows           [][]any
}

// Read reads the rows of the current entry of answer, up to their end. It records them in seen,
// unless that is nil.
func Read(answer *cluster.Answer, entry *wire.Result, values *Values, seen *Observation) (*Set, error) {
	set := &Set{Columns: entry.Columns, Types: entry.Types}
	in := make([]Storage, len(set.Types))
	for column, typ := range set.Types {
		in[column] = values.StorageOf(typ)
	}
	for {
		err := answer.NextRow()
		if errors.Is(err, io.EOF) {
			if seen != nil {
				seen.End()
			}
			return set, nil
		}
		if err != nil {
			return nil, err
		}
		if seen != nil {
			seen.Row()
		}
		row := make([]any, len(in))
		for column := range row {
			cell, err := answer.Cell()
			if err != nil {
				return nil, err
			}
			if seen != nil {
				seen.Cell(cell)
			}
			if row[column], err = values.Value(cell, in[column]); err != nil {
				return nil, &UnreadableValue{fmt.Errorf("column %d (%s): %w", column+1, set.Columns[column], err)}
			}
		}
		set.Rows = append(set.Rows, row)
	}
}

// UnreadableValue is the error of a value that its column cannot have.
type UnreadableValue struct{ error }
