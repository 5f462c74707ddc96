//go:build unix

package integration_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFoundWrongAddress has DSNs with a mistake in the host or the port: the cause has to show
// soon, and before anything else.
func TestFoundWrongAddress(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		for name, wrong := range map[string]struct{ host, want string }{
			"nobody listens": {deadAddress(t), "connection refused"},
			"unknown":        {"no-such-host.invalid:4001", "no-such-host.invalid"},
			"Raft port":      {f.members[0].raft, "this is not rqlite's HTTP address"},
			"SSH":            {greeter(t, "SSH-2.0-OpenSSH_9.6\r\n"), "this is not rqlite's HTTP address"},
		} {
			t.Run(name, func(t *testing.T) {
				db := openDSN(t, "rqlite://"+wrong.host)
				var one int
				for what, call := range map[string]func() error{
					"write": func() error { _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INT)"); return err },
					"read":  func() error { return db.QueryRowContext(t.Context(), "SELECT 1").Scan(&one) },
					"ping":  func() error { return db.PingContext(t.Context()) },
				} {
					begin := time.Now()
					err := call()
					took := time.Since(begin)
					require.ErrorContains(t, err, wrong.want, what)
					assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
					assert.Less(t, took, 3*time.Second, "%s: %v", what, err)
					report(t, "%s, %s: after %v: %v", name, what, took.Round(time.Millisecond), err)
				}
			})
		}
	})
}

// greeter speaks first, and something other than HTTP.
func greeter(t *testing.T, greeting string) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, greeting)
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return listener.Addr().String()
}
