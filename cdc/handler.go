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

// saveTimeout bounds storing a mark whose changes have been handled, which the end of
// the request must not prevent.
const saveTimeout = 10 * time.Second

// Handler receives the posts of rqlite. It is an [http.Handler], and safe for
// concurrent use: the posts of one service ID are handled one after the other.
type Handler struct {
	handle func(ctx context.Context, changes []Change) error
	opts   Options
	limit  int64

	mu      sync.Mutex
	streams map[string]*stream // by service ID

	posts, changes, duplicates, filtered, uncertain, refused, failed atomic.Uint64
}

var _ http.Handler = (*Handler)(nil)

// stream is what the handler knows of the posts of one service ID.
type stream struct {
	turn  chan struct{} // holds one token; who has it handles a post
	known bool          // whether reached is to be relied on, else the checkpoint is asked
	reached
}

// reached is how far a stream has come.
type reached struct {
	stored Mark     // what the checkpoint holds
	mark   Mark     // up to where all is handled; may be ahead of stored
	node   string   // who sent the last post that was acknowledged
	at     position // where that post ended; zero if that is not known
}

// NewHandler returns a handler that passes changes to a function; nil options are
// defaults.
//
// The function is called with the changes of one post that were not handled before,
// in the order in which they were committed, and never with none. When it returns
// nil they are taken for handled: the checkpoint moves, unless [Table.SaveTx] has
// moved it, and rqlite gets its acknowledgement. An error, or a panic, is logged and
// answered with 500, and the same changes come again in about a second; what the
// function has done by then should have been rolled back. Its context ends when
// rqlite hangs up, by default after 5 s (transmit_timeout).
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

// Stats counts what a handler has done since it was made.
type Stats struct {
	Posts      uint64 // posts acknowledged
	Changes    uint64 // changes that the callback has handled
	Duplicates uint64 // transactions, with one or more changes each, dropped because they were handled before
	Filtered   uint64 // changes of tables that the program does not want
	Uncertain  uint64 // changes handled that may have been handled before
	Refused    uint64 // requests that were not a post as it must be: 400, 401, 405, 413
	Failed     uint64 // posts whose callback or checkpoint failed, or that rqlite gave up: 500, 503
}

// Stats returns the counts so far. They are not all of the same moment.
func (h *Handler) Stats() Stats {
	return Stats{
		Posts: h.posts.Load(), Changes: h.changes.Load(), Duplicates: h.duplicates.Load(),
		Filtered: h.filtered.Load(), Uncertain: h.uncertain.Load(),
		Refused: h.refused.Load(), Failed: h.failed.Load(),
	}
}

// ServeHTTP implements [http.Handler]. It answers 200 when all changes of the post
// are handled, now or before; 400 for a body that is not a post; 401, 405 and 413;
// 500 when the callback or the checkpoint failed, and 503 when rqlite hung up before
// the callback was begun.
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

// answer refuses a request. The reasons stay in the log.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, status int, err error) {
	attrs := []slog.Attr{slog.Int("status", status), slog.String("remote", r.RemoteAddr), slog.Any("error", err)}
	var p *panicked
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	h.opts.logger().LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, "rqlite: a post of changes was not acknowledged", attrs...)
	http.Error(w, http.StatusText(status), status)
}

// read checks a request and reads its post. With an error comes the status.
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
		w.Header().Set("Connection", "close") // else the server would read the rest, to use the connection again
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

// serve handles a post when it is its turn. With an error comes the status.
func (h *Handler) serve(ctx context.Context, p *post) (int, error) {
	s := h.stream(p.ServiceID)
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return http.StatusServiceUnavailable, fmt.Errorf("rqlite: the sender has hung up before its post was handled: %w", err)
	}
	now, known := s.reached, s.known
	if !known {
		mark, err := h.opts.Checkpoint.Load(ctx, p.ServiceID)
		if err != nil {
			return http.StatusInternalServerError, err
		}
		now = reached{stored: mark, mark: mark, node: mark.NodeID, at: position{mark.Index, mark.Part}}
	}
	// Until all is done nobody knows what the checkpoint holds: what failed may have
	// been committed all the same. A panic of a checkpoint passes by here, too.
	s.known = false
	next, err := h.advance(ctx, p, now)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	s.reached, s.known = next, true
	return http.StatusOK, nil
}

// advance handles what is new in a post.
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
	// To store the mark of a post that tells of nothing but a stored mark would bring
	// another such post, for ever. It is stored with the next changes; a restart before
	// that begins a little early, with what is filtered out again.
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

// pick returns the changes that the program wants, how many it does not want, and
// whether all there is can come of storing the checkpoint.
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

// panicked is a panic of the callback.
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
