package lab

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// Concurrent is something that many goroutines do at the same time.
type Concurrent struct {
	Name       string
	Goroutines []int // so many at a time
	Memory     bool  // the peak of the heap matters, too

	inserts    bool   // a row into a table of the client's own; otherwise it reads one
	level      string // of reads; "" is weak
	contenders []crowd
}

var goroutines = []int{1, 16, 64, 256, 1024}

// ConcurrentInsert has each goroutine insert a row at a time.
var ConcurrentInsert = &Concurrent{
	Name: "ConcurrentInsert", Goroutines: goroutines, inserts: true,
	contenders: []crowd{
		{"bare", openBare},
		{"gorqlite", openGorqlite},
		{"gorqlite-default", openGorqliteDefault},
		{"gorqlite-stdlib", openStdlib},
		{"driver", openDriver("")},
		{"driver-separate", openDriver("&coalesce=false")},
		{"bulk", openBulk},
	},
}

// ConcurrentSelect has each goroutine read a row by its key.
var ConcurrentSelect = &Concurrent{
	Name: "ConcurrentSelect", Goroutines: goroutines,
	contenders: []crowd{
		{"bare", openBare},
		{"gorqlite", openGorqlite},
		{"gorqlite-stdlib", openStdlib},
		{"driver", openDriver("")},
		{"driver-separate", openDriver("&coalesce=false")},
		{"bulk", openBulkReads},
	},
}

// ConcurrentSelectLinearizable and ConcurrentSelectNone do so at other levels.
var (
	ConcurrentSelectLinearizable = selectAt("Linearizable", "linearizable")
	ConcurrentSelectNone         = selectAt("None", "none")
)

func selectAt(name, level string) *Concurrent {
	sc := *ConcurrentSelect
	sc.Name, sc.level = sc.Name+name, level
	return &sc
}

// CrowdInsert and CrowdSelect have 10,000 goroutines do the same, on a *sql.DB that is
// as it was opened: nobody has told it how many there would be.
var (
	CrowdInsert = &Concurrent{
		Name: "CrowdInsert", Goroutines: []int{10_000}, Memory: true, inserts: true,
		contenders: []crowd{{"driver", openDefaults}},
	}
	CrowdSelect = &Concurrent{
		Name: "CrowdSelect", Goroutines: []int{10_000}, Memory: true,
		contenders: []crowd{{"driver", openDefaults}},
	}
)

// Concurrents returns all of them.
func Concurrents() []*Concurrent {
	return []*Concurrent{ConcurrentInsert, ConcurrentSelect, ConcurrentSelectLinearizable, ConcurrentSelectNone, CrowdInsert, CrowdSelect}
}

// ConcurrentClient is who takes part in a [Concurrent]. It has to be closed.
type ConcurrentClient struct {
	Name string

	site       *Site
	scenario   *Concurrent
	goroutines int
	table      string // of its own; "" where it only reads
	player     *player
	before     int // rows in the table when it was opened
	tally      load.Tally
}

// Clients opens those of a scenario for so many goroutines, "bare" first where it takes
// part. Inserts go to a new table for each.
func (sc *Concurrent) Clients(ctx context.Context, s *Site, goroutines int) (_ []*ConcurrentClient, err error) {
	var clients []*ConcurrentClient
	defer func() {
		if err != nil {
			for _, c := range clients {
				err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
			}
		}
	}()
	for _, who := range sc.contenders {
		t := task{inserts: sc.inserts, query: load.SelectQuery, level: cmp.Or(sc.level, "weak"), goroutines: goroutines}
		c := &ConcurrentClient{Name: who.name, site: s, scenario: sc, goroutines: goroutines}
		if sc.inserts {
			c.table = "bench_by_" + strings.ReplaceAll(who.name, "-", "_")
			t.query = insertInto(c.table)
			if err := s.setUp(ctx, c.makeTable); err != nil {
				return nil, err
			}
		}
		if c.player, err = who.open(ctx, s, t); err != nil {
			return nil, fmt.Errorf("%s, client %s: %w", sc.Name, who.name, err)
		}
		clients = append(clients, c)
		if c.before, err = c.rows(ctx); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

func (c *ConcurrentClient) makeTable(ctx context.Context, db *sql.DB) error {
	if err := c.dropTable(ctx, db); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, "CREATE TABLE "+c.table+insertColumns)
	return err
}

func (c *ConcurrentClient) dropTable(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS "+c.table)
	return err
}

// Turn has the client take a turn, with an order that needs no Goroutines.
func (c *ConcurrentClient) Turn(ctx context.Context, order load.Order) (load.Turn, error) {
	order.Goroutines, order.Heap = c.goroutines, c.scenario.Memory
	turn, err := c.player.take(ctx, order)
	c.tally.Acknowledged += turn.Operations
	c.tally.Failed += turn.Errors
	if err != nil {
		return turn, fmt.Errorf("%s, client %s: %w", c.scenario.Name, c.Name, err)
	}
	return turn, nil
}

// Tally counts the rows that are stored. It returns nil for a client that only reads.
func (c *ConcurrentClient) Tally(ctx context.Context) (*load.Tally, error) {
	if c.table == "" {
		return nil, nil
	}
	n, err := c.rows(ctx)
	t := c.tally
	t.Stored = n - c.before
	return &t, err
}

// rows returns how many are in the client's table, 0 where it has none.
func (c *ConcurrentClient) rows(ctx context.Context) (n int, err error) {
	if c.table != "" {
		err = c.site.db.QueryRowContext(ctx, "SELECT count(*) FROM "+c.table).Scan(&n)
	}
	return n, err
}

// Close closes the client's connections, and drops its table where the server goes on.
func (c *ConcurrentClient) Close(ctx context.Context) error {
	err := c.player.close()
	if c.table != "" && c.site.server.shared {
		err = errors.Join(err, c.site.setUp(ctx, c.dropTable))
	}
	return err
}
