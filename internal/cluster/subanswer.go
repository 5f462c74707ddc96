package cluster

import (
	"io"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// subAnswerOf returns an answer of some entries of another one.
func subAnswerOf(guard *guard, entries [][]byte) *Answer {
	e := &subAnswer{rest: entries}
	return &Answer{Node: guard.node.host, req: guard.req, guard: guard, body: responseBody{ReadCloser: e}, dec: wire.NewDecoder(e)}
}

// subAnswer reads as the document of some entries.
type subAnswer struct {
	pieces int    // so many have been begun
	piece  []byte // what is left of the current one
	rest   [][]byte
	ended  bool
}

var (
	resultsOpen  = []byte(`{"results":[`)
	resultsNext  = []byte(`,`)
	resultsClose = []byte(`]}`)
)

// Read implements io.Reader.
func (e *subAnswer) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(e.piece) == 0 && !e.more() {
			return n, io.EOF
		}
		copied := copy(p[n:], e.piece)
		e.piece, n = e.piece[copied:], n+copied
	}
	return n, nil
}

// more goes to the next piece.
func (e *subAnswer) more() bool {
	e.pieces++
	switch {
	case e.pieces == 1:
		e.piece = resultsOpen
	case len(e.rest) > 0 && e.pieces > 2 && e.pieces%2 == 1:
		e.piece = resultsNext
	case len(e.rest) > 0:
		e.piece, e.rest = e.rest[0], e.rest[1:]
	case !e.ended:
		e.ended, e.piece = true, resultsClose
	default:
		return false
	}
	return true
}

// Close implements io.Closer.
func (e *subAnswer) Close() error { return nil }
