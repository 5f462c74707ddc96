package txn

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// maxLostRaces is how many races a transaction loses before it announces itself.
const maxLostRaces = 2

// patience returns when a transaction that keeps losing races gives up. The zero time means never.
func (t *Tx) patience() time.Time {
	timeout := t.env.Timeout
	if timeout == 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// lose records a lost race: another writer moved the version between validation and commit. After
// maxLostRaces the transaction announces itself.
func (t *Tx) lose(ctx context.Context, patience time.Time) error {
	if !patience.IsZero() && time.Now().After(patience) {
		return t.conflict("other writers were faster each time, until the time-out")
	}
	if t.lostRaces++; t.lostRaces < maxLostRaces {
		return nil
	}
	t.lostRaces = 0
	if err := t.announce(ctx); err != nil && ctx.Err() != nil {
		return err
	}
	return nil // it may win without an announcement
}

// announce asks the writers of other processes to hold back for a while. They read the announcement
// in the version table. announce creates the table if there is none: a transaction that loses
// before its first commit request would not.
func (t *Tx) announce(ctx context.Context) error {
	name := rand.Text()
	hold := min(max(2*t.lastCommitTime, occ.ShortestHold), occ.LongestHold)
	t.env.Versions.Backoff.Announced(name)
	var b body
	b.statement("INSERT OR REPLACE INTO _rqlite_tx(k,v,token) VALUES(-1," + strconv.FormatInt(hold.Milliseconds(), 10) + ",'" + name + "')")
	body := b.end()
	for made := false; ; made = true {
		failed, err := t.postAnnouncement(ctx, body)
		switch {
		case err != nil:
			return err
		case failed == "":
			t.announced = name
			return nil
		case made || !occ.IsMissing(failed):
			return nil // announcements affect only progress
		}
		if err := t.env.Versions.Make(ctx); err != nil {
			return err
		}
	}
}

// postAnnouncement returns why the statement failed, or "".
func (t *Tx) postAnnouncement(ctx context.Context, body []byte) (failed string, err error) {
	answer, err := t.env.Sender.Send(ctx, &cluster.Request{
		Path:   cluster.ExecutePath,
		Params: cluster.WriteParams,
		Leader: true, // and no Write: it can be repeated
		Body:   body,
	})
	if err != nil {
		return "", err
	}
	defer answer.Close()
	entry, err := answer.Next()
	if err != nil {
		return "", sqlerr.From(err)
	}
	return entry.Error, nil
}
