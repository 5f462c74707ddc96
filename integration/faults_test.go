//go:build unix

package integration_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plan says for how long a cluster is tormented, and how.
type plan struct {
	lasts time.Duration
	pause time.Duration // how long a paused leader stays so
	calm  time.Duration // between two faults
}

// faultPlan returns the short plan of every day, or the one RQLITE_SOAK asks for:
// "1" for a minute, or a duration.
func faultPlan(t *testing.T) plan {
	t.Helper()
	soak := os.Getenv("RQLITE_SOAK")
	if soak == "" {
		return plan{lasts: 12 * time.Second, pause: 2500 * time.Millisecond, calm: 500 * time.Millisecond}
	}
	p := plan{lasts: time.Minute, pause: 5 * time.Second, calm: time.Second}
	if soak != "1" {
		var err error
		p.lasts, err = time.ParseDuration(soak)
		require.NoError(t, err, "RQLITE_SOAK")
	}
	return p
}

// torments is what was done to a cluster.
type torments struct {
	kills, restarts, pauses, isolations int
}

// String implements fmt.Stringer.
func (d torments) String() string {
	return fmt.Sprintf("leader killed %d times, paused %d, restarted %d, isolated %d", d.kills, d.pauses, d.restarts, d.isolations)
}

// torment kills, pauses and restarts whoever leads, and isolates it from its followers if it has a
// link, in turn, until the plan's time is over. It leaves the cluster whole.
func (f *fleet) torment(t *testing.T, p plan) (done torments) {
	t.Helper()
	end := time.Now().Add(p.lasts)
	kinds := 3
	if f.members[0].link != nil {
		kinds = 4
	}
	for i := 0; time.Now().Before(end); i++ {
		linger(t.Context(), p.calm)
		leader := f.leader(t)
		switch i % kinds {
		case 0: // it comes back when another one leads
			f.kill(t, leader)
			f.leader(t)
			linger(t.Context(), p.calm)
			f.restart(t, leader)
			done.kills++
		case 1:
			f.pause(t, leader)
			linger(t.Context(), p.pause)
			f.resume(t, leader)
			done.pauses++
		case 2: // it is back before the others have noticed
			f.kill(t, leader)
			f.restart(t, leader)
			done.restarts++
		case 3: // it goes on for a while, and then another one leads
			f.isolate(leader)
			f.leader(t, leader)
			linger(t.Context(), p.calm)
			f.heal()
			done.isolations++
		}
	}
	return done
}

// linger lets time pass in which a fault has its effect.
func linger(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
