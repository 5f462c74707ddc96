//go:build unix

package integration_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// registers is how many independent registers the clients share: a history of
// one is short enough to be checked.
const registers = 8

// registerInput is an operation on a register: a read, or a write of to where
// from is stored.
type registerInput struct {
	register int
	write    bool
	from, to int64
}

// registerOutput is what came of it.
type registerOutput struct {
	value   int64 // of a read
	swapped bool  // by a write
	unknown bool  // nobody was told what a write did
}

// registerModel is a register with compare-and-swap.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, registers)
		for _, op := range history {
			r := op.Input.(registerInput).register
			parts[r] = append(parts[r], op)
		}
		return parts
	},
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		value, in, out := state.(int64), input.(registerInput), output.(registerOutput)
		switch {
		case !in.write:
			return out.value == value, value
		case out.unknown && value == in.from:
			return true, in.to
		case out.unknown:
			return true, value
		case value == in.from:
			return out.swapped, in.to
		}
		return !out.swapped, value
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// history collects what clients do and see.
type history struct {
	start time.Time
	table string // of the registers; "" is registers

	mu         sync.Mutex
	operations []porcupine.Operation
	unknown    int
	failed     int
}

// end is when what nobody knows of may have its effect at the latest.
const endOfTime = int64(1) << 60

func (h *history) registers() string { return cmp.Or(h.table, "registers") }

func (h *history) now() int64 { return int64(time.Since(h.start)) }

func (h *history) add(client int, called int64, in registerInput, out registerOutput) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: h.now()}
	if out.unknown {
		op.Return = endOfTime
		h.unknown++
	}
	h.operations = append(h.operations, op)
}

func (h *history) fail() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed++
}

// read reads a register and notes what it saw. A failed read says nothing.
func (h *history) read(ctx context.Context, db *sql.DB, client, register int) (int64, error) {
	called := h.now()
	var value int64
	if err := db.QueryRowContext(ctx, "SELECT v FROM "+h.registers()+" WHERE id = ?", register).Scan(&value); err != nil {
		h.fail()
		return 0, err
	}
	h.add(client, called, registerInput{register: register}, registerOutput{value: value})
	return value, nil
}

// swap writes a register where it has the value from. What failed for certain
// did not happen.
func (h *history) swap(ctx context.Context, db *sql.DB, client, register int, from, to int64) error {
	called := h.now()
	in := registerInput{register: register, write: true, from: from, to: to}
	result, err := db.ExecContext(ctx, "UPDATE "+h.registers()+" SET v = ? WHERE id = ? AND v = ?", to, register, from)
	switch {
	case errors.Is(err, rqlite.ErrIndeterminate):
		h.add(client, called, in, registerOutput{unknown: true})
		return nil
	case err != nil:
		h.fail()
		return nil
	}
	affected, err := result.RowsAffected()
	h.add(client, called, in, registerOutput{swapped: affected == 1})
	return err
}

// client reads and writes registers until stop.
func (h *history) client(t *testing.T, db *sql.DB, id int, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(uint64(h.start.UnixNano()), uint64(id)))
	seen := make([]int64, registers)
	for n := int64(1); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		register := random.IntN(registers)
		ctx, cancel := context.WithTimeout(context.Background(), patienceOfWriters)
		if random.IntN(2) == 0 {
			if value, err := h.read(ctx, db, id, register); err == nil {
				seen[register] = value
			}
		} else {
			to := int64(id)<<32 | n // nobody else writes it
			if err := h.swap(ctx, db, id, register, seen[register], to); err != nil {
				t.Errorf("an answer without the rows affected: %v", err)
			}
			seen[register] = to // so that the next one has a chance
		}
		cancel()
	}
}

func (h *history) check() porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(registerModel, h.operations, time.Minute)
}

// newRegisters makes the table, with all registers zero.
func newRegisters(t *testing.T, db *sql.DB) {
	t.Helper()
	newRegistersIn(t, db, "registers")
}

func newRegistersIn(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, v INTEGER NOT NULL)")
	for id := range registers {
		mustExec(t, db, "INSERT INTO "+table+" VALUES (?, 0)", id)
	}
}

// TestLinearizable has clients read and write registers while leaders die, stop
// and come back, and answers get lost. Whatever they saw has to be explained by
// one order of all operations.
func TestLinearizable(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		for _, level := range []rqlite.Consistency{rqlite.Linearizable, rqlite.Strong} {
			t.Run(level.String(), func(t *testing.T) {
				f := startFleet(t, fleetOptions{})
				j := openJoined(t, withSettings(f.dsn(), "exactly_once=off", "level="+level.String()))
				newRegisters(t, j.DB)
				for _, m := range f.members {
					m.proxy.obey(loseEvery(60))
				}
				h := &history{start: time.Now()}
				stop := make(chan struct{})
				var clients sync.WaitGroup
				for id := range 32 {
					clients.Go(func() { h.client(t, j.DB, id+1, stop) })
				}
				done := f.torment(t, faultPlan(t))
				close(stop)
				clients.Wait()
				verdict := h.check()
				stats := j.connector.Stats()
				report(t, "%d operations (%d writes of unknown outcome, %d calls failed; %d reads and %d writes joined) under %d kills, %d pauses, %d restarts: %s",
					len(h.operations), h.unknown, h.failed, stats.CoalescedReads, stats.Coalesced, done.kills, done.pauses, done.restarts, verdict)
				assert.Positive(t, stats.CoalescedReads)
				assert.Positive(t, stats.Coalesced)
				assert.Equal(t, porcupine.Ok, verdict)
				assert.Positive(t, h.unknown, "no answer was lost: the test tests nothing")
				assert.Greater(t, len(h.operations), 100)
			})
		}
	})
}

// TestStaleIsSeen shows that the check finds what it is to find: a read at the
// level none of a replica that has missed an acknowledged write.
func TestStaleIsSeen(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		newRegisters(t, db)
		f.settle(t)
		replica := f.voters
		stale := f.openNode(t, replica, "level=none")
		h := &history{start: time.Now()}
		_, err := h.read(t.Context(), stale, 1, 0)
		require.NoError(t, err)
		require.Equal(t, porcupine.Ok, h.check())

		f.members[replica].link.cut()
		require.NoError(t, h.swap(t.Context(), db, 2, 0, 0, 1))
		require.Zero(t, h.failed+h.unknown)
		value, err := h.read(t.Context(), stale, 1, 0)
		require.NoError(t, err)
		require.Zero(t, value, "the replica has missed nothing")
		require.Equal(t, porcupine.Illegal, h.check(), "a stale read")

		// The leader knows better.
		h.operations = h.operations[:len(h.operations)-1]
		ctx := rqlite.WithConsistency(t.Context(), rqlite.Linearizable)
		value, err = h.read(ctx, db, 1, 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, value)
		require.Equal(t, porcupine.Ok, h.check())
	})
}

// lateJoiner is a transport that breaks what joined reads rely on: it gives a read the answer to an
// equal request that has been sent before the read was called.
type lateJoiner struct {
	transport *http.Transport

	mu    sync.Mutex
	sent  map[string]*sentRead
	joins int
}

// sentRead is a read under way. done is closed when the rest is set.
type sentRead struct {
	done   chan struct{}
	status int
	header http.Header
	body   []byte
	err    error
}

// RoundTrip implements http.RoundTripper.
func (l *lateJoiner) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path != "/db/query" {
		return l.transport.RoundTrip(req)
	}
	statements, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	key := req.URL.Host + string(statements)
	l.mu.Lock()
	s := l.sent[key]
	if s != nil {
		l.joins++
	} else {
		s = &sentRead{done: make(chan struct{})}
		l.sent[key] = s
		again := req.Clone(context.WithoutCancel(req.Context()))
		again.Body = io.NopCloser(bytes.NewReader(statements))
		go l.send(s, key, again)
	}
	l.mu.Unlock()
	<-s.done
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(bytes.NewReader(s.body)), Request: req}, s.err
}

// send sends a read, and is slow to hand out the answer.
func (l *lateJoiner) send(s *sentRead, key string, req *http.Request) {
	resp, err := l.transport.RoundTrip(req)
	if s.err = err; err == nil {
		s.status, s.header = resp.StatusCode, resp.Header
		s.body, s.err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	time.Sleep(5 * time.Millisecond)
	l.mu.Lock()
	delete(l.sent, key)
	l.mu.Unlock()
	close(s.done)
}

// TestLateJoinsAreSeen shows that the check finds reads that joined a request already sent.
func TestLateJoinsAreSeen(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		late := &lateJoiner{transport: countingTransport(new(atomic.Int64)), sent: map[string]*sentRead{}}
		defer late.transport.CloseIdleConnections()
		db, _ := openBy(t, withSettings(b.shared.dsn, "level=linearizable", "coalesce=false"), late)
		defer db.Close()
		table := newTable()
		newRegistersIn(t, db, table)
		h := &history{start: time.Now(), table: table}
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for id := range 16 {
			clients.Go(func() { h.client(t, db, id+1, stop) })
		}
		linger(t.Context(), 2*time.Second)
		close(stop)
		clients.Wait()
		verdict := h.check()
		report(t, "%d operations, %d reads joined a request already sent: %s", len(h.operations), late.joins, verdict)
		assert.Positive(t, late.joins)
		assert.Equal(t, porcupine.Illegal, verdict)
	})
}
