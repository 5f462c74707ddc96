//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// behindElection is how long after the first write that the cluster takes
	// from anybody the driver's own has to succeed.
	behindElection = 500 * time.Millisecond
	// behindDeadline is how late a call may return when its context has ended,
	// not counting how late this machine is with a timer of its own.
	behindDeadline = 50 * time.Millisecond
)

// TestAvailability takes the leader away, and compares when the driver can
// write again with when plain HTTP requests to all nodes can. All the while, calls
// with deadlines have to return on time.
func TestAvailability(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE t (n INT); CREATE TABLE probe (n INT)")
		f.settle(t)
		rounds := 1
		if faultPlan(t).lasts >= time.Minute {
			rounds = 4
		}
		for round := range rounds {
			for _, fault := range []string{"SIGKILL", "SIGSTOP"} {
				leader := f.leader(t)
				mustExec(t, db, "INSERT INTO t VALUES (?)", round) // the driver knows the leader
				end := f.watchDeadlines(t, db)
				lost := time.Now()
				if fault == "SIGKILL" {
					f.kill(t, leader)
				} else {
					f.pause(t, leader)
				}
				election, driver := f.recovery(t, db, lost, leader)
				report(t, "%s of the leader: the first write by HTTP after %v, by the driver after %v",
					fault, election.Round(time.Millisecond), driver.Round(time.Millisecond))
				assert.LessOrEqual(t, driver, election+behindElection, "%s: the driver is late", fault)
				if fault == "SIGKILL" {
					f.restart(t, leader)
				} else {
					f.resume(t, leader)
				}
				end()
				f.settle(t)
			}
		}
	})
}

// recovery returns how long after lost the first writes succeed that were begun
// after it: of plain HTTP requests to all nodes but the one that was lost, and of
// the driver.
func (f *fleet) recovery(t *testing.T, db *sql.DB, lost time.Time, except int) (election, driver time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	elected := make(chan time.Time, len(f.members))
	polling, stop := context.WithCancel(ctx)
	defer stop()
	var pollers sync.WaitGroup
	defer pollers.Wait()
	for i := range f.voters {
		if i != except {
			pollers.Go(func() { f.poll(polling, i, elected) })
		}
	}
	written := make(chan time.Time, 1)
	pollers.Go(func() {
		for ctx.Err() == nil {
			if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (-1)"); err == nil {
				written <- time.Now()
				return
			}
		}
	})
	for elected, written := elected, written; elected != nil || written != nil; {
		select {
		case at := <-elected:
			election, elected = at.Sub(lost), nil
			stop()
		case at := <-written:
			driver, written = at.Sub(lost), nil
		case <-ctx.Done():
			require.FailNow(t, "nobody can write", "election %v, driver %v", election, driver)
		}
	}
	return election, driver
}

// poll writes by HTTP to one node until it succeeds, which only a leader does:
// the others redirect. Requests overlap, since a node can be stuck with one of them:
// before it redirects, it asks the leader that it believes in for its address.
func (f *fleet) poll(ctx context.Context, i int, done chan<- time.Time) {
	var requests sync.WaitGroup
	defer requests.Wait()
	again := time.NewTicker(40 * time.Millisecond)
	defer again.Stop()
	for {
		requests.Go(func() {
			if err := f.postOnce(ctx, i); err == nil {
				select {
				case done <- time.Now():
				default: // another one was first
				}
			}
		})
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *fleet) postOnce(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url(f.members[i])+"/db/execute?redirect",
		strings.NewReader(`["INSERT INTO probe VALUES (1)"]`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Transport.RoundTrip(req) // which follows no redirects
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Results []struct {
			Rows int `json:"rows_affected"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if len(answer.Results) != 1 || answer.Results[0].Rows != 1 {
		return fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return nil
}

// watchDeadlines makes calls with short deadlines until its result is called,
// which fails the test when one of them returned late.
func (f *fleet) watchDeadlines(t *testing.T, db *sql.DB) (end func()) {
	t.Helper()
	stop := make(chan struct{})
	var calls sync.WaitGroup
	var mu sync.Mutex
	latest, timer := map[string]time.Duration{}, time.Duration(0)
	ended := 0
	for i, deadline := range []time.Duration{100 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond} {
		for what, call := range map[string]func(context.Context) error{
			"write": func(ctx context.Context) error {
				_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (?)", i)
				return err
			},
			"read": func(ctx context.Context) error {
				var n int
				return db.QueryRowContext(ctx, "SELECT count(*) FROM probe").Scan(&n)
			},
			"timer": func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			},
		} {
			calls.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					ctx, cancel := context.WithTimeout(context.Background(), deadline)
					err := call(ctx)
					end, _ := ctx.Deadline()
					late := time.Since(end)
					cancel()
					mu.Lock()
					if what == "timer" {
						timer = max(timer, late)
					} else {
						latest[what] = max(latest[what], late)
					}
					if what != "timer" && errors.Is(err, context.DeadlineExceeded) {
						ended++
					}
					mu.Unlock()
				}
			})
		}
	}
	return func() {
		t.Helper()
		close(stop)
		calls.Wait()
		report(t, "%d calls ended by their deadlines; writes up to %v late, reads %v, and bare timers %v",
			ended, latest["write"].Round(time.Microsecond), latest["read"].Round(time.Microsecond), timer.Round(time.Microsecond))
		assert.Positive(t, ended, "no deadline ended a call: the test tests nothing")
		for what, late := range latest {
			assert.LessOrEqual(t, late, timer+behindDeadline, "a %s returned late", what)
		}
	}
}
