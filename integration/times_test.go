package integration_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var timeTypes = []string{
	"timestamptz", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP(3)", "datetime(3)", "DATETIME", "TIMESTAMP", "DATE",
}

// TestTimeColumns reads times from columns of types that SQLite drivers know, and of others.
func TestTimeColumns(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		stored := time.Date(2024, 7, 2, 3, 4, 5, 6e6, time.FixedZone("", -8*3600))
		for _, typ := range timeTypes {
			table := newTable()
			db := b.open(t, "times=similar")
			mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, at "+typ+")")
			mustExec(t, db, "INSERT INTO "+table+" (at) VALUES (?), (?), (NULL)", stored, stored.Unix())
			var at [2]time.Time
			scan(t, db, "SELECT at FROM "+table+" WHERE id = 1", nil, &at[0])
			scan(t, b.open(t, "times=similar", "loc=UTC"), "SELECT at FROM "+table+" WHERE id = 2", nil, &at[1])
			assert.Equal(t, stored.Format(time.RFC3339Nano), at[0].Format(time.RFC3339Nano), typ)
			assert.Equal(t, stored.UTC().Format(time.RFC3339), at[1].Format(time.RFC3339), typ)

			rows, err := db.Query("SELECT at FROM " + table)
			require.NoError(t, err)
			types, err := rows.ColumnTypes()
			require.NoError(t, err)
			require.NoError(t, rows.Close())
			assert.Equal(t, reflect.TypeFor[rqlite.Time]().Field(0).Type, reflect.New(types[0].ScanType()).Elem().Field(0).Type(), typ)

			tx, err := db.Begin()
			require.NoError(t, err)
			var returned time.Time
			require.NoError(t, tx.QueryRow("INSERT INTO "+table+" (at) VALUES (?) RETURNING at", stored).Scan(&returned))
			require.NoError(t, tx.Commit())
			assert.True(t, stored.Equal(returned), typ)
		}
	})
}

// TestTimesByDefault checks that nothing changes without the key, and that [rqlite.Time] reads what
// the driver does not.
func TestTimesByDefault(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		stored := time.Date(2024, 7, 2, 3, 4, 5, 0, time.UTC)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (a timestamptz, b datetime, c TEXT)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (?1, ?1, ?1)", stored)
		var text any
		scan(t, db, "SELECT a FROM "+table, nil, &text)
		assert.IsType(t, "", text)
		for _, from := range []string{"a", "b", "c", "max(a)", "max(b)", "unixepoch(b)", "datetime(b)", "strftime('%Y-%m-%dT%H:%M:%SZ', b)"} {
			var got rqlite.Time
			scan(t, db, "SELECT "+from+" FROM "+table, nil, &got)
			assert.True(t, got.Valid && stored.Equal(got.Time), "%s: %v", from, got)
		}
		var now, none rqlite.Time
		scan(t, db, "SELECT datetime('now'), max(a) FROM "+table+" WHERE c = ?", []any{""}, &now, &none)
		assert.WithinDuration(t, time.Now(), now.Time, time.Hour)
		assert.False(t, none.Valid)
		mustExec(t, db, "INSERT INTO "+table+" (b, c) VALUES (?, ?)", now, none)
		var n int
		scan(t, db, "SELECT count(*) FROM "+table+" WHERE b > ? AND c IS NULL", []any{rqlite.Time{Time: stored, Valid: true}}, &n)
		assert.Equal(t, 1, n)
	})
}
