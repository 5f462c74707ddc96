package examples_test

// The code of the guides in docs. TestGuides demands that each line of theirs is here, and runs it.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errExists = errors.New("it exists")

func unique(err error) error {
	if errors.Is(err, rqlite.ConstraintUnique) { // was: sqlite3.ErrConstraintUnique
		return errExists
	}
	return err
}

func transfer(ctx context.Context, db *sql.DB, id int, err error) error {
	if errors.Is(err, rqlite.ErrIndeterminate) {
		return fmt.Errorf("look whether it was applied before you try again: %w", err)
	}
	err = rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { // runs it again after ErrTxConflict
		_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - 10 WHERE id = ?", id)
		return err
	})
	return err
}

func load(ctx context.Context, conn *sql.Conn, file io.Reader) error {
	err := conn.Raw(func(c any) error {
		return c.(rqlite.Conn).Load(ctx, file) // replaces the database of the whole cluster
	})
	return err
}

func writeBatch(ctx context.Context, db *sql.DB) ([]rqlite.BatchResult, error) {
	batch := rqlite.Batch{Atomic: true}
	batch.Add("INSERT INTO users (name) VALUES (?)", "fiona")
	batch.Add("INSERT INTO users (name) VALUES (?)", "declan")
	results, err := batch.Exec(ctx, db)
	return results, err
}

func readFresh(ctx context.Context, db *sql.DB, id int) (name string, _ error) {
	fresh := rqlite.WithFreshness(rqlite.WithConsistency(ctx, rqlite.None), time.Second, false)
	err := db.QueryRowContext(fresh, "SELECT name FROM users WHERE id = ?", id).Scan(&name)
	return name, err
}

func openLogged(hosts []string) (*sql.DB, error) {
	connector, err := rqlite.NewConnector(&rqlite.Config{Hosts: hosts, Logger: slog.Default()})
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	fmt.Printf("%+v\n", connector.Stats())
	return db, nil
}

func openImmediate() (*sql.DB, error) {
	db, err := sql.Open("rqlite", "rqlite://localhost:4001/?txlock=immediate")
	return db, err
}

func TestGuideCode(t *testing.T) {
	t.Parallel()
	local, err := openImmediate()
	require.NoError(t, err)
	require.NoError(t, local.Close())
	host := strings.TrimPrefix(rqlitetest.New(t).DSN(), "rqlite://")
	db, err := openLogged([]string{host})
	require.NoError(t, err)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, load(t.Context(), conn, strings.NewReader(
		"CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE); CREATE TABLE accounts (id INTEGER, balance INTEGER); INSERT INTO accounts VALUES (1, 50)")))
	results, err := writeBatch(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, 2, results[1].LastInsertID)
	_, err = writeBatch(t.Context(), db)
	require.ErrorIs(t, unique(err), errExists)
	name, err := readFresh(t.Context(), db, 2)
	require.NoError(t, err)
	assert.Equal(t, "declan", name)
	require.NoError(t, transfer(t.Context(), db, 1, nil))
	require.ErrorContains(t, transfer(t.Context(), db, 1, rqlite.ErrIndeterminate), "look whether")
}

// TestGuides demands that the code of the guides is that of this file.
func TestGuides(t *testing.T) {
	t.Parallel()
	code, err := os.ReadFile("guides_test.go")
	require.NoError(t, err)
	imports := `_ "github.com/go-rqlite/rqlite"` // a test that uses the package needs no blank import
	for _, guide := range []string{"from-sqlite", "from-gorqlite", "troubleshooting", "tuning"} {
		text, err := os.ReadFile(filepath.Join("../docs", guide+".md"))
		require.NoError(t, err)
		snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(text, -1)
		require.NotEmpty(t, snippets, guide)
		for _, snippet := range snippets {
			for line := range strings.Lines(string(snippet[1])) {
				assert.Contains(t, string(code)+imports, strings.TrimSpace(line), guide)
			}
		}
	}
}

// TestMessages demands that the messages in the guide to troubleshooting are in the code.
func TestMessages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/troubleshooting.md")
	require.NoError(t, err)
	var code strings.Builder
	for _, pattern := range []string{"../*.go", "../internal/*/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			code.Write(content)
		}
	}
	others := map[string]bool{"UNIQUE constraint failed": true, "certificate signed by unknown authority": true}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllSubmatch(text, -1)
	require.NotEmpty(t, rows)
	for _, row := range rows {
		if message := string(row[1]); !others[message] {
			assert.True(t, strings.Contains(code.String(), message), message)
		}
	}
}
