package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startTime bounds the start of rqlited.
const startTime = 30 * time.Second

// startServer starts an rqlited of one node, from RQLITED_BIN or the PATH, with its data in the
// directory. It runs until stop is called.
func startServer(ctx context.Context, directory string) (url string, stop func(), err error) {
	binary := os.Getenv("RQLITED_BIN")
	if binary == "" {
		binary = "rqlited"
	}
	addresses, err := freeAddresses()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(binary, "-fk", "-http-addr", addresses[0], "-raft-addr", addresses[1], filepath.Join(directory, "node"))
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("no server: set RQLITED_BIN, or give -dsn: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
	}
	url = "http://" + addresses[0]
	if err := waitReady(ctx, url); err != nil {
		stop()
		return "", nil, err
	}
	return url, stop, nil
}

// waitReady asks the node until it is ready.
func waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("rqlited is not ready")
		case <-again.C:
		}
	}
}

// freeAddresses returns two on loopback that nobody listens on.
func freeAddresses() (addresses [2]string, err error) {
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return addresses, err
		}
		defer func() { _ = l.Close() }() // when both are known, so that they differ
		addresses[i] = l.Addr().String()
	}
	return addresses, nil
}
