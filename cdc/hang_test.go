//go:build go1.25

package cdc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestHangingCheckpoint checks that the handler gives up on a checkpoint that hangs.
func TestHangingCheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler(func(context.Context, []Change) error { return nil }, &Options{Checkpoint: hangs{NewMemory()}, Logger: discard})
		rec := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body("", 7))))
		assert.Equal(t, 500, rec.Code)
		assert.Equal(t, saveTimeout, time.Since(start))
	})
}

type hangs struct{ *Memory }

func (hangs) Save(ctx context.Context, _ string, _, _ Mark) error {
	<-ctx.Done()
	return ctx.Err()
}
