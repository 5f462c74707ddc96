package txn

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// operation is one statement of a transaction, and what the program saw of it.
// It can be run again, to see whether the program would see the same.
type operation struct {
	bind.Stmt
	body    []byte // as it is sent
	isWrite bool
	// probed says that the counts of a write with RETURNING are wanted in place
	// of its rows, which takes a question of its own.
	needsCounts bool
	wantsRows   bool // the program wants rows
	// clears says that it drops the version table, or deletes rows of it.
	clears bool
	// defers says that it sets whether foreign keys are looked at only by the commit.
	defers bool
	set    *result.Set
	// savepoint is the name of a mark in the list, which is no statement.
	savepoint string

	failure string // what the server said when it failed, or ""
	seen    result.Observation
	lastInsertID,
	rowsAffected int64
	insertIDSeen bool // the program asked for lastInsertID
	err          error
}

// isSavepoint reports whether the operation is a savepoint.
func (o *operation) isSavepoint() bool { return o.Kind == sqltext.Control }

// isGuarded reports whether a guard follows the rows of the operation in a guarded trial. Where
// counts are asked for, the question is the guard.
func (o *operation) isGuarded() bool { return o.Returning > 0 && !o.needsCounts && o.failure == "" }

// isUnseen reports whether the program closed the rows of a script before it came
// to those of the operation, so that they are of no account.
func (o *operation) isUnseen() bool {
	return o.wantsRows && !o.isWrite && !o.defers && !o.seen.Begun && o.failure == ""
}

// changes reports whether the operation belongs to what a commit applies.
func (o *operation) changes() bool { return o.isWrite && o.failure == "" }

// isSent reports whether the operation is part of each trial and of the commit.
func (o *operation) isSent() bool { return o.changes() || o.defers }

// sameAgain reports whether the operation, which was run again, shows the program
// the same as before. It reads the entries of the operation.
func (o *operation) sameAgain(answer *cluster.Answer, state occ.State) (bool, error) {
	entry, err := answer.Next()
	switch {
	case err != nil:
		return false, sqlerr.From(err)
	case o.failure != "":
		return failsWith(answer, entry, o.failure)
	case entry.Error != "":
		return false, nil
	case !o.isWrite && !o.seen.Begun:
		return true, nil // the program wanted no rows
	case o.clears:
		return o.countsAgain(answer, entry)
	case !o.isWrite || o.Returning > 0 && !o.needsCounts:
		same, err := o.seen.SameIn(answer, entry)
		return same && (answer.Result().Error == "" || !o.seen.Ended), sqlerr.From(err)
	}
	id, rows, err := o.counts(answer, entry)
	if err != nil || o.Kind != sqltext.Write {
		return err == nil, err
	}
	return rows == o.rowsAffected && o.sameInsertID(state.RealRowid(id)), nil
}

// countsAgain reads what is left of the entries of an operation on the version table, which is the
// same again whatever they say: others announce themselves there, and leave tokens.
func (o *operation) countsAgain(answer *cluster.Answer, entry *wire.Result) (bool, error) {
	_, _, err := o.counts(answer, entry)
	return true, err
}

// failsWith reports whether an entry is a failure with a message, at once or
// behind some rows.
func failsWith(answer *cluster.Answer, entry *wire.Result, message string) (bool, error) {
	if entry.Error == "" && len(entry.Columns) > 0 {
		for {
			err := answer.NextRow()
			if errors.Is(err, io.EOF) {
				break
			}
			for range entry.Columns {
				if err == nil {
					_, err = answer.Cell()
				}
			}
			if err != nil {
				return false, sqlerr.From(err)
			}
		}
	}
	return answer.Result().Error == message, nil
}

// sameInsertID reports whether a rowid is the one that the program saw. One that
// it did not see is replaced.
func (o *operation) sameInsertID(id int64) bool {
	if o.Insert && o.insertIDSeen {
		return o.lastInsertID == id
	}
	o.lastInsertID = id
	return true
}

// counts returns what the entry says of a write, or the one behind it where the
// write was probed.
func (o *operation) counts(answer *cluster.Answer, entry *wire.Result) (lastInsertID, rowsAffected int64, err error) {
	lastInsertID, rowsAffected = entry.LastInsertID, entry.RowsAffected
	if !o.needsCounts {
		return lastInsertID, rowsAffected, nil
	}
	// Where the server does not see the clause, the entry has the counts of the statement before.
	probe, err := answer.Next()
	if err != nil {
		return 0, 0, sqlerr.From(err)
	}
	switch {
	case probe.Error != "":
		return 0, 0, fmt.Errorf("rqlite: the transaction ended while it was tried out (%q): it cannot go on", probe.Error)
	case len(probe.Columns) == 0:
		return lastInsertID, rowsAffected, nil
	}
	if err := answer.NextRow(); err != nil {
		return 0, 0, sqlerr.From(err)
	}
	for _, count := range []*int64{&lastInsertID, &rowsAffected} {
		cell, err := answer.Cell()
		if err != nil {
			return 0, 0, sqlerr.From(err)
		}
		*count, _ = result.ParseInt(cell.Data)
	}
	return lastInsertID, rowsAffected, nil
}

// LastInsertId implements driver.Result. From now on the transaction can be
// committed only if this is the id.
func (o *operation) LastInsertId() (int64, error) {
	o.insertIDSeen = true
	return o.lastInsertID, o.err
}

// RowsAffected implements driver.Result.
func (o *operation) RowsAffected() (int64, error) { return o.rowsAffected, o.err }

// Fail implements result.Witness.
func (o *operation) Fail(message string) { o.failure = message }

// Seen implements result.Witness.
func (o *operation) Seen() *result.Observation { return &o.seen }

// witnesses returns the operations as what is told of their rows.
func (l operations) witnesses() []result.Witness {
	list := make([]result.Witness, len(l))
	for i, o := range l {
		list[i] = o
	}
	return list
}

// operations is what a transaction has done so far, in order.
type operations []*operation

// read reports whether the program has seen more than the writes show: rows that
// were read, or failures.
func (l operations) read() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return !o.isSavepoint() && !o.isSent() })
}

// explain reports whether an EXPLAIN is among them.
func (l operations) explain() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.Keyword == "EXPLAIN" })
}

// wantRows reports whether the rows of a RETURNING clause are wanted.
func (l operations) wantRows() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.Returning > 0 && !o.needsCounts })
}

// tried reports whether a write was among them, even one that failed.
func (l operations) tried() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.isWrite })
}

// written reports whether there is something to commit.
func (l operations) written() bool { return slices.ContainsFunc(l, (*operation).changes) }

// haveSavepoints reports whether savepoints are among them.
func (l operations) haveSavepoints() bool { return slices.ContainsFunc(l, (*operation).isSavepoint) }

// reads returns those that write nothing.
func (l operations) reads() operations {
	return l.filter(func(o *operation) bool { return !o.isWrite && !o.defers && !o.isSavepoint() && !o.isUnseen() })
}

// notWriting returns reads, and what ROLLBACK TO leaves set.
func (l operations) notWriting() operations {
	return l.filter(func(o *operation) bool { return !o.isWrite && !o.isSavepoint() && !o.isUnseen() })
}

// succeeded returns those that one request can run, which a failure would end.
func (l operations) succeeded() operations {
	return l.filter(func(o *operation) bool { return o.failure == "" && !o.isSavepoint() && !o.isUnseen() })
}

// changes returns those that a commit sends.
func (l operations) changes() operations { return l.filter((*operation).isSent) }

// deferrals returns those that set whether foreign keys are deferred.
func (l operations) deferrals() operations {
	return l.filter(func(o *operation) bool { return o.defers })
}

func (l operations) filter(keep func(*operation) bool) operations {
	list := make(operations, 0, len(l))
	for _, o := range l {
		if keep(o) {
			list = append(list, o)
		}
	}
	return list
}

// inserts reports whether one of them is an INSERT.
func (l operations) inserts() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.Insert })
}

// inserted reports whether one of them has inserted a row with a rowid, so that
// last_insert_rowid() is a matter of the transaction's own.
func (l operations) inserted() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.lastInsertID != 0 })
}

// clear reports whether one of them takes rows of the version table away.
func (l operations) clear() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.clears })
}

// changesSchema reports whether one of them changes the schema.
func (l operations) changesSchema() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.Kind != sqltext.Write })
}

// savepoint returns the position of the last mark of a name, or -1.
func (l operations) savepoint(name string) int {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].isSavepoint() && sqltext.EqualNames(l[i].savepoint, name) {
			return i
		}
	}
	return -1
}

// tellState takes note of the operations of a transaction that was committed.
func (l operations) tellState(s *bind.ConnState) {
	for _, o := range l.changes() {
		switch {
		case o.Kind != sqltext.Write:
		case o.wantsRows && o.Returning > 0:
			s.Lose()
		default:
			s.Inserted(o.Statement, o.lastInsertID, o.rowsAffected)
		}
	}
}
