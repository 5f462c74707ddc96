package integration_test

import (
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest/conformance"
	"github.com/stretchr/testify/require"
)

// TestConformance holds every backend against the recorded answers of rqlite:
// the servers, not the driver. What is true of the live ones is what the
// embedded one has to do.
func TestConformance(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		cfg, err := rqlite.ParseDSN(b.shared.dsn)
		require.NoError(t, err)
		if cfg.TLS {
			t.Skip("the conformance suite speaks plain HTTP, and RQLITE_DSN does not")
		}
		conformance.Run(t, b.shared.nodes[0].url, conformance.Options{Username: cfg.User, Password: cfg.Password})
	})
}
