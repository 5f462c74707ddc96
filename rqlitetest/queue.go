package rqlitetest

import (
	"context"
	"time"
)

// queue collects queued writes and applies them in batches, in order. It never splits a request.
type queue struct {
	items  chan queued
	apply  func(context.Context, []statement) error
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	turn chan int64 // holds the last sequence number; its owner may enqueue
}

type queued struct {
	statements []statement
	flushed    chan<- struct{} // closed when applied; nil if nobody waits
}

// rqlited's defaults.
const (
	queueCapacity = 1024
	queueBatch    = 128
	queueDelay    = 50 * time.Millisecond
	queueRetry    = time.Second
)

func newQueue(apply func(context.Context, []statement) error) *queue {
	q := &queue{
		items: make(chan queued, queueCapacity), apply: apply,
		done: make(chan struct{}), turn: make(chan int64, 1),
	}
	q.turn <- time.Now().UnixNano()
	q.ctx, q.cancel = context.WithCancel(context.Background())
	go q.run()
	return q
}

// write adds the statements of one request, possibly none, and returns its sequence number. It
// waits while the queue is full.
func (q *queue) write(ctx context.Context, item queued) (int64, error) {
	var number int64
	select {
	case number = <-q.turn:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	number++
	defer func() { q.turn <- number }()
	select {
	case q.items <- item:
		return number, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run applies a batch when it is full, or when its first item has waited long enough.
func (q *queue) run() {
	defer close(q.done)
	var batch []queued
	timer := time.NewTimer(queueDelay)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case item := <-q.items:
			batch = append(batch, item)
			if len(batch) == 1 {
				timer.Reset(queueDelay)
			}
			if len(batch) < queueBatch {
				continue
			}
			timer.Stop()
		case <-timer.C:
		case <-q.ctx.Done():
			return
		}
		q.flush(batch)
		batch = nil
	}
}

// flush applies a batch, and tries again until it succeeds. A batch that always fails, such as one
// with a forbidden pragma, blocks the queue as on the real server.
func (q *queue) flush(batch []queued) {
	var stmts []statement
	for _, item := range batch {
		stmts = append(stmts, item.statements...)
	}
	for stmts != nil && q.apply(q.ctx, stmts) != nil {
		select {
		case <-time.After(queueRetry):
		case <-q.ctx.Done():
			return
		}
	}
	for _, item := range batch {
		if item.flushed != nil {
			close(item.flushed)
		}
	}
}

func (q *queue) close() {
	q.cancel()
	<-q.done
}
