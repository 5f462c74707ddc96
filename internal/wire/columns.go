package wire

import (
	"bytes"
	"sync/atomic"
)

// KnownColumns remembers the columns and types of an entry. The entries that answer one text have the same
// ones until the schema changes. So a [Decoder] parses them once, and then compares bytes. The zero value
// remembers nothing. It is safe for concurrent use.
type KnownColumns struct{ last atomic.Pointer[columns] }

// columns is what stands between the opening brace of an entry and its values. It never changes.
type columns struct {
	raw          []byte // `"columns":[…],"types":[…]`, and nothing else
	names, types []string
}

// mostKnown is the size in bytes of the largest columns that are remembered.
const mostKnown = 4 << 10

// Remember makes the decoder share the Columns and Types of its Results with those of others that use the
// same KnownColumns. The caller must not change them. Nil makes it parse each.
func (d *Decoder) Remember(known *KnownColumns) { d.known = known }

// recall reads the columns and types of an entry, whose opening brace has been read, if they are those that
// are remembered. It reports whether they are.
func (d *Decoder) recall() bool {
	if d.known == nil {
		return false
	}
	last := d.known.last.Load()
	if last == nil || !bytes.HasPrefix(d.scan.buf[d.scan.pos:d.scan.end], last.raw) {
		return false
	}
	d.scan.pos += len(last.raw)
	d.result.Columns, d.result.Types = last.names, last.types
	return true
}

// learn remembers the columns and types of an entry, behind which the decoder stands. Its brace is at d.begin.
func (d *Decoder) learn() {
	if d.known == nil || d.begin < d.scan.base || len(d.result.Columns) != len(d.result.Types) {
		return
	}
	raw, ok := bytes.CutPrefix(d.scan.buf[d.begin-d.scan.base:d.scan.pos], []byte{'{'})
	if ok && len(raw) <= mostKnown {
		d.known.last.Store(&columns{bytes.Clone(raw), d.result.Columns, d.result.Types})
	}
}
