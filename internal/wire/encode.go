package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// timeFormat is the text form of a time.Time. It is the first of the formats of SQLite's date
// functions that keeps nanoseconds and the zone. github.com/mattn/go-sqlite3 writes the same.
const timeFormat = "2006-01-02 15:04:05.999999999-07:00"

// errNotUTF8 and errInfinite say why a value cannot be sent.
var (
	errNotUTF8  = errors.New("the text is not valid UTF-8, which JSON cannot carry: pass it as []byte")
	errInfinite = errors.New("an infinite number cannot be sent: JSON has none")
)

// AppendStatement appends one element of a request body to dst. Without args that is the statement
// as a string. With args it is an array of the statement and its values, in the order of their
// SQLite parameter numbers.
//
// The values are those of [database/sql/driver.Value]. On an error AppendStatement returns dst
// unchanged. An error about a value is a [*ValueError].
func AppendStatement(dst []byte, sql string, args []any) ([]byte, error) {
	start := len(dst)
	if len(args) > 0 {
		dst = append(dst, '[')
	}
	dst, ok := appendString(dst, sql)
	if !ok {
		return dst[:start], fmt.Errorf("the statement is not valid UTF-8")
	}
	if len(args) == 0 {
		return dst, nil
	}
	for i, arg := range args {
		dst = append(dst, ',')
		var err error
		if dst, err = AppendValue(dst, arg); err != nil {
			return dst[:start], &ValueError{Parameter: i + 1, Err: err}
		}
	}
	return append(dst, ']'), nil
}

// ValueError says which parameter of a statement cannot be sent, and why.
type ValueError struct {
	Parameter int // SQLite's number of the parameter, from 1
	Err       error
}

// Error implements error.
func (e *ValueError) Error() string {
	return "parameter " + strconv.Itoa(e.Parameter) + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *ValueError) Unwrap() error { return e.Err }

// SizeHint returns roughly how many bytes AppendValue appends for a value.
func SizeHint(value any) int {
	switch v := value.(type) {
	case string:
		return len(v) + len(v)/16 + 3
	case []byte:
		return 2*len(v) + 6
	}
	return 24
}

// AppendValue appends one parameter value to dst.
//
// The server binds a number as an INTEGER if it can be read as one. So a float64 is always written
// with a fraction or an exponent. NaN and a nil []byte become null; SQLite stores NaN as NULL, too.
// Infinities, text that is not UTF-8 and types other than those of driver.Value are errors.
func AppendValue(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case float64:
		return appendFloat(dst, v)
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		out, ok := appendString(dst, v)
		if !ok {
			return dst, errNotUTF8
		}
		return out, nil
	case []byte:
		return appendBlob(dst, v), nil
	case time.Time:
		return append(appendTime(append(dst, '"'), v), '"'), nil
	default:
		return dst, fmt.Errorf("a value of type %T cannot be sent", value)
	}
}

func appendFloat(dst []byte, f float64) ([]byte, error) {
	switch {
	case math.IsNaN(f):
		return append(dst, "null"...), nil
	case math.IsInf(f, 0):
		return dst, errInfinite
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst, nil
		}
	}
	return append(dst, ".0"...), nil
}

// appendBlob writes the text x'…', which the server binds as a BLOB. The server also accepts an
// array of numbers, but takes several times as long to read it. A nil blob becomes null.
func appendBlob(dst, blob []byte) []byte {
	if blob == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `"x'`...)
	dst = hex.AppendEncode(dst, blob)
	return append(dst, `'"`...)
}

// appendTime writes a time in timeFormat. It formats as RFC 3339, which package time does several
// times as fast, and then changes the two places that differ.
func appendTime(dst []byte, t time.Time) []byte {
	start := len(dst)
	dst = t.AppendFormat(dst, time.RFC3339Nano)
	dst[start+bytes.IndexByte(dst[start:], 'T')] = ' '
	if last := len(dst) - 1; dst[last] == 'Z' {
		return append(dst[:last], "+00:00"...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. If s is not valid UTF-8 it returns false, and out is
// useless.
func appendString(dst []byte, s string) (out []byte, ok bool) {
	dst = append(dst, '"')
	ascii := true
	for rest := s; ; {
		n, pure := plainRun(rest)
		ascii = ascii && pure
		dst = append(dst, rest[:n]...)
		if n == len(rest) {
			return append(dst, '"'), ascii || utf8.ValidString(s)
		}
		if c := rest[n]; c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		rest = rest[n+1:]
	}
}
