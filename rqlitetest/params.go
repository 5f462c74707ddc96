package rqlitetest

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/rqlitetest/internal/rewrite"
)

// level is a read consistency level. On the leader only strong makes a difference: it goes through
// the log, so the answer has an index, and the statements are rewritten like writes.
type level uint8

const (
	levelWeak level = iota // also for an unknown name
	levelNone
	levelAuto
	levelLinearizable
	levelStrong
)

func parseLevel(s string) level {
	switch strings.ToLower(s) {
	case "none":
		return levelNone
	case "auto":
		return levelAuto
	case "linearizable":
		return levelLinearizable
	case "strong":
		return levelStrong
	default:
		return levelWeak
	}
}

// params are the parameters in a request's URL. Of a repeated one only the first counts.
type params map[string]string

// parseParams reads the parameters in the URL. It checks those with a value even if the endpoint
// does not use them. The text of the error is the body of the answer.
func parseParams(r *http.Request) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	p := make(params, len(values))
	for key, list := range values {
		p[key] = list[0]
	}
	if p.has("freshness_strict") && !p.has("freshness") {
		return nil, fmt.Errorf("freshness_strict requires freshness")
	}
	for _, key := range []string{"timeout", "freshness", "db_timeout", "linearizable_timeout"} {
		if text, ok := p[key]; ok {
			if _, err := time.ParseDuration(text); err != nil {
				return nil, fmt.Errorf("%s is not a valid duration", key)
			}
		}
	}
	for _, key := range []string{"retries", "trailing_logs"} {
		if text, ok := p[key]; ok {
			if _, err := strconv.Atoi(text); err != nil {
				return nil, fmt.Errorf("%s is not a valid integer", key)
			}
		}
	}
	if q, ok := p["q"]; ok && q == "" {
		return nil, fmt.Errorf("query parameter not set")
	}
	return p, nil
}

// has reports whether a flag is present. Its value does not matter.
func (p params) has(key string) bool {
	_, ok := p[key]
	return ok
}

// duration returns a checked duration, or def if the key is absent.
func (p params) duration(key string, def time.Duration) time.Duration {
	text, ok := p[key]
	if !ok {
		return def
	}
	d, _ := time.ParseDuration(text) // parseParams has checked it
	return d
}

// dbRequest returns the database request with these parameters.
func (p params) dbRequest(stmts []statement) *dbRequest {
	return &dbRequest{
		statements:  stmts,
		transaction: p.has("transaction"),
		timeout:     p.duration("db_timeout", 0),
		timings:     p.has("timings"),
		level:       parseLevel(p["level"]),
		blobArray:   p.has("blob_array"),
		qualify:     p.has("qualify_columns"),
		freshness:   p.duration("freshness", 0),
	}
}

// rewriting returns what is rewritten in the statements of a request that goes through the log.
func (p params) rewriting() rewrite.Options {
	return rewrite.Options{Random: !p.has("norwrandom"), Time: !p.has("norwtime")}
}
