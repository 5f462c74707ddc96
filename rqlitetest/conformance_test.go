package rqlitetest_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/go-rqlite/rqlite/rqlitetest/conformance"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t)
	conformance.Run(t, srv.URL(), conformance.Options{})
}

// With foreign keys on and users set, the answers are the same.
func TestConformanceOfAServerWithUsers(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
		c.Users = []rqlitetest.User{{Name: "bob", Password: "pw", Perms: []string{"all"}}}
	})
	conformance.Run(t, srv.URL(), conformance.Options{Username: "bob", Password: "pw"})
}

// The same against the real server: RQLITE_URL, or one started here.
func TestConformanceLive(t *testing.T) {
	url := os.Getenv("RQLITE_URL")
	if url == "" || os.Getenv("RQLITE_LIVE") == "0" {
		url = startRqlited(t, "http", http.DefaultClient)
	}
	conformance.Run(t, url, conformance.Options{})
}
