package wire

import (
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// text consumes a JSON string and returns its content. The opening quote has been peeked.
func (s *scanner) text() ([]byte, error) {
	n, escaped, ascii := 1, false, true
	for {
		for chunk := s.buf[s.pos:s.end]; n < len(chunk); n++ {
			size, pure := plainRun(chunk[n:])
			n += size
			ascii = ascii && pure
			if n == len(chunk) {
				break
			}
			switch chunk[n] {
			case '"':
				raw := chunk[1:n]
				if (escaped || !ascii) && !utf8.Valid(raw) {
					return nil, s.fault("text that is not valid UTF-8")
				}
				if escaped {
					return s.unescape(raw, n+1)
				}
				s.pos += n + 1
				return raw, nil
			case '\\':
				escaped = true
				n++ // the escaped byte is not the end
			default:
				return nil, s.fault("control character in a text")
			}
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// plainRun returns how many bytes b has before the first quote, backslash or control character, and
// whether all of them are ASCII.
//
// It looks at eight bytes at a time, the first in the lowest bits of a word. Subtracting n from a
// byte below n borrows, which sets the byte's highest bit. The borrow can reach later bytes, never
// earlier ones, so the first match is right.
func plainRun[T []byte | string](b T) (n int, ascii bool) {
	var seen uint64
	for ; len(b)-n >= 8; n += 8 {
		word := load(b, n)
		quote, backslash := word^'"'*lowBits, word^'\\'*lowBits // zero where they are
		special := (word-' '*lowBits)&^word | (quote-lowBits)&^quote | (backslash-lowBits)&^backslash
		if special &= highBits; special != 0 {
			before := bits.TrailingZeros64(special) &^ 7
			seen |= word & (1<<before - 1)
			return n + before/8, seen&highBits == 0
		}
		seen |= word
	}
	for ; n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\'; n++ {
		seen |= uint64(b[n])
	}
	return n, seen&highBits == 0
}

// load returns the eight bytes from n on as a word, the first in its lowest bits. The compiler
// makes one instruction of it.
func load[T []byte | string](b T, n int) uint64 {
	_ = b[n+7]
	return uint64(b[n]) | uint64(b[n+1])<<8 | uint64(b[n+2])<<16 | uint64(b[n+3])<<24 |
		uint64(b[n+4])<<32 | uint64(b[n+5])<<40 | uint64(b[n+6])<<48 | uint64(b[n+7])<<56
}

// unescape resolves the escapes of raw and consumes its token. raw is the inside of a string token
// of the given size at s.pos.
func (s *scanner) unescape(raw []byte, size int) ([]byte, error) {
	out := s.scratch[:0]
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			j := i + 1
			for j < len(raw) && raw[j] != '\\' {
				j++
			}
			out = append(out, raw[i:j]...)
			i = j
			continue
		}
		if raw[i+1] != 'u' { // text saw a byte after every backslash
			c := escapes[raw[i+1]]
			if c == 0 {
				return nil, s.fault("invalid escape in a text")
			}
			out = append(out, c)
			i += 2
			continue
		}
		r, n := unicodeEscape(raw[i:])
		if n == 0 {
			return nil, s.fault("invalid \\u escape in a text")
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	s.scratch = out
	s.pos += size
	return out, nil
}

var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unicodeEscape reads a \uXXXX escape, or a surrogate pair of two, at the start of b. It returns
// the character and the number of bytes read, 0 if there is no valid escape. A lone surrogate is no
// character, so it is invalid.
func unicodeEscape(b []byte) (rune, int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(b[6:])
	if !ok {
		return 0, 0
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
