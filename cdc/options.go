package cdc

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
)

// DefaultMaxBody is the limit of a body when [Options] set none: 64 MiB. A post has
// up to max_batch_size transactions, whole ones however large they are.
const DefaultMaxBody = 64 << 20

// registerTable is the table by which the driver's transactions notice writes.
const registerTable = "_rqlite_tx"

// Options are settings of a [Handler]. The zero value is usable. They must not be
// changed once they are in use.
type Options struct {
	// Checkpoint keeps how far changes have been handled. nil is [NewMemory]: after a
	// restart all that rqlite sends is handled, even if it was before.
	Checkpoint Checkpoint

	// Tables reports whether the program wants the changes of a table. nil wants all
	// but _rqlite_tx, which the driver keeps for its transactions; a function decides
	// about that one, too. The table of a [Table] checkpoint is always left out.
	Tables func(table string) bool

	// MaxBody is the largest body that is read, in bytes; 0 is [DefaultMaxBody]. A
	// larger one is answered with 413. rqlite sends it again and again then, and
	// nothing after it, so that this is to be taken for an alarm.
	MaxBody int64

	// Username and Password, if one of them is not "", are demanded by basic
	// authentication: http://user:password@host/ as the endpoint makes rqlite send
	// them. Token, if not "", is demanded as a bearer token, which a proxy in between
	// has to add, for rqlite cannot. With both, either of them will do.
	Username, Password string
	Token              string

	// Logger is told of everything that is not answered with 200, with the stack of a
	// panic, and of uncertain changes. nil is slog.Default().
	Logger *slog.Logger
}

// authorized reports whether a request has the credentials that are demanded.
func (o *Options) authorized(r *http.Request) bool {
	basic, bearer := o.Username != "" || o.Password != "", o.Token != ""
	if !basic && !bearer {
		return true
	}
	if user, password, ok := r.BasicAuth(); ok {
		// both are compared, whatever comes of the first
		sameUser, samePassword := same(user, o.Username), same(password, o.Password)
		return basic && sameUser && samePassword
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return bearer && strings.EqualFold(scheme, "Bearer") && same(token, o.Token)
}

// same compares in a time that tells nothing of the secret, its length included.
func same(given, secret string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (o *Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

// wants reports whether the program is to see the changes of a table.
func (o *Options) wants(table string) bool {
	if t, ok := o.Checkpoint.(*Table); ok && strings.EqualFold(table, t.name) {
		return false
	}
	if o.Tables != nil {
		return o.Tables(table)
	}
	return table != registerTable
}

// echoes reports whether changes of a table can come of storing the checkpoint.
func (o *Options) echoes(table string) bool {
	t, ok := o.Checkpoint.(*Table)
	return ok && (table == registerTable || strings.EqualFold(table, t.name))
}
