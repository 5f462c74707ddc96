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
}

// Clients returns those of a scenario, "bare" first.
func (sc *Scenario) Clients(ctx context.Context, s *Site) ([]Client, error) {
	sent, err := record(ctx, s, func(db *sql.DB) Operation { return sc.driver(s, db) })
	if err != nil {
		return nil, fmt.Errorf("%s: recording the driver's request: %w", sc.Name, err)
	}
	clients := []Client{
		{"bare", replay(sent, s.bare)},
		{"driver", sc.driver(s, s.db)},
	}
	for _, other := range sc.others {
		clients = append(clients, Client{other.name, other.open(s)})
	}
	return clients, nil
}
