package cluster

import (
	"io"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// subAnswerOf returns an answer that consists of some entries of another one. Nothing is left to read
// from the node, so its Close reads nothing.
func subAnswerOf(guard *guard, entries [][]byte) *Answer {
	s := &subAnswer{rest: entries}
	return &Answer{Node: guard.node.host, req: guard.req, guard: guard, body: responseBody{ReadCloser: s, ended: true}, dec: wire.NewDecoder(s)}
}

// subAnswer reads as the document of some entries.
type subAnswer struct {
	pieces int    // number of pieces begun
	piece  []byte // rest of the current piece
	rest   [][]byte
	ended  bool
}

var (
	resultsOpen  = []byte(`{"results":[`)
	resultsNext  = []byte(`,`)
	resultsClose = []byte(`]}`)
)

// Read implements io.Reader.
func (s *subAnswer) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(s.piece) == 0 && !s.more() {
			return n, io.EOF
		}
		copied := copy(p[n:], s.piece)
		s.piece, n = s.piece[copied:], n+copied
	}
	return n, nil
}

// more goes to the next piece.
func (s *subAnswer) more() bool {
	s.pieces++
	switch {
	case s.pieces == 1:
		s.piece = resultsOpen
	case len(s.rest) > 0 && s.pieces > 2 && s.pieces%2 == 1:
		s.piece = resultsNext
	case len(s.rest) > 0:
		s.piece, s.rest = s.rest[0], s.rest[1:]
	case !s.ended:
		s.ended, s.piece = true, resultsClose
	default:
		return false
	}
	return true
}

// Close implements io.Closer.
func (s *subAnswer) Close() error { return nil }
