package ecosystem

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSessions keeps the sessions of a web server in the database, by the store that scs
// has for SQLite.
func TestSessions(t *testing.T) {
	t.Parallel()
	db := open(t)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE scs_sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL); "+
		"CREATE INDEX scs_expiry ON scs_sessions (expiry)")
	require.NoError(t, err)
	sessions := scs.New()
	store := sqlite3store.NewWithConfig(db, sqlite3store.Config{TableName: "scs_sessions", CleanUpInterval: time.Hour})
	defer store.StopCleanup()
	sessions.Store = store
	mux := http.NewServeMux()
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n := sessions.GetInt(r.Context(), "n") + 1
		sessions.Put(r.Context(), "n", n)
		_, _ = io.WriteString(w, strconv.Itoa(n))
	})
	mux.HandleFunc("/leave", func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, sessions.Destroy(r.Context()))
	})
	server := httptest.NewServer(sessions.LoadAndSave(mux))
	defer server.Close()

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) string {
		resp, err := client.Get(server.URL + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(text)
	}
	for _, want := range []string{"1", "2", "3"} {
		assert.Equal(t, want, get("/count"))
	}
	all, err := store.All()
	require.NoError(t, err)
	assert.Len(t, all, 1)
	get("/leave")
	assert.Equal(t, "1", get("/count"))

	require.NoError(t, store.Commit("old", []byte{0xff, 0}, time.Now().Add(-time.Hour)))
	_, found, err := store.Find("old")
	require.NoError(t, err)
	assert.False(t, found, "it has expired")
	require.NoError(t, store.Commit("new", []byte{0xff, 0}, time.Now().Add(time.Hour)))
	data, found, err := store.Find("new")
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, []byte{0xff, 0}, data)
}
