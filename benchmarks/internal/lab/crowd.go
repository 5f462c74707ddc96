package lab

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/rqlite/gorqlite"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// crowd is a client that many goroutines share.
type crowd struct {
	name string
	open func(context.Context, *Site, task) (*player, error)
}

// task is what the goroutines are to do.
type task struct {
	inserts    bool
	query      string
	level      string // of reads
	goroutines int
}

// player takes turns.
type player struct {
	take  func(context.Context, load.Order) (load.Turn, error)
	close func() error
}

// httpCrowd is what clients have in common that are given an http.Client.
type httpCrowd struct {
	client  *http.Client
	sockets load.Sockets
}

func newHTTPCrowd(connections int) *httpCrowd {
	h := &httpCrowd{}
	h.client = &http.Client{Transport: load.Transport(connections, &h.sockets), Timeout: longest}
	return h
}

// player returns one that does the operation, and then closes the connections.
func (h *httpCrowd) player(do load.Operation) *player {
	return &player{
		take: func(ctx context.Context, order load.Order) (load.Turn, error) {
			turn, err := load.Run(ctx, order, do)
			turn.Sockets = h.sockets.Most()
			return turn, err
		},
		close: func() error {
			h.client.CloseIdleConnections()
			return nil
		},
	}
}

// once makes one of an operation for many.
func once(do load.Operation) Operation {
	return func(ctx context.Context) error { return do(ctx, 1) }
}

// onDatabase returns a task's operation on a database.
func (t task) onDatabase(db *sql.DB) load.Operation {
	if t.inserts {
		return load.Insert(db, t.query)
	}
	return load.Select(db, t.query)
}

// onGorqlite returns a task's operation on gorqlite's native API.
func (t task) onGorqlite(conn *gorqlite.Connection) load.Operation {
	if t.inserts {
		return gorqliteInsert(conn, t.query)
	}
	return gorqliteSelect(conn, t.query)
}

// openBare opens the client that sends the driver's request with net/http.
func openBare(ctx context.Context, s *Site, t task) (*player, error) {
	sent, err := record(ctx, s, t.level, func(db *sql.DB) Operation { return once(t.onDatabase(db)) })
	if err != nil {
		return nil, err
	}
	h := newHTTPCrowd(t.goroutines)
	do := replay(sent, h.client)
	return h.player(func(ctx context.Context, _ int) error { return do(ctx) }), nil
}

// openBulk opens the client that a program would be if it gathered its rows by itself:
// one goroutine sends those of all in one request, as a transaction, and one request
// after the other.
func openBulk(_ context.Context, s *Site, t task) (*player, error) {
	const most = 512 // as many as the driver joins
	h := newHTTPCrowd(1)
	p := h.player(func(ctx context.Context, n int) error {
		row := []any{t.query, load.Name, load.Score, load.N}
		rows := make([][]any, n)
		for i := range rows {
			rows[i] = row
		}
		body, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		header := http.Header{"Content-Type": {"application/json"}}
		return replay(exchange{url: s.server.Leader + "/db/execute?transaction", header: header, body: body}, h.client)(ctx)
	})
	return p.gathered(1, min(t.goroutines, most)), nil
}

// openBulkReads opens the client that a program would be if it gathered its reads by itself: four
// goroutines share those of all, and each sends the driver's request with its share in it.
func openBulkReads(ctx context.Context, s *Site, t task) (*player, error) {
	const requests, most = 4, 256 // as many as the driver has under way, and joins
	sent, err := record(ctx, s, t.level, func(db *sql.DB) Operation { return once(t.onDatabase(db)) })
	if err != nil {
		return nil, err
	}
	one := sent.body[1 : len(sent.body)-1]
	h := newHTTPCrowd(requests)
	p := h.player(func(ctx context.Context, n int) error {
		body := bytes.Join(slices.Repeat([][]byte{one}, n), []byte{','})
		return replay(exchange{url: sent.url, header: sent.header, body: slices.Concat([]byte{'['}, body, []byte{']'})}, h.client)(ctx)
	})
	return p.gathered(min(t.goroutines, requests), min(max(t.goroutines/requests, 1), most)), nil
}

// gathered returns a player that takes the turns of p by so many goroutines, with so many operations in
// each call.
func (p *player) gathered(goroutines, batch int) *player {
	take := func(ctx context.Context, order load.Order) (load.Turn, error) {
		order.Goroutines, order.Batch = goroutines, batch
		return p.take(ctx, order)
	}
	return &player{take: take, close: p.close}
}

// openGorqlite opens gorqlite's native API, with the time-out of its own client.
func openGorqlite(_ context.Context, s *Site, t task) (*player, error) {
	h := newHTTPCrowd(t.goroutines)
	h.client.Timeout = gorqlite.DefaultHTTPClient.Timeout
	conn, err := gorqlite.OpenWithClient(s.server.gorqliteURL(t.level), h.client)
	if err != nil {
		return nil, err
	}
	// Its default is a transaction around each request, which the others do without.
	if err := conn.SetExecutionWithTransaction(false); err != nil {
		return nil, err
	}
	return h.player(t.onGorqlite(conn)), nil
}

// openGorqliteDefault opens gorqlite's native API as it is.
func openGorqliteDefault(_ context.Context, s *Site, t task) (*player, error) {
	conn, err := gorqlite.Open(s.server.gorqliteURL(t.level))
	if err != nil {
		return nil, err
	}
	do := t.onGorqlite(conn)
	return &player{
		take: func(ctx context.Context, order load.Order) (load.Turn, error) { return load.Run(ctx, order, do) },
		close: func() error {
			conn.Close()
			gorqlite.DefaultHTTPClient.CloseIdleConnections()
			return nil
		},
	}, nil
}

// gorqliteURL returns the URL for gorqlite, with the level of reads. It finds the nodes of a cluster
// by itself; a node alone may have an address that is not the one it advertises.
func (s *Server) gorqliteURL(level string) string {
	url := s.URL + "?level=" + level
	if s.Nodes > 1 {
		return url
	}
	return url + "&disableClusterDiscovery=true"
}

func gorqliteInsert(conn *gorqlite.Connection, query string) load.Operation {
	return func(ctx context.Context, _ int) error {
		result, err := conn.WriteOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{
			Query: query, Arguments: []any{load.Name, load.Score, load.N},
		})
		if err != nil {
			return err
		}
		return load.Check(result.RowsAffected == 1)
	}
}

func gorqliteSelect(conn *gorqlite.Connection, query string) load.Operation {
	return func(ctx context.Context, _ int) error {
		var r record4
		rows, err := conn.QueryOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{
			Query: query, Arguments: []any{load.PointID},
		})
		if err != nil {
			return err
		}
		if !rows.Next() {
			return load.ErrWrongRows
		}
		if err := rows.Scan(&r.id, &r.name, &r.score, &r.n); err != nil {
			return err
		}
		return load.Check(r.id == load.PointID)
	}
}

// openStdlib opens gorqlite's database/sql driver, in a process of its own.
func openStdlib(ctx context.Context, s *Site, t task) (*player, error) {
	program, err := s.stdlib()
	if err != nil {
		return nil, err
	}
	kind := "select"
	if t.inserts {
		kind = "insert"
	}
	remote, err := load.Start(context.WithoutCancel(ctx), program, s.server.gorqliteURL(t.level), kind, t.query, strconv.Itoa(t.goroutines))
	if err != nil {
		return nil, err
	}
	return &player{
		take:  func(_ context.Context, order load.Order) (load.Turn, error) { return remote.Take(order) },
		close: remote.Close,
	}, nil
}

// openDriver returns what opens this driver, with settings for the DSN.
func openDriver(settings string) func(context.Context, *Site, task) (*player, error) {
	return func(_ context.Context, s *Site, t task) (*player, error) {
		cfg, err := rqlite.ParseDSN(s.server.URL + "?level=" + t.level + settings)
		if err != nil {
			return nil, err
		}
		connector, err := rqlite.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		db := sql.OpenDB(connector)
		db.SetMaxIdleConns(t.goroutines)
		do := t.onDatabase(db)
		return &player{
			take: func(ctx context.Context, order load.Order) (load.Turn, error) {
				before := connector.Stats().Requests
				turn, err := load.Run(ctx, order, do)
				turn.Requests = connector.Stats().Requests - before
				return turn, err
			},
			close: db.Close,
		}, nil
	}
}

// openDefaults opens this driver with a *sql.DB as it was opened. What counts the
// sockets is a transport that is tuned as the driver's own.
func openDefaults(_ context.Context, s *Site, t task) (*player, error) {
	cfg, err := rqlite.ParseDSN(s.server.URL)
	if err != nil {
		return nil, err
	}
	h := newHTTPCrowd(256)
	cfg.HTTPClient = h.client
	connector, err := rqlite.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	p := h.player(t.onDatabase(db))
	closeSockets := p.close
	p.close = func() error { return errors.Join(db.Close(), closeSockets()) }
	return p, nil
}
