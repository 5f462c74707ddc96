//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fleet is a cluster of several nodes for tests of faults. Each node is behind
// a proxy, whose address it advertises, so that all of the driver's requests
// pass through proxies, while the nodes talk to each other directly, or through
// links.
type fleet struct {
	options serverOptions
	members []*member // the voters, and behind them the replicas
	voters  int
	client  *http.Client
	// partition is between voters of which each has a link.
	partition partition
}

// member is a node of a fleet.
type member struct {
	id      string
	address string // host:port of its HTTP API, without the proxy
	raft    string
	proxy   *proxy
	link    *link // of its Raft traffic, if it is a replica or all are linked; else nil
	runner  runner
	down    bool // killed
}

// runner runs one node.
type runner interface {
	// start starts the node, also after kill, with the data it had.
	start() error
	// ended is closed when the node has ended by itself since the last start.
	ended() <-chan struct{}
	kill() error   // at once, by SIGKILL
	pause() error  // by SIGSTOP or the like
	resume() error // after pause
	logs() string
	remove() error // for good; whatever state it is in
}

// fleetOptions says what is special about a fleet.
type fleetOptions struct {
	serverOptions
	voters, replicas int    // 3 and 1 unless voters is set
	advertise        string // host:port that all nodes advertise, instead of their proxies'
	linked           bool   // voters have links, too, so that one can be isolated from the others
}

// whole returns the options with their defaults.
func (o fleetOptions) whole() fleetOptions {
	if o.voters == 0 {
		o.voters, o.replicas = 3, 1
	}
	return o
}

// startFleet starts a cluster that ends with the test.
func startFleet(t *testing.T, options fleetOptions) *fleet {
	t.Helper()
	binary, err := findRqlited()
	require.NoError(t, err)
	options = options.whole()
	noteFleet("process")
	return newFleet(t, options, func(f *fleet, i int) (runner, error) {
		return newProcess(binary, options.serverOptions, f.flags(i, options))
	})
}

// newFleet starts a cluster, whose nodes are run by what place prepares.
func newFleet(t *testing.T, options fleetOptions, place func(f *fleet, i int) (runner, error)) *fleet {
	t.Helper()
	options = options.whole()
	f := &fleet{options: options.serverOptions, voters: options.voters, client: options.client()}
	t.Cleanup(func() { require.NoError(t, f.remove()) })
	for i := range options.voters + options.replicas {
		m := &member{id: fmt.Sprintf("n%d", i+1), address: freePort(t), raft: freePort(t)}
		f.members = append(f.members, m)
		var err error
		m.proxy, err = newProxy(freePort(t), m.address)
		require.NoError(t, err)
		if i >= options.voters || options.linked {
			m.link, err = newLink(freePort(t), m.raft, &f.partition)
			require.NoError(t, err)
		}
		m.runner, err = place(f, i)
		require.NoError(t, err)
	}
	require.NoError(t, f.start(f.members[0]), "the first node")
	var started sync.WaitGroup
	for _, m := range f.members[1:] {
		started.Go(func() {
			if err := f.start(m); err != nil {
				t.Errorf("%s: %v\n%s", m.id, err, m.runner.logs())
			}
		})
	}
	started.Wait()
	require.False(t, t.Failed())
	return f
}

// flags returns the flags of a node.
func (f *fleet) flags(i int, options fleetOptions) []string {
	m := f.members[i]
	advertised := f.host(m)
	if options.advertise != "" {
		advertised = options.advertise
	}
	flags := []string{"-node-id", m.id, "-http-addr", m.address, "-http-adv-addr", advertised, "-raft-addr", m.raft}
	if i > 0 {
		flags = append(flags, "-join", f.members[0].raft, "-join-interval", "200ms", "-join-attempts", "50")
	}
	if i >= options.voters {
		flags = append(flags, "-raft-non-voter")
	}
	if m.link != nil {
		flags = append(flags, "-raft-adv-addr", m.link.address)
	}
	if len(options.users) > 0 && i > 0 {
		flags = append(flags, "-join-as", options.users[0].Name)
	}
	return flags
}

// givenPorts are the addresses that freePort has returned.
var givenPorts sync.Map

// freePort returns an address on loopback that nobody listens on. Its port is
// below those that the system gives to outgoing connections, and is given to
// nobody else, so that it stays free while a node is down.
func freePort(t *testing.T) string {
	t.Helper()
	const lowest, highest = 12000, 32000
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.N(highest-lowest))
		if _, given := givenPorts.LoadOrStore(address, true); given {
			continue
		}
		if listener, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, listener.Close())
			return address
		}
	}
	require.FailNow(t, "no free port")
	return ""
}

// start starts a node and waits until it is ready.
func (f *fleet) start(m *member) error {
	if err := m.runner.start(); err != nil {
		return err
	}
	_, err := waitReady(f.options, f.url(m), m.runner.ended())
	return err
}

func (f *fleet) url(m *member) string { return f.options.scheme() + "://" + m.address }

// host returns where clients find a node: at its proxy, unless they speak TLS,
// which the proxy does not.
func (f *fleet) host(m *member) string {
	if f.options.tls != nil {
		return m.address
	}
	return m.proxy.address
}

// dsn returns a DSN with the proxies of the given nodes, of all if there are none.
func (f *fleet) dsn(members ...int) string {
	var hosts []string
	for i, m := range f.members {
		if len(members) == 0 || slices.Contains(members, i) {
			hosts = append(hosts, f.host(m))
		}
	}
	return f.options.dsn(strings.Join(hosts, ","))
}

// obey makes rule decide over each request to any of the nodes, as [proxy.obey] does for
// one. It may be called for several of them at the same time.
func (f *fleet) obey(rule func(passage) fate) {
	for _, m := range f.members {
		m.proxy.obey(rule)
	}
}

// kill ends a node by SIGKILL. Its connections break, and new ones are refused.
func (f *fleet) kill(t *testing.T, i int) {
	t.Helper()
	m := f.members[i]
	m.proxy.refuse()
	require.NoError(t, m.runner.kill())
	m.down = true
}

// restart starts a node that was killed, and waits until it is ready.
func (f *fleet) restart(t *testing.T, i int) {
	t.Helper()
	m := f.members[i]
	require.NoError(t, f.start(m), m.runner.logs())
	require.NoError(t, m.proxy.accept())
	m.down = false
}

// pause stops a node; the system still accepts connections for it.
func (f *fleet) pause(t *testing.T, i int) {
	t.Helper()
	require.NoError(t, f.members[i].runner.pause())
}

func (f *fleet) resume(t *testing.T, i int) {
	t.Helper()
	require.NoError(t, f.members[i].runner.resume())
}

// isolate keeps the Raft traffic between a node and all others waiting until heal. Clients still reach
// it. The voters have to be linked.
func (f *fleet) isolate(i int) { f.partition.isolate(f.members[i].link.address) }

func (f *fleet) heal() { f.partition.heal() }

func (f *fleet) remove() error {
	f.heal()
	var errs []error
	for _, m := range f.members {
		if m.proxy != nil {
			m.proxy.close()
		}
		if m.link != nil {
			m.link.cut()
		}
		if m.runner != nil {
			errs = append(errs, m.runner.remove())
		}
	}
	return errors.Join(errs...)
}

// status is what is of interest in a node's answer to /status.
type status struct {
	Store struct {
		FSMIndex int64 `json:"fsm_index"`
		Raft     struct {
			State       string `json:"state"`
			CommitIndex int64  `json:"commit_index"`
			LastIndex   int64  `json:"last_log_index"`
			Applied     int64  `json:"applied_index"`
		} `json:"raft"`
	} `json:"store"`
}

// status asks a node for its status, not by way of the proxy.
func (f *fleet) status(ctx context.Context, i int) (s status, err error) {
	err = f.get(ctx, i, "/status", &s)
	return s, err
}

func (f *fleet) get(ctx context.Context, i int, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url(f.members[i])+path, nil)
	if err != nil {
		return err
	}
	f.authorize(req)
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", path, resp.StatusCode, text)
	}
	return json.Unmarshal(text, answer)
}

func (f *fleet) authorize(req *http.Request) {
	if len(f.options.users) > 0 {
		req.SetBasicAuth(f.options.users[0].Name, f.options.users[0].Password)
	}
}

// leader waits until there is exactly one node that leads, among those which
// answer, and returns its index.
func (f *fleet) leader(t *testing.T, except ...int) int {
	t.Helper()
	found := -1
	require.NoError(t, f.until(t.Context(), func(ctx context.Context) error {
		found = -1
		for i := range f.voters {
			if f.members[i].down || slices.Contains(except, i) {
				continue
			}
			if s, err := f.status(ctx, i); err == nil && s.Store.Raft.State == "Leader" {
				if found >= 0 {
					return errors.New("two nodes think that they lead")
				}
				found = i
			}
		}
		if found < 0 {
			return errors.New("nobody leads")
		}
		return nil
	}))
	return found
}

// settle waits until all nodes have applied the same log, and all of it.
func (f *fleet) settle(t *testing.T) {
	t.Helper()
	leader := f.leader(t)
	require.NoError(t, f.until(t.Context(), func(ctx context.Context) error {
		want, err := f.status(ctx, leader)
		if err != nil {
			return err
		}
		for i, m := range f.members {
			got, err := f.status(ctx, i)
			switch {
			case err != nil:
				return err
			case got.Store.Raft.Applied != want.Store.Raft.LastIndex, got.Store.FSMIndex != want.Store.FSMIndex:
				return fmt.Errorf("%s has applied %d and %d, of %d and %d", m.id,
					got.Store.Raft.Applied, got.Store.FSMIndex, want.Store.Raft.LastIndex, want.Store.FSMIndex)
			}
		}
		return nil
	}))
}

// until asks again and again until there is no error, or for startTimeout.
func (f *fleet) until(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ask(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// onFleets runs a test where there can be clusters of processes.
func onFleets(t *testing.T, test func(*testing.T)) {
	t.Helper()
	onBackend(t, "process", test)
}

// onBackend runs a test for one backend, if it is chosen and there.
func onBackend(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	list, _, err := chosen()
	require.NoError(t, err)
	i := slices.IndexFunc(list, func(b *backend) bool { return b.name == name })
	if i < 0 {
		t.Skipf("the backend %s is not chosen", name)
	}
	t.Run(name, func(t *testing.T) {
		if list[i].err != nil {
			t.Skipf("backend %s: %v", name, list[i].err)
		}
		list[i].count(t)
		test(t)
	})
}

// openNode opens a database that asks one node, by way of its proxy.
func (f *fleet) openNode(t *testing.T, i int, settings ...string) *sql.DB {
	t.Helper()
	return openDSN(t, withSettings(f.dsn(i), append([]string{"discovery=off"}, settings...)...))
}
