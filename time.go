package rqlite

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/go-rqlite/rqlite/internal/result"
)

var (
	_ sql.Scanner   = (*Time)(nil)
	_ driver.Valuer = Time{}
)

// Time reads a time from where the driver gives none: an expression such as max(made) or
// datetime('now'), and columns of types such as timestamptz, TIMESTAMP(3) or TEXT. It also takes what
// is a time.Time already, and NULL. The zero value is NULL. It is plain data.
//
//	var last rqlite.Time
//	err := db.QueryRow("SELECT max(made) FROM orders").Scan(&last)
type Time struct {
	Time  time.Time // in the zone that it is stored with, UTC without one
	Valid bool      // Time is not NULL
}

// Scan implements [sql.Scanner]. Text is a date, or a date and a time, as SQLite's date functions
// read and write it; without a zone it is in UTC. An integer is Unix seconds, or milliseconds above
// 1e12, as in columns declared DATETIME. Anything else is an error, and leaves t as it was.
func (t *Time) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*t = Time{}
		return nil
	case time.Time:
		*t = Time{value, true}
		return nil
	case int64:
		*t = Time{result.UnixTime(value), true}
		return nil
	case string:
		return t.parse(value)
	case []byte:
		return t.parse(string(value))
	}
	return fmt.Errorf("rqlite: a %T is not a time", value)
}

// parse reads text.
func (t *Time) parse(text string) error {
	if at, ok := result.ParseTime(text); ok {
		*t = Time{at, true}
		return nil
	}
	return fmt.Errorf("rqlite: %.40q is not a time", text)
}

// Value implements [driver.Valuer]. It returns the time.Time, or nil for NULL.
func (t Time) Value() (driver.Value, error) {
	if !t.Valid {
		return nil, nil
	}
	return t.Time, nil
}
