package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/wire"
)

func newBody(s string) io.Reader { return strings.NewReader(s) }

func TestAnswerEntries(t *testing.T) {
	t.Parallel()
	const one = `{"results":[{"rows_affected":1}]`
	tests := []struct {
		name    string
		body    string
		entries int // that the caller expects
		write   Outcome
		read    Outcome
		want    string
	}{
		{"too few", one + `}`, 2, Unknown, Refused, "fewer results"},
		{"none", `{"results":[]}`, 1, Unknown, Refused, "fewer results"},
		{"results null", `{"results":null}`, 1, Unknown, Refused, "fewer results"},
		{"empty object", `{}`, 1, Unknown, Refused, "fewer results"},
		{"too many", `{"results":[{},{}]}`, 1, Unknown, Refused, "more results"},
		{"some where none belongs", one + `}`, 0, Unknown, Refused, "more results"},
		{"failed behind the entries", one + `,"error":"FOREIGN KEY constraint failed"}`, 1, Refused, Refused, "FOREIGN KEY constraint failed"},
		{"failed behind too few", one + `,"error":"leadership lost while committing log"}`, 2, Unknown, Unknown, "leadership lost"},
		{"leader lost behind the entries", one + `,"error":"not leader"}`, 1, Repeat, Repeat, "not leader"},
		{"no JSON behind the entry", one + `x`, 1, Unknown, Refused, "malformed response at byte 32"},
		{"garbage behind the end", one + `}}`, 1, Unknown, Refused, "after the end of the document"},
		{"the next entry is broken", `{"results":[{},[]]}`, 2, Unknown, Refused, "malformed response"},
	}
	for _, tt := range tests {
		for _, req := range []*Request{write(), query()} {
			t.Run(tt.name+" "+req.Path, func(t *testing.T) {
				t.Parallel()
				node := newFake(t, ok(tt.body))
				c, _ := newClient(t, []string{node.host()})
				a, err := c.Send(t.Context(), req)
				require.NoError(t, err)
				defer a.Close()
				for i := 0; i < tt.entries && err == nil; i++ {
					_, err = a.Next()
				}
				if err == nil {
					err = a.End()
				}
				want := tt.read
				if req.Write {
					want = tt.write
				}
				failure := requireError(t, err, want)
				assert.Equal(t, req.Write, failure.Write)
				assert.Equal(t, node.host(), failure.Node)
				require.ErrorContains(t, err, tt.want)
				assert.Len(t, node.got(), 1)
			})
		}
	}
}

func TestAnswerCutOff(t *testing.T) {
	t.Parallel()
	const body = `{"results":[{"columns":["a"],"types":["integer"],"values":[[1],[2]]}]}`
	first := strings.Index(body, "[[1]") + 1
	for n := first; n < len(body); n++ {
		for _, req := range []*Request{write(), query()} {
			node := newFake(t, cut(body, n))
			c, _ := newClient(t, []string{node.host()})
			err := do(t.Context(), c, req)
			failure := requireError(t, err, Unknown)
			require.ErrorIs(t, failure, io.ErrUnexpectedEOF, body[:n])
			assert.Equal(t, req.Write, failure.Write)
			assert.Len(t, node.got(), 1, "the caller has seen rows: it is not for the client to begin again")
			node.Close()
		}
	}
}

func TestAnswerRows(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(rows))
	c, _ := newClient(t, []string{node.host()})
	a, err := c.Send(t.Context(), query())
	require.NoError(t, err)
	defer a.Close()
	result, err := a.Next()
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, result.Columns)
	assert.Equal(t, result, a.Result())
	for _, want := range []string{"1", "2"} {
		require.NoError(t, a.NextRow())
		cell, err := a.Cell()
		require.NoError(t, err)
		assert.Equal(t, wire.Cell{Kind: wire.Number, Data: []byte(want)}, cell)
	}
	assert.Equal(t, io.EOF, a.NextRow())
	require.NoError(t, a.End())
}

func TestAnswerMalformedRow(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(`{"results":[{"columns":["a"],"types":[""],"values":[[1],[]]}]}`))
	c, _ := newClient(t, []string{node.host()})
	failure := requireError(t, do(t.Context(), c, query()), Refused)
	var syntax *wire.SyntaxError
	require.ErrorAs(t, failure, &syntax)
	failure = requireError(t, do(t.Context(), c, write()), Unknown)
	require.ErrorAs(t, failure, &syntax)
}

// endless sends rows until the client goes away.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, err := io.WriteString(w, `{"results":[{"columns":["a"],"types":[""],"values":[[0]`)
	row := strings.Repeat(",[1]", 1000)
	for err == nil {
		_, err = io.WriteString(w, row)
	}
}

func TestAnswerCloseLongBody(t *testing.T) {
	t.Parallel()
	node := newFake(t, endless, ok(rows))
	c, w := newClient(t, []string{node.host()})
	a, err := c.Send(t.Context(), query())
	require.NoError(t, err)
	a.Close()
	a.Close()
	require.Error(t, a.guard.ended(), "the time-out is freed")
	const buffered = 64 << 10 // what the decoder may take to see the first entry
	assert.LessOrEqual(t, w.read.Load(), int64(buffered+maxDrain))
	assert.Zero(t, w.open.Load())
	require.NoError(t, do(t.Context(), c, query()))
	assert.EqualValues(t, 2, node.conns.Load(), "the connection is of no use any more")
}

func TestAnswerCancelEndlessBody(t *testing.T) {
	t.Parallel()
	node := newFake(t, endless)
	c, _ := newClient(t, []string{node.host()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := c.Send(ctx, query())
	require.NoError(t, err)
	defer a.Close()
	_, err = a.Next()
	require.NoError(t, err)
	for err == nil {
		if err = a.NextRow(); err == nil {
			_, err = a.Cell()
		}
		cancel() // what has been buffered may still be read
	}
	failure := requireError(t, err, Refused)
	require.ErrorIs(t, failure, context.Canceled)
}

func TestAnswerCloseShortBodyKeepsConnection(t *testing.T) {
	t.Parallel()
	long := `{"results":[{"columns":["a"],"types":[""],"values":[[0]` + strings.Repeat(",[1]", 10000) + `]},{},{}]}`
	require.Less(t, len(long), maxDrain)
	for name, body := range map[string]string{"one entry": rows, "more than a buffer": long} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := newFake(t, ok(body))
			c, _ := newClient(t, []string{node.host()})
			for range 5 {
				a, err := c.Send(t.Context(), query())
				require.NoError(t, err)
				a.Close()
			}
			assert.EqualValues(t, 1, node.conns.Load())
		})
	}
}

func TestAnswerReadToTheEndKeepsConnection(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(rows))
	c, _ := newClient(t, []string{node.host()})
	for range 5 {
		require.NoError(t, do(t.Context(), c, write()))
	}
	assert.EqualValues(t, 1, node.conns.Load())
}

// A node that stalls does not hold up Close for long.
func TestAnswerCloseStalledBody(t *testing.T) {
	t.Parallel()
	inBubble(t, "cut off", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, hang(`{"results":[{},`))
		a, err := c.Send(t.Context(), query())
		require.NoError(t, err)
		begin := time.Now()
		a.Close()
		assert.Equal(t, drainTime, time.Since(begin))
	})
}

// Not parallel: it counts the goroutines of the process.
func TestNoGoroutineIsLeft(t *testing.T) { //nolint:paralleltest // see above
	before := runtime.NumGoroutine()
	node := newFake(t, ok(rows), drop, hang(""), endless, text(500, strings.Repeat("x", 1<<20)), ok("garbage"), cut(rows, 60))
	c, _ := newClient(t, []string{node.host()}, timeout(100*time.Millisecond))
	for range 7 {
		a, err := c.Send(t.Context(), write())
		if err == nil {
			a.Close()
		}
	}
	require.GreaterOrEqual(t, len(node.got()), 7)
	c.Close()
	node.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; <-tick.C {
		require.True(t, time.Now().Before(end), "%d goroutines, %d before", runtime.NumGoroutine(), before)
	}
}

// The errors of an answer are the package's, but for the ends that the decoder
// defines.
func TestAnswerErrorsAreTyped(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(`{"results":[{"columns":["a"],"types":[""],"values":[[1],[x]]}]}`))
	c, _ := newClient(t, []string{node.host()})
	err := do(t.Context(), c, query())
	var failure *Error
	require.ErrorAs(t, err, &failure)
	assert.False(t, errors.Is(err, io.EOF))
}

// What a request remembers of its answers is not of the entries of its frame.
func TestKnownColumnsBehindFrame(t *testing.T) {
	t.Parallel()
	const look, own = `{"columns":["1"],"types":["integer"]}`, `{"columns":["a"],"types":["text"],"values":[["x"]]}`
	frame := &Frame{Before: NewElements(func(a *Answer) error { _, err := a.Next(); return err }, "SELECT 1")}
	for name, f := range map[string]*Frame{"framed": frame, "plain": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document := `{"results":[` + own + `]}`
			if f == frame {
				document = `{"results":[` + look + "," + own + `]}`
			}
			_, c := newPiped(t, time.Second, ok(document), ok(document))
			var known wire.KnownColumns
			var columns [2]*string
			for i := range columns {
				answer, err := c.Send(t.Context(), &Request{Path: queryPath, Body: []byte("[]"), Frame: f, Columns: &known})
				require.NoError(t, err)
				entry, err := answer.Next()
				require.NoError(t, err)
				assert.Equal(t, []string{"a"}, entry.Columns)
				columns[i] = &entry.Columns[0]
				answer.Close()
			}
			assert.Same(t, columns[0], columns[1], "parsed once")
		})
	}
}

// An answer without a client is read as one of a node.
func TestNewAnswer(t *testing.T) {
	t.Parallel()
	for _, req := range []*Request{write(), query()} {
		a := NewAnswer(req, []byte(`{"results":[{"columns":["a"],"types":["integer"],"values":[[1]]},{"error":"no such table: t"}]}`))
		entry, err := a.Next()
		require.NoError(t, err)
		assert.Equal(t, []string{"a"}, entry.Columns)
		require.NoError(t, a.NextRow())
		cell, err := a.Cell()
		require.NoError(t, err)
		assert.Equal(t, wire.Cell{Kind: wire.Number, Data: []byte("1")}, cell)
		entry, err = a.Next()
		require.NoError(t, err)
		assert.Equal(t, "no such table: t", entry.Error)
		require.NoError(t, a.End())
		a.Close()
		a.Close()
	}
}

func TestNewAnswerOfABadDocument(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]struct {
		write, read Outcome
		why         error
	}{
		`{"results":[{"colu`:                     {Unknown, Unknown, io.ErrUnexpectedEOF},
		`{"results":[]}`:                         {Unknown, Refused, errTooFew},
		`{"results":[],"error":"not leader"}`:    {Repeat, Repeat, nil},
		`{"results":[],"error":"out of memory"}`: {Unknown, Unknown, nil},
	} {
		for _, req := range []*Request{write(), query()} {
			a := NewAnswer(req, []byte(document))
			_, err := a.Next()
			outcome := want.read
			if req.Write {
				outcome = want.write
			}
			failure := requireError(t, err, outcome)
			assert.Equal(t, req.Write, failure.Write)
			if want.why != nil {
				require.ErrorIs(t, err, want.why)
			}
			a.Close()
		}
	}
}

// Most answers of one row are closed before their end was seen. The race detector has a pool forget one
// buffer of four, which an average over many runs hides.
func TestFinishAllocatesLittle(t *testing.T) {
	b := responseBody{ReadCloser: http.NoBody}
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, b.finish), 2.0, "the timer and what it calls")
}
