package integration_test

import (
	"fmt"
	"net/http"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

// startEmbedded starts a server in this process. Its TLS certificate is its own.
func startEmbedded(options serverOptions) (*cluster, error) {
	if options.verify {
		return nil, fmt.Errorf("%w: the embedded server asks clients for no certificate", errOption)
	}
	if options.cdc != nil {
		return nil, fmt.Errorf("%w: the embedded server has no file of CDC settings", errOption)
	}
	return startIntercepted(options, nil)
}

// startIntercepted is startEmbedded with a look at the requests.
func startIntercepted(options serverOptions, intercept func(http.Handler) http.Handler) (*cluster, error) {
	cfg := rqlitetest.Config{
		TLS:         options.tls != nil,
		ForeignKeys: options.foreignKeys,
		Intercept:   intercept,
	}
	for _, u := range options.users {
		cfg.Users = append(cfg.Users, rqlitetest.User{Name: u.Name, Password: u.Password, Perms: u.Perms})
	}
	server, err := rqlitetest.Start(cfg)
	if err != nil {
		return nil, err
	}
	return &cluster{
		nodes:   []node{{url: server.URL()}},
		dsn:     server.DSN(),
		version: rqlitetest.Version,
		stop:    server.Close,
	}, nil
}
