package wire

import (
	"bytes"
	"sync/atomic"
)

// Headers remembers the columns and types of an entry. The entries that answer one text have the same ones,
// until the schema changes. So a [Decoder] parses them once, and then compares bytes. The zero value
// remembers nothing. It is safe for concurrent use.
type Headers struct{ last atomic.Pointer[header] }

// header is what stands between the opening brace of an entry and its values. It never changes.
type header struct {
	raw            []byte // `"columns":[…],"types":[…]`, and nothing else
	columns, types []string
}

// longestHeader is the size in bytes of the largest header that is remembered.
const longestHeader = 4 << 10

// Remember makes the decoder share the Columns and Types of its Results with those of others that use the
// same Headers. The caller must not change them. A nil h makes it parse each.
func (d *Decoder) Remember(h *Headers) { d.headers = h }

// recall reads the columns and types of an entry, whose opening brace has been read, if they are those that
// are remembered. It reports whether they are.
func (d *Decoder) recall() bool {
	if d.headers == nil {
		return false
	}
	h := d.headers.last.Load()
	if h == nil || !bytes.HasPrefix(d.scan.buf[d.scan.pos:d.scan.end], h.raw) {
		return false
	}
	d.scan.pos += len(h.raw)
	d.result.Columns, d.result.Types = h.columns, h.types
	return true
}

// learn remembers the columns and types of an entry, behind which the decoder stands. Its brace is at d.begin.
func (d *Decoder) learn() {
	if d.headers == nil || d.begin < d.scan.base || len(d.result.Columns) != len(d.result.Types) {
		return
	}
	raw, ok := bytes.CutPrefix(d.scan.buf[d.begin-d.scan.base:d.scan.pos], []byte{'{'})
	if ok && len(raw) <= longestHeader {
		d.headers.last.Store(&header{bytes.Clone(raw), d.result.Columns, d.result.Types})
	}
}
