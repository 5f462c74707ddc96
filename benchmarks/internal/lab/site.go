package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/rqlite/gorqlite"

	_ "github.com/go-rqlite/rqlite"
)

// Site is a server with the tables that the benchmarks need, and the clients
// that are open to it.
type Site struct {
	server   *Server
	rows     int // in bench_rows
	blobSize int // bytes
	db       *sql.DB
	unmarked *sql.DB // its writes do not move the version that transactions go by
	gorqlite *gorqlite.Connection
	bare     *http.Client
	programs string // directory of programs that were built; "" for none
}

// Size is how much there is to read.
type Size struct {
	Rows int // of the long table; other scenarios read ten times, or a twentieth, of it
	Blob int // bytes
}

// Full is the size that the names of the scenarios speak of.
var Full = Size{Rows: 100_000, Blob: 1 << 20}

// tables are dropped at the end where the server is not ours.
var tables = []string{"bench_rows", "bench_times", "bench_wide", "bench_ten", "bench_insert", "bench_blob", "bench_tx"}

// Open opens the clients and makes the tables. The text column has 26
// characters, and each REAL a fraction.
func Open(ctx context.Context, s *Server, size Size) (*Site, error) {
	db, err := sql.Open("rqlite", s.URL)
	if err != nil {
		return nil, err
	}
	unmarked, err := sql.Open("rqlite", s.URL+unmarkedSetting)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	other, err := gorqlite.OpenWithClient(s.gorqliteURL(), newClient())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// Its default is a transaction around each request, which the others do without.
	if err := other.SetExecutionWithTransaction(false); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	st := &Site{
		server: s, rows: size.Rows, blobSize: size.Blob,
		db: db, unmarked: unmarked, gorqlite: other, bare: newClient(),
	}
	if err := st.setUp(ctx, st.fill); err != nil {
		return nil, errors.Join(err, st.Close(ctx))
	}
	return st, nil
}

// setUp runs a function that changes the schema on a database of its own: for
// some time behind a change, the driver sends more with each read.
func (s *Site) setUp(ctx context.Context, do func(context.Context, *sql.DB) error) error {
	db, err := sql.Open("rqlite", s.server.URL)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, db), db.Close())
}

func (s *Site) fill(ctx context.Context, db *sql.DB) error {
	if err := drop(ctx, db); err != nil {
		return err
	}
	for _, statement := range []string{
		`CREATE TABLE bench_rows (id INTEGER PRIMARY KEY, name TEXT, score REAL, n INTEGER)`,
		fmt.Sprintf(`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d)
			INSERT INTO bench_rows SELECT i, printf('user%%010d@example.com', i), i * 1.1 + 0.05, i * 7919 FROM c`, s.rows),
		`CREATE TABLE bench_times (id INTEGER PRIMARY KEY, name TEXT, score REAL, at DATETIME)`,
		fmt.Sprintf(`INSERT INTO bench_times SELECT id, name, score, datetime(%d + id, 'unixepoch') FROM bench_rows`, timesStart),
		`CREATE TABLE bench_ten (d INTEGER)`,
		`INSERT INTO bench_ten VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)`,
		wideTable(),
		fmt.Sprintf(`INSERT INTO bench_wide SELECT %s FROM bench_rows WHERE id <= %d`, wideValues(), s.wideRows()),
		`CREATE TABLE bench_tx (id INTEGER PRIMARY KEY, n INTEGER)`,
		"CREATE TABLE bench_insert" + insertColumns,
		`CREATE TABLE bench_blob (id INTEGER PRIMARY KEY, b BLOB)`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.40s: %w", statement, err)
		}
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO bench_blob VALUES (1, ?)`, s.blob()); err != nil {
		return err
	}
	return inTx(ctx, db, 1) // makes the driver's register, which writes mark from now on
}

func drop(ctx context.Context, db *sql.DB) error {
	for _, table := range tables {
		if _, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS "+table); err != nil {
			return err
		}
	}
	return nil
}

// Close drops the tables where the server goes on, and closes the clients.
func (s *Site) Close(ctx context.Context) error {
	var err error
	if s.server.shared {
		err = s.setUp(ctx, drop)
	}
	s.gorqlite.Close()
	s.bare.CloseIdleConnections()
	if s.programs != "" {
		err = errors.Join(err, os.RemoveAll(s.programs))
	}
	return errors.Join(err, s.unmarked.Close(), s.db.Close())
}

// unmarkedSetting, behind a URL, leaves out the marks of writes. What "bare" sends
// has none: nobody would write them by hand.
const unmarkedSetting = "?txversion=false"

// wideRows is how many rows bench_wide has, of wideColumns columns.
func (s *Site) wideRows() int { return s.rows / 20 }

const wideColumns = 50

// wideTable has texts in the columns of odd number, and integers in the others.
func wideTable() string {
	columns := ""
	for i := range wideColumns {
		columns += fmt.Sprintf(", c%d %s", i, []string{"INTEGER", "TEXT"}[i%2])
	}
	return "CREATE TABLE bench_wide (" + columns[2:] + ")"
}

func wideValues() string {
	values := ""
	for i := range wideColumns {
		values += fmt.Sprintf(", %s", []string{fmt.Sprintf("n + %d", i), "name"}[i%2])
	}
	return values[2:]
}

// blob has every byte value equally often.
func (s *Site) blob() []byte {
	blob := make([]byte, s.blobSize)
	for i := range blob {
		blob[i] = byte(i * 167)
	}
	return blob
}
