package integration_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// onManyConnections calls read many times at once, which makes the server use
// many of its read connections.
func onManyConnections(t *testing.T, read func() error) {
	t.Helper()
	done := make(chan error, 16)
	for range cap(done) {
		go func() { done <- read() }()
	}
	var first error
	for range cap(done) {
		if err := <-done; first == nil {
			first = err
		}
	}
	require.NoError(t, first)
}

// checkColumns demands that each value of a row is its column's name in upper
// case, but for the id.
func checkColumns(db *sql.DB, query string) error {
	rows, err := db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values := make([]any, len(names))
		dest := make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, name := range names {
			if name != "id" && values[i] != strings.ToUpper(name) {
				return fmt.Errorf("column %q holds %v", name, values[i])
			}
		}
	}
	return rows.Err()
}

// TestSchemaChangesElsewhere alters a table by one client while another reads
// all of its columns: no value may come under the name of another column.
func TestSchemaChangesElsewhere(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		reader, changer := b.open(t), b.open(t)
		table := newTable()
		mustExec(t, changer, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a TEXT, b TEXT)")
		mustExec(t, changer, "INSERT INTO "+table+" VALUES (1, 'A', 'B')")
		read := func() error { return checkColumns(reader, "SELECT * FROM "+table) }
		for round := range 10 {
			onManyConnections(t, read)
			mustExec(t, changer, "ALTER TABLE "+table+" DROP COLUMN a")
			onManyConnections(t, read)
			mustExec(t, changer, "ALTER TABLE "+table+" ADD COLUMN a TEXT DEFAULT 'A'")
			onManyConnections(t, read)
			mustExec(t, changer, fmt.Sprintf("ALTER TABLE %s RENAME COLUMN b TO b%d; ALTER TABLE %[1]s RENAME COLUMN b%[2]d TO b", table, round))
		}
	})
}

// TestSchemaChangesHere changes the type of a column by the client that reads
// it: values may not be read as of the type before.
func TestSchemaChangesHere(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a INTEGER DEFAULT 1)")
		mustExec(t, db, "INSERT INTO "+table+" (id) VALUES (1)")
		for round := range 10 {
			declared, want := "INTEGER", any(int64(1))
			if round%2 == 0 {
				declared, want = "BOOLEAN", true
			}
			mustExec(t, db, fmt.Sprintf("ALTER TABLE %s DROP COLUMN a; ALTER TABLE %[1]s ADD COLUMN a %s DEFAULT 1", table, declared))
			onManyConnections(t, func() error {
				var got any
				err := db.QueryRow("SELECT a FROM " + table).Scan(&got)
				if err == nil && got != want {
					err = fmt.Errorf("%T(%v) of a column declared %s", got, got, declared)
				}
				return err
			})
		}
	})
}
