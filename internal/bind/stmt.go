package bind

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Stmt is a statement with the values of its parameters, in SQLite's numbering.
type Stmt struct {
	*sqltext.Statement
	Values []any
	// Written is the text before literals replaced what differs between nodes. The server parses it
	// in the same way. It is "" if nothing was replaced.
	Written string
	Added   bool // the driver added it: it does not count as one of the program's
	// SharesRandom says that one literal replaced random numbers that SQLite would take for each
	// row.
	SharesRandom bool
}

// Size returns about how many bytes the statements take in a body.
func Size(stmts []Stmt) int {
	size := 0
	for i := range stmts {
		size += len(stmts[i].Text) + 16
		for _, value := range stmts[i].Values {
			size += wire.SizeHint(value)
		}
	}
	return size
}

// AppendAll appends the statements to a body, separated by commas.
func AppendAll(body []byte, stmts []Stmt) ([]byte, error) {
	for i := range stmts {
		if i > 0 {
			body = append(body, ',')
		}
		var err error
		if body, err = wire.AppendStatement(body, stmts[i].SQL(), stmts[i].Values); err != nil {
			return nil, sqlerr.At(err, CountOwn(stmts[:i]), CountOwn(stmts))
		}
	}
	return body, nil
}

// CountOwn counts the statements of the program, without those that the driver added.
func CountOwn(stmts []Stmt) int {
	n := 0
	for i := range stmts {
		if !stmts[i].Added {
			n++
		}
	}
	return n
}

// SQL returns the text of the statement as the driver sends it.
func (c *Stmt) SQL() string {
	s := *c.Statement
	if c.hasBlobLookalike() {
		s = s.Inline(func(index int) (string, bool) {
			text, ok := c.Values[index-1].(string)
			if !ok || !looksLikeBlob(text) {
				return "", false
			}
			return sqltext.Quote(text), true
		})
	}
	if s.Returning > 0 {
		s = s.SpaceReturning() // rqlite looks for the word with a space behind it
	}
	return s.Text
}

// hasBlobLookalike reports whether rqlite would take one of the values, a text, for a BLOB. The
// driver writes such a text into the statement as a literal. rqlite leaves that alone, and SQLite
// treats it as the parameter.
func (c *Stmt) hasBlobLookalike() bool {
	for _, v := range c.Values {
		if text, ok := v.(string); ok && looksLikeBlob(text) {
			return true
		}
	}
	return false
}

// looksLikeBlob reports whether rqlite would bind a text as a BLOB: it does so with x'6869', in
// either case and with space around it.
func looksLikeBlob(s string) bool {
	if len(s) < 3 || s[len(s)-1] != '\'' && s[len(s)-1] > ' ' && s[len(s)-1] < 0x80 {
		return false
	}
	s = strings.TrimSpace(s)
	if len(s) < 3 || s[0]|0x20 != 'x' || s[1] != '\'' || s[len(s)-1] != '\'' {
		return false
	}
	digits := s[2 : len(s)-1]
	_, err := hex.DecodeString(digits)
	return err == nil
}

// Frozen returns the statement with literals for times and random numbers, so that it does the same
// whenever and wherever it runs. See [sqltext.Statement.Freeze] for a zero now and a nil random.
func (c *Stmt) Frozen(now time.Time, random func() int64) (*sqltext.Statement, error) {
	if !now.IsZero() {
		if err := c.checkTimeParams(); err != nil {
			return nil, err
		}
	}
	if c.Calls&(sqltext.CallsTime|sqltext.CallsRandom) == 0 {
		return c.Statement, nil
	}
	frozen, err := c.Freeze(now, random)
	return &frozen, err
}

// checkTimeParams refuses a value that makes a date function read the clock of each node.
func (c *Stmt) checkTimeParams() error {
	for _, index := range c.TimeParams() {
		text, ok := c.Values[index-1].(string)
		if blob, isBlob := c.Values[index-1].([]byte); isBlob {
			text, ok = string(blob), true
		}
		if ok && isNow(text) {
			return fmt.Errorf("parameter %d of a date function is %q, which each node would read as a time of its own: "+
				"write it into the statement, or pass a time", index, text)
		}
	}
	return nil
}

// isNow reports whether SQLite's date functions take a text for the present.
func isNow(text string) bool {
	return strings.EqualFold(text, "now") || strings.EqualFold(text, "subsec") || strings.EqualFold(text, "subsecond")
}

// ParsedLike returns a text that the server parses as it does that of the statement.
func (c *Stmt) ParsedLike() string {
	if c.Written != "" {
		return c.Written
	}
	return c.Text
}
