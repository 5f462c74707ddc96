package rqlitetest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// statement is one statement of a request. Its text may have several SQL statements.
type statement struct {
	sql    string
	params []param

	// returnsRows is set if the server's parser saw a RETURNING clause. Only then does a write
	// answer with rows.
	returnsRows bool

	// explain is set if the server's parser saw EXPLAIN.
	explain bool
}

// param is a value to bind: int64, float64, bool, string, []byte or nil.
type param struct {
	name  string // "" if positional
	value any
}

var (
	errNoStatements    = errors.New("no statements")
	errInvalidJSON     = errors.New("invalid JSON body")
	errInvalidRequest  = errors.New("invalid request")
	errUnsupportedType = errors.New("unsupported type")
)

// parseStatements reads a request body: a JSON array of strings, and of arrays that begin with a
// string. It ignores text after the array.
func parseStatements(body io.Reader) ([]statement, error) {
	dec := json.NewDecoder(body)
	dec.UseNumber()
	switch tok, err := dec.Token(); {
	case err != nil:
		return nil, errInvalidJSON
	case tok != json.Delim('['):
		return nil, errInvalidRequest
	}
	var stmts []statement
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, errInvalidJSON
		}
		var stmt statement
		switch tok := tok.(type) {
		case string:
			stmt.sql = tok
		case json.Delim:
			if tok != '[' {
				return nil, errInvalidRequest
			}
			if stmt, err = parseParameterized(dec); err != nil {
				return nil, err
			}
		default:
			return nil, errInvalidRequest
		}
		stmts = append(stmts, stmt)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errInvalidJSON
	}
	if len(stmts) == 0 {
		return nil, errNoStatements
	}
	return stmts, nil
}

// parseParameterized reads the rest of an array [sql, value, {name: value}, …].
func parseParameterized(dec *json.Decoder) (statement, error) {
	var items []any
	for dec.More() {
		var item any
		if err := dec.Decode(&item); err != nil {
			return statement{}, errInvalidJSON
		}
		items = append(items, item)
	}
	if _, err := dec.Token(); err != nil {
		return statement{}, errInvalidJSON
	}
	if len(items) == 0 {
		return statement{}, errInvalidRequest
	}
	text, ok := items[0].(string)
	if !ok {
		return statement{}, errInvalidRequest
	}
	stmt := statement{sql: text}
	for _, item := range items[1:] {
		named, ok := item.(map[string]any)
		if !ok {
			named = map[string]any{"": item}
		}
		for name, v := range named {
			value, err := bindValue(v)
			if err != nil {
				return statement{}, err
			}
			stmt.params = append(stmt.params, param{name: name, value: value})
		}
	}
	return stmt, nil
}

// bindValue returns the value to bind for a decoded JSON value. A number is an integer if it is
// written as one and fits, else a float. A text in the form of a blob literal is a blob.
func bindValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("invalid number %s", v)
		}
		return f, nil
	case string:
		if blob, ok := parseBlobLiteral(v); ok {
			return blob, nil
		}
		return v, nil
	case []any:
		return bindBytes(v)
	default:
		return nil, fmt.Errorf("%w %T", errUnsupportedType, v)
	}
}

// bindBytes returns the blob of an array of numbers from 0 to 255.
func bindBytes(list []any) ([]byte, error) {
	blob := make([]byte, len(list))
	for i, v := range list {
		n, ok := v.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%w %T", errUnsupportedType, v)
		}
		b, err := n.Int64()
		if err != nil || b < 0 || b > 255 {
			return nil, fmt.Errorf("%w %s", errUnsupportedType, n)
		}
		blob[i] = byte(b)
	}
	return blob, nil
}

// parseBlobLiteral reads x'6869', in either case and with space around it.
func parseBlobLiteral(s string) ([]byte, bool) {
	s = strings.TrimSpace(s)
	if len(s) < 3 || s[0]|0x20 != 'x' || s[1] != '\'' || s[len(s)-1] != '\'' {
		return nil, false
	}
	blob, err := hex.DecodeString(s[2 : len(s)-1])
	return blob, err == nil
}
