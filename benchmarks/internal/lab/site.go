package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3" // what SQLite itself takes
	"github.com/rqlite/gorqlite"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
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

	mostStatements int           // of a loop in a transaction
	metered        *sql.DB       // its traffic is counted
	traffic        *load.Traffic // of metered and of bare
	gorqliteAtomic *gorqlite.Connection
	sqlite         *sql.DB // a file of its own
	directory      string  // of that file
}

// Sent returns what the clients whose traffic is counted have sent since it was asked for the last
// time. They are "bare" and those of loops in transactions.
func (s *Site) Sent() load.Sent { return s.traffic.Sent() }

// Size is how much there is to read.
type Size struct {
	Rows int // of the long table; other scenarios read ten times, or a twentieth, of it
	Blob int // bytes
	Loop int // statements of a loop in a transaction, at most
}

// Full is the size that the names of the scenarios speak of.
var Full = Size{Rows: 100_000, Blob: 1 << 20, Loop: 100_000}

// tables are dropped at the end where the server is not ours.
var tables = []string{"bench_rows", "bench_times", "bench_wide", "bench_ten", "bench_insert", "bench_blob", "bench_tx", "bench_loop"}

// Open opens the clients and makes the tables. The text column has 26
// characters, and each REAL a fraction.
func Open(ctx context.Context, s *Server, size Size) (_ *Site, err error) {
	st := &Site{server: s, rows: size.Rows, blobSize: size.Blob, mostStatements: size.Loop}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close(ctx))
		}
	}()
	st.traffic = &load.Traffic{Next: load.Transport(256, nil)}
	st.bare = &http.Client{Transport: st.traffic, Timeout: longest}
	for _, one := range []struct {
		db  **sql.DB
		dsn string
	}{{&st.db, ""}, {&st.unmarked, unmarkedSetting}} {
		if *one.db, err = sql.Open("rqlite", s.URL+one.dsn); err != nil {
			return nil, err
		}
	}
	for _, open := range []func() error{st.openMetered, st.openGorqlite, st.openSQLite} {
		if err := open(); err != nil {
			return nil, err
		}
	}
	return st, st.setUp(ctx, st.fill)
}

// openMetered opens the database whose traffic is counted.
func (s *Site) openMetered() error {
	cfg, err := rqlite.ParseDSN(s.server.URL)
	if err != nil {
		return err
	}
	cfg.HTTPClient = &http.Client{Transport: s.traffic}
	connector, err := rqlite.NewConnector(cfg)
	if err != nil {
		return err
	}
	s.metered = sql.OpenDB(connector)
	return nil
}

// openGorqlite opens two connections of gorqlite. Its default is a transaction around each request:
// one leaves it out, as the others do, and one has it.
func (s *Site) openGorqlite() (err error) {
	if s.gorqlite, err = gorqlite.OpenWithClient(s.server.gorqliteURL("weak"), newClient()); err != nil {
		return err
	}
	if s.gorqliteAtomic, err = gorqlite.OpenWithClient(s.server.gorqliteURL("weak"), newClient()); err != nil {
		return err
	}
	return s.gorqlite.SetExecutionWithTransaction(false)
}

// openSQLite opens a new file with all of SQLite's defaults.
func (s *Site) openSQLite() (err error) {
	if s.directory, err = os.MkdirTemp("", "rqlite-benchmarks-"); err != nil {
		return err
	}
	if s.sqlite, err = sql.Open("sqlite3", filepath.Join(s.directory, "db")); err != nil {
		return err
	}
	_, err = s.sqlite.Exec(loopTable)
	return err
}

// loopTable is what loops in transactions write to.
const loopTable = "CREATE TABLE bench_loop (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)"

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
		loopTable,
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
	for _, conn := range []*gorqlite.Connection{s.gorqlite, s.gorqliteAtomic} {
		if conn != nil {
			conn.Close()
		}
	}
	for _, db := range []*sql.DB{s.db, s.unmarked, s.metered, s.sqlite} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	s.bare.CloseIdleConnections()
	for _, directory := range []string{s.programs, s.directory} {
		if directory != "" {
			err = errors.Join(err, os.RemoveAll(directory))
		}
	}
	return err
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
