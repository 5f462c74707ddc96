package rqlitetest

import (
	"net/http"
	"net/url"
)

// TB is the part of testing.TB that [New] and [NewCluster] use.
type TB interface {
	Helper()        // marks the caller as a helper
	Cleanup(func()) // stops what was started
	// Fatalf ends the test when the server cannot start.
	Fatalf(format string, args ...any)
}

// Config describes a server. The zero value is an HTTP server without authentication and without
// enforcement of foreign keys, which is rqlited's own default.
type Config struct {
	// Users are the accounts. If there are none, everybody may do everything.
	Users []User

	// TLS makes the server speak HTTPS. Its certificate is made at the start; see [Server.CAFile].
	TLS bool

	// ForeignKeys enforces foreign keys, as rqlited -fk.
	ForeignKeys bool

	// CDC makes the leader post every committed change. nil posts none.
	CDC *CDCConfig

	// Intercept wraps the server's handler; nil leaves it as it is. It can drop, delay, count or
	// change requests and answers. The handler is called concurrently. It must return when the
	// context of the request ends, because Close waits for it. In a cluster Intercept is called
	// once for each node, in order.
	Intercept func(http.Handler) http.Handler
}

// User is one account, as in rqlite's credentials file.
type User struct {
	// Name is the user name. The permissions of the user "*" are those of everybody, with or
	// without credentials.
	Name string
	// Password is the password in plain text.
	Password string

	// Perms are the permissions: "all", or names such as "execute", "query", "status" and "ready".
	Perms []string
}

// Server is a running server. It is safe for concurrent use.
type Server struct {
	group *group // of one node
}

// New starts a server for a test. tb.Cleanup closes it. The functions change the configuration
// before the start. If the server cannot start, the test fails.
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

// Start starts a server without a test. The caller must call [Server.Close], which also removes the
// database. The error is about a port or file that cannot be opened, or about the configuration.
func Start(cfg Config) (*Server, error) {
	g, err := startGroup(ClusterConfig{Config: cfg, Nodes: 1}, true)
	if err != nil {
		return nil, err
	}
	return &Server{g}, nil
}

// Addr returns the host and port of the server.
func (s *Server) Addr() string { return s.group.nodes[0].addr }

// URL returns the base URL, without a trailing slash: "http://127.0.0.1:PORT".
func (s *Server) URL() string { return s.group.nodes[0].url }

// CAFile returns the path of a PEM file with the certificate to trust. It returns "" without TLS.
// The file exists until Close.
func (s *Server) CAFile() string { return s.group.caFile }

// DSN returns the data source name without credentials: "rqlite://127.0.0.1:PORT", with the tls
// keys if the server uses TLS.
func (s *Server) DSN() string { return s.group.dsn(nil, s.group.nodes...) }

// UserDSN returns the data source name with the credentials of a user. The password is empty if the
// name is not in [Config.Users].
func (s *Server) UserDSN(name string) string {
	return s.group.dsn(s.group.user(name), s.group.nodes...)
}

// Close stops the server. It breaks open connections, waits for running requests, and closes and
// removes the database. Queued writes that have not been applied are lost. Close may be called more
// than once; every call returns the same error.
func (s *Server) Close() error { return s.group.close() }

func (g *group) user(name string) *url.Userinfo {
	return url.UserPassword(name, g.accounts.password(name))
}
