//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFoundCutOffFromLeader cuts the link between the program and the leader, which the other
// nodes reach. The program has to go on by way of them, without a call that waits, and to go
// straight to the leader again when the link is there again.
func TestFoundCutOffFromLeader(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		for _, cut := range []struct {
			name string
			cut  func(p *proxy) (heal func())
		}{
			{"refused", func(p *proxy) func() { p.refuse(); return func() { require.NoError(t, p.accept()) } }},
			{"requests are swallowed", func(p *proxy) func() { p.hold(); return p.release }},
			{"answers are swallowed", func(p *proxy) func() {
				muted := make(chan struct{})
				p.obey(func(passage) fate { return fate{mute: muted} })
				return func() { p.obey(nil); close(muted) }
			}},
		} {
			t.Run(cut.name, func(t *testing.T) {
				connector := newConnector(t, f.dsn())
				db := sql.OpenDB(connector)
				t.Cleanup(func() { require.NoError(t, db.Close()) })
				mustExec(t, db, "DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY)")
				p := f.members[f.leader(t)].proxy
				mustExec(t, db, "INSERT INTO t VALUES (0)")
				heal := cut.cut(p)
				w := &cutOffWriter{db: db}
				w.run(t, 3*time.Second) // finds it out
				unknown := w.unknown
				*w = cutOffWriter{db: db, id: w.id, ok: w.ok, unknown: w.unknown}
				p.forget()
				w.run(t, 3*time.Second)
				report(t, "%s: %d writes in all, %d unknown, none of them later; the longest call took %v", cut.name, w.ok, unknown, w.longest)
				assert.Zero(t, w.failed, "calls fail while others reach the leader")
				assert.Equal(t, unknown, w.unknown)
				assert.Less(t, w.longest, time.Second, "a call has waited for the leader's address")
				assert.Greater(t, w.ok, 100)
				assert.EqualValues(t, 1, connector.Stats().Fallbacks)
				heal()

				straight := func(p passage) bool { return p.isWrite() && hasParam(p, "redirect") }
				assert.Zero(t, count(p.seen(), straight), "writes that went to the leader")
				require.NoError(t, f.until(t.Context(), func(context.Context) error {
					w.write(t)
					if count(p.seen(), straight) == 0 {
						return errors.New("it still goes by way of others")
					}
					return nil
				}))
				var rows int
				scan(t, db, "SELECT count(*) FROM t", nil, &rows)
				assert.GreaterOrEqual(t, rows, w.ok+1)
				assert.LessOrEqual(t, rows, w.ok+1+w.unknown)
			})
		}
	})
}

func newConnector(t *testing.T, dsn string) *rqlite.Connector {
	t.Helper()
	cfg, err := rqlite.ParseDSN(dsn)
	require.NoError(t, err)
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	return connector
}

// cutOffWriter writes and reads, and counts what becomes of it.
type cutOffWriter struct {
	db                  *sql.DB
	id                  int
	ok, unknown, failed int
	longest             time.Duration
}

func (w *cutOffWriter) run(t *testing.T, lasts time.Duration) {
	t.Helper()
	var over atomic.Bool
	defer time.AfterFunc(lasts, func() { over.Store(true) }).Stop()
	for !over.Load() {
		begin := time.Now()
		w.write(t)
		var rows int
		if err := w.db.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil {
			t.Logf("read: %v", err)
			w.failed++
		}
		w.longest = max(w.longest, time.Since(begin))
	}
}

func (w *cutOffWriter) write(t *testing.T) {
	t.Helper()
	w.id++
	_, err := w.db.ExecContext(t.Context(), "INSERT INTO t VALUES (?)", w.id)
	switch {
	case err == nil:
		w.ok++
	case errors.Is(err, rqlite.ErrIndeterminate):
		t.Logf("write %d: %v", w.id, err)
		w.unknown++
	default: // a key that is there already is a write that was done twice
		t.Logf("write %d: %v", w.id, err)
		w.failed++
	}
}
