package autocommit

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// An atomic batch sends a run of one INSERT as one statement; see package fuse. Each statement of the
// batch has promised results, so that the guard also demands that SQLite chooses the ids.

// sentPart is a part of a batch: one statement, or a run that is fused.
type sentPart struct {
	first, count int  // of the batch's statements
	guard        bool // a guard goes in front
}

// fusedBatch is a batch in the form in which it is sent.
type fusedBatch struct {
	parts []sentPart
	sent  []bind.Stmt
}

// fuseBatch returns the form in which to send an atomic batch, nil if nothing is fused.
func (c *Session) fuseBatch(stmts []bind.Stmt) (*fusedBatch, error) {
	if len(stmts) < fuse.Fewest || c.engine.Nodes.Forwarding() || haveReturning(stmts) {
		return nil, nil
	}
	b, fuses, finder := &fusedBatch{}, false, fuse.Finder{}
	refused := func(text string) bool { return c.engine.texts.Has(text, unfusable) }
	for next := 0; next < len(stmts); {
		rest, size := stmts[next:], 0
		fits := func(_ *fuse.Run, i int) bool {
			size += bind.Size(rest[i : i+1])
			return i == 0 || size <= fuse.Largest
		}
		run, count := finder.Next(len(rest), func(i int) *bind.Stmt { return &rest[i] }, fits, refused)
		if count < fuse.Fewest {
			b.parts = append(b.parts, sentPart{first: next, count: 1})
			b.sent = append(b.sent, stmts[next])
			next++
			continue
		}
		guard, ok := run.GuardIDs()
		if !ok {
			return nil, nil
		}
		if err := b.add(stmts, &run, guard, next, count); err != nil {
			return nil, err
		}
		next, fuses = next+count, true
	}
	if !fuses {
		return nil, nil
	}
	return b, nil
}

// add adds a run. Its first statement goes by itself, and shows the id behind which the others follow.
// So does its last one, and leaves changes() as all would.
func (b *fusedBatch) add(stmts []bind.Stmt, run *fuse.Run, guard bind.Stmt, first, count int) error {
	last := first + count - 1
	fused, err := run.Statement(func(yield func([]any) bool) {
		for i := first + 1; i < last && yield(stmts[i].Values); i++ {
		}
	})
	b.parts = append(b.parts, sentPart{first: first, count: 1}, sentPart{first: first + 1, count: count - 2, guard: true}, sentPart{first: last, count: 1})
	b.sent = append(b.sent, stmts[first], guard, fused, stmts[last])
	return err
}

// execBatchFused sends an atomic batch in a fused form. If there is none, or the server has rolled it
// back, the error is fuse.ErrRefused. Sent as it is, the batch then tells which statement fails.
func (c *Session) execBatchFused(ctx context.Context, stmts []bind.Stmt, how writeOptions) ([]result.Outcome, error) {
	fused, err := c.fuseBatch(stmts)
	if err != nil || fused == nil {
		return nil, fuse.ErrRefused // an error is told as that of its statement
	}
	return c.execFused(ctx, fused, stmts, how)
}

// execFused sends a batch in its fused form. If the server has rolled it back, the error is fuse.ErrRefused.
func (c *Session) execFused(ctx context.Context, b *fusedBatch, stmts []bind.Stmt, how writeOptions) ([]result.Outcome, error) {
	req := cluster.Request{Path: cluster.ExecutePath, Params: cluster.WriteParams + cluster.Transaction}
	answer, err := c.write(ctx, req, b.sent, how)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	results := make([]result.Outcome, len(stmts))
	id := int64(0)
	for _, part := range b.parts {
		if id, err = c.readPart(answer, part, stmts, results, id); err != nil {
			return nil, c.perhapsForwarded(err, how)
		}
	}
	if err := answer.End(); err != nil {
		return nil, sqlerr.From(err)
	}
	state := c.engine.Versions.LastState()
	for i := range results {
		results[i].LastInsertID = state.RealRowid(results[i].LastInsertID)
	}
	return results, nil
}

// perhapsForwarded returns the error of a fused batch that failed. If a node may have sent it twice, the
// failure says nothing of the first time, unless that would have left a token.
func (c *Session) perhapsForwarded(err error, how writeOptions) error {
	if errors.Is(err, fuse.ErrRefused) && how.attempt.token == nil && c.engine.Nodes.Forwarding() {
		return sqlerr.Of(sqlerr.ErrIndeterminate, errors.New("the batch may have been forwarded twice"))
	}
	return err
}

// readPart reads the entries of a part into the results of the batch. before is the id of the last row
// inserted before it. It returns that of the last row of the part.
func (c *Session) readPart(answer *cluster.Answer, p sentPart, stmts []bind.Stmt, results []result.Outcome, before int64) (last int64, err error) {
	if p.guard {
		failed, err := readRefusal(answer)
		if failed {
			c.engine.texts.Add(stmts[p.first].Text, unfusable)
		}
		if err != nil {
			return 0, err
		}
	}
	if _, err := readRefusal(answer); err != nil {
		return 0, err
	}
	entry := answer.Result()
	if p.count == 1 {
		results[p.first].LastInsertID, results[p.first].RowsAffected = entry.LastInsertID, entry.RowsAffected
		return entry.LastInsertID, nil
	}
	rows := entry.RowsAffected / int64(p.count)
	if entry.LastInsertID != before+rows*int64(p.count) {
		return 0, errIDsLost
	}
	for i := range p.count {
		results[p.first+i].RowsAffected = rows
		results[p.first+i].LastInsertID = before + rows*int64(i+1)
	}
	return entry.LastInsertID, nil
}

// readRefusal reads an entry. It reports whether the statement has failed. The error then is
// fuse.ErrRefused, if the server has rolled back the batch.
func readRefusal(answer *cluster.Answer) (failed bool, err error) {
	entry, err := answer.Next()
	switch {
	case err != nil:
		return false, sqlerr.From(err)
	case entry.Error == "":
		return false, nil
	}
	if err := answer.Undone(); err != nil {
		return true, sqlerr.From(err)
	}
	return true, fuse.ErrRefused
}

var errIDsLost = sqlerr.Told(errors.New("the batch was applied, but the ids of its rows are not known, because the largest id is taken"), sqlerr.ErrRowsLost)
