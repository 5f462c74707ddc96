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

// operation is one statement of a transaction, and what the program saw of it. It can be run again,
// to check that the program would see the same. Like its Tx it is used by one goroutine at a time;
// database/sql calls its methods under the lock of the connection.
type operation struct {
	// The first part is set before the operation runs, and does not change afterwards, except for
	// isWrite.
	bind.Stmt
	source  string   // the shape of the text as the program wrote it, without defaults of the driver
	history *history // of source; nil until historyOf sets it
	body    []byte   // the encoded statement; nil for a savepoint
	// isWrite says that the operation may change the database. The first run clears it for a
	// statement of unknown kind that turns out to return columns.
	isWrite bool
	// needsCounts says that the program wants the counts of a write with RETURNING instead of its
	// rows. A probe behind the statement asks for them. Invariant: !needsCounts || !wantsRows.
	needsCounts bool
	wantsRows   bool // the program wants rows
	// tellsID says that a probe for the rowid follows the operation in trials, because its rows of
	// RETURNING may tell it. try sets it.
	tellsID bool
	// clears says that it drops the version table, or deletes rows of it.
	clears bool
	// defers says that it sets whether the check of foreign keys waits for the commit. Invariant:
	// !defers || !isWrite.
	defers bool
	// set holds the rows of the first run, until the program gets them; nil if there are none.
	set *result.Set
	// savepoint is the name of an open savepoint, which is no statement; Tx.control sets it.
	savepoint string

	// failure is the server's message if the first run failed, else "". Tx.result sets it, or Fail
	// while the program reads rows. A failed operation is never committed.
	failure string
	// seen grows while the program reads the rows of the first run. Later runs are compared with
	// it.
	seen *result.Observation // nil before the rows begin
	// The counts are those of the last run, until the program was told them.
	lastInsertID,
	rowsAffected int64
	insertIDSeen bool  // the program was told lastInsertID; never reset
	countsSeen   bool  // the program was told rowsAffected, or will be at once; never reset
	err, idErr   error // of the driver.Result, and of its id alone; set at the end of the transaction

	// tx is the transaction while the operation waits, else nil. wait sets it; settleUntried and tell
	// reset it.
	tx        *Tx
	execution int // which execution of its text in the transaction it is, from 1
	// foreseenID and foreseenRows are the counts that are foreseen while the operation waits. Both
	// are 0 if none are.
	foreseenID, foreseenRows int64
	foreseen                 bool // the program was told what is foreseen; never reset
	// rowid is what the probe told, if tellsID. returnedID is the id in the last row of RETURNING, or 0.
	rowid, returnedID int64
	told              *result.Set // the rows that the program was told while it waited; nil if it wanted none
}

// waits reports whether the operation waits on the client.
func (o *operation) waits() bool { return o.tx != nil }

// isSavepoint reports whether the operation is SAVEPOINT, RELEASE or ROLLBACK TO.
func (o *operation) isSavepoint() bool { return o.Kind == sqltext.Control }

// isProbed reports whether a probe or a guard follows the operation in a trial of a form, besides the
// probe for counts.
func (o *operation) isProbed(form trialForm) bool {
	return o.wantsReturning() && o.failure == "" && (form.guarded || o.tellsID)
}

// isUnseen reports whether the program closed the rows of a script before it came to those of the
// operation. Then the operation need not hold.
func (o *operation) isUnseen() bool {
	return o.wantsRows && !o.isWrite && !o.defers && !o.begun() && o.failure == ""
}

// changes reports whether the commit applies the operation.
func (o *operation) changes() bool { return o.isWrite && o.failure == "" }

// isSent reports whether the operation is part of each trial and of the commit.
func (o *operation) isSent() bool { return o.changes() || o.defers }

// sameAgain reads the entries of the operation, which was run again. It reports whether the program
// would see the same as before.
func (o *operation) sameAgain(answer *cluster.Answer, state occ.State) (bool, error) {
	entry, err := answer.Next()
	switch {
	case err != nil:
		return false, sqlerr.From(err)
	case o.failure != "":
		return failsWith(answer, entry, o.failure)
	case entry.Error != "":
		return false, nil
	case !o.isWrite && !o.begun():
		return true, nil // the program wanted no rows
	case o.clears:
		return o.countsAgain(answer, entry)
	case !o.isWrite || o.Returning > 0 && !o.needsCounts:
		same, err := o.Seen().SameIn(answer, entry)
		return same && (answer.Result().Error == "" || !o.seen.Ended), sqlerr.From(err)
	}
	id, rows, err := o.counts(answer, entry)
	if err != nil || o.Kind != sqltext.Write {
		return err == nil, err
	}
	return o.sameCounts(rows) && o.sameInsertID(state.RealRowid(id)), nil
}

// sameCounts reports whether a number of rows is the one that the program saw. If the program has
// not asked for it, the number replaces the one of before.
func (o *operation) sameCounts(rows int64) bool {
	if o.countsSeen {
		return o.rowsAffected == rows
	}
	o.rowsAffected = rows
	return true
}

// countsAgain reads the rest of the entries of an operation on the version table. It never compares
// them: other transactions announce themselves there, and leave tokens.
func (o *operation) countsAgain(answer *cluster.Answer, entry *wire.Result) (bool, error) {
	_, _, err := o.counts(answer, entry)
	return true, err
}

// failsWith reports whether an entry fails with a message, at once or behind some rows.
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

// sameInsertID reports whether a rowid is the one that the program saw. If the program has not
// asked for it, the rowid replaces the one of before.
func (o *operation) sameInsertID(id int64) bool {
	if o.Insert && o.insertIDSeen {
		return o.lastInsertID == id
	}
	o.lastInsertID = id
	return true
}

// counts returns the counts of a write: those of its entry, or those of the probe behind it.
func (o *operation) counts(answer *cluster.Answer, entry *wire.Result) (lastInsertID, rowsAffected int64, err error) {
	lastInsertID, rowsAffected = entry.LastInsertID, entry.RowsAffected
	if !o.needsCounts {
		return lastInsertID, rowsAffected, nil
	}
	// If the server does not see the clause, the entry has the counts of the statement before.
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

// LastInsertId implements driver.Result. From now on the transaction commits only if the id stays
// the same. If the operation waits, and the id is not foreseen, it runs now.
func (o *operation) LastInsertId() (int64, error) {
	if err := o.demand(); err != nil {
		return 0, err
	}
	if o.idErr != nil {
		return 0, o.idErr
	}
	o.insertIDSeen = true
	return o.lastInsertID, nil
}

// RowsAffected implements driver.Result. From now on the transaction commits only if the number
// stays the same. If the operation waits, and the number is not foreseen, it runs now.
func (o *operation) RowsAffected() (int64, error) {
	if err := o.demand(); err != nil {
		return 0, err
	}
	o.countsSeen = true
	return o.rowsAffected, nil
}

// isSeen reports whether the program was told a count.
func (o *operation) isSeen() bool { return o.countsSeen || o.insertIDSeen }

// demand makes the counts known: foreseen ones, or those of a trial.
func (o *operation) demand() error {
	switch {
	case !o.waits():
		return o.err
	case o.foreseenRows == 0:
		return o.tx.tryUntried(o.tx.Ctx)
	case !o.foreseen:
		o.foreseen = true
		o.lastInsertID, o.rowsAffected = o.foreseenID, o.foreseenRows
		o.countsSeen = true
	}
	return nil
}

// Fail implements result.Witness.
func (o *operation) Fail(message string) { o.failure = message }

// Seen implements result.Witness.
func (o *operation) Seen() *result.Observation {
	if o.seen == nil {
		o.seen = new(result.Observation)
	}
	return o.seen
}

// begun reports whether the program has seen the columns.
func (o *operation) begun() bool { return o.seen != nil && o.seen.Begun }

// witnesses returns the operations as observers of their rows.
func (l operations) witnesses() []result.Witness {
	list := make([]result.Witness, len(l))
	for i, o := range l {
		list[i] = o
	}
	return list
}

// operations is a list of operations in the order of the program.
type operations []*operation

// read reports whether the program has seen more than the writes show: rows that were read, or
// failures.
func (l operations) read() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return !o.isSavepoint() && !o.isSent() })
}

// explain reports whether an EXPLAIN is among them.
func (l operations) explain() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.Keyword == "EXPLAIN" })
}

// wantRows reports whether the program wants the rows of a RETURNING clause.
func (l operations) wantRows() bool {
	return slices.ContainsFunc(l, (*operation).wantsReturning)
}

// wantsReturning reports whether the program wants the rows of a RETURNING clause.
func (o *operation) wantsReturning() bool { return o.Returning > 0 && !o.needsCounts }

// attempted reports whether a write is among them, even one that failed.
func (l operations) attempted() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.isWrite })
}

// written reports whether there is something to commit.
func (l operations) written() bool { return slices.ContainsFunc(l, (*operation).changes) }

// counted reports whether one of them sets changes().
func (l operations) counted() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.Kind == sqltext.Write })
}

// haveSavepoints reports whether statements on savepoints are among them.
func (l operations) haveSavepoints() bool { return slices.ContainsFunc(l, (*operation).isSavepoint) }

// reads returns those that write nothing and set nothing.
func (l operations) reads() operations {
	return l.filter(func(o *operation) bool { return !o.isWrite && !o.defers && !o.isSavepoint() && !o.isUnseen() })
}

// notWriting returns the reads and the deferrals: what ROLLBACK TO leaves in place.
func (l operations) notWriting() operations {
	return l.filter(func(o *operation) bool { return !o.isWrite && !o.isSavepoint() && !o.isUnseen() })
}

// succeeded returns those that can run in one request, which a failure would end.
func (l operations) succeeded() operations {
	return l.filter(func(o *operation) bool { return o.failure == "" && !o.isSavepoint() && !o.isUnseen() })
}

// withoutSavepoints returns them without the savepoints from a position on.
func (l operations) withoutSavepoints(from int) operations {
	return append(l[:from:from], l[from:].filter(func(o *operation) bool { return !o.isSavepoint() })...)
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

// inserts reports whether one of them is an INSERT that succeeded.
func (l operations) inserts() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.Insert })
}

// setsRowid reports whether the operation is known to have inserted a row with a rowid.
func (o *operation) setsRowid() bool {
	return o.Insert && o.changes() && o.rowsAffected > 0 && o.lastInsertID != 0 && !o.Upserts()
}

// inserted reports whether one of them inserted a row with a rowid, so that last_insert_rowid() has
// a value of the transaction's own.
func (l operations) inserted() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.lastInsertID != 0 })
}

// clear reports whether one of them removes rows of the version table.
func (l operations) clear() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.clears })
}

// changesSchema reports whether one of them may change the schema.
func (l operations) changesSchema() bool {
	return slices.ContainsFunc(l, func(o *operation) bool { return o.changes() && o.Kind != sqltext.Write })
}

// savepoint returns the position of the last savepoint of a name, or -1.
func (l operations) savepoint(name string) int {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].isSavepoint() && sqltext.EqualNames(l[i].savepoint, name) {
			return i
		}
	}
	return -1
}

// tellState tells the state of the connection about the operations of a committed transaction.
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
