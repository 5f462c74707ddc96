package rqlitetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is a failure that happens to a request after it has arrived. The zero value is no fault:
// the request is served. Error, Status and Body replace the answer whether or not the request had
// an effect, so a test can have both outcomes of an unclear answer.
type Fault struct {
	// Path is a prefix: the fault applies to requests whose paths begin with it. "" matches all.
	Path string

	// Times is the number of requests to which the fault applies. 0 means one. A negative number
	// means all until [Cluster.Heal].
	Times int

	// Unapplied reads the request without applying it. Without Error, Status or Body the answer is
	// an empty 200, which no client can understand.
	Unapplied bool

	// Delay is the time between the effect and the answer.
	Delay time.Duration

	// Error replaces the answer by one with status 200, this error at the top level and no results.
	// An example is "leadership lost while committing log".
	Error string

	// Status, if not 0, and Body, if not "", replace those of the answer. Error takes precedence
	// over both.
	Status int
	Body   string

	// Cut breaks the connection.
	Cut Cut
}

// Cut says how much of an answer is sent before the connection breaks. The zero value is
// CutNothing.
type Cut uint8

// The ways to break a connection.
const (
	CutNothing Cut = iota // the answer is sent whole
	CutBody               // the header and half of the body are sent
	CutAnswer             // nothing is sent
)

// String returns "nothing", "body" or "answer".
func (c Cut) String() string {
	switch c {
	case CutNothing:
		return "nothing"
	case CutBody:
		return "body"
	case CutAnswer:
		return "answer"
	default:
		return "Cut(" + strconv.Itoa(int(c)) + ")"
	}
}

// faults are the faults of a node that have requests left.
type faults struct {
	mu   sync.Mutex
	list []*Fault // Times is the number left
}

func (x *faults) add(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list = append(x.list, &f)
}

func (x *faults) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list = nil
}

// take returns the fault for a request.
func (x *faults) take(path string) (Fault, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, f := range x.list {
		if !strings.HasPrefix(path, f.Path) {
			continue
		}
		found := *f
		if f.Times--; f.Times == 0 {
			x.list = append(x.list[:i:i], x.list[i+1:]...)
		}
		return found, true
	}
	return Fault{}, false
}

// inject applies faults to requests on their way to a handler.
func (x *faults) inject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, found := x.take(r.URL.Path)
		if !found {
			next.ServeHTTP(w, r)
			return
		}
		a := &recordedAnswer{header: http.Header{}}
		if f.Unapplied {
			_, _ = io.Copy(io.Discard, r.Body)
		} else {
			next.ServeHTTP(a, r)
		}
		if f.Delay > 0 {
			timer := time.NewTimer(f.Delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		}
		f.replace(a)
		a.send(w, f.Cut)
	})
}

// replace replaces those parts of an answer that the fault sets.
func (f *Fault) replace(a *recordedAnswer) {
	if f.Error != "" {
		body, _ := json.Marshal(&response{err: f.Error}) // cannot fail: the response only has a text
		a.status, a.body = http.StatusOK, *bytes.NewBuffer(body)
		a.header.Set("Content-Type", jsonContent)
		return
	}
	if f.Status != 0 {
		a.status = f.Status
	}
	if f.Body != "" {
		a.body = *bytes.NewBufferString(f.Body)
	}
}

// recordedAnswer is an answer that has not been sent yet.
type recordedAnswer struct {
	status int // 0 means 200
	header http.Header
	body   bytes.Buffer
}

func (a *recordedAnswer) Header() http.Header         { return a.header }
func (a *recordedAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *recordedAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// send sends the answer up to the cut.
func (a *recordedAnswer) send(w http.ResponseWriter, cut Cut) {
	if cut == CutAnswer {
		panic(http.ErrAbortHandler)
	}
	for key, values := range a.header {
		w.Header()[key] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if cut == CutNothing {
		_, _ = w.Write(a.body.Bytes())
		return
	}
	_, _ = w.Write(a.body.Bytes()[:a.body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
