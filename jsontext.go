package rqlite

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

var errJSONText = errors.New("a json.RawMessage is bound as text, and this one is not valid UTF-8: pass it as []byte for a BLOB")

// jsonText returns the value as which a json.RawMessage is bound, NULL if it is nil. For a value of
// another type the error is driver.ErrSkip.
func jsonText(value any) (driver.Value, error) {
	var raw json.RawMessage
	switch v := value.(type) {
	case json.RawMessage:
		raw = v
	case *json.RawMessage:
		if v != nil {
			raw = *v
		}
	case sql.Null[json.RawMessage]:
		if v.Valid {
			raw = v.V
		}
	default:
		return value, driver.ErrSkip
	}
	switch {
	case raw == nil:
		return nil, nil
	case !utf8.Valid(raw):
		return value, errJSONText
	}
	return string(raw), nil
}
