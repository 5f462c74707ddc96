package txn

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// What a connector may know of the shape of a statement.
const (
	fails       sqltext.Trait = 1 << iota // it has failed in a transaction, so that it must not wait
	misforeseen                           // its ids were foreseen wrongly
	unfusable                             // several of it cannot go as one statement
)

// history is what a transaction knows of the executions of one text.
type history struct {
	executions  int  // all that were begun; only grows
	succeeded   int  // those that were tried and have succeeded; only grows
	triesAtOnce bool // a failure is remembered, so that the text does not wait; never changes
	// target is the table that the text changes, as FoldName returns it, or "" if that is not known.
	target string
	ids    ids
}

// historyOf returns what the transaction knows of the text of an operation. Only the modes that let
// writes wait ask for it.
func (t *Tx) historyOf(o *operation) *history {
	if o.history != nil {
		return o.history
	}
	h := t.histories[o.source]
	if h == nil {
		h = &history{triesAtOnce: t.env.Texts.Has(o.source, fails) || t.Run.late[o.source], target: o.Target()}
		if given := o.GivenRows(); given != nil && !t.env.Texts.Has(o.source, misforeseen) {
			h.ids.given = given
			h.ids.returned.times = t.env.Times
		}
		if t.histories == nil {
			t.histories = make(map[string]*history)
		}
		t.histories[o.source] = h
	}
	o.history = h
	return h
}

// begun records that an operation runs or waits. It ends the foreseeing of ids that the operation
// may disturb.
func (t *Tx) begun(o *operation) {
	if !o.isWrite || t.Mode == Interactive {
		return
	}
	h := t.historyOf(o)
	h.executions++
	o.execution = h.executions
	switch {
	case o.Keyword == "UPDATE":
	case h.target == "":
		t.forgetIDs()
		if o.Kind != sqltext.Write {
			t.forgetSchema()
		}
	case o.Keyword == "INSERT":
		t.inserts(h)
	default:
		if at := t.inserterOf(h.target); at >= 0 {
			t.inserters[at].ids.forget()
		}
	}
}

// inserts records that a text inserts rows. It ends the foreseeing of ids for another one that did so
// before.
func (t *Tx) inserts(h *history) {
	switch at := t.inserterOf(h.target); {
	case at < 0:
		t.inserters = append(t.inserters, h)
	case t.inserters[at] != h:
		t.inserters[at].ids.forget()
		t.inserters[at] = h
	}
}

// inserterOf returns the position in inserters of the last text that inserted into a table, or -1.
func (t *Tx) inserterOf(table string) int {
	return slices.IndexFunc(t.inserters, func(h *history) bool { return h.target == table })
}

// forgetSchema forgets what depends on the schema: another column may be the id.
func (t *Tx) forgetSchema() {
	for _, h := range t.histories {
		h.ids.notID, h.ids.followed, h.ids.rowids = nil, false, 0
	}
}

// forgetIDs ends the foreseeing of all ids.
func (t *Tx) forgetIDs() {
	for _, h := range t.inserters {
		h.ids.forget()
	}
}

// learn records the result of an operation that was tried and has succeeded.
func (t *Tx) learn(o *operation) {
	if !o.isWrite || o.failure != "" || t.Mode == Interactive {
		return
	}
	h := t.historyOf(o)
	h.succeeded++
	if h.ids.foresees() {
		h.ids.learn(o)
	}
}

// ids foresees the ids that an INSERT of given rows makes: those behind the last one. A foreseen id
// is compared before the commit, so that a wrong one costs a conflict and nothing else.
type ids struct {
	// given is what the text inserts, if it is an INSERT of given rows, and was not foreseen wrongly
	// before. Else it is nil, and nothing is foreseen.
	given    *sqltext.GivenRows
	known    bool  // last is the id of the last row of the text
	last     int64 // of an execution that was tried
	newest   int64 // last, or what is foreseen for the last execution that waits
	gap      bool  // an execution waits whose ids are not foreseen
	follows  bool  // the ids of the last execution followed those of the one before
	followed bool  // follows was true before, of an only column; never reset
	// notID says of each slot of given that it is no id: the last row of an execution has had another
	// value there than its id. Elements never become false, unless the schema changes.
	notID []bool
	// returned is about the row of RETURNING of an INSERT of one row. columns and types are those of the
	// only column of RETURNING of an INSERT of several rows; nil without one.
	returned       returned
	columns, types []string
	// rowids counts the executions that were tried whose last id was the rowid, as the probe told it. It
	// is negative if one was not.
	rowids int
}

// foresees reports whether ids may be foreseen at all.
func (i *ids) foresees() bool { return i.given != nil }

// asksRowid reports whether it is to be found out whether the ids of RETURNING are rowids: once, at the
// second execution.
func (i *ids) asksRowid() bool { return i.foresees() && i.known && i.rowids == 0 }

// areRowids reports whether ids of RETURNING have followed each other, and were rowids.
func (i *ids) areRowids() bool { return i.followed && i.rowids > 0 }

// learnRowid takes in what the probe told.
func (i *ids) learnRowid(o *operation, last int64) {
	switch o.returnedID = last; {
	case !o.tellsID || i.rowids < 0:
	case o.rowid == last:
		i.rowids++
	default:
		i.rowids = -1
	}
}

// slot is one of [sqltext.GivenRows.Slots].
type slot []int

// forget makes two executions necessary before ids are foreseen again.
func (i *ids) forget() {
	i.known, i.follows, i.returned = false, false, returned{times: i.returned.times}
}

// learn takes in the ids of an execution that was tried.
func (i *ids) learn(o *operation) {
	last, follows, ok := i.lastOf(o)
	if !ok {
		i.forget()
		return
	}
	i.follows = i.known && follows
	i.followed = i.followed || i.follows && len(i.returned.columns) <= 1
	i.known, i.last, i.newest, i.gap = true, last, last, false
	i.learnValues(o, last)
	if o.wantsRows {
		i.learnRowid(o, last)
	}
}

// learnValues takes in which values of an execution are no ids.
func (i *ids) learnValues(o *operation, last int64) {
	if i.notID == nil {
		i.notID = make([]bool, len(i.given.Slots))
	}
	for n, one := range i.given.Slots {
		value := o.Values[one[len(one)-1]]
		i.notID[n] = i.notID[n] || value != nil && !isInteger(value, last)
	}
}

// fits reports whether the values of an operation allow that its last row has an id, provided that
// NULL stands for the next one.
func (i *ids) fits(o *operation, last int64) bool {
	for n, one := range i.given.Slots {
		if !i.notID[n] && !slot(one).fits(o.Values, last, true) {
			return false
		}
	}
	return true
}

// fits reports whether the values in the slot can be the ids of rows that follow each other up to the
// last one. Only if nulls, NULL can.
func (s slot) fits(values []any, last int64, nulls bool) bool {
	for row, index := range s {
		if index < 0 || nulls && values[index] == nil {
			continue
		}
		if values[index] == nil || !isInteger(values[index], last-int64(len(s)-1-row)) {
			return false
		}
	}
	return true
}

// isNull reports whether all values in the slot are NULL.
func (s slot) isNull(values []any) bool {
	return !slices.ContainsFunc(s, func(index int) bool { return index >= 0 && values[index] != nil })
}

// lastOf returns the id of the last row that an execution has inserted, if its ids are consecutive.
// follows says that they follow those of the execution before.
func (i *ids) lastOf(o *operation) (last int64, follows, ok bool) {
	rows := int64(i.given.Rows)
	switch {
	case o.foreseen:
		return o.foreseenID, i.last+rows == o.foreseenID, true
	case !o.wantsRows:
		return o.lastInsertID, i.last+rows == o.lastInsertID, o.lastInsertID != 0 && o.rowsAffected == rows
	case rows == 1:
		return i.returned.learn(o)
	case o.set == nil || len(o.set.Columns) != 1 || len(o.set.Rows) != i.given.Rows:
		return 0, false, false
	}
	for row, values := range o.set.Rows {
		id, isInt := values[0].(int64)
		if !isInt || row > 0 && id != last+1 {
			return 0, false, false
		}
		last = id
	}
	i.columns, i.types = o.set.Columns, o.set.Types
	return last, i.last+rows == last, true
}

// isInteger reports whether SQLite stores a value as an integer in a column that takes only integers
// (https://www.sqlite.org/lang_createtable.html#rowid).
func isInteger(value any, n int64) bool {
	switch v := value.(type) {
	case int64:
		return v == n
	case float64:
		return int64(v) == n && float64(n) == v
	case bool:
		return v && n == 1 || !v && n == 0
	case string:
		v = strings.Trim(v, " \t\n\v\f\r")
		if whole, err := strconv.ParseInt(v, 10, 64); err == nil {
			return whole == n
		}
		f, err := strconv.ParseFloat(v, 64)
		return err == nil && isInteger(f, n)
	}
	return false
}

// next returns the id of the last row that an operation is going to insert, if that can be foreseen.
func (i *ids) next(o *operation) (last int64, ok bool) {
	if !i.foresees() || !i.follows || i.gap {
		return 0, false
	}
	last = i.newest + int64(i.given.Rows)
	return last, last > i.newest && i.fits(o, last)
}

// nextRows returns the rows of RETURNING that an operation is going to give, nil if they cannot be
// foreseen.
func (i *ids) nextRows(o *operation) *result.Set {
	last, ok := i.next(o)
	switch {
	case !ok:
		return nil
	case i.given.Rows > 1:
		return i.idRows(last)
	}
	row, ok := i.returned.foresee(o, last)
	if !ok {
		return nil
	}
	return &result.Set{Columns: i.returned.columns, Types: i.returned.types, Rows: [][]any{row}}
}

// idRows returns rows of ids up to the last one, nil if RETURNING gives other rows.
func (i *ids) idRows(last int64) *result.Set {
	if i.columns == nil {
		return nil
	}
	set := &result.Set{Columns: i.columns, Types: i.types}
	for row := range i.given.Rows {
		set.Rows = append(set.Rows, []any{last - int64(i.given.Rows-1-row)})
	}
	return set
}

// waits records that an operation waits, whose last id is foreseen or not.
func (i *ids) waits(o *operation) {
	last, ok := i.next(o)
	if !ok {
		i.gap = true
		return
	}
	i.newest = last
	o.foreseenID, o.foreseenRows = last, int64(i.given.Rows)
}
