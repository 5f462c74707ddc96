package integration_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/cdc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// spaces is a body without an end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// After posts of every bad kind no goroutine is left behind, and nothing of them was
// acknowledged.
func TestCDCLeavesNothing(t *testing.T) { // not parallel: it looks at all goroutines
	before := goleak.IgnoreCurrent()
	began := make(chan struct{})
	h := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
		switch changes[0].Table {
		case "panics":
			panic("it does")
		case "hangs":
			close(began)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}, &cdc.Options{Token: "secret", MaxBody: 8 << 20, Logger: slog.New(slog.DiscardHandler)})
	receiver := httptest.NewServer(h)
	client := receiver.Client()
	send := func(ctx context.Context, method, token string, body io.Reader) (int, error) {
		req, err := http.NewRequestWithContext(ctx, method, receiver.URL, body)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	post := func(table string) io.Reader {
		return strings.NewReader(fmt.Sprintf(`{"node_id":"1","payload":[{"index":1,"events":[{"op":"INSERT","table":%q}]}]}`, table))
	}
	for _, c := range []struct {
		status        int
		method, token string
		body          io.Reader
	}{
		{413, "POST", "secret", io.LimitReader(spaces{}, 100_000_000)},
		{400, "POST", "secret", strings.NewReader(`{"node_id":"1","payload":[{"index":1`)},
		{405, "PUT", "secret", post("t")},
		{401, "POST", "wrong", post("t")},
		{500, "POST", "secret", post("panics")},
	} {
		status, err := send(t.Context(), c.method, c.token, c.body)
		require.NoError(t, err)
		assert.Equal(t, c.status, status)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	_, err := send(ctx, "POST", "secret", post("hangs"))
	require.ErrorIs(t, err, context.Canceled)
	receiver.Close() // waits for what is under way
	client.CloseIdleConnections()
	assert.Equal(t, cdc.Stats{Refused: 4, Failed: 2}, h.Stats())
	require.NoError(t, goleak.Find(before))
}
