package bind

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// ErrJSONText says why a json.RawMessage is refused.
var ErrJSONText = errors.New("a json.RawMessage is bound as text, and this one is not valid UTF-8: pass it as []byte for a BLOB")

// JSONText returns the value as which a json.RawMessage, or a pointer to one, is bound: text, or NULL
// if it is nil. For a value of another type the error is driver.ErrSkip.
func JSONText(value any) (driver.Value, error) {
	var raw json.RawMessage
	switch v := value.(type) {
	case json.RawMessage:
		raw = v
	case *json.RawMessage:
		if v != nil {
			raw = *v
		}
	default:
		return value, driver.ErrSkip
	}
	switch {
	case raw == nil:
		return nil, nil
	case !utf8.Valid(raw):
		return value, ErrJSONText
	}
	return string(raw), nil
}
