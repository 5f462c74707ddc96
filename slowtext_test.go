//go:build go1.25

package rqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unevenNode works on requests side by side, and on the statements of each in turn. One takes as long as its
// parameter says, and fails then if that begins with "!".
type unevenNode struct{}

// RoundTrip implements http.RoundTripper.
func (unevenNode) RoundTrip(r *http.Request) (*http.Response, error) {
	var statements []any
	if r.Body != nil { // it is not asked whether it is alive
		if err := json.NewDecoder(r.Body).Decode(&statements); err != nil {
			return nil, err
		}
	}
	entries := make([]string, len(statements))
	for i, statement := range statements {
		parts, ok := statement.([]any)
		if !ok { // it looks at the schema
			entries[i] = `{"columns":["1"],"types":["integer"]}`
			continue
		}
		value, fails := strings.CutPrefix(fmt.Sprint(parts[1]), "!")
		took, err := time.ParseDuration(value)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(took + 50*time.Microsecond):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		entries[i] = fmt.Sprintf(`{"columns":["a"],"types":["text"],"values":[["x"]],"time":%g}`, took.Seconds())
		if fails {
			entries[i] = `{"error":"integer overflow"}`
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(results(entries...)))}, nil
}

// quick is how long a node works on a quick read.
const quick = "20us"

// openUneven opens a database on an unevenNode, which knows the texts of the tables points and uneven as quick. read
// reads one of a table, for so long.
func openUneven(t *testing.T) (connector *Connector, read func(ctx context.Context, table, took string) error) {
	cfg := &Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: unevenNode{}}, Discovery: DiscoveryOff}
	connector, err := NewConnector(cfg)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	read = func(ctx context.Context, table, took string) error {
		var a string
		return db.QueryRowContext(ctx, "SELECT a FROM "+table+" WHERE k = ?", took).Scan(&a)
	}
	for range 20 {
		require.NoError(t, read(t.Context(), "points", quick))
		require.NoError(t, read(t.Context(), "uneven", quick))
	}
	return connector, read
}

// makeQuick reads so many texts, t0 and so on, a few times, so that they are known as quick.
func makeQuick(t *testing.T, texts int, read func(ctx context.Context, table, took string) error) {
	for i := range texts {
		for range 20 {
			require.NoError(t, read(t.Context(), fmt.Sprint("t", i), quick))
		}
	}
}

// As many slow reads as may go are under way. Quick ones go beside them all the same, also those that were joined
// with a slow one.
func TestSlowTextBesideMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		connector, read := openUneven(t)
		var all sync.WaitGroup
		for range cluster.MostAtOnce + 50 {
			all.Go(func() { _ = read(t.Context(), "reports", "20s") }) // the last ones wait for too long
		}
		time.Sleep(100 * time.Millisecond)
		end := time.Now().Add(4 * time.Second)
		var worst [32]time.Duration
		for g := range worst {
			all.Go(func() {
				for time.Now().Before(end) {
					begun := time.Now()
					assert.NoError(t, read(t.Context(), "points", quick))
					worst[g] = max(worst[g], time.Since(begun))
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		time.Sleep(time.Second)
		for range 40 {
			all.Go(func() {
				for range 3 {
					assert.NoError(t, read(t.Context(), "points", quick))
				}
			})
		}
		time.Sleep(10 * time.Microsecond)
		joined := connector.Stats().CoalescedReads
		all.Go(func() { assert.NoError(t, read(t.Context(), "uneven", "5s")) })
		synctest.Wait()
		assert.Greater(t, connector.Stats().CoalescedReads, joined)
		all.Wait()
		t.Logf("the worst quick read took %v", slices.Max(worst[:]))
		assert.Less(t, slices.Max(worst[:]), 150*time.Millisecond)
	})
}

// pointReads counts the reads of goroutines that read points, and those of them that were late.
type pointReads struct{ all, late atomic.Int64 }

// start lets so many goroutines read points until end, with a pause behind each. A read that takes longer than tooLong
// is late.
func (p *pointReads) start(t *testing.T, running *sync.WaitGroup, readers int, end time.Time, pause, tooLong time.Duration, read func(ctx context.Context, table, took string) error) {
	for range readers {
		running.Go(func() {
			for time.Now().Before(end) {
				begun := time.Now()
				assert.NoError(t, read(t.Context(), "points", quick))
				p.all.Add(1)
				if time.Since(begun) > tooLong {
					p.late.Add(1)
				}
				time.Sleep(pause)
			}
		})
	}
}

// areSeldomLate reports on the reads, of which less than one in so many may be late.
func (p *pointReads) areSeldomLate(t *testing.T, oneIn int64) {
	t.Helper()
	t.Logf("%s: %d of %d quick reads were late", t.Name(), p.late.Load(), p.all.Load())
	assert.Less(t, p.late.Load(), p.all.Load()/oneIn)
}

// A text that is quick with most values, and slow with some, seldom holds up other reads, however its slow executions
// end.
func TestSlowText(t *testing.T) {
	t.Parallel()
	forSome := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
	}
	for name, how := range map[string]struct {
		slow string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
	}{
		"by an answer":             {"90ms", context.WithCancel},
		"by a late answer":         {"25s", context.WithCancel},
		"by a failure":             {"!90ms", context.WithCancel},
		"by an early deadline":     {"10s", forSome(20 * time.Millisecond)},
		"by a deadline":            {"10s", forSome(50 * time.Millisecond)},
		"by a deadline later on":   {"10s", forSome(200 * time.Millisecond)},
		"by an answer of 2 s each": {"2s", context.WithCancel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				connector, read := openUneven(t)
				const length, tooLong = 4 * time.Second, 40 * time.Millisecond
				end := time.Now().Add(length)
				var points pointReads
				var all sync.WaitGroup
				points.start(t, &all, 16, end, 0, tooLong, read)
				for g := range 4 {
					all.Go(func() {
						for i := g; time.Now().Before(end); i++ {
							if i%20 == 0 {
								all.Go(func() {
									ctx, cancel := how.ctx(t.Context())
									defer cancel()
									_ = read(ctx, "uneven", how.slow)
								})
							}
							assert.NoError(t, read(t.Context(), "uneven", quick))
							time.Sleep(10 * time.Millisecond)
						}
					})
				}
				all.Wait()
				points.areSeldomLate(t, 600)
				assert.Greater(t, connector.Stats().CoalescedReads, uint64(points.all.Load())/2)
			})
		})
	}
}

// A text that is slow as often as it is quick holds up others only while that is not known.
func TestOftenSlowText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, read := openUneven(t)
		const late = 5 * time.Millisecond
		end := time.Now().Add(4 * time.Second)
		var points pointReads
		var all sync.WaitGroup
		points.start(t, &all, 24, end, time.Millisecond, late, read)
		for g := range 24 {
			all.Go(func() {
				for i := g; time.Now().Before(end); i++ {
					assert.NoError(t, read(t.Context(), "uneven", []string{quick, "15ms"}[i%2]))
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		points.areSeldomLate(t, 50)
	})
}

// lookNode is an unevenNode that counts the requests that look at the schema first.
type lookNode struct {
	unevenNode
	looks atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (n *lookNode) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(string(body), `["SELECT 1 FROM sqlite_schema`) {
		n.looks.Add(1)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return n.unevenNode.RoundTrip(r)
}

// The time of a read that goes alone beside several others has no opening of a connection in it: it goes behind a look at
// the schema. One beside few, and the first of a text, go as they are.
func TestReadsAloneLookAtTheSchema(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := &lookNode{}
		connector, err := NewConnector(&Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: node}, Discovery: DiscoveryOff})
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		const few, more = 4, 8
		for _, want := range []int{0, more, more} { // no count is left over
			node.looks.Store(0)
			var all sync.WaitGroup
			for i := range few + more {
				all.Go(func() {
					var a string
					assert.NoError(t, db.QueryRowContext(t.Context(), fmt.Sprint("SELECT a FROM t", i, " WHERE k = ?"), "100ms").Scan(&a))
					assert.Equal(t, "x", a)
				})
			}
			all.Wait()
			assert.EqualValues(t, want, node.looks.Load())
		}
	})
}

// A text that becomes slow for good while there is a doubt of it goes alone as with joining off: none of its reads waits
// for others.
func TestDoubtOfSlowText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, read := openUneven(t)
		const took, late = "60ms", 65 * time.Millisecond
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				if i == 0 {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					assert.Error(t, read(ctx, "uneven", took))
				}
				assert.NoError(t, read(t.Context(), "uneven", took))
			})
		}
		all.Wait()
		for range 200 {
			all.Go(func() {
				for range 5 {
					begun := time.Now()
					assert.NoError(t, read(t.Context(), "uneven", took))
					assert.Less(t, time.Since(begun), late)
				}
			})
		}
		all.Wait()
	})
}

// Texts that are slow with some values, so many that several of their reads are always under way alone, stay apart from
// others.
func TestSometimesSlowTexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, read := openUneven(t)
		const texts, readers, late = 30, 4, 40 * time.Millisecond
		makeQuick(t, texts, read)
		end := time.Now().Add(8 * time.Second)
		var points pointReads
		var all sync.WaitGroup
		points.start(t, &all, 12, end, 10*time.Millisecond, late, read)
		for g := range texts * readers {
			all.Go(func() {
				for i := g; time.Now().Before(end); i++ {
					assert.NoError(t, read(t.Context(), fmt.Sprint("t", g%texts), []string{quick, "60ms"}[i%2]))
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		points.areSeldomLate(t, 50)
	})
}

// Many texts that become slow for good at the same time hold up others once.
func TestManySlowTexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, read := openUneven(t)
		const texts, late = 100, 40 * time.Millisecond
		makeQuick(t, texts, read)
		end := time.Now().Add(4 * time.Second)
		var points pointReads
		var all sync.WaitGroup
		points.start(t, &all, 24, end, 10*time.Millisecond, late, read)
		for g := range 2 * texts {
			all.Go(func() {
				for time.Now().Before(end) {
					assert.NoError(t, read(t.Context(), fmt.Sprint("t", g%texts), "400ms"))
				}
			})
		}
		all.Wait()
		points.areSeldomLate(t, 100)
	})
}

// Slow values of many texts, whose callers give up early, make every request under way hold one. Then the reads of one
// are sent by themselves, which tells of the others.
func TestManyTextsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, read := openUneven(t)
		const texts, callers, patience, late = 30, 10, 60 * time.Millisecond, 500 * time.Millisecond
		makeQuick(t, texts, read)
		end := time.Now().Add(4 * time.Second)
		var points pointReads
		var all sync.WaitGroup
		points.start(t, &all, 24, end, 5*time.Millisecond, late, read)
		for g := range texts * callers {
			all.Go(func() {
				for i := g; time.Now().Before(end); i++ {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					_ = read(ctx, fmt.Sprint("t", g%texts), []string{quick, quick, "25s"}[i%3])
					cancel()
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		all.Wait()
		points.areSeldomLate(t, 1000)
	})
}

// largeSchemaNode keeps few connections to its database. It reads a large schema whenever it opens another one, which
// is part of the time of the first statement of a request.
type largeSchemaNode struct {
	opening  atomic.Int64
	spare    chan struct{}
	requests atomic.Int64
	alone    atomic.Int64 // requests with one read
}

// RoundTrip implements http.RoundTripper.
func (n *largeSchemaNode) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil { // it is asked whether it is alive
		return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: http.NoBody}, nil
	}
	var statements []json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&statements); err != nil {
		return nil, err
	}
	n.requests.Add(1)
	if len(statements) == 1 || len(statements) == 2 && statements[0][0] == '"' {
		n.alone.Add(1)
	}
	const statement = 20 * time.Microsecond
	took := statement
	select {
	case <-n.spare:
	default:
		took += time.Duration(n.opening.Add(1)) * 5 * time.Millisecond // they share the processor
	}
	time.Sleep(took)
	if took > statement {
		n.opening.Add(-1)
	}
	entries := make([]string, len(statements))
	for i := range statements {
		entries[i] = fmt.Sprintf(`{"columns":["a"],"types":["text"],"values":[["x"]],"time":%g}`, took.Seconds())
		time.Sleep(statement)
		took = statement
	}
	select {
	case n.spare <- struct{}{}:
	default:
	}
	return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(results(entries...)))}, nil
}

// Where a node takes long for what is first in a request, because it opens a connection, quick texts stay joined. If
// they are new, or were slow, those that wait for a place come together as soon as they are known as quick.
func TestLargeSchema(t *testing.T) {
	t.Parallel()
	for _, texts := range []int{1, 30} {
		t.Run(fmt.Sprint(texts, " texts"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := &largeSchemaNode{spare: make(chan struct{}, 2)}
				connector, err := NewConnector(&Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: node}, Discovery: DiscoveryOff})
				require.NoError(t, err)
				db := sql.OpenDB(connector)
				defer db.Close()
				begun := time.Now()
				var all sync.WaitGroup
				const readers, each = 5000, 5
				for g := range readers {
					all.Go(func() {
						query := fmt.Sprintf("SELECT a FROM points%d WHERE k = ?", g%texts)
						for range each {
							var a string
							assert.NoError(t, db.QueryRowContext(t.Context(), query, 1).Scan(&a))
						}
					})
				}
				all.Wait()
				t.Logf("%d reads in %v, by %d requests, %d of them with one read", readers*each, time.Since(begun), node.requests.Load(), node.alone.Load())
				assert.Less(t, node.alone.Load(), int64(readers*each/4))
				assert.LessOrEqual(t, connector.Stats().Requests, uint64(node.requests.Load()), "those that turned out to be needless are no requests")
			})
		})
	}
}
