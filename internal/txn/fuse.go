package txn

import (
	"errors"
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Runs of one INSERT go to the server as one statement; see package fuse. The results of its
// executions follow from the server's counts: each execution inserts its rows, and their ids follow
// each other. The first and the last execution of a run go by themselves. They show the ids between
// which those of the others lie, and leave changes() and last_insert_rowid() as all executions would.

// piece is a part of a request: one operation, or a run of fused ones.
type piece struct {
	list operations
	run  *fusedRun // nil for one operation
}

// fusedRun is what is known of a run.
type fusedRun struct {
	fuse.Run
	notID []bool // see [ids]
	guard bool   // a guard stands before the run
	// gap and idSeen say that its ids may not follow each other, and that the program was told one.
	// tells sets them.
	gap, idSeen bool
	// lastID is what the server said to be the last rowid, after the run. told sets it.
	lastID int64
}

// fused reports whether the piece is a run.
func (p piece) fused() bool { return p.run != nil }

// last returns the last operation of the piece.
func (p *piece) last() *operation { return p.list[len(p.list)-1] }

// pieces returns the pieces in which to send operations. If fuses, they may be fused. If compares,
// their results must follow from the counts of the fused statement where the program was told them.
func (t *Tx) pieces(list operations, fuses, compares bool) []piece {
	pieces := make([]piece, 0, len(list))
	guarded := ""
	for len(list) > 0 {
		run, n := (*fusedRun)(nil), 0
		if fuses && !t.unfused {
			run, n = t.runOf(list, compares)
		}
		if n < fuse.Fewest {
			if list[0].Kind != sqltext.Write {
				guarded = ""
			}
			pieces = append(pieces, piece{list: list[:1]})
			list = list[1:]
			continue
		}
		pieces = append(pieces, piece{list: list[:1]})
		for _, chunk := range chunks(run, list[1:n-1]) {
			chunk.run.guard = guarded != run.Given.Table
			guarded = run.Given.Table
			pieces = append(pieces, chunk)
		}
		pieces = append(pieces, piece{list: list[n-1 : n]})
		list = list[n:]
	}
	return pieces
}

// runOf returns the longest run at the beginning of a list that can be fused, and the number of its
// operations.
func (t *Tx) runOf(list operations, compares bool) (*fusedRun, int) {
	if len(list) < fuse.Fewest || list[0].clears {
		return nil, 0
	}
	run := new(fusedRun)
	fits := func(so *fuse.Run, i int) bool {
		return !compares || i == 0 || run.tells(int64(so.Given.Rows), list[i-1], list[i])
	}
	refused := func(string) bool { return t.env.Texts.Has(list[0].source, unfusable) }
	var count int
	run.Run, count = t.finder.Next(len(list), func(i int) *bind.Stmt { return &list[i].Stmt }, fits, refused)
	if count >= fuse.Fewest && list[0].history != nil {
		run.notID = slices.Clone(list[0].history.ids.notID)
	}
	return run, count
}

// tells reports whether what the program was told of an operation is what the fused statement will
// tell, if it stands behind another one, and each inserts so many rows. Ids that were told must follow
// those of the whole run.
func (r *fusedRun) tells(rows int64, before, o *operation) bool {
	last, id := before.expectedID(), o.expectedID()
	r.gap = r.gap || last == 0 || id != last+rows
	r.idSeen = r.idSeen || o.insertIDSeen
	return (!o.countsSeen || o.rowsAffected == rows) && (!r.gap || !r.idSeen)
}

// expectedID returns the id that the operation had when it ran last, or that is foreseen, or 0.
func (o *operation) expectedID() int64 {
	if o.waits() {
		return o.foreseenID
	}
	return o.lastInsertID
}

// chunks returns the operations of a run in pieces of a limited size.
func chunks(run *fusedRun, list operations) []piece {
	var chunks []piece
	for begin := 0; begin < len(list); {
		end, size := begin, 0
		for end < len(list) && (end == begin || size+len(list[end].body) <= fuse.Largest) {
			size += len(list[end].body)
			end++
		}
		one := *run
		chunks = append(chunks, piece{list[begin:end], &one})
		begin = end
	}
	return chunks
}

// piece adds a piece.
func (b *body) piece(p *piece) error {
	if !p.fused() {
		b.encoded(p.list[0].body)
		return nil
	}
	if p.run.guard {
		guard := p.run.Guard()
		encoded, err := wire.AppendStatement(nil, guard.SQL(), guard.Values)
		if err != nil {
			return err
		}
		b.encoded(encoded)
	}
	fused, err := p.run.Statement(p.list.values)
	if err != nil {
		return err
	}
	encoded, err := wire.AppendStatement(nil, fused.SQL(), fused.Values)
	b.encoded(encoded)
	return err
}

// values yields the values of each operation.
func (l operations) values(yield func([]any) bool) {
	for _, o := range l {
		if !yield(o.Values) {
			return
		}
	}
}

// readFused reads the entries of a run, and returns the one with its counts.
func (t *Tx) readFused(answer *cluster.Answer, p *piece) (*wire.Result, error) {
	if p.run.guard {
		entry, err := answer.Next()
		switch {
		case err != nil:
			return nil, sqlerr.From(err)
		case entry.Error != "":
			t.env.Texts.Add(p.list[0].source, unfusable)
			return nil, fuse.ErrRefused
		}
	}
	entry, err := answer.Next()
	switch {
	case err != nil:
		return nil, sqlerr.From(err)
	case entry.Error != "":
		return nil, fuse.ErrRefused
	}
	return entry, nil
}

// told gives the operations of a run that wait their results. before is the piece in front of it, and
// last and rows are the server's counts of the run. known reports whether they tell all results, and
// same whether they tell what the program was told. If final, results that are not known become errors.
func (p *piece) told(before *piece, last, rows int64, final bool) (known, same bool) {
	perOperation := int64(p.run.Given.Rows)
	all := int64(len(p.list)) * perOperation
	p.run.lastID = last
	id := before.lastRowid()
	follow := id != 0 && last == id+all
	known, same = rows == all && (last == id || follow && p.followIDs(before.last(), id)), rows == all
	for _, o := range p.list {
		if follow {
			id += perOperation
		}
		same = same && (!o.insertIDSeen || o.lastInsertID == id)
		if !o.waits() {
			continue
		}
		if o.rowsAffected = perOperation; !o.insertIDSeen {
			o.lastInsertID = id
		}
		switch {
		case !final || known:
		case rows != all:
			o.err = errFused
		default:
			o.idErr = errFused
		}
	}
	return known, same
}

// followIDs reports whether the ids of a run certainly follow each other, if the last of them is as far
// from that of the operation before the run as it has rows. That is so if SQLite has chosen all of
// them. A column that may be the id must be NULL in all rows, or the next id in all.
func (p *piece) followIDs(before *operation, id int64) bool {
	i := ids{given: p.run.Given, notID: p.run.notID}
	if len(i.notID) != len(i.given.Slots) {
		i.notID = nil
	}
	i.learnValues(before, id)
	i.learnValues(p.last(), id+int64(len(p.list)*p.run.Given.Rows))
	for n := range i.given.Slots {
		if i.notID[n] {
			continue
		}
		one := slot(i.given.Slots[n])
		null, last := one.isNull(before.Values), id
		for _, o := range p.list {
			last += int64(p.run.Given.Rows)
			if null && !one.isNull(o.Values) || !null && !one.fits(o.Values, last, false) {
				return false
			}
		}
		if !null && !one.fits(before.Values, id, false) {
			return false
		}
	}
	return true
}

// lastRowid returns the id of the last row that the piece has inserted.
func (p *piece) lastRowid() int64 {
	if p.fused() {
		return p.run.lastID
	}
	return p.list[0].lastInsertID
}

// errFused says why a result is not known.
var errFused = errors.New("rqlite: the statement was applied together with others, and its own result is not known: " +
	"ask for the result before Commit")
