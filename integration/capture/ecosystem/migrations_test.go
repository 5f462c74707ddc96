package ecosystem

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// files makes a file system of names and contents.
func files(contents map[string]string) fstest.MapFS {
	fs := fstest.MapFS{}
	for name, content := range contents {
		fs[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return fs
}

// TestGoose goes up, down, up again, redoes, and has a migration that fails.
func TestGoose(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), open(t)
	good := map[string]string{
		"001_users.sql": "-- +goose Up\nCREATE TABLE gs_users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\nINSERT INTO gs_users (name) VALUES ('Ann'), ('Bob');\n" +
			"-- +goose Down\nDROP TABLE gs_users;\n",
		"002_log.sql": "-- +goose Up\nCREATE TABLE gs_log (what TEXT);\n-- +goose StatementBegin\nCREATE TRIGGER gs_note AFTER INSERT ON gs_users BEGIN\n" +
			"  INSERT INTO gs_log VALUES (new.name);\nEND;\n-- +goose StatementEnd\n-- +goose Down\nDROP TRIGGER gs_note;\nDROP TABLE gs_log;\n",
		"003_age.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nALTER TABLE gs_users ADD COLUMN age INT;\n-- +goose Down\nALTER TABLE gs_users DROP COLUMN age;\n",
	}
	inCode := goose.NewGoMigration(4, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE gs_users SET age = 10 * (SELECT count(*) FROM gs_users)")
		return err
	}}, nil)
	provider := func(more map[string]string) *goose.Provider {
		all := files(good)
		for name, f := range files(more) {
			all[name] = f
		}
		p, err := goose.NewProvider(goose.DialectSQLite3, db, all, goose.WithGoMigrations(inCode), goose.WithDisableGlobalRegistry(true))
		require.NoError(t, err)
		return p
	}
	version := func() int64 {
		v, err := provider(nil).GetDBVersion(ctx)
		require.NoError(t, err)
		return v
	}
	p := provider(nil)
	applied, err := p.Up(ctx)
	require.NoError(t, err)
	assert.Len(t, applied, 4)
	_, err = db.ExecContext(ctx, "INSERT INTO gs_users (name) VALUES ('Cid')")
	require.NoError(t, err)
	var logged, age string
	require.NoError(t, db.QueryRowContext(ctx, "SELECT what, (SELECT max(age) FROM gs_users) FROM gs_log").Scan(&logged, &age))
	assert.Equal(t, []string{"Cid", "20"}, []string{logged, age})

	_, err = p.DownTo(ctx, 1)
	require.NoError(t, err)
	assert.EqualValues(t, 1, version())
	assert.Equal(t, []string{"gs_users"}, tables(t, db, "gs_users", "gs_log", "gs_note"))
	_, err = p.Up(ctx)
	require.NoError(t, err)
	for range 2 { // redo
		_, err = p.ApplyVersion(ctx, 3, false)
		require.NoError(t, err)
		_, err = p.ApplyVersion(ctx, 3, true)
		require.NoError(t, err)
	}

	_, err = provider(map[string]string{"005_bad.sql": "-- +goose Up\nCREATE TABLE gs_half (a);\nDELETE FROM gs_users;\nINSERT INTO nowhere VALUES (1);\n"}).Up(ctx)
	var partial *goose.PartialError
	require.ErrorAs(t, err, &partial)
	require.ErrorContains(t, err, "nowhere")
	assert.EqualValues(t, 4, version())
	assert.Empty(t, tables(t, db, "gs_half"))
	var users int
	require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM gs_users").Scan(&users))
	assert.Equal(t, 3, users, "nothing of it was applied")

	_, err = p.DownTo(ctx, 0)
	require.NoError(t, err)
	assert.Empty(t, tables(t, db, "gs_users", "gs_log", "gs_note"))
}

// TestGolangMigrate goes up, down and to versions, by the tool's driver for SQLite, and has a
// migration that fails.
func TestGolangMigrate(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), open(t)
	good := map[string]string{
		"1_users.up.sql":   "CREATE TABLE gm_users (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO gm_users (name) VALUES ('a;b'), ('c');",
		"1_users.down.sql": "DROP TABLE gm_users;",
		"2_age.up.sql": "-- a comment; with a semicolon\nALTER TABLE gm_users ADD COLUMN age INT DEFAULT 7;\n" +
			"CREATE TRIGGER gm_note AFTER DELETE ON gm_users BEGIN UPDATE gm_users SET age = age + 1; END;",
		"2_age.down.sql": "DROP TRIGGER gm_note; ALTER TABLE gm_users DROP COLUMN age;",
	}
	tool := func(more map[string]string) *migrate.Migrate {
		all := files(good)
		for name, f := range files(more) {
			all[name] = f
		}
		source, err := iofs.New(all, ".")
		require.NoError(t, err)
		target, err := sqlite.WithInstance(db, &sqlite.Config{MigrationsTable: "gm_versions"})
		require.NoError(t, err)
		m, err := migrate.NewWithInstance("files", source, "rqlite", target)
		require.NoError(t, err)
		return m
	}
	m := tool(nil)
	require.NoError(t, m.Up())
	require.ErrorIs(t, m.Up(), migrate.ErrNoChange)
	var name string
	var age int
	require.NoError(t, db.QueryRowContext(ctx, "SELECT name, age FROM gm_users").Scan(&name, &age))
	assert.Equal(t, "a;b", name)
	assert.Equal(t, 7, age)
	require.NoError(t, m.Steps(-1))
	require.NoError(t, m.Steps(1)) // redo
	require.NoError(t, m.Migrate(1))
	assert.Empty(t, tables(t, db, "gm_note"))
	require.NoError(t, m.Migrate(2))

	bad := tool(map[string]string{"3_bad.up.sql": "DELETE FROM gm_users; CREATE TABLE gm_half (a); INSERT INTO nowhere VALUES (1);", "3_bad.down.sql": "DROP TABLE gm_half"})
	err := bad.Up()
	var failed *database.Error
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, failed.OrigErr, rqlite.GenericError)
	version, dirty, err := bad.Version()
	require.NoError(t, err)
	assert.EqualValues(t, 3, version)
	assert.True(t, dirty, "the tool says that somebody has to look")
	assert.Empty(t, tables(t, db, "gm_half"))
	var users int
	require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM gm_users").Scan(&users))
	assert.Equal(t, 2, users, "nothing of it was applied")
	require.NoError(t, m.Force(2))
	require.NoError(t, m.Down())
	assert.Empty(t, tables(t, db, "gm_users"))
}

// TestGolangMigrateDrop demands that the tool's Drop works, which means all tables, that of the
// driver too: it drops each in a transaction of its own.
func TestGolangMigrateDrop(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("rqlite", rqlitetest.New(t).DSN()) // nobody else's tables
	require.NoError(t, err)
	defer db.Close()
	target, err := sqlite.WithInstance(db, &sqlite.Config{})
	require.NoError(t, err)
	require.NoError(t, target.SetVersion(1, false))
	require.NoError(t, target.Drop())
	var left int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> '_rqlite_tx'").Scan(&left))
	assert.Zero(t, left)
}
