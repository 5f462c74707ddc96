package result

import (
	"errors"
	"hash/maphash"
	"io"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Observation is the part of a result set that a program has seen: its columns, and its rows as far
// as the program asked for them. Two observations are compared by a hash of 64 bits with a random
// key. Different ones count as equal about once in 10^19 times. The zero value has seen nothing.
type Observation struct {
	hash  maphash.Hash
	Begun bool // the columns were seen
	rows  int64
	Ended bool // the end of the rows was seen
}

var observationSeed = maphash.MakeSeed()

// Begin adds the columns of a result set. It forgets all that was seen before.
func (o *Observation) Begin(entry *wire.Result) {
	*o = Observation{Begun: true} // the statement may have run before, to no avail
	o.hash.SetSeed(observationSeed)
	for i, name := range entry.Columns {
		o.add([]byte(name))
		o.add([]byte(entry.Types[i]))
	}
}

// Row adds the beginning of a row.
func (o *Observation) Row() { o.rows++ }

// End adds the end of the rows.
func (o *Observation) End() { o.Ended = true }

// Cell adds a value.
func (o *Observation) Cell(c wire.Cell) {
	o.hash.WriteByte(byte(c.Kind))
	o.add(c.Data)
}

// add adds bytes, and where they end.
func (o *Observation) add(data []byte) {
	o.hash.Write(data)
	n := len(data)
	o.hash.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

// SameIn reports whether a result set, whose entry answer has begun, shows the same. It reads no
// further than the program did.
func (o *Observation) SameIn(answer *cluster.Answer, entry *wire.Result) (bool, error) {
	if !o.Begun {
		return true, nil
	}
	columns := len(entry.Columns)
	var again Observation
	again.Begin(entry)
	for again.rows != o.rows || o.Ended { // otherwise the program saw no more
		err := answer.NextRow()
		if errors.Is(err, io.EOF) {
			again.Ended = true
			break
		}
		if err != nil {
			return false, err
		}
		if again.rows++; again.rows > o.rows {
			return false, nil
		}
		for range columns {
			cell, err := answer.Cell()
			if err != nil {
				return false, err
			}
			again.Cell(cell)
		}
	}
	return again.rows == o.rows && again.Ended == o.Ended && again.hash.Sum64() == o.hash.Sum64(), nil
}
