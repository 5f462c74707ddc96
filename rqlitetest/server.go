package rqlitetest

import (
	"net/http"
	"net/url"
)

// TB is the part of testing.TB that [New] and [NewCluster] use.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Config describes a server. The zero value is a plain HTTP server without
// authentication and with foreign keys off, which is rqlited's own default.
type Config struct {
	// Users are the accounts. With none, everybody may do everything.
	Users []User

	// TLS makes the server speak HTTPS with a certificate made for this
	// server, see [Server.CAFile].
	TLS bool

	// ForeignKeys turns the enforcement of foreign keys on, as rqlited -fk.
	ForeignKeys bool

	// CDC, when not nil, makes the leader post every change that is committed.
	CDC *CDCConfig

	// Intercept, when not nil, is given the server's handler and returns the
	// one that is served in its place. It is the place to drop, delay, count
	// or falsify requests and answers. The handler is called concurrently, and
	// has to return when its request's context ends: Close waits for it. In a
	// cluster Intercept is called once for each node, in their order.
	Intercept func(http.Handler) http.Handler
}

// User is one account, as in rqlite's credentials file.
type User struct {
	// Name is the user name. The permissions of the user "*" are everybody's,
	// with or without a name and password.
	Name     string
	Password string

	// Perms are the permissions: "all", or any of "execute", "query",
	// "status", "ready" and the other names rqlite knows.
	Perms []string
}

// Server is a running server. Its methods may be called by several goroutines
// at once.
type Server struct {
	group *group // of one
}

// New starts a server for the length of a test: it is closed by tb.Cleanup.
// The functions given change the configuration before the start. If the server
// cannot be started, the test fails.
//
//	srv := rqlitetest.New(t, func(c *rqlitetest.Config) { c.TLS = true })
func New(tb TB, configure ...func(*Config)) *Server {
	tb.Helper()
	var cfg Config
	for _, f := range configure {
		f(&cfg)
	}
	s, err := Start(cfg)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	closeAfter(tb, s.Close)
	return s
}

func closeAfter(tb TB, stop func() error) {
	tb.Cleanup(func() {
		tb.Helper()
		if err := stop(); err != nil {
			tb.Fatalf("%v", err)
		}
	})
}

// Start starts a server outside of tests. The caller must call [Server.Close],
// which also removes the database.
func Start(cfg Config) (*Server, error) {
	g, err := startGroup(ClusterConfig{Config: cfg, Nodes: 1}, true)
	if err != nil {
		return nil, err
	}
	return &Server{g}, nil
}

// Addr returns the host and port the server listens on.
func (s *Server) Addr() string { return s.group.nodes[0].addr }

// URL returns the base URL, without a trailing slash: "http://127.0.0.1:PORT".
func (s *Server) URL() string { return s.group.nodes[0].url }

// CAFile returns the path of a PEM file with the certificate to trust, or ""
// for a server without TLS. The file exists until Close.
func (s *Server) CAFile() string { return s.group.caFile }

// DSN returns the data source name for the driver, without credentials:
// "rqlite://127.0.0.1:PORT", with the tls keys where the server speaks TLS.
func (s *Server) DSN() string { return s.group.dsn(nil, s.group.nodes...) }

// UserDSN returns the data source name with the credentials of the user of that
// name. For a name that is not in [Config.Users] the password is empty.
func (s *Server) UserDSN(name string) string {
	return s.group.dsn(s.group.user(name), s.group.nodes...)
}

// Close stops the server: it breaks open connections, waits for the requests
// under way, closes the database and removes it. Queued writes that were not
// yet applied are lost. It is safe to call Close more than once; every call
// returns the same error.
func (s *Server) Close() error { return s.group.close() }

func (g *group) user(name string) *url.Userinfo {
	return url.UserPassword(name, g.accounts.password(name))
}
