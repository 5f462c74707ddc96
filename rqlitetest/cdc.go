package rqlitetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"
)

// CDCConfig makes a server post its changes, as rqlited -cdc-config does; the fields
// are those of its file. Zero values are rqlited's defaults.
type CDCConfig struct {
	Endpoint  string // an http or https URL; a user in it is sent by basic authentication
	ServiceID string

	// TableFilter leaves out the tables that it does not match; nil matches all. "^[^_]"
	// leaves out _rqlite_tx, and spares a program the groups without an index that the
	// driver's marks there make.
	TableFilter *regexp.Regexp

	RowIDsOnly bool

	MaxBatchSize  int           // groups in a post; 10
	MaxBatchDelay time.Duration // how long a group may wait for others; 200 ms

	// HighWatermarkInterval is how often the leader tells the other nodes what has been
	// acknowledged; 1 s. What it has not told them, a new leader sends again.
	HighWatermarkInterval time.Duration

	TransmitTimeout    time.Duration // how long an answer may take; 5 s
	TransmitMinBackoff time.Duration // how long after a failure the post is sent again; 1 s
}

// broadcaster posts the changes of a cluster. Its nodes share the queue as they share
// the database, so that all cut their posts alike.
type broadcaster struct {
	cfg    CDCConfig
	leader func() *node // that is up, or nil
	client *http.Client

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	arrive chan struct{} // has a token when there are new groups
	wake   chan struct{} // has a token when there is something to do for the sender

	mu      sync.Mutex
	arrived []changeGroup
	queue   []changeBatch
	highest uint64             // index of the last batch
	posting *node              // whose post is under way, or nil
	abort   context.CancelFunc // ends it
}

// changeBatch is what becomes one post.
type changeBatch struct {
	index  uint64 // the highest of the groups
	groups []changeGroup
}

func newBroadcaster(cfg CDCConfig, leader func() *node) (*broadcaster, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("rqlite: the CDC endpoint of the embedded server has to be an http or https URL, not %q", cfg.Endpoint)
	}
	for d, standard := range map[*time.Duration]time.Duration{
		&cfg.MaxBatchDelay: 200 * time.Millisecond, &cfg.HighWatermarkInterval: time.Second,
		&cfg.TransmitTimeout: 5 * time.Second, &cfg.TransmitMinBackoff: time.Second,
	} {
		if *d <= 0 {
			*d = standard
		}
	}
	if cfg.MaxBatchSize <= 0 {
		cfg.MaxBatchSize = 10
	}
	b := &broadcaster{
		cfg: cfg, leader: leader,
		client: &http.Client{Transport: &http.Transport{}, Timeout: cfg.TransmitTimeout},
		arrive: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.wg.Go(b.collect)
	b.wg.Go(b.send)
	return b, nil
}

// close ends the posts. What was not sent is lost.
func (b *broadcaster) close() {
	if b == nil {
		return
	}
	b.cancel()
	b.wg.Wait()
	b.client.CloseIdleConnections()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add takes a group, and does not wait.
func (b *broadcaster) add(g changeGroup) {
	b.mu.Lock()
	b.arrived = append(b.arrived, g)
	b.mu.Unlock()
	signal(b.arrive)
}

// leaderChanged ends a post of a node that does not lead any more. The group's mu is
// held.
func (b *broadcaster) leaderChanged(leader *node) {
	if b == nil {
		return
	}
	b.mu.Lock()
	if b.abort != nil && b.posting != leader {
		b.abort()
	}
	b.mu.Unlock()
	signal(b.wake)
}

// collect makes batches: when there are enough groups, or the first has waited for
// long enough.
func (b *broadcaster) collect() {
	var waiting []changeGroup
	var late <-chan time.Time
	for {
		select {
		case <-b.arrive:
			b.mu.Lock()
			waiting = append(waiting, b.arrived...)
			b.arrived = nil
			b.mu.Unlock()
		case <-late:
			b.enqueue(waiting)
			waiting, late = nil, nil
		case <-b.ctx.Done():
			return
		}
		for len(waiting) >= b.cfg.MaxBatchSize {
			b.enqueue(waiting[:b.cfg.MaxBatchSize:b.cfg.MaxBatchSize])
			waiting, late = waiting[b.cfg.MaxBatchSize:], nil
		}
		if len(waiting) > 0 && late == nil {
			late = time.After(b.cfg.MaxBatchDelay)
		}
	}
}

// enqueue hands a batch to the sender. Like the real server it loses one in which no
// group has an index, and one that JSON cannot say, for an infinite REAL.
func (b *broadcaster) enqueue(groups []changeGroup) {
	batch := changeBatch{groups: groups}
	for _, g := range groups {
		batch.index = max(batch.index, g.Index)
	}
	if _, err := json.Marshal(groups); err != nil {
		return
	}
	b.mu.Lock()
	if batch.index > b.highest {
		b.highest = batch.index
		b.queue = append(b.queue, batch)
	}
	b.mu.Unlock()
	signal(b.wake)
}

// send posts batch after batch for whoever leads.
func (b *broadcaster) send() {
	var last *node                 // who has sent last
	var acknowledged, known uint64 // by the receiver; by all nodes
	told := time.NewTicker(b.cfg.HighWatermarkInterval)
	defer told.Stop()
	for {
		leader := b.leader()
		if leader != nil && leader != last {
			last, acknowledged = leader, known
		}
		if batch := b.next(acknowledged); leader != nil && batch != nil {
			err := b.post(leader, batch)
			switch {
			case err == nil:
				acknowledged = batch.index
			case b.leader() == leader && !b.rest():
				return
			}
			select {
			case <-told.C:
				known = b.forget(acknowledged)
			default:
			}
			continue
		}
		select {
		case <-b.wake:
		case <-told.C:
			known = b.forget(acknowledged)
		case <-b.ctx.Done():
			return
		}
	}
}

// rest waits before the next attempt, and reports whether there is to be one.
func (b *broadcaster) rest() bool {
	timer := time.NewTimer(b.cfg.TransmitMinBackoff)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.ctx.Done():
		return false
	}
}

// next returns the first batch beyond an index, or nil.
func (b *broadcaster) next(beyond uint64) *changeBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.queue {
		if b.queue[i].index > beyond {
			batch := b.queue[i]
			return &batch
		}
	}
	return nil
}

// forget drops what all nodes know to be acknowledged, and returns the index.
func (b *broadcaster) forget(acknowledged uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 && b.queue[0].index <= acknowledged {
		b.queue = b.queue[1:]
	}
	return acknowledged
}

// post sends a batch as a node.
func (b *broadcaster) post(as *node, batch *changeBatch) error {
	body, err := json.Marshal(struct {
		ServiceID string        `json:"service_id,omitempty"`
		NodeID    string        `json:"node_id"`
		Payload   []changeGroup `json:"payload"`
	}{b.cfg.ServiceID, as.id, batch.groups})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	b.mu.Lock()
	b.posting, b.abort = as, cancel
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.posting, b.abort = nil, nil
		b.mu.Unlock()
	}()
	if b.leader() != as { // before abort was set
		return context.Canceled
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
