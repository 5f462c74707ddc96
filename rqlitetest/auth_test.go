package rqlitetest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

var authUsers = []rqlitetest.User{
	{Name: "admin", Password: "a", Perms: []string{"all"}},
	{Name: "reader", Password: "r", Perms: []string{"query"}},
	{Name: "writer", Password: "w", Perms: []string{"execute"}},
	{Name: "app", Password: "p", Perms: []string{"query", "execute"}},
	{Name: "nobody", Password: "n"},
	{Name: "*", Perms: []string{"ready"}},
}

// authRequests are the requests that each user sends.
var authRequests = []struct{ method, path, body string }{
	{"POST", "/db/query", `["SELECT 1"]`},
	{"GET", "/db/query?q=SELECT+1", ""},
	{"POST", "/db/execute", `["SELECT 1"]`},
	{"POST", "/db/execute?queue&wait", `["SELECT 1"]`},
	{"POST", "/db/request", `["SELECT 1"]`},
	{"POST", "/db/sql", `["SELECT 1"]`},
	{"GET", "/nodes?ver=2", ""},
	{"GET", "/status?key=http.auth", ""},
	{"GET", "/readyz?noleader", ""},
	{"GET", "/nope", ""},
	{"GET", "/db/execute", ""},
	{"OPTIONS", "/db/execute", ""},
}

var authLogins = []struct {
	name, password string
	anonymous      bool
	// the status of each of the requests above
	want [12]int
}{
	{anonymous: true, want: [12]int{401, 401, 401, 401, 401, 401, 401, 401, 200, 404, 401, 200}},
	{name: "admin", password: "a", want: [12]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 405, 200}},
	{name: "admin", password: "wrong", want: [12]int{401, 401, 401, 401, 401, 401, 401, 401, 200, 404, 401, 200}},
	{name: "reader", password: "r", want: [12]int{200, 200, 401, 401, 401, 200, 401, 401, 200, 404, 401, 200}},
	{name: "writer", password: "w", want: [12]int{401, 401, 200, 200, 401, 401, 401, 401, 200, 404, 405, 200}},
	{name: "app", password: "p", want: [12]int{200, 200, 200, 200, 200, 200, 401, 401, 200, 404, 405, 200}},
	{name: "nobody", password: "n", want: [12]int{401, 401, 401, 401, 401, 401, 401, 401, 200, 404, 401, 200}},
	{name: "stranger", password: "", want: [12]int{401, 401, 401, 401, 401, 401, 401, 401, 200, 404, 401, 200}},
	{name: "*", password: "", want: [12]int{401, 401, 401, 401, 401, 401, 401, 401, 200, 404, 401, 200}},
}

func testAuth(t *testing.T, base string, client *http.Client) {
	t.Helper()
	noSQL := before(t, client, base, "9.4.0") // 9.4.0 is the first with /db/sql
	for _, login := range authLogins {
		for i, r := range authRequests {
			want := login.want[i]
			if noSQL && r.path == "/db/sql" {
				want = http.StatusNotFound
			}
			var auth []string
			if !login.anonymous {
				auth = []string{login.name, login.password}
			}
			status, body := call(t, client, r.method, base+r.path, r.body, auth...)
			assert.Equal(t, want, status, "%s:%s %s %s", login.name, login.password, r.method, r.path)
			if status == http.StatusUnauthorized {
				assert.Empty(t, body)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", base+"/db/query", http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	challenge := `Basic realm="rqlite"`
	if before(t, client, base, "10.0.0") {
		challenge = ""
	}
	assert.Equal(t, challenge, resp.Header.Get("Www-Authenticate"))
	assert.Equal(t, "Content-Type, Authorization", resp.Header.Get("Access-Control-Allow-Headers"))
}

func TestAuth(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) { c.Users = authUsers })
	testAuth(t, srv.URL(), newClient(t, nil))
}

func TestAuthLive(t *testing.T) {
	file := credentialsFile(t, authUsers)
	client := newClient(t, nil)
	testAuth(t, startRqlited(t, "http", client, "-auth", file), client)
}
