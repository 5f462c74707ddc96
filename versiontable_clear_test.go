package rqlite

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// anewSent follows the statements of a commit that clears the version table, but for the token.
const anewSent = `"CREATE TABLE IF NOT EXISTS _rqlite_tx(k INTEGER PRIMARY KEY,v INTEGER,token TEXT)",` +
	`"INSERT OR REPLACE INTO _rqlite_tx(k,v,token) VALUES(0,2305843009213893999,NULL),(2305843009213694000,NULL,'`

// afterClearing is the version that a commit at testVersion leaves that clears the version table.
const afterClearing = "2305843009213893999"

// clear begins a transaction that runs a statement on the version table, which f has to answer.
func (f *fake) clear(db *sql.DB, query, entry string) *sql.Tx {
	f.t.Helper()
	f.then(triesOut(results(stateEntry(testVersion, "null", "null"), insertedToken, entry, rolledBack)))
	tx, err := db.Begin()
	require.NoError(f.t, err)
	_, err = tx.Exec(query)
	require.NoError(f.t, err)
	return tx
}

// A transaction may drop the version table, or delete its rows. The commit makes it anew, leaves its
// token there, and goes on at a version by which tokens that are gone tell nothing.
func TestClearingTheRegisterInATransaction(t *testing.T) {
	t.Parallel()
	for query, entry := range map[string]string{
		"DROP TABLE _rqlite_tx":                  `{}`,
		"DROP TABLE IF EXISTS main.[_RQLITE_TX]": `{}`,
		"DELETE FROM _rqlite_tx":                 `{"rows_affected":4}`,
		"DELETE FROM _rqlite_tx WHERE k > 0":     `{"rows_affected":2}`,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			tx := f.clear(f.openMarked(), query, entry)
			// Somebody has announced himself since: one row more, which nobody is told.
			f.then(step{path: cluster.ExecutePath, params: txWriteParams, serve: func(w http.ResponseWriter, r *http.Request) {
				entries := []string{insertedToken, strings.ReplaceAll(entry, `:4`, `:5`), `{}`, oneInserted}
				sent, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				if strings.Contains(string(sent), "k>0 AND k<(") { // old tokens are removed
					entries = append(entries, oneUpdated)
				}
				io.WriteString(w, results(entries...))
			}})
			require.NoError(t, tx.Commit())
			body := f.got()[1].body
			assert.Contains(t, body, `,"`+query+`",`+anewSent+f.tokenOf()+`')"`)
			assert.NotContains(t, body, `"UPDATE _rqlite_tx`)
		})
	}
}

// The version table was cleared by another commit, or is new, so that it does not tell what became
// of a commit whose answer was lost, or of the first run of one that was forwarded.
func TestCommitBeforeTheRegisterWasCleared(t *testing.T) {
	t.Parallel()
	const lastTold = "2305843009213743999"
	for name, test := range map[string]struct {
		state string
		err   error
	}{
		"it is not told of":      {stateEntry(afterClearing, "null", "null"), ErrIndeterminate},
		"it is told of":          {stateEntry(afterClearing, "null", "TOKEN"), nil},
		"it would be told of":    {stateEntry(lastTold, "null", "null"), ErrTxConflict},
		"there is an earlier":    {stateEntry("2305843009213693998", "null", "null"), ErrIndeterminate},
		"another has its number": {stateEntry(afterClearing, "null", `"OTHER"`), ErrTxConflict},
	} {
		again := results(test.state, insertedToken, `{"last_insert_id":2,"rows_affected":1}`, rolledBack)
		t.Run(name+", and the answer was lost", func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			tx := f.beginInsert(context.Background())
			f.then(step{path: cluster.ExecutePath, params: txWriteParams, serve: cut(results(oneInserted), 0)},
				answers(f, cluster.RequestPath, results(oneUpdated, test.state)))
			if errors.Is(test.err, ErrTxConflict) {
				f.then(answers(f, cluster.RequestPath, again))
			}
			require.ErrorIs(t, tx.Commit(), test.err)
		})
		t.Run(name+", and it was forwarded", func(t *testing.T) {
			t.Parallel()
			const forwarded = "blob_array&noparse&transaction"
			f := newFake(t)
			db, _ := f.openConfig(&Config{Hosts: []string{f.addr}, Discovery: DiscoveryOff})
			trial, late := triesOut(results(stateEntry(testVersion, "null", "null"), insertedToken, oneInserted, rolledBack)), commits(results(staleEntry))
			trial.params, late.params = forwarded, forwarded
			look := answers(f, cluster.RequestPath, again)
			look.params = forwarded
			f.then(trial, late, look)
			tx, err := db.Begin()
			require.NoError(t, err)
			r, err := tx.Exec("INSERT INTO t VALUES(1)")
			require.NoError(t, err)
			assert.Equal(t, [2]int64{1, 1}, resultOf(t, r))
			err = tx.Commit()
			require.ErrorIs(t, err, test.err)
			if errors.Is(test.err, ErrIndeterminate) {
				assert.EqualError(t, err, "rqlite: the outcome of the write is unknown: the commit was forwarded, perhaps twice, and the table _rqlite_tx, which tells what became of it, was replaced")
			}
		})
	}
}
