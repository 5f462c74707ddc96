package rqlitetest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rqlited returns the path of a real server's program. Without one the test is
// skipped, unless RQLITE_LIVE is 1; with RQLITE_LIVE=0 it always is.
func rqlited(t *testing.T) string {
	t.Helper()
	mode := os.Getenv("RQLITE_LIVE")
	if mode == "0" {
		t.Skip("RQLITE_LIVE is 0: not running against rqlited")
	}
	name := os.Getenv("RQLITED_BIN")
	if name == "" {
		name = "rqlited"
	}
	path, err := exec.LookPath(name)
	if err != nil && mode == "1" {
		t.Fatalf("RQLITE_LIVE is 1, but there is no rqlited: %v", err)
	}
	if err != nil {
		t.Skipf("NOT RUN against a real server: no rqlited in RQLITED_BIN or PATH: %v", err)
	}
	return path
}

// startRqlited starts a real server with further arguments and waits until it
// answers.
func startRqlited(t *testing.T, scheme string, client *http.Client, args ...string) string {
	t.Helper()
	path := rqlited(t)
	api, raft := freeAddr(t), freeAddr(t)
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	args = append(args, "-node-id", "1", "-http-addr", api, "-raft-addr", raft, filepath.Join(dir, "data"))
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		_ = log.Close()
	})
	url := fmt.Sprintf("%s://%s", scheme, api)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !answers(ctx, client, url+"/readyz") {
		select {
		case err := <-exited:
			exited <- err
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("rqlited ended: %v\n%s", err, text)
		case <-ctx.Done():
			t.Fatal("rqlited was not ready in time")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return url
}

// answers reports whether the server is ready, or at least asks who we are.
func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
