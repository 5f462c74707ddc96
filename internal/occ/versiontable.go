package occ

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Table is the version table, from which transactions learn about the writes of others. It is
// small. Requests that need it create it if it is missing: transactions that write, atomic
// requests, queued writes and announcements.
//
//	k = 0    v is the version, which every write of this driver moves. The token
//	         is the writing flag, '~', while a write is under way on a node, else NULL.
//	k = -1   an announcement: its token is a name, v milliseconds; see backoff.
//	k > 0    the token of the commit that made version k; far above the version,
//	         the token of a write outside of transactions, or 'void'.
//
// docs/transactions.md explains how it is used, and why that is sound.
const Table = "_rqlite_tx"

// The first version is random, so that no earlier version table can have had it. After the table
// was dropped or emptied, an old commit that is still under way must not become valid again. The
// lowest version is so large that hardly any table has such rowids; see RealRowid.
const (
	lowestVersion  = int64(1) << 61
	versionsToPick = int64(1) << 60
)

// setWritingText and clearWritingText are the two halves of the sequence lock.
const (
	setWritingText   = "UPDATE " + Table + " SET v=v+1,token='~' WHERE k=0"
	clearWritingText = "UPDATE " + Table + " SET token=NULL WHERE k=0"
	// MoveText moves the version. It also clears a writing flag that was left behind: in a
	// transaction no other write is under way on the node.
	MoveText = "UPDATE " + Table + " SET v=v+1,token=NULL WHERE k=0"
	// CreateText creates the table unless it exists.
	CreateText = "CREATE TABLE IF NOT EXISTS " + Table + "(k INTEGER PRIMARY KEY,v INTEGER,token TEXT)"

	// AnnouncedColumns are the columns of a SELECT or RETURNING that tell the announcement.
	AnnouncedColumns = ",(SELECT v FROM " + Table + " WHERE k=-1),(SELECT token FROM " + Table + " WHERE k=-1)"
	// tellText tells the version and the announcement. The server parses such a statement, which
	// costs more than running it. Before rqlite 9.4.2 a failure of such a statement does not roll a
	// transaction back. So in a transaction it only follows a statement on the version table that
	// has succeeded.
	tellText = clearWritingText + " RETURNING v" + AnnouncedColumns
)

// newVersion returns a random first version.
func newVersion() int64 { return lowestVersion + rand.Int64N(versionsToPick) }

// firstVersionText inserts a version into a version table that has none.
func firstVersionText() string {
	return "INSERT INTO " + Table + "(k,v) SELECT 0," + strconv.FormatInt(newVersion(), 10) + " WHERE NOT EXISTS(SELECT 1 FROM " + Table + " WHERE k=0)"
}

// ErrGone says that somebody dropped the version table as soon as it was created.
var ErrGone = fmt.Errorf("rqlite: the table %s was made, and is not there", Table)

// Why there are no tokens.
var (
	errNotMade  = errors.New("rqlite: there can be no table " + Table)
	errUnusable = errors.New("rqlite: the table " + Table + " is not the driver's")
)

// State is the content of the version table that a request found.
type State struct {
	Exists bool
	// Version is the version if the table Exists, else 0.
	Version int64
	Writing bool   // a write is under way on the node
	Token   string // token of the version that the request named; "" if it has none
}

var (
	// ErrOwned says why a statement may not write to the version table.
	ErrOwned = fmt.Errorf("the table %s belongs to the driver: drop it, or delete its rows, but leave it alone otherwise", Table)
	// ErrPart says why some rows of the version table cannot be deleted where nothing tells
	// transactions.
	ErrPart = fmt.Errorf("a part of the rows of %s, by which transactions find out what became of them, cannot be deleted here: delete all, or use Exec", Table)
)

// ClearsPart reports whether a statement deletes some rows of the version table and may leave the
// version. The version would then say that commits whose tokens are gone were not applied. In a
// transaction the version moves far enough to prevent that.
func ClearsPart(s *sqltext.Statement) bool { return s.ClearsPart(Table) }

// Hide removes the version table from lists of tables: it returns a script that does not list it. It
// leaves the given one as it is.
func Hide(script []sqltext.Statement) []sqltext.Statement {
	for i := range script {
		if s := script[i].HideTable(Table); s.Text != script[i].Text {
			script = slices.Clone(script) // the original belongs to the cache
			script[i] = s
		}
	}
	return script
}

// Stale is the server's message for a token whose k is no integer: the statement demands another version.
const Stale = "datatype mismatch"

// IsMissing reports whether a statement failed because there is no version table.
func IsMissing(message string) bool {
	return strings.HasPrefix(message, "no such table: ") && strings.HasSuffix(message, Table)
}

// Failure returns the error of a statement on the version table, nil if it has none.
func Failure(entry *wire.Result) error {
	if entry.Error == "" {
		return nil
	}
	return sqlerr.Told(fmt.Errorf("the table %s cannot be used: %s", Table, entry.Error), errUnusable)
}

// StateText asks for the state of the version table, and for the token at k.
func StateText(k int64) string {
	return "SELECT v" + AnnouncedColumns + ",token,(SELECT token FROM " + Table + " WHERE k=" + strconv.FormatInt(k, 10) + ") FROM " + Table + " WHERE k=0"
}

// ReadState reads the entry of a statement that returns v, the announcement and then, if asked for,
// the writing flag and a token. It observes the announcement, and learns the version.
func (v *Versions) ReadState(answer *cluster.Answer, entry *wire.Result) (State, error) {
	state, err := v.readState(answer, entry)
	if state.Exists {
		v.learn(state.Version)
	}
	return state, err
}

// learn notes that there was a version.
func (v *Versions) learn(version int64) {
	v.last.Store(version)
	v.heard.Store(time.Now().UnixNano())
}

// readState is ReadState without learning the version.
func (v *Versions) readState(answer *cluster.Answer, entry *wire.Result) (state State, err error) {
	if entry.Error != "" {
		if IsMissing(entry.Error) {
			return state, nil
		}
		return state, Failure(entry)
	}
	if err := answer.NextRow(); errors.Is(err, io.EOF) {
		return state, nil // somebody has emptied the table
	} else if err != nil {
		return state, err
	}
	var texts [5]string
	for i := range min(len(entry.Columns), len(texts)) {
		cell, err := answer.Cell()
		if err != nil {
			return state, err
		}
		texts[i] = string(cell.Data)
	}
	version, err := strconv.ParseInt(texts[0], 10, 64)
	if err != nil {
		return state, fmt.Errorf("rqlite: the table %s has no version but %.20q", Table, texts[0])
	}
	if texts[2] != "" {
		v.Backoff.observe(texts[2], texts[1])
	}
	return State{Exists: true, Version: version, Writing: texts[3] == "~", Token: texts[4]}, nil
}

// Make creates the version table unless it exists.
func (v *Versions) Make(ctx context.Context) error {
	answer, err := v.sender.Send(ctx, &cluster.Request{
		Path:   cluster.ExecutePath,
		Params: cluster.WriteParams + cluster.Transaction,
		Leader: true, // and no Write: a repetition does the same
		Body:   cluster.BodyOf(CreateText, firstVersionText()),
	})
	if err != nil {
		return err
	}
	defer answer.Close()
	for range 2 {
		entry, err := answer.Next()
		if err != nil {
			return sqlerr.From(err)
		}
		if entry.Error != "" {
			return sqlerr.Told(fmt.Errorf("the table %s, which transactions need, cannot be made: %s", Table, entry.Error),
				errors.Join(errNotMade, sqlerr.New(entry.Error, -1, 0)))
		}
	}
	v.missing.Store(false)
	return sqlerr.From(answer.End())
}

// Renew gives the version table a version that it never had, after the database was replaced by
// another. Versions must not come back, or an old commit could be applied. The loaded database may
// have no version table, and the user may not be allowed to write. So a failure goes to the log,
// and the load stands.
func (v *Versions) Renew(ctx context.Context) {
	if v.Disabled {
		return
	}
	answer, err := v.sender.Send(ctx, &cluster.Request{
		Path:   cluster.ExecutePath,
		Params: cluster.WriteParams + cluster.Transaction,
		Leader: true, // and no Write: a repetition does as well
		Body:   renewal(newVersion()),
	})
	if err != nil {
		v.Warn(err)
		return
	}
	answer.Close()
}

// renewal returns the body that gives the version table a version and removes all tokens. If it arrives
// once more later, it does nothing: it would bring the version back, and remove tokens of it.
func renewal(version int64) []byte {
	first := strconv.FormatInt(version, 10)
	unless := "(SELECT v FROM " + Table + " WHERE k=0)NOT BETWEEN " + first + " AND " + strconv.FormatInt(version+1<<40, 10)
	return cluster.BodyOf("DELETE FROM "+Table+" WHERE k<>0 AND "+unless, "UPDATE "+Table+" SET v="+first+",token=NULL WHERE k=0 AND "+unless)
}

// RealRowid returns the id that the server reported for an insert, or 0 if it is the id of a row of
// the version table. A statement that inserts nothing repeats the last rowid of the server's
// connection, whosever it was. The ids of the version table lie near the version, where no others
// are to be expected.
func (s State) RealRowid(id int64) int64 {
	const margin = 1 << (slotsFrom + 1)
	if s.Exists && id > s.Version-margin && id < s.Version+margin {
		return 0
	}
	return id
}

// LastState returns the state at the version that was read last. It has no token and no writing
// flag.
func (v *Versions) LastState() State {
	version := v.last.Load()
	return State{Exists: version != 0, Version: version}
}
