package rqlitetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// fileMagic is the prefix by which the server recognizes an SQLite file. It is not the whole
// header.
const fileMagic = "SQLite format"

// bootHeader and loadHeader are the least number of bytes of an SQLite file for booting and for
// loading.
const (
	bootHeader = 32
	loadHeader = 16
)

var (
	errNotSingleNode = errors.New("not single-node")
	errNoSQLiteFile  = errors.New("invalid SQLite data")
)

// load replaces the database by an SQLite file, or executes SQL text as it is. Forwarded text needs
// the permission to execute.
func (f *front) load(w http.ResponseWriter, r *http.Request, p params) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !bytes.HasPrefix(data, []byte(fileMagic)) {
		req := &dbRequest{
			statements: []statement{{sql: string(data)}},
			timings:    p.has("timings"), rollbackOnError: true,
		}
		delete(p, "associative")
		delete(p, "raft_index")
		f.serveDB(w, r, p, "load", (*node).execute, req, "execute")
		return
	}
	start := time.Now()
	c := f.call(r, p, func(n *node) error { return n.loadFile(r.Context(), data) }, "load")
	c.failed = "remote node failed to load: "
	served, err := f.node.do(r.Context(), c)
	if f.failed(w, r, "load", err) {
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set(servedBy, served)
	resp := &response{}
	if p.has("timings") {
		resp.seconds = time.Time{}.Sub(start).Seconds() // the real server does not record the end either
	}
	writeJSON(w, p, resp)
}

// loadFile replaces the database. The node must lead. On any node it is an error if there is no
// leader.
func (n *node) loadFile(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n.group.leaderNode() == nil {
		return errNotReady
	}
	if !n.leads() {
		return errNotLeader
	}
	if err := n.group.store.load(data); err != nil {
		return fmt.Errorf("error swapping databases: %w", err)
	}
	return nil
}

// load replaces the database. A file that cannot be opened changes nothing. The real server has
// lost the database by then.
func (s *store) load(data []byte) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.index.Add(1)
	if len(data) < loadHeader {
		return errNoSQLiteFile
	}
	s.loads++
	path := fmt.Sprintf("%s.%d", s.path, s.loads)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	if err := s.open(path); err != nil {
		return fmt.Errorf("open SQLite file failed: disable autocheckpointing: %w", err)
	}
	return nil
}

// boot replaces the database of a cluster of one node.
func (f *front) boot(w http.ResponseWriter, r *http.Request, _ params) {
	data, err := io.ReadAll(r.Body)
	if err == nil && len(data) < bootHeader {
		err = io.EOF
	}
	if err == nil && !bytes.HasPrefix(data, []byte(fileMagic)) {
		http.Error(w, errNoSQLiteFile.Error(), http.StatusBadRequest)
		return
	}
	if err == nil {
		err = f.node.boot(data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func (n *node) boot(data []byte) error {
	if !n.leads() {
		return errNotLeader
	}
	if len(n.group.nodes) != 1 {
		return errNotSingleNode
	}
	if err := n.group.store.load(data); err != nil {
		return fmt.Errorf("error swapping database file: %w", err)
	}
	n.snapshot.Store(n.group.store.index.Load())
	return nil
}

// snapshot makes a snapshot of the node. A client only sees whether there was something new.
func (f *front) snapshot(w http.ResponseWriter, _ *http.Request, _ params) {
	index := f.node.group.store.index.Load()
	if f.node.snapshot.Swap(index) == index {
		w.WriteHeader(http.StatusNoContent)
	}
}
