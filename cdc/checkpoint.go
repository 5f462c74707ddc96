package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Mark says how far the changes of one cluster have been handled: all up to and with
// those of Index and Part. The zero value is that of a program that has handled none.
type Mark struct {
	Index  uint64
	Part   int
	NodeID string // who sent the last of them
}

// ErrMoved says that a checkpoint is not where the handler left it: another receiver
// uses it, or somebody has changed it. The handler answers 500, reads it anew, and
// goes on from there when rqlite sends the changes again.
var ErrMoved = errors.New("rqlite: the checkpoint was moved by somebody else")

// Checkpoint keeps the marks of clusters, each by its service ID, "" for one that has
// none. A handler makes one call at a time for a service ID; those for different ones
// come concurrently.
type Checkpoint interface {
	// Load returns the mark, and the zero Mark if none was saved.
	Load(ctx context.Context, serviceID string) (Mark, error)
	// Save replaces the mark from, which Load or Save have left, by to. Where
	// several receivers may share the checkpoint it has to return [ErrMoved], and to
	// change nothing, if the mark is not from any more.
	Save(ctx context.Context, serviceID string, from, to Mark) error
}

// Memory is a checkpoint that lasts as long as the process. The zero value has no
// marks, and is ready for use.
type Memory struct {
	mu    sync.Mutex
	marks map[string]Mark
}

var _ Checkpoint = (*Memory)(nil)

// NewMemory returns a checkpoint without marks.
func NewMemory() *Memory { return new(Memory) }

// Load implements Checkpoint; it does not fail.
func (m *Memory) Load(_ context.Context, serviceID string) (Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.marks[serviceID], nil
}

// Save implements Checkpoint.
func (m *Memory) Save(_ context.Context, serviceID string, from, to Mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks[serviceID] != from {
		return fmt.Errorf("%w: service %q", ErrMoved, serviceID)
	}
	if m.marks == nil {
		m.marks = make(map[string]Mark)
	}
	m.marks[serviceID] = to
	return nil
}

// step is what the checkpoint is to do when the callback has done its work. The
// callback's context carries it.
type step struct {
	checkpoint Checkpoint
	serviceID  string
	from, to   Mark

	mu    sync.Mutex
	saved bool // by SaveTx
}

type stepKey struct{}

func (s *step) setSaved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = true
}

func (s *step) isSaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}
