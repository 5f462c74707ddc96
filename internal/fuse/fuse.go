// Package fuse writes several executions of one INSERT as one statement, which SQLite compiles once.
// It does no I/O.
//
//	INSERT INTO t(a, b) VALUES (?, ?)
//	INSERT INTO t(a, b) SELECT value->>0,value->>1 FROM json_each(?)
//
// The second does what several of the first do (https://www.sqlite.org/json1.html#jeach) if
//
//   - the values survive JSON. Integers, booleans, NULL, times and texts without NUL do, and BLOBs as
//     hexadecimal digits. Real numbers do not, because SQLite may round their last digit.
//   - the guard finds an ordinary table without triggers and without a conflict clause.
//   - the table has no foreign key, or no key refers to it. In a statement of several rows, SQLite lets a
//     row that others refer to make up for another row that violates a key
//     (https://www.sqlite.org/foreignkeys.html#fk_deferred).
package fuse

import (
	"encoding/hex"
	"errors"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

const (
	// Fewest is how many executions in a row are worth fusing.
	Fewest = 8
	// Largest bounds the bytes of the values of one fused statement.
	Largest = 256 << 10
)

// Run is a run of executions of one text. The zero value is none.
type Run struct {
	Given *sqltext.GivenRows // what each execution inserts; nil for none
	kinds []kind             // of the columns; take sets them
}

// kind says how the values of a column travel.
type kind uint8

const (
	unknown kind = iota // only NULL so far
	plain               // as JSON values
	blob                // as hexadecimal digits
)

// ErrRefused says that a fused statement or its guard has failed. The server has rolled back all of the
// request. Sent one by one, the executions tell which of them fails.
var ErrRefused = errors.New("rqlite: the server refused several executions as one statement")

// Finder finds runs in a list of statements. The zero value is ready.
type Finder struct {
	// text is that of the last run that was looked for, and given what its executions insert, nil if
	// they cannot be fused.
	text  string
	given *sqltext.GivenRows
}

// Next returns the run at the beginning of n statements, and how many of them it takes: fewer than
// [Fewest] if it is not worth it. at returns a statement. It is called again for the same one. fits
// reports whether a statement may follow those before it in the run. refused reports whether the server
// is known to refuse the executions of a text as one statement.
func (f *Finder) Next(n int, at func(i int) *bind.Stmt, fits func(run *Run, i int) bool, refused func(text string) bool) (run Run, count int) {
	if n < Fewest {
		return run, 0
	}
	text := at(0).Text
	if at(Fewest-1).Text != text || !f.begin(at(0)) || refused(text) {
		return run, 0
	}
	run = Run{Given: f.given, kinds: make([]kind, len(f.given.Indexes[0]))}
	for count < n && at(count).Text == text && run.take(at(count)) && fits(&run, count) {
		count++
	}
	return run, count
}

// begin reports whether executions of the text of a statement can be fused.
func (f *Finder) begin(s *bind.Stmt) bool {
	if f.text != s.Text {
		f.text, f.given = s.Text, nil
		if s.Kind == sqltext.Write && s.Returning == 0 && s.Calls == 0 && !s.SharesRandom && !s.Added {
			f.given = s.GivenRows()
		}
	}
	return f.given != nil && f.given.Head != ""
}

// take adds an execution of the run's text. It reports false if the values do not fit, and then the
// run ends before the execution.
func (r *Run) take(s *bind.Stmt) bool {
	for _, row := range r.Given.Indexes {
		for column, index := range row {
			k, ok := kindOf(s.Values[index-1])
			if !ok || k != unknown && r.kinds[column] != unknown && r.kinds[column] != k {
				return false
			}
			if k != unknown {
				r.kinds[column] = k
			}
		}
	}
	return true
}

// kindOf returns how a value travels. It is not ok for one that may not survive JSON.
func kindOf(value any) (k kind, ok bool) {
	switch v := value.(type) {
	case nil:
		return unknown, true
	case int64, bool, time.Time:
		return plain, true
	case string:
		return plain, strings.IndexByte(v, 0) < 0
	case []byte:
		if v == nil {
			return unknown, true
		}
		return blob, true
	}
	return unknown, false
}

// Statement returns the fused statement for the values of executions that the run has taken. An error
// is that of a value that cannot be sent.
func (r *Run) Statement(executions iter.Seq[[]any]) (bind.Stmt, error) {
	rows := []byte{}
	open := byte('[')
	for values := range executions {
		for _, row := range r.Given.Indexes {
			rows = append(rows, open, '[')
			open = ','
			for i, index := range row {
				if i > 0 {
					rows = append(rows, ',')
				}
				var err error
				if rows, err = appendJSON(rows, values[index-1]); err != nil {
					return bind.Stmt{}, err
				}
			}
			rows = append(rows, ']')
		}
	}
	return added(sqltext.Write, r.text(), string(append(rows, ']'))), nil
}

// text returns the text of the fused statement.
func (r *Run) text() string {
	var b strings.Builder
	b.WriteString(r.Given.Head)
	before := "SELECT "
	for i, k := range r.kinds {
		value := "value->>" + strconv.Itoa(i)
		if k == blob {
			value = "unhex(" + value + ")"
		}
		b.WriteString(before + value)
		before = ","
	}
	b.WriteString(" FROM json_each(?)")
	return b.String()
}

func appendJSON(dst []byte, value any) ([]byte, error) {
	if v, ok := value.([]byte); ok && v != nil {
		return append(hex.AppendEncode(append(dst, '"'), v), '"'), nil
	}
	return wire.AppendValue(dst, value)
}

// The guards fail unless executions can be fused. They look only at the schema, which is the same on
// all nodes. ?1 is the table, and ?2 its columns between commas, or "" for all.
const (
	guardIDsText = guardStart + " AND instr(upper(sql),'WITHOUT')=0" + guardMiddle +
		" OR EXISTS(SELECT 1 FROM pragma_table_info(?1) WHERE pk>0 AND type='INTEGER' COLLATE NOCASE AND (?2='' OR instr(?2,','||upper(name)||',')>0))" + guardEnd
	guardText  = guardStart + guardMiddle + guardEnd
	guardStart = "SELECT CASE WHEN NOT EXISTS(SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?1 COLLATE NOCASE AND rootpage>0" +
		" AND instr(upper(sql),'CONFLICT')=0 AND instr(upper(sql),'CHANGES')=0"
	guardMiddle = ")" +
		" OR EXISTS(SELECT 1 FROM sqlite_schema WHERE type='trigger' AND tbl_name=?1 COLLATE NOCASE)" +
		" OR EXISTS(SELECT 1 FROM pragma_foreign_key_list(?1)) AND EXISTS(SELECT 1 FROM sqlite_schema s,pragma_foreign_key_list(s.name) f" +
		" WHERE s.type='table' AND f.\"table\"=?1 COLLATE NOCASE)"
	guardEnd = " THEN abs(-9223372036854775808) END"
)

// Guard returns the statement that has to stand before the fused one, in the same transaction.
func (r *Run) Guard() bind.Stmt { return added(sqltext.Read, guardText, r.Given.Table) }

// GuardIDs is Guard that also fails unless SQLite chooses the ids of all rows. Then they follow each
// other, up to the largest there is (https://www.sqlite.org/autoinc.html). It is not ok if the columns
// tell that this is not so.
func (r *Run) GuardIDs() (guard bind.Stmt, ok bool) {
	columns := ""
	for _, name := range r.Given.Columns {
		if name == "ROWID" || name == "OID" || name == "_ROWID_" {
			return guard, false
		}
		columns += "," + name
	}
	if columns != "" {
		columns += ","
	}
	return added(sqltext.Read, guardIDsText, r.Given.Table, columns), true
}

// added returns a statement that the driver adds.
func added(k sqltext.Kind, text string, values ...any) bind.Stmt {
	return bind.Stmt{Statement: &sqltext.Statement{Text: text, Kind: k, NumParams: len(values)}, Values: values, Added: true}
}
