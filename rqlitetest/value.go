package rqlitetest

import (
	"strconv"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

func isInterrupt(err error) bool { return isCode(err, sqlite3.SQLITE_INTERRUPT) }

// timeLayouts are the forms of a text that is read as a time, in the order in which they are tried.
// Each of them also accepts a fraction of a second.
var timeLayouts = []string{
	"2006-01-02 15:04:05.999999999-07:00",
	"2006-01-02T15:04:05.999999999-07:00",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04",
	"2006-01-02T15:04",
	"2006-01-02",
}

// convert converts a stored value like the server's SQLite driver and the server. The driver goes
// by declared. For blobs the server goes by typ, the type of the column in the answer.
func convert(v any, typ, declared string) (any, error) {
	isTime := declared == "date" || declared == "datetime" || declared == "timestamp"
	switch v := v.(type) {
	case int64:
		switch {
		case isTime:
			return formatTime(timeOfInteger(v))
		case declared == "boolean":
			return v > 0, nil
		}
		return v, nil
	case string:
		if isTime {
			return formatTime(timeOfText(v))
		}
		return v, nil
	case []byte:
		if isTextType(typ) {
			return string(v), nil
		}
		return v, nil
	default:
		return v, nil
	}
}

// timeOfInteger reads seconds, or milliseconds if the number is too large for seconds.
func timeOfInteger(n int64) time.Time {
	const mostSeconds = 1e12
	if n > mostSeconds || n < -mostSeconds {
		return time.Unix(0, n*int64(time.Millisecond)).UTC() // overflows as on the server
	}
	return time.Unix(n, 0).UTC()
}

// timeOfText reads a time. It is in UTC unless the text has a zone. A text that is no time gives
// the zero time.
func timeOfText(s string) time.Time {
	s = strings.TrimSuffix(s, "Z")
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t
		}
	}
	return time.Time{}
}

// formatTime writes a time as text. Years that RFC 3339 cannot represent are an error.
func formatTime(t time.Time) (any, error) {
	text, err := t.MarshalText()
	if err != nil {
		return nil, err
	}
	return string(text), nil
}

// isTextType reports whether blobs in a column of that type are sent as text.
func isTextType(typ string) bool {
	switch typ {
	case "", "text", "json":
		return true
	}
	for _, prefix := range []string{
		"varchar", "varying character", "nchar", "native character", "nvarchar", "clob",
	} {
		if strings.HasPrefix(typ, prefix) {
			return true
		}
	}
	return false
}

// nameTypes sets the types of columns without a declared type, by their values in the first row.
// For a NULL it stays empty.
func nameTypes(types []string, first []any) {
	for i, typ := range types {
		if typ != "" {
			continue
		}
		switch first[i].(type) {
		case int64:
			types[i] = "integer"
		case float64:
			types[i] = "real"
		case bool:
			types[i] = "boolean"
		case string:
			types[i] = "text"
		case []byte, blobArray:
			types[i] = "blob"
		}
	}
}

// blobArray is a blob that is written as an array of numbers.
type blobArray []byte

// MarshalJSON writes [0,255,1].
func (b blobArray) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 2+4*len(b)), '[')
	for i, v := range b {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, uint64(v), 10)
	}
	return append(out, ']'), nil
}
