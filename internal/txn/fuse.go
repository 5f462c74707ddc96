package txn

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Several executions of one INSERT INTO … VALUES (?, …) go to the server as one statement,
//
//	INSERT INTO … SELECT value->>0, … FROM json_each(?)
//
// which SQLite compiles once (https://www.sqlite.org/json1.html#jeach). That is several times as
// fast. It does the same as the executions one by one if
//
//   - the values survive JSON: integers, booleans, NULL, times, texts without NUL, and BLOBs as
//     hexadecimal digits. Real numbers do not, because SQLite may round their last digit.
//   - the guard finds an ordinary table without triggers, without a conflict clause and a foreign key
//     to itself: within one statement, rows could mend each other's violation of such a key.
//   - the results follow from the server's counts of the run: each execution inserts its rows, and
//     their ids follow each other.
//
// The first and the last execution of a run go by themselves. They show the ids between which those
// of the others lie, and leave changes() and last_insert_rowid() as all executions would.

const (
	// fewestFused is how many executions in a row are fused.
	fewestFused = 8
	// largestFused bounds the JSON text of a fused statement.
	largestFused = 256 << 10
)

// fuseGuard fails unless executions of an INSERT into the table ?1 can be fused. It looks only at the
// schema, which is the same on all nodes.
const fuseGuard = "SELECT CASE WHEN NOT EXISTS(SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?1 COLLATE NOCASE AND rootpage>0" +
	" AND instr(upper(sql),'CONFLICT')=0 AND instr(upper(sql),'CHANGES')=0)" +
	" OR EXISTS(SELECT 1 FROM sqlite_schema WHERE type='trigger' AND tbl_name=?1 COLLATE NOCASE)" +
	" OR EXISTS(SELECT 1 FROM pragma_foreign_key_list(?1) WHERE \"table\"=?1 COLLATE NOCASE)" +
	" THEN abs(-9223372036854775808) END"

// errNotFused says that a fused statement or its guard has failed. The server has rolled back all of
// the request.
var errNotFused = errors.New("rqlite: the server refused several executions as one statement")

// piece is a part of a request: one operation, or a run of fused ones.
type piece struct {
	list  operations
	given sqltext.GivenRows // of a run
	kinds []columnKind      // of a run
	notID []bool            // of a run; see [ids]
	guard bool              // a guard stands before the run
	// lastID is what the server said to be the last rowid, after the run. told sets it.
	lastID int64
}

// fused reports whether the piece is a run.
func (p piece) fused() bool { return p.given.Head != "" }

// columnKind says how the values of a column travel in a fused statement.
type columnKind uint8

const (
	anyKind   columnKind = iota // only NULL so far
	plainKind                   // as JSON values
	blobKind                    // as hexadecimal digits
)

// last returns the last operation of the piece.
func (p *piece) last() *operation { return p.list[len(p.list)-1] }

// pieces returns the pieces in which to send operations. If fuses, they may be fused. If compares,
// their results must follow from the counts of the fused statement where the program was told them.
func (t *Tx) pieces(list operations, fuses, compares bool) []piece {
	pieces := make([]piece, 0, len(list))
	guarded := ""
	for len(list) > 0 {
		var run piece
		if fuses && !t.unfused {
			run = t.run(list, compares)
		}
		n := len(run.list)
		if n >= fewestFused {
			pieces = append(pieces, piece{list: list[:1]})
			middle := run
			middle.list = run.list[1 : n-1]
			for _, chunk := range middle.chunks() {
				chunk.guard = guarded != run.given.Table
				guarded = run.given.Table
				pieces = append(pieces, chunk)
			}
			pieces = append(pieces, piece{list: run.list[n-1:]})
			list = list[n:]
			continue
		}
		if list[0].Kind != sqltext.Write {
			guarded = ""
		}
		pieces = append(pieces, piece{list: list[:1]})
		list = list[1:]
	}
	return pieces
}

// run returns the longest run at the beginning of a list that can be fused.
func (t *Tx) run(list operations, compares bool) (run piece) {
	first := list[0]
	n := 1
	for n < len(list) && list[n].Text == first.Text {
		n++
	}
	if n < fewestFused || !first.mayFuse() || t.env.Texts.has(first.source, unfusable) {
		return run
	}
	given, ok := first.GivenRows()
	if !ok || given.Head == "" {
		return run
	}
	run.given, run.kinds = given, make([]columnKind, len(given.Indexes[0]))
	run.notID = slices.Clone(t.historyOf(first).ids.notID)
	end := 0
	for end < n && run.takes(list[end]) && (!compares || end == 0 || run.tells(list[end-1], list[end])) {
		end++
	}
	run.list = list[:end]
	return run
}

// mayFuse reports whether the kind of the operation allows to fuse it.
func (o *operation) mayFuse() bool {
	return o.Kind == sqltext.Write && o.Returning == 0 && !o.wantsRows && !o.clears && o.Calls == 0 && !o.SharesRandom
}

// takes reports whether the values of an operation fit into the run.
func (p *piece) takes(o *operation) bool {
	for _, row := range p.given.Indexes {
		for column, index := range row {
			kind, ok := kindOf(o.Values[index-1])
			if !ok || kind != anyKind && p.kinds[column] != anyKind && p.kinds[column] != kind {
				return false
			}
			if kind != anyKind {
				p.kinds[column] = kind
			}
		}
	}
	return true
}

// tells reports whether what the program was told of an operation is what the fused statement will
// tell, if it stands behind another one.
func (p *piece) tells(before, o *operation) bool {
	if !o.isSeen() {
		return true
	}
	rows := int64(len(p.given.Indexes))
	last := before.lastInsertID
	if before.waits() {
		last = before.foreseenID
	}
	return o.rowsAffected == rows && (!o.insertIDSeen || last != 0 && o.lastInsertID == last+rows)
}

// kindOf returns how a value travels in JSON. It is not ok for one that may not survive.
func kindOf(value any) (kind columnKind, ok bool) {
	switch v := value.(type) {
	case nil:
		return anyKind, true
	case int64, bool, time.Time:
		return plainKind, true
	case string:
		return plainKind, strings.IndexByte(v, 0) < 0
	case []byte:
		if v == nil {
			return anyKind, true
		}
		return blobKind, true
	}
	return anyKind, false
}

// chunks returns the run in pieces of a limited size.
func (p *piece) chunks() []piece {
	var chunks []piece
	for begin := 0; begin < len(p.list); {
		end, size := begin, 0
		for end < len(p.list) && (end == begin || size+len(p.list[end].body) <= largestFused) {
			size += len(p.list[end].body)
			end++
		}
		chunk := *p
		chunk.list = p.list[begin:end]
		chunks = append(chunks, chunk)
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
	if p.guard {
		guard := bind.Stmt{Statement: &sqltext.Statement{Text: fuseGuard}, Values: []any{p.given.Table}}
		encoded, err := wire.AppendStatement(nil, guard.SQL(), guard.Values)
		if err != nil {
			return err
		}
		b.encoded(encoded)
	}
	rows, err := p.rows()
	if err != nil {
		return err
	}
	encoded, err := wire.AppendStatement(nil, p.text(), []any{string(rows)})
	b.encoded(encoded)
	return err
}

// text returns the fused statement.
func (p *piece) text() string {
	var b strings.Builder
	b.WriteString(p.given.Head)
	for i, kind := range p.kinds {
		b.WriteString([]string{"SELECT ", ","}[min(i, 1)])
		value := "value->>" + strconv.Itoa(i)
		if kind == blobKind {
			value = "unhex(" + value + ")"
		}
		b.WriteString(value)
	}
	b.WriteString(" FROM json_each(?)")
	return b.String()
}

// rows returns the values of the run as a JSON array of rows.
func (p *piece) rows() (rows []byte, err error) {
	open := byte('[')
	for _, o := range p.list {
		for _, row := range p.given.Indexes {
			rows = append(rows, open, '[')
			open = ','
			for i, index := range row {
				if i > 0 {
					rows = append(rows, ',')
				}
				if rows, err = appendJSON(rows, o.Values[index-1]); err != nil {
					return nil, err
				}
			}
			rows = append(rows, ']')
		}
	}
	return append(rows, ']'), nil
}

func appendJSON(dst []byte, value any) ([]byte, error) {
	if blob, ok := value.([]byte); ok && blob != nil {
		return append(hex.AppendEncode(append(dst, '"'), blob), '"'), nil
	}
	return wire.AppendValue(dst, value)
}

// readFused reads the entries of a run, and returns the one with its counts.
func (t *Tx) readFused(answer *cluster.Answer, p *piece) (*wire.Result, error) {
	if p.guard {
		entry, err := answer.Next()
		switch {
		case err != nil:
			return nil, sqlerr.From(err)
		case entry.Error != "":
			t.env.Texts.add(p.list[0].source, unfusable)
			return nil, errNotFused
		}
	}
	entry, err := answer.Next()
	switch {
	case err != nil:
		return nil, sqlerr.From(err)
	case entry.Error != "":
		return nil, errNotFused
	}
	return entry, nil
}

// told gives the operations of a run their results. before is the piece in front of it, and last and
// rows are the server's counts of the run. known reports whether they tell all results, and same
// whether they tell what the program was told. If final, results that are not known become errors.
func (p *piece) told(before *piece, last, rows int64, final bool) (known, same bool) {
	perOperation := int64(len(p.given.Indexes))
	all := int64(len(p.list)) * perOperation
	p.lastID = last
	id := before.lastRowid()
	i := ids{given: p.given, notID: p.notID}
	i.learnValues(before.last(), id)
	follow := id != 0 && last == id+all
	known, same = rows == all, rows == all
	for _, o := range p.list {
		if follow {
			id += perOperation
		}
		if knownID := follow && i.fits(o, id) || !follow && last == id; !knownID {
			known = false
			if final {
				o.idErr = errFused
			}
		}
		same = same && (!o.insertIDSeen || o.lastInsertID == id)
		if o.rowsAffected = perOperation; !o.insertIDSeen {
			o.lastInsertID = id
		}
		if final && rows != all {
			o.err = errFused
		}
	}
	return known, same
}

// lastRowid returns the id of the last row that the piece has inserted.
func (p *piece) lastRowid() int64 {
	if p.fused() {
		return p.lastID
	}
	return p.list[0].lastInsertID
}

// errFused says why a result is not known.
var errFused = errors.New("rqlite: the statement was applied together with others, and its own result is not known: " +
	"ask for the result before Commit")
