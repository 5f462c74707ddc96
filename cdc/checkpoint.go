package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Mark says how far the changes of one cluster have been handled: up to and including those of
// Index and Part. The zero value says that none has been handled.
type Mark struct {
	Index  uint64 // of the entry in the Raft log
	Part   int    // of the transaction within the entry, from 0
	NodeID string // the node that sent the last of them
}

// ErrMoved says that the checkpoint has another mark than the handler stored: another receiver uses
// it, or somebody has changed it. The handler answers 500 and reads the mark again. It continues
// from there when rqlite sends the changes again.
var ErrMoved = errors.New("rqlite: the checkpoint was moved by somebody else")

// Checkpoint stores one mark for each cluster. Its key is the service ID of the cluster, "" if it
// has none. A handler makes one call at a time for each service ID. Calls for different service IDs
// may be concurrent.
type Checkpoint interface {
	// Load returns the stored mark. It returns the zero Mark if there is none.
	Load(ctx context.Context, serviceID string) (Mark, error)
	// Save replaces the mark from, which Load returned or Save stored last, by to. If several
	// receivers may share the checkpoint and the stored mark is no longer from, Save must return
	// [ErrMoved] and change nothing.
	Save(ctx context.Context, serviceID string, from, to Mark) error
}

// Memory is a checkpoint that lasts as long as the process. The zero value is ready for use and has
// no marks. A Memory is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	marks map[string]Mark
}

var _ Checkpoint = (*Memory)(nil)

// NewMemory returns a checkpoint without marks.
func NewMemory() *Memory { return new(Memory) }

// Load implements Checkpoint. It never fails.
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

// step is the move of the checkpoint that follows a successful callback. The context of the
// callback carries it.
type step struct {
	checkpoint Checkpoint
	serviceID  string
	from, to   Mark

	mu    sync.Mutex
	saved bool // SaveTx has made the move
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
