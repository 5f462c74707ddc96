package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// saveTimeout bounds the time to store a mark. Its changes have been handled, so the end of the
// request does not stop it.
const saveTimeout = 10 * time.Second

// Handler receives the posts of rqlite. It is an [http.Handler]. It is safe for concurrent use:
// posts with the same service ID are handled one after the other.
type Handler struct {
	handle func(ctx context.Context, changes []Change) error
	opts   Options
	limit  int64

	mu      sync.Mutex
	streams map[string]*stream // by service ID

	posts, changes, duplicates, filtered, uncertain, refused, failed atomic.Uint64
}

var _ http.Handler = (*Handler)(nil)

// stream is the state of the posts with one service ID.
type stream struct {
	turn  chan struct{} // holds one token; its owner handles a post
	known bool          // reached is up to date; otherwise the checkpoint is read
	reached
}

// reached is how far a stream has come.
type reached struct {
	stored Mark     // mark in the checkpoint
	mark   Mark     // everything up to it is handled; may be ahead of stored
	node   string   // the node that sent the last acknowledged post
	at     position // where that post ended; zero if unknown
}

// NewHandler returns a handler that passes changes to a function. A nil opts means the defaults.
//
// The function gets the changes of one post that were not handled before, in the order of their
// commits. It is not called without changes. If it returns nil, the changes count as handled: the
// handler stores the mark, unless [Table.SaveTx] has done so, and acknowledges the post. An error
// or a panic is logged and answered with 500. rqlite then sends the same changes again in about a
// second, so the function should have rolled back its effects. Its context ends when rqlite closes
// the connection, by default after 5 s (transmit_timeout).
func NewHandler(handle func(ctx context.Context, changes []Change) error, opts *Options) *Handler {
	h := &Handler{handle: handle, streams: make(map[string]*stream)}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Checkpoint == nil {
		h.opts.Checkpoint = NewMemory()
	}
	if h.limit = h.opts.MaxBody; h.limit <= 0 {
		h.limit = DefaultMaxBody
	}
	return h
}

// Stats are the counts of a handler since it was made.
type Stats struct {
	Posts      uint64 // posts acknowledged
	Changes    uint64 // changes handled by the callback
	Duplicates uint64 // transactions dropped because they were handled before
	Filtered   uint64 // changes of tables that the program does not want
	Uncertain  uint64 // handled changes that may have been handled before
	Refused    uint64 // requests that are no valid post: 400, 401, 405, 413
	Failed     uint64 // posts whose callback or checkpoint failed, or that rqlite cancelled: 500, 503
}

// Stats returns the counts so far. It does not read all of them at the same moment.
func (h *Handler) Stats() Stats {
	return Stats{
		Posts: h.posts.Load(), Changes: h.changes.Load(), Duplicates: h.duplicates.Load(),
		Filtered: h.filtered.Load(), Uncertain: h.uncertain.Load(),
		Refused: h.refused.Load(), Failed: h.failed.Load(),
	}
}

// ServeHTTP implements [http.Handler]. It answers 200 if all changes of the post have been handled,
// now or before. It answers 400 to a body that is no post, and 401, 405 and 413 to other bad
// requests. It answers 500 if the callback or the checkpoint failed, and 503 if rqlite closed the
// connection before the callback began.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, status, err := h.read(w, r)
	if err != nil {
		h.refused.Add(1)
		h.answer(w, r, status, err)
		return
	}
	if status, err := h.serve(r.Context(), p); err != nil {
		h.failed.Add(1)
		h.answer(w, r, status, err)
		return
	}
	h.posts.Add(1)
	w.WriteHeader(http.StatusOK)
}

// answer refuses a request and logs the reason. The response does not contain it.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, status int, err error) {
	attrs := []slog.Attr{slog.Int("status", status), slog.String("remote", r.RemoteAddr), slog.Any("error", err)}
	var p *panicked
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	h.opts.logger().LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, "rqlite: a post of changes was not acknowledged", attrs...)
	http.Error(w, http.StatusText(status), status)
}

// read checks a request and reads its post. On an error it also returns the status.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*post, int, error) {
	if !h.opts.authorized(r) {
		if h.opts.Username != "" || h.opts.Password != "" {
			w.Header().Add("WWW-Authenticate", `Basic realm="rqlite"`)
		}
		if h.opts.Token != "" {
			w.Header().Add("WWW-Authenticate", `Bearer realm="rqlite"`)
		}
		return nil, http.StatusUnauthorized, errors.New("rqlite: the credentials are missing or wrong")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("rqlite: the method is %.20q, and rqlite uses POST", r.Method)
	}
	tooLarge := fmt.Errorf("rqlite: the body of a post has more than %d bytes: raise Options.MaxBody, or lower max_batch_size", h.limit)
	if r.ContentLength > h.limit {
		w.Header().Set("Connection", "close") // otherwise the server reads the rest, to reuse the connection
		return nil, http.StatusRequestEntityTooLarge, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.limit))
	if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
		return nil, http.StatusRequestEntityTooLarge, tooLarge
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("rqlite: reading a post: %w", err)
	}
	p, err := decodePost(body)
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("rqlite: the body is no post of changes: %w", err)
	}
	return p, 0, nil
}

// stream returns the stream of a service ID.
func (h *Handler) stream(serviceID string) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.streams[serviceID]
	if !ok {
		s = &stream{turn: make(chan struct{}, 1)}
		s.turn <- struct{}{}
		h.streams[serviceID] = s
	}
	return s
}

// serve handles a post after those before it. On an error it also returns the status.
func (h *Handler) serve(ctx context.Context, p *post) (int, error) {
	s := h.stream(p.ServiceID)
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return http.StatusServiceUnavailable, fmt.Errorf("rqlite: the sender closed the connection before its post was handled: %w", err)
	}
	now, known := s.reached, s.known
	if !known {
		mark, err := h.opts.Checkpoint.Load(ctx, p.ServiceID)
		if err != nil {
			return http.StatusInternalServerError, err
		}
		now = reached{stored: mark, mark: mark, node: mark.NodeID, at: position{mark.Index, mark.Part}}
	}
	// Until the end of this call the content of the checkpoint is unknown: a failed transaction may
	// have been committed. That also holds after a panic of a checkpoint.
	s.known = false
	next, err := h.advance(ctx, p, now)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	s.reached, s.known = next, true
	return http.StatusOK, nil
}

// advance handles the new changes of a post.
func (h *Handler) advance(ctx context.Context, p *post, now reached) (reached, error) {
	var before *position
	if now.node == p.NodeID && now.at != (position{}) {
		before = &now.at
	}
	handled := position{now.mark.Index, now.mark.Part}
	all, end := place(p.Payload, handled, before)
	news, duplicates := fresh(all, handled)
	next := reached{stored: now.stored, mark: now.mark, node: p.NodeID, at: end}
	if len(news) > 0 && !news[len(news)-1].uncertain {
		last := news[len(news)-1].at
		next.mark = Mark{Index: last.index, Part: last.part, NodeID: p.NodeID}
	}
	changes, filtered, echo := h.pick(p, news)
	s := &step{checkpoint: h.opts.Checkpoint, serviceID: p.ServiceID, from: now.stored, to: next.mark}
	if len(changes) > 0 {
		if err := h.deliver(ctx, s, changes); err != nil {
			return now, err
		}
	}
	// Do not store a mark for a post that only contains an earlier mark: that would cause another
	// such post, for ever. The mark is stored with the next changes. A restart before that begins a
	// little earlier, and leaves out the same changes again.
	if !s.isSaved() && s.from != s.to && !echo {
		save, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		if err := s.checkpoint.Save(save, s.serviceID, s.from, s.to); err != nil {
			return now, err
		}
		s.setSaved()
	}
	if s.isSaved() {
		next.stored = next.mark
	}
	h.duplicates.Add(uint64(duplicates))
	h.filtered.Add(uint64(filtered))
	h.changes.Add(uint64(len(changes)))
	return next, nil
}

// pick returns the changes that the program wants and the number of the others. echo says that the
// post contains nothing but changes of the checkpoint's own table.
func (h *Handler) pick(p *post, news []placed) (changes []Change, filtered int, echo bool) {
	total := 0
	echo = true
	for _, n := range news {
		total += len(n.group.Events)
		for i := range n.group.Events {
			echo = echo && h.opts.echoes(n.group.Events[i].Table)
		}
		changes = n.group.changes(changes, p, n, h.opts.wants)
	}
	return changes, total - len(changes), echo && total > 0 && len(changes) == 0
}

// deliver calls the callback.
func (h *Handler) deliver(ctx context.Context, s *step, changes []Change) error {
	uncertain := 0
	for i := range changes {
		if changes[i].Uncertain {
			uncertain++
		}
	}
	if uncertain > 0 {
		h.opts.logger().WarnContext(ctx, "rqlite: changes may have been handled before, since rqlite sent them without an index",
			"changes", uncertain, "node", changes[0].NodeID)
	}
	if err := h.call(context.WithValue(ctx, stepKey{}, s), changes); err != nil {
		return err
	}
	h.uncertain.Add(uint64(uncertain))
	return nil
}

// panicked is the error for a panic of the callback.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("rqlite: the callback panicked: %v", p.value) }

func (h *Handler) call(ctx context.Context, changes []Change) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	if err := h.handle(ctx, changes); err != nil {
		return fmt.Errorf("rqlite: the callback failed: %w", err)
	}
	return nil
}
