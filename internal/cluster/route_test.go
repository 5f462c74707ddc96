package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A node that failed comes last until some time has passed.
func TestPenalty(t *testing.T) {
	t.Parallel()
	inBubble(t, "grows and is forgiven", func(t *testing.T) {
		c := New(Config{Hosts: []string{"a:1", "b:1"}, Scheme: "http"})
		a, b := c.routes.hosts[0], c.routes.hosts[1]
		failed := &Error{Outcome: Repeat, Err: errors.New("connection refused")}
		want := firstPenalty
		for range 10 {
			c.routes.failed(a, failed)
			assert.Same(t, b, c.routes.pick(true, 0))
			time.Sleep(want - time.Millisecond)
			assert.Same(t, b, c.routes.pick(true, 0))
			time.Sleep(time.Millisecond)
			assert.Same(t, a, c.routes.pick(true, 0), "after %v", want)
			want = min(2*want, longestPenalty)
		}
		c.routes.failed(a, failed)
		c.routes.failed(b, failed)
		assert.Same(t, a, c.routes.pick(true, 0), "when all have failed, each is tried")
		assert.Same(t, b, c.routes.pick(true, 1))
		c.routes.succeeded(a, false)
		assert.Same(t, a, c.routes.pick(true, 1))
	})
}
