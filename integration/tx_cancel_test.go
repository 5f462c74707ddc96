package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moment is when, in the course of a request, a canceller cancels.
type moment string

const (
	beforeRequest moment = "before the request"
	answerLost    moment = "when it is done, and the answer is lost"
	answerCut     moment = "in the middle of the answer"
	answerHere    moment = "with the answer"
)

// canceller cancels a context at one of the requests with statements.
type canceller struct {
	transport http.Transport

	mu     sync.Mutex
	at     int // the request to cancel at, from 1
	when   moment
	cancel func()
	seen   int
	path   string // of the request that it cancelled at
}

// arm begins to count.
func (c *canceller) arm(at int, when moment, cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.when, c.cancel, c.seen, c.path = at, when, cancel, 0, ""
}

// due reports whether it is time to cancel.
func (c *canceller) due(req *http.Request) (moment, func(), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(req.URL.Path, "/db/") {
		return "", nil, false
	}
	c.seen++
	if c.seen != c.at {
		return "", nil, false
	}
	c.path = req.URL.Path
	return c.when, c.cancel, true
}

// reached returns how many requests there were, and which was cancelled at.
func (c *canceller) reached() (seen int, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen, c.path
}

// RoundTrip implements http.RoundTripper.
func (c *canceller) RoundTrip(req *http.Request) (*http.Response, error) {
	when, cancel, due := c.due(req)
	if !due {
		return c.transport.RoundTrip(req)
	}
	if when == beforeRequest {
		cancel()
		return c.transport.RoundTrip(req)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	cancel()
	switch when {
	case answerLost:
		return nil, context.Canceled
	case answerCut:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failingReader{}))
	default:
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	return resp, nil
}

type failingReader struct{}

// Read implements io.Reader.
func (failingReader) Read([]byte) (int, error) { return 0, context.Canceled }

// everyKind is a transaction with statements of every kind. It writes n to two
// tables.
func everyKind(ctx context.Context, db *sql.DB, table, copies string, n int) error {
	return once(ctx, db, nil, func(tx *sql.Tx) error {
		if _, err := one(ctx, tx, "SELECT count(*) FROM "+table); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n, text) VALUES (?, 'new')", n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n); !errors.Is(err, rqlite.Constraint) {
			return fmt.Errorf("the same number again: %w", err)
		}
		if _, err := one(ctx, tx, "UPDATE "+table+" SET text = 'changed' WHERE n = ? RETURNING n", n); err != nil {
			return err
		}
		if _, err := one(ctx, tx, "SELECT count(*) FROM "+table+" WHERE text = 'changed'"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO "+copies+" (n, text) VALUES (?, 'changed')", n)
		return err
	})
}

// TestTxCancelled cancels the context of a transaction at each of its requests.
func TestTxCancelled(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := &canceller{}
		db := openThrough(t, b.shared.dsn, c, c.transport.CloseIdleConnections)
		setUp, table := newNumbers(t, b)
		_, copies := newNumbers(t, b)
		_, plain := newNumbers(t, b)
		mustCommit(t, setUp, copies)
		n := 0
		for _, when := range []moment{beforeRequest, answerLost, answerCut, answerHere} {
			applied := 0
			for step := 1; ; step++ {
				n++
				ctx, cancel := context.WithCancel(t.Context())
				c.arm(step, when, cancel)
				err := everyKind(ctx, db, table, copies, n)
				seen, path := c.reached()
				cancel()
				c.arm(0, when, cancel)
				what := fmt.Sprintf("%s, step %d (%s): %v", when, step, path, err)
				writesAtOnce(t, db, plain, n)
				there := slices.Contains(numbersIn(t, setUp, table), n)
				assert.Equal(t, there, slices.Contains(numbersIn(t, setUp, copies), n), "half of it: "+what)
				switch {
				case err == nil:
					assert.True(t, there, "not applied: "+what)
				case !errors.Is(err, rqlite.ErrIndeterminate):
					assert.False(t, there, "applied: "+what)
					assert.ErrorIs(t, err, context.Canceled, what)
				}
				if there {
					applied++
				}
				if path == "" {
					assert.NoError(t, err)
					assert.Greater(t, seen, 5)
					break
				}
				require.Less(t, step, 100)
			}
			assert.Positive(t, applied, when)
		}
	})
}

// mustCommit commits a transaction, so that there is a version table.
func mustCommit(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	tx := begin(t, db, nil)
	insertIn(t, tx, table, -1)
	require.NoError(t, tx.Commit())
}
