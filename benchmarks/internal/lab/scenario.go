package lab

import (
	"context"
	"database/sql"
	"fmt"
)

// Operation is what is measured. It checks what it gets, and is not safe for
// concurrent use.
type Operation func(context.Context) error

// Scenario is one thing to do, and who does it how.
type Scenario struct {
	Name   string
	Memory bool // the peak of the heap matters, too
	// Statements is how many a loop in a transaction has; 0 for other scenarios.
	Statements int

	loop *loop // nil unless it is one
	// driver returns the operation on a database of the driver's. It is what the
	// client "bare" is derived from, so it sends one request.
	driver func(*Site, *sql.DB) Operation
	others []contender
}

// contender is another client.
type contender struct {
	name string
	open func(*Site) Operation
}

// Client is who takes part in a scenario.
type Client struct {
	Name string // "bare", "driver", "driver-any" or "gorqlite"
	Do   Operation
	// Before and After belong to each operation of a loop, and are not measured: they make the
	// table and check it. They are nil for other scenarios.
	Before, After Operation
}

// Clients returns those of a scenario, "bare" first.
func (sc *Scenario) Clients(ctx context.Context, s *Site) ([]Client, error) {
	sent, err := record(ctx, s, "weak", func(db *sql.DB) Operation { return sc.driver(s, db) })
	if err != nil {
		return nil, fmt.Errorf("%s: recording the driver's request: %w", sc.Name, err)
	}
	if sc.loop != nil { // the driver sends several statements as one
		if sent.body, err = sc.loop.body(s.statements(sc.Statements)); err != nil {
			return nil, err
		}
	}
	clients := []Client{
		sc.client(s, "bare", replay(sent, s.bare)),
		sc.client(s, "driver", sc.driver(s, s.db)),
	}
	for _, other := range sc.others {
		clients = append(clients, sc.client(s, other.name, other.open(s)))
	}
	return clients, nil
}

func (sc *Scenario) client(s *Site, name string, do Operation) Client {
	c := Client{Name: name, Do: do}
	if sc.loop != nil {
		db, n := s.db, s.statements(sc.Statements)
		if name == "sqlite" {
			db = s.sqlite
		}
		c.Before = func(ctx context.Context) error { return sc.loop.prepare(ctx, db, n) }
		c.After = func(ctx context.Context) error { return sc.loop.check(ctx, db, n) }
	}
	return c
}
