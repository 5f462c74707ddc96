package wire

import (
	"errors"
	"fmt"
	"io"
)

const (
	// bufferSize is the initial size of the buffer. It is a power of two, holds the answer to a
	// point query, and takes large answers in few reads.
	bufferSize = 16 << 10
	// largeBuffer is the size of the buffer once a response has proved longer than that.
	largeBuffer = 64 << 10
	// maxToken bounds one value in the response. SQLite's own bound on a value is 1,000,000,000
	// bytes (SQLITE_MAX_LENGTH).
	maxToken = 1 << 30
	// maxWord bounds everything else: names, types, messages and skipped values. The name of a
	// column can be the whole text of its expression.
	maxWord = 16 << 20
	// maxDepth bounds the nesting of skipped values.
	maxDepth = 64
)

// SyntaxError says that a response is not as rqlite's API documents it: it is no JSON, or JSON of
// another shape, or has a value that cannot be read exactly.
type SyntaxError struct {
	Offset  int64 // bytes of the response before the fault; 0 if the fault has no single place
	Message string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	if e.Offset == 0 {
		return "malformed response: " + e.Message
	}
	return fmt.Sprintf("malformed response at byte %d: %s", e.Offset, e.Message)
}

// scanner reads JSON tokens from a stream. The slices that it returns point into its buffers and
// are valid until the next call.
type scanner struct {
	r       io.Reader // nil if all is in buf, which belongs to somebody else
	buf     []byte
	pos     int // first unread byte of buf
	end     int // end of the bytes read into buf
	base    int64
	scratch []byte // unescaped texts and blobs
	value   bool   // the token is a value of a row
}

// reset makes the scanner read from r. It keeps the buffers.
func (s *scanner) reset(r io.Reader) {
	if s.buf == nil {
		s.buf = make([]byte, bufferSize)
	}
	s.r, s.pos, s.end, s.base, s.value = r, 0, 0, 0, false
}

// offset returns how many bytes have been consumed.
func (s *scanner) offset() int64 { return s.base + int64(s.pos) }

// isEmpty reports whether nothing is left of what is in memory.
func (s *scanner) isEmpty() bool { return s.pos == s.end }

func (s *scanner) fault(format string, args ...any) error {
	return &SyntaxError{Offset: s.offset(), Message: fmt.Sprintf(format, args...)}
}

// fill reads more input. It moves the unread bytes, from s.pos on, to the front of the buffer. At
// the end of the input it returns io.ErrUnexpectedEOF, because it is only called while the document
// is incomplete.
func (s *scanner) fill() error {
	if s.r == nil {
		return io.ErrUnexpectedEOF
	}
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:s.end])
		s.base += int64(s.pos)
		s.end -= s.pos
		s.pos = 0
	}
	switch {
	case s.end == len(s.buf):
		limit := maxWord
		if s.value {
			limit = maxToken
		}
		if len(s.buf) >= limit {
			return s.fault("a text is longer than %d bytes", limit)
		}
		s.grow(2 * len(s.buf))
	case s.base >= largeBuffer && len(s.buf) < largeBuffer:
		s.grow(largeBuffer)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		if n > 0 {
			return nil // the reader returns its error again at the next call
		}
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (s *scanner) grow(size int) {
	grown := make([]byte, size)
	copy(grown, s.buf[:s.end])
	s.buf = grown
}

// peek returns the next byte that is not white space, without consuming it. The server writes no
// white space, so the first look nearly always succeeds.
func (s *scanner) peek() (byte, error) {
	if s.pos < s.end && s.buf[s.pos] > ' ' {
		return s.buf[s.pos], nil
	}
	return s.peekBehindSpace()
}

func (s *scanner) peekBehindSpace() (byte, error) {
	for {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; c {
			case ' ', '\n', '\r', '\t':
				s.pos++
			default:
				return c, nil
			}
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// expect consumes the next byte that is not white space. It returns an error unless that byte is
// want.
func (s *scanner) expect(want byte) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != want {
		return s.fault("%q instead of %q", c, want)
	}
	s.pos++
	return nil
}

// more reports whether another element follows in an array or object that ends with closing. It
// consumes the comma or the closing byte. first says that no element has been read yet.
func (s *scanner) more(closing byte, first bool) (bool, error) {
	if !first && s.end-s.pos >= 2 && s.buf[s.pos] == ',' {
		if c := s.buf[s.pos+1]; c > ' ' && c != closing { // the usual case
			s.pos++
			return true, nil
		}
	}
	c, err := s.peek()
	if err != nil {
		return false, err
	}
	switch {
	case c == closing:
		s.pos++
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, s.fault("%q instead of %q or %q", c, ',', closing)
	}
	s.pos++
	if c, err = s.peek(); err == nil && c == closing {
		err = s.fault("%q after a comma", c)
	}
	return true, err
}

// literal consumes word. Its first byte has been peeked.
func (s *scanner) literal(word string) error {
	for s.end-s.pos < len(word) {
		if err := s.fill(); err != nil {
			return err
		}
	}
	if string(s.buf[s.pos:s.pos+len(word)]) != word {
		return s.fault("invalid literal instead of %q", word)
	}
	s.pos += len(word)
	return nil
}

// number consumes a JSON number and returns its text.
func (s *scanner) number() ([]byte, error) {
	chunk := s.buf[s.pos:s.end]
	n := digits(chunk)
	if n > 0 && n < len(chunk) && chunk[0] != '0' && !numeric[chunk[n]] { // an integer, the usual case
		s.pos += n
		return chunk[:n], nil
	}
	for {
		chunk = s.buf[s.pos:s.end]
		for n < len(chunk) && numeric[chunk[n]] {
			n++
		}
		if n < len(chunk) {
			if !validNumber(chunk[:n]) {
				return nil, s.fault("invalid number")
			}
			s.pos += n
			return chunk[:n], nil
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// numeric holds the bytes that may occur in a number.
var numeric = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'-': true, '+': true, '.': true, 'e': true, 'E': true,
}

// validNumber reports whether b is a number by RFC 8259.
func validNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	switch {
	case len(b) == 0:
		return false
	case b[0] == '0':
		b = b[1:]
	default:
		n := digits(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	if len(b) > 0 && b[0] == '.' {
		n := digits(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		n := digits(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

// digits returns the number of decimal digits at the start of b.
func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}

// skip consumes one value of any kind.
func (s *scanner) skip(depth int) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	switch c {
	case '{', '[':
		if depth >= maxDepth {
			return s.fault("values nested deeper than %d", maxDepth)
		}
		return s.skipNested(c, depth+1)
	case '"':
		_, err = s.text()
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		err = s.literal("null")
	default:
		_, err = s.number()
	}
	return err
}

func (s *scanner) skipNested(opening byte, depth int) error {
	closing := opening + 2 // in ASCII, both ']' and '}'
	s.pos++
	for first := true; ; first = false {
		again, err := s.more(closing, first)
		if err != nil || !again {
			return err
		}
		if opening == '{' {
			if _, err := s.key(); err != nil {
				return err
			}
		}
		if err := s.skip(depth); err != nil {
			return err
		}
	}
}

// key consumes the name of an object member and the colon after it. Escapes in the name are
// resolved, so names compare as texts.
func (s *scanner) key() (string, error) {
	text, err := s.string()
	if err != nil {
		return "", err
	}
	return text, s.expect(':')
}

// string skips white space, consumes a JSON string and returns a copy of it.
func (s *scanner) string() (string, error) {
	c, err := s.peek()
	if err != nil {
		return "", err
	}
	if c != '"' {
		return "", s.fault("%q instead of a text", c)
	}
	b, err := s.text()
	return intern(b), err
}

// intern returns b as a string. For the names and types of nearly every response it does not
// allocate.
func intern(b []byte) string {
	switch string(b) {
	case "results":
		return "results"
	case "columns":
		return "columns"
	case "types":
		return "types"
	case "values":
		return "values"
	case "last_insert_id":
		return "last_insert_id"
	case "rows_affected":
		return "rows_affected"
	case "error":
		return "error"
	case "time":
		return "time"
	case "integer":
		return "integer"
	case "text":
		return "text"
	case "real":
		return "real"
	case "blob":
		return "blob"
	case "boolean":
		return "boolean"
	case "datetime":
		return "datetime"
	case "id":
		return "id"
	}
	return string(b)
}
