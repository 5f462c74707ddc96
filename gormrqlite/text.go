package gormrqlite

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// quote quotes a name, which may have a prefix, such as schema.table. Parts in backticks stay as
// they are.
//
// It uses backticks, because SQLite takes an unknown name in double quotes for a text.
func quote(path string) string {
	var parts []string
	for path != "" {
		end := strings.IndexByte(path, '.')
		if path[0] == '`' {
			if after := strings.IndexByte(path[1:], '`'); after >= 0 {
				end = after + 2
			}
		}
		if end < 0 || end >= len(path) {
			parts = append(parts, quoteName(path))
			break
		}
		parts = append(parts, quoteName(path[:end]))
		path = strings.TrimPrefix(path[end:], ".")
	}
	return strings.Join(parts, ".")
}

// quoteName quotes a name unless it is in backticks.
func quoteName(name string) string {
	if len(name) > 1 && name[0] == '`' && name[len(name)-1] == '`' {
		return name
	}
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// explain puts values in place of the parameters of a statement. The result is for reading, and it
// is also valid SQL with the same effect.
func explain(query string, values []any) string {
	var out strings.Builder
	for _, t := range lex(query) {
		if t.text == "?" && len(values) > 0 {
			out.WriteString(literal(values[0]))
			values = values[1:]
			continue
		}
		out.WriteString(t.text)
	}
	return out.String()
}

// timeFormat is the driver's format of a time. A time without an offset is in UTC.
const (
	timeFormat    = "2006-01-02 15:04:05.999999999-07:00"
	timeFormatUTC = "2006-01-02 15:04:05.999999999"
)

// literal returns a value as SQL.
func literal(value any) string {
	switch v := value.(type) {
	case nil:
		return "NULL"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		if v == nil {
			return "NULL"
		}
		return "x'" + hex.EncodeToString(v) + "'"
	case time.Time:
		if _, offset := v.Zone(); offset == 0 {
			return "'" + v.Format(timeFormatUTC) + "'"
		}
		return "'" + v.Format(timeFormat) + "'"
	case driver.Valuer:
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return "NULL"
		}
		inner, err := v.Value()
		if err != nil {
			return "NULL /* " + strings.ReplaceAll(err.Error(), "*/", "* /") + " */"
		}
		return literal(inner)
	}
	return literalOf(reflect.ValueOf(value))
}

// literalOf returns the literal of a value whose type is known by its kind only.
func literalOf(value reflect.Value) string {
	switch value.Kind() {
	case reflect.Pointer:
		if value.IsNil() {
			return "NULL"
		}
		return literal(value.Elem().Interface())
	case reflect.Bool:
		return strconv.FormatBool(value.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(value.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(value.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		text := strconv.FormatFloat(value.Float(), 'g', -1, value.Type().Bits())
		if !strings.ContainsAny(text, ".eIN") {
			text += ".0" // without it the literal would be an integer
		}
		return text
	case reflect.String:
		return literal(value.String())
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return literal(value.Bytes())
		}
	}
	return literal(fmt.Sprint(value.Interface()))
}
