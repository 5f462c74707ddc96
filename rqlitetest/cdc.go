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

// CDCConfig makes a server post its changes, as rqlited -cdc-config does. The fields are those of
// rqlited's file. A zero value means rqlited's default.
type CDCConfig struct {
	Endpoint  string // an http or https URL; its user is sent by basic authentication
	ServiceID string // the name that posts carry

	// TableFilter selects the tables; nil selects all. "^[^_]" leaves out _rqlite_tx. A program
	// then gets no groups without an index from the driver's updates of that table.
	TableFilter *regexp.Regexp

	RowIDsOnly bool // posts have no values of rows

	MaxBatchSize  int           // groups in a post; default 10
	MaxBatchDelay time.Duration // longest wait of a group for others; default 200 ms

	// HighWatermarkInterval is how often the leader tells the other nodes which posts have been
	// acknowledged; default 1 s. A new leader repeats the posts that it has not been told about.
	HighWatermarkInterval time.Duration

	TransmitTimeout    time.Duration // longest wait for a response; default 5 s
	TransmitMinBackoff time.Duration // wait after a failed attempt; default 1 s
}

// broadcaster posts the changes of a cluster. Its nodes share the queue as they share the database.
// So all of them divide it into the same posts.
type broadcaster struct {
	cfg    CDCConfig
	leader func() *node // returns the leader if it is up, else nil
	client *http.Client

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	arrive chan struct{} // has a token if there are new groups
	wake   chan struct{} // has a token if the sender has work

	mu      sync.Mutex
	arrived []changeGroup
	queue   []changeBatch
	highest uint64             // index of the last batch
	posting *node              // node whose post is running, or nil
	abort   context.CancelFunc // cancels that post
}

// changeBatch is the content of one post.
type changeBatch struct {
	index  uint64 // highest index of the groups
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

// close ends the posts. Changes that have not been sent are lost.
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

// add takes a group. It does not wait.
func (b *broadcaster) add(g changeGroup) {
	b.mu.Lock()
	b.arrived = append(b.arrived, g)
	b.mu.Unlock()
	signal(b.arrive)
}

// leaderChanged cancels the post of a node that no longer leads. The group's mu is held.
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

// collect makes a batch as soon as there are enough groups, or when the first has waited long
// enough.
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

// enqueue passes a batch to the sender. Like the real server it drops a batch in which no group has
// an index, and one with an infinite REAL, which JSON cannot represent.
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

// send posts one batch after the other, as the current leader.
func (b *broadcaster) send() {
	var last *node                 // node that sent the last post
	var acknowledged, known uint64 // indexes acknowledged by the receiver, and known to all nodes
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

// rest waits before the next attempt. It returns false if the broadcaster is closed meanwhile.
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

// next returns the first batch above an index, or nil.
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

// forget drops the batches that all nodes now know to be acknowledged, and returns the index.
func (b *broadcaster) forget(acknowledged uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) > 0 && b.queue[0].index <= acknowledged {
		b.queue = b.queue[1:]
	}
	return acknowledged
}

// post sends a batch in the name of a node.
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
	if b.leader() != as { // the leader changed before abort was set
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
