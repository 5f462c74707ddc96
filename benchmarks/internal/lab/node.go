package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// startTime bounds the start of rqlited: it has a leader to elect, or one to join.
const startTime = 30 * time.Second

// node is an rqlited that runs.
type node struct {
	url    string
	cmd    *exec.Cmd
	exited chan struct{}
	log    bytes.Buffer // may be read when it has exited
}

// startNodes starts a cluster of n nodes on loopback, with their data in a directory
// that stop removes.
func startNodes(binary string, n int) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "rqlite-benchmarks-")
	if err != nil {
		return nil, err
	}
	var nodes []*node
	stop := func() error {
		var errs []error
		for _, n := range nodes {
			errs = append(errs, n.stop())
		}
		return errors.Join(append(errs, os.RemoveAll(dir))...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()
	addrs, err := freeAddresses(2 * n)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for i := range n {
		id := strconv.Itoa(i + 1)
		flags := []string{"-node-id", id, "-http-addr", addrs[2*i], "-raft-addr", addrs[2*i+1]}
		if i > 0 {
			flags = append(flags, "-join", addrs[1], "-join-interval", "200ms", "-join-attempts", "50")
		}
		started, err := startNode(binary, "http://"+addrs[2*i], append(flags, filepath.Join(dir, id)))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, started)
		if err := started.waitReady(ctx); err != nil {
			return nil, err
		}
	}
	leader, err := leaderOf(ctx, nodes[0].url)
	if err != nil {
		return nil, err
	}
	return &Server{URL: nodes[0].url, Leader: leader, Nodes: n, Kind: "rqlited", stop: stop}, nil
}

func startNode(binary, url string, args []string) (*node, error) {
	n := &node{url: url, cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(n.exited)
		_ = n.cmd.Wait() // that it ended is all there is to know: it is killed
	}()
	return n, nil
}

// stop kills the node, which must not have ended by itself.
func (n *node) stop() error {
	err := n.cmd.Process.Kill()
	<-n.exited
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("rqlited ended before it was stopped:\n%s", n.log.String())
	}
	return err
}

// waitReady asks the node until it is ready or has exited.
func (n *node) waitReady(ctx context.Context) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if resp, err := get(ctx, n.url+"/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-n.exited:
			return errors.New("rqlited exited while starting")
		case <-ctx.Done():
			return fmt.Errorf("rqlited is not ready after %v", startTime)
		case <-again.C:
		}
	}
}

// leaderOf asks a node who leads.
func leaderOf(ctx context.Context, url string) (string, error) {
	resp, err := get(ctx, url+"/nodes")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var nodes map[string]struct {
		URL    string `json:"api_addr"`
		Leader bool   `json:"leader"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&nodes); err != nil {
		return "", err
	}
	for _, n := range nodes {
		if n.Leader {
			return n.URL, nil
		}
	}
	return "", errors.New("the cluster has no leader")
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// freeAddresses returns loopback addresses that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // when all are known, so that they differ
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
