package rqlitetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// TB is the part of testing.TB that [New] uses.
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

	// Intercept, when not nil, is given the server's handler and returns the
	// one that is served in its place. It is the place to drop, delay, count
	// or falsify requests and answers. The handler is called concurrently, and
	// has to return when its request's context ends: Close waits for it.
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
	node     *node
	front    *front
	listener net.Listener
	http     *http.Server
	dir      string // holds the database and the certificate
	caFile   string // "" without TLS
	served   chan struct{}

	closeOnce sync.Once
	closeErr  error
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
	tb.Cleanup(func() {
		tb.Helper()
		if err := s.Close(); err != nil {
			tb.Fatalf("%v", err)
		}
	})
	return s
}

// Start starts a server outside of tests. The caller must call [Server.Close],
// which also removes the database.
func Start(cfg Config) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "rqlitetest-")
	if err != nil {
		return nil, fmt.Errorf("rqlite: no directory for the embedded server: %w", err)
	}
	s := &Server{dir: dir, served: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("rqlite: the embedded server cannot listen: %w", err)
	}
	store, err := openStore(filepath.Join(dir, "db.sqlite"), cfg.ForeignKeys)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if cfg.TLS {
		scheme = "https"
	}
	s.node = newNode(store, scheme, s.listener.Addr().String())
	s.front = &front{node: s.node, accounts: newAccounts(cfg.Users), started: time.Now()}

	var handler http.Handler = s.front
	if cfg.Intercept != nil {
		handler = cfg.Intercept(handler)
	}
	server := &http.Server{Handler: s.front.requests.guard(handler), ReadHeaderTimeout: time.Minute, ErrorLog: discardLog}
	if cfg.TLS {
		s.caFile = filepath.Join(dir, "ca.pem")
		if server.TLSConfig, err = newTLSConfig(s.caFile); err != nil {
			return nil, err
		}
	}
	s.http = server // from here on release has to wait for serve
	go s.serve(cfg.TLS)
	return s, nil
}

// serve accepts connections until Close.
func (s *Server) serve(withTLS bool) {
	defer close(s.served)
	if withTLS {
		_ = s.http.ServeTLS(s.listener, "", "")
		return
	}
	_ = s.http.Serve(s.listener)
}

// Addr returns the host and port the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the base URL, without a trailing slash: "http://127.0.0.1:PORT".
func (s *Server) URL() string { return s.node.apiURL }

// CAFile returns the path of a PEM file with the certificate to trust, or ""
// for a server without TLS. The file exists until Close.
func (s *Server) CAFile() string { return s.caFile }

// DSN returns the data source name for the driver, without credentials:
// "rqlite://127.0.0.1:PORT", with the tls keys where the server speaks TLS.
func (s *Server) DSN() string { return s.dsn(nil) }

// UserDSN returns the data source name with the credentials of the user of that
// name. For a name that is not in [Config.Users] the password is empty.
func (s *Server) UserDSN(name string) string {
	return s.dsn(url.UserPassword(name, s.front.accounts.password(name)))
}

func (s *Server) dsn(user *url.Userinfo) string {
	u := url.URL{Scheme: "rqlite", Host: s.Addr(), User: user}
	if s.caFile != "" {
		u.Path = "/"
		u.RawQuery = url.Values{"tls": {"true"}, "tls_ca": {s.caFile}}.Encode()
	}
	return u.String()
}

// Close stops the server: it breaks open connections, waits for the requests
// under way, closes the database and removes it. Queued writes that were not
// yet applied are lost. It is safe to call Close more than once; every call
// returns the same error.
func (s *Server) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.release() })
	return s.closeErr
}

// release gives back whatever has been acquired so far.
func (s *Server) release() error {
	var errs []error
	if s.node != nil {
		s.node.store.cancel()
	}
	if s.http != nil {
		errs = append(errs, s.http.Close())
		<-s.served
		s.front.requests.close()
	}
	if s.node != nil {
		errs = append(errs, s.node.close())
	}
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, os.RemoveAll(s.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("rqlite: closing the embedded server: %w", err)
	}
	return nil
}

// node is one member of the cluster: its identity, its queue of writes, and the
// store that all members share.
type node struct {
	id       string
	apiURL   string // advertised, "http://127.0.0.1:PORT"
	apiAddr  string // "127.0.0.1:PORT"
	raftAddr string // nothing listens there: there is no Raft
	store    *store
	queue    *queue
}

func newNode(st *store, scheme, addr string) *node {
	n := &node{
		id: "1", apiURL: scheme + "://" + addr, apiAddr: addr,
		raftAddr: "localhost:4002", store: st,
	}
	n.queue = newQueue(func(ctx context.Context, stmts []statement) error {
		_, _, err := st.execute(ctx, &dbRequest{statements: stmts})
		return err
	})
	return n
}

func (n *node) close() error {
	n.queue.close()
	return n.store.close()
}
