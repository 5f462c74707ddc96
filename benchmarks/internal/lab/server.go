package lab

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

// EmbeddedWarning is what to say when a Server is Embedded.
const EmbeddedWarning = "WARNING: there is no rqlited, so the embedded server of rqlitetest is measured, in this very process: " +
	"these numbers are not rqlite's. Set RQLITE_URL or RQLITED_BIN."

// Server is what is measured against: a node, or a cluster.
type Server struct {
	URL      string // of the first node, without a trailing slash; it may hold credentials
	Leader   string // likewise, of the node that leads
	Nodes    int    // how many it has; 0 where that is not known
	Kind     string // "rqlited", "RQLITE_URL" or "EMBEDDED"
	Embedded bool   // it runs in the process that measures, and is not rqlite
	shared   bool   // others use it too, so that the tables must be dropped
	stop     func() error
}

// Stop stops the server if it was started here, and removes its data.
func (s *Server) Stop() error { return s.stop() }

// FindServer returns the server of RQLITE_URL, else rqlited started from
// RQLITED_BIN or the PATH, as so many nodes, else the embedded one. RQLITE_LIVE=0 asks
// for the embedded one at once, and RQLITE_LIVE=1 makes its use an error.
func FindServer(nodes int) (*Server, error) {
	live := os.Getenv("RQLITE_LIVE")
	if live == "0" {
		return StartEmbedded(nodes)
	}
	if url := os.Getenv("RQLITE_URL"); url != "" {
		if nodes != 1 {
			return nil, errors.New("RQLITE_URL is the server to measure, with the nodes that it has")
		}
		url = strings.TrimRight(url, "/")
		return &Server{URL: url, Leader: url, Kind: "RQLITE_URL", shared: true, stop: func() error { return nil }}, nil
	}
	binary := os.Getenv("RQLITED_BIN")
	if binary == "" {
		binary = "rqlited"
	}
	path, err := exec.LookPath(binary)
	switch {
	case err == nil:
		return startNodes(path, nodes)
	case live == "1" || os.Getenv("RQLITED_BIN") != "":
		return nil, fmt.Errorf("no server to measure: set RQLITE_URL or RQLITED_BIN: %w", err)
	}
	return StartEmbedded(nodes)
}

// StartEmbedded starts the server of rqlitetest.
func StartEmbedded(nodes int) (*Server, error) {
	c, err := rqlitetest.StartCluster(rqlitetest.ClusterConfig{Nodes: nodes})
	if err != nil {
		return nil, err
	}
	return &Server{URL: c.URL(0), Leader: c.URL(c.Leader()), Nodes: nodes, Kind: "EMBEDDED", Embedded: true, stop: c.Close}, nil
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
