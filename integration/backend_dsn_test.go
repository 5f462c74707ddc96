package integration_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/go-rqlite/rqlite"
)

// startDSN takes a cluster that runs already, as it is. Stopping it drops the
// tables of this run.
func startDSN(serverOptions) (*cluster, error) {
	dsn := os.Getenv("RQLITE_DSN")
	if dsn == "" {
		return nil, fmt.Errorf("%w: RQLITE_DSN is not set", errMissing)
	}
	cfg, err := rqlite.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	c := &cluster{dsn: dsn, stop: func() error { return dropTables(dsn) }}
	scheme := "http"
	if cfg.TLS {
		scheme = "https"
	}
	for _, host := range cfg.Hosts {
		c.nodes = append(c.nodes, node{url: (&url.URL{Scheme: scheme, Host: host}).String()})
	}
	if !cfg.TLS {
		c.version, err = versionOf(http.DefaultClient, c.nodes[0].url)
	}
	return c, err
}

// versionOf asks a node for its version. The header is there whatever the
// answer, so that no permission is needed.
func versionOf(client *http.Client, base string) (string, error) {
	resp, err := client.Get(base + "/readyz")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Header.Get("X-Rqlite-Version"), nil
}
