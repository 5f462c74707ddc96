package rqlitetest_test

import (
	"context"
	"errors"
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

	"github.com/go-rqlite/rqlite/rqlitetest/conformance"
)

// rqlited returns the path of a real server's program. Without one it skips the test, or fails it
// if RQLITE_LIVE is 1. With RQLITE_LIVE=0 it always skips the test.
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

// liveNode is a running rqlited.
type liveNode struct {
	url, raft string
	process   *os.Process
	exited    chan error // has the exit error after the process has ended
}

// kill ends the process and waits for its end.
func (n *liveNode) kill() {
	_ = n.process.Kill()
	n.exited <- <-n.exited
}

// startRqlited starts a real server with more arguments, and waits until it answers.
func startRqlited(t *testing.T, scheme string, client *http.Client, args ...string) string {
	t.Helper()
	return startLiveNode(t, "1", scheme, client, args...).url
}

func startLiveNode(t *testing.T, id, scheme string, client *http.Client, args ...string) *liveNode {
	t.Helper()
	path := rqlited(t)
	api, raft := freeAddrs(t)
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	args = append(args, "-node-id", id, "-http-addr", api, "-raft-addr", raft, filepath.Join(dir, "data"))
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	n := &liveNode{url: scheme + "://" + api, raft: raft, process: cmd.Process, exited: make(chan error, 1)}
	go func() { n.exited <- cmd.Wait() }()
	t.Cleanup(func() {
		n.kill()
		_ = log.Close()
	})
	if err := n.waitReady(t, client); err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%v\n%s", err, text)
	}
	return n
}

// waitReady waits until the node reports that it is ready.
func (n *liveNode) waitReady(t *testing.T, client *http.Client) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !answers(ctx, client, n.url+"/readyz") {
		select {
		case err := <-n.exited:
			n.exited <- err
			return fmt.Errorf("rqlited ended: %w", err)
		case <-ctx.Done():
			return errors.New("rqlited was not ready in time")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// startLiveCluster starts three voters and a replica. The first voter leads.
func startLiveCluster(t *testing.T, args ...string) []*liveNode {
	t.Helper()
	client := newClient(t, nil)
	nodes := []*liveNode{startLiveNode(t, "1", "http", client, args...)}
	for _, id := range []string{"2", "3", "4"} {
		join := append([]string{"-join", nodes[0].raft}, args...)
		if id == "4" {
			join = append(join, "-raft-non-voter")
		}
		nodes = append(nodes, startLiveNode(t, id, "http", client, join...))
	}
	return nodes
}

// answers reports whether the server is ready, or at least asks for credentials.
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

// before reports whether a server is of an older release.
func before(t *testing.T, client *http.Client, base, release string) bool {
	t.Helper()
	resp, err := client.Get(base + "/readyz?noleader")
	require.NoError(t, err)
	defer resp.Body.Close()
	than, err := conformance.ParseRelease(release)
	require.NoError(t, err)
	version := resp.Header.Get("X-Rqlite-Version")
	require.NotEmpty(t, version)
	return conformance.ReleaseOf(version).Compare(than) < 0
}

// freeAddrs returns two free addresses on loopback.
func freeAddrs(t *testing.T) (first, second string) {
	t.Helper()
	var addrs [2]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close() // later, so that the two differ
		addrs[i] = l.Addr().String()
	}
	return addrs[0], addrs[1]
}
