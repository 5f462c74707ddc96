//go:build go1.25

package coalesce

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// answers answers each request alike, without a network.
type answers string

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	header := http.Header{"X-Rqlite-Version": {"v10.2.7"}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}

// BenchmarkBulk sends the statements of several callers as one request, and reads their answers.
func BenchmarkBulk(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("parts=", n), func(b *testing.B) {
			entries := strings.Repeat(`,{"last_insert_id":7,"rows_affected":1}`, n+1)[1:]
			c := cluster.New(cluster.Config{Hosts: []string{"10.0.0.1:4001"}, Scheme: "http", Redirect: true, Transport: answers(`{"results":[` + entries + `]}`)})
			defer c.Close()
			frame := &cluster.Frame{Before: cluster.Elements{JSON: []byte(`"SELECT 1"`), Count: 1, Read: func(a *cluster.Answer) error { _, err := a.Next(); return err }}}
			q := New(Config{Client: c, Request: func(bool) cluster.Request {
				return cluster.Request{Path: cluster.ExecutePath, Params: "transaction", Frame: frame, Leader: true, Write: true}
			}})
			element := bytes.Repeat([]byte("x"), 100)
			b.ReportAllocs()
			for b.Loop() {
				parts := make([]*part, n)
				for i := range parts {
					parts[i] = &part{Part: Part{Elements: element, Entries: 1}, done: make(chan struct{}, 1)}
				}
				q.send(parts, n > 1)
				for _, p := range parts {
					if p.err != nil {
						b.Fatal(p.err)
					}
					if _, err := p.answer.Next(); err != nil {
						b.Fatal(err)
					}
					p.answer.Close()
				}
			}
		})
	}
}
