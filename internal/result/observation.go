package result

import (
	"errors"
	"hash/maphash"
	"io"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Observation is what a program has seen of a result set: its columns, and its
// rows as far as they were asked for. Two observations are compared by a hash of
// 64 bits with a random key, so that they are taken for equal by mistake about once in
// 10^19 times. The zero value has seen nothing.
type Observation struct {
	hash  maphash.Hash
	Begun bool // the columns were seen
	rows  int64
	Ended bool // the end of the rows was seen
}

var observationSeed = maphash.MakeSeed()

// Begin takes in the columns of a result set.
func (o *Observation) Begin(entry *wire.Result) {
	*o = Observation{Begun: true} // the statement may have run before, to no avail
	o.hash.SetSeed(observationSeed)
	for i, name := range entry.Columns {
		o.add([]byte(name))
		o.add([]byte(entry.Types[i]))
	}
}

// Row takes in the beginning of a row.
func (o *Observation) Row() { o.rows++ }

// End takes in the end of the rows.
func (o *Observation) End() { o.Ended = true }

// Cell takes in a value.
func (o *Observation) Cell(c wire.Cell) {
	o.hash.WriteByte(byte(c.Kind))
	o.add(c.Data)
}

// add takes in bytes, and where they end.
func (o *Observation) add(data []byte) {
	o.hash.Write(data)
	n := len(data)
	o.hash.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

// SameIn reports whether a result set, which answer has begun, shows what was
// seen before.
func (o *Observation) SameIn(answer *cluster.Answer, entry *wire.Result) (bool, error) {
	if !o.Begun {
		return true, nil
	}
	columns := len(entry.Columns)
	var again Observation
	again.Begin(entry)
	for again.rows != o.rows || o.Ended { // or else the program saw no more
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
