package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

// EmbeddedWarning is what to say when a Server is Embedded.
const EmbeddedWarning = "WARNING: there is no rqlited, so the embedded server of rqlitetest is measured, in this very process: " +
	"these numbers are not rqlite's. Set RQLITE_URL or RQLITED_BIN."

// Server is what is measured against.
type Server struct {
	URL      string // without a trailing slash; it may hold credentials
	Kind     string // "rqlited", "RQLITE_URL" or "EMBEDDED"
	Embedded bool   // it runs in the process that measures, and is not rqlite
	shared   bool   // others use it too, so that the tables must be dropped
	stop     func() error
}

// Stop stops the server if it was started here, and removes its data.
func (s *Server) Stop() error { return s.stop() }

// FindServer returns the server of RQLITE_URL, else an rqlited started from
// RQLITED_BIN or the PATH, else the embedded one. RQLITE_LIVE=0 asks for the embedded
// one at once, and RQLITE_LIVE=1 makes its use an error.
func FindServer() (*Server, error) {
	live := os.Getenv("RQLITE_LIVE")
	if live == "0" {
		return StartEmbedded()
	}
	if url := os.Getenv("RQLITE_URL"); url != "" {
		return &Server{
			URL: strings.TrimRight(url, "/"), Kind: "RQLITE_URL", shared: true,
			stop: func() error { return nil },
		}, nil
	}
	binary := os.Getenv("RQLITED_BIN")
	if binary == "" {
		binary = "rqlited"
	}
	path, err := exec.LookPath(binary)
	switch {
	case err == nil:
		return startProcess(path)
	case live == "1" || os.Getenv("RQLITED_BIN") != "":
		return nil, fmt.Errorf("no server to measure: set RQLITE_URL or RQLITED_BIN: %w", err)
	}
	return StartEmbedded()
}

// StartEmbedded starts the server of rqlitetest.
func StartEmbedded() (*Server, error) {
	s, err := rqlitetest.Start(rqlitetest.Config{})
	if err != nil {
		return nil, err
	}
	return &Server{URL: s.URL(), Kind: "EMBEDDED", Embedded: true, stop: s.Close}, nil
}

// startTime bounds the start of an rqlited: it has a leader to elect.
const startTime = 30 * time.Second

// startProcess starts an rqlited on loopback, with its data in a directory that
// stop removes.
func startProcess(path string) (*Server, error) {
	dir, err := os.MkdirTemp("", "rqlite-benchmarks-")
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddresses(2)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "-node-id", "1", "-http-addr", addrs[0], "-raft-addr", addrs[1], filepath.Join(dir, "node"))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // that it ended is all there is to know: it is killed
	}()
	s := &Server{URL: "http://" + addrs[0], Kind: "rqlited"}
	s.stop = func() error {
		err := cmd.Process.Kill()
		<-exited
		if errors.Is(err, os.ErrProcessDone) {
			err = fmt.Errorf("rqlited ended before it was stopped:\n%s", log.String())
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := waitReady(ctx, s.URL, exited); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
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

// waitReady asks the node until it is ready or has exited.
func waitReady(ctx context.Context, url string, exited <-chan struct{}) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-exited:
			return errors.New("rqlited exited while starting")
		case <-ctx.Done():
			return fmt.Errorf("rqlited is not ready after %v", startTime)
		case <-again.C:
		}
	}
}

// Version returns what the server says it is.
func (s *Server) Version() (string, error) {
	resp, err := http.Get(s.URL + "/status")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Header.Get("X-Rqlite-Version"), nil
}
