package cdc

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
)

// DefaultMaxBody is the limit of a body if [Options] set none: 64 MiB. A post has up to
// max_batch_size transactions, each of them whole, however large they are.
const DefaultMaxBody = 64 << 20

// versionTable is the version table, in which the driver's transactions notice writes.
const versionTable = "_rqlite_tx"

// Options are the settings of a [Handler]. The zero value is usable. Do not change Options that are
// in use.
type Options struct {
	// Checkpoint stores how far changes have been handled. nil means [NewMemory]: after a restart
	// everything that rqlite sends is handled, even if it was before.
	Checkpoint Checkpoint

	// Tables reports whether the program wants the changes of a table. nil wants all tables but
	// _rqlite_tx, which belongs to the driver. A function is also asked about that one. The table
	// of a [Table] checkpoint is always left out.
	Tables func(table string) bool

	// MaxBody is the largest accepted body in bytes; 0 means [DefaultMaxBody]. A larger one is
	// answered with 413. rqlite then repeats it for ever and sends nothing else, so treat it as an
	// alarm.
	MaxBody int64

	// Username and Password are required by basic authentication, unless both are "". rqlite sends
	// them if the endpoint is http://user:password@host/. Token, if not "", is required as a bearer
	// token. rqlite cannot send one, so a proxy in between has to add it. If both kinds are set,
	// either of them is enough.
	Username, Password string
	Token              string

	// Logger gets a record of each request that is not answered with 200, with the stack of a
	// panic, and of uncertain changes. nil means slog.Default().
	Logger *slog.Logger
}

// authorized reports whether a request has the required credentials.
func (o *Options) authorized(r *http.Request) bool {
	basic, bearer := o.Username != "" || o.Password != "", o.Token != ""
	if !basic && !bearer {
		return true
	}
	if user, password, ok := r.BasicAuth(); ok {
		// Compare both, so that the time does not tell which one is wrong.
		sameUser, samePassword := same(user, o.Username), same(password, o.Password)
		return basic && sameUser && samePassword
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return bearer && strings.EqualFold(scheme, "Bearer") && same(token, o.Token)
}

// same compares in a time that reveals nothing about the secret, not even its length.
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

// wants reports whether the program wants the changes of a table.
func (o *Options) wants(table string) bool {
	if t, ok := o.Checkpoint.(*Table); ok && strings.EqualFold(table, t.name) {
		return false
	}
	if o.Tables != nil {
		return o.Tables(table)
	}
	return table != versionTable
}

// echoes reports whether changes of a table can come from storing the checkpoint.
func (o *Options) echoes(table string) bool {
	t, ok := o.Checkpoint.(*Table)
	return ok && (table == versionTable || strings.EqualFold(table, t.name))
}
