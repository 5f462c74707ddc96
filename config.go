package rqlite

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/dsn"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

const (
	defaultTimeout        = 30 * time.Second
	defaultConnectTimeout = 5 * time.Second
)

// Discovery says how the driver finds the nodes of the cluster beyond the given hosts. The zero
// value is [DiscoveryRedirect].
type Discovery uint8

const (
	// DiscoveryRedirect learns the address of the leader from the redirects of the other nodes, and
	// sends requests straight to it.
	DiscoveryRedirect Discovery = iota
	// DiscoveryOff uses only the given hosts. They forward requests that they cannot answer to the
	// leader. It suits clusters whose advertised addresses cannot be reached, as behind a load
	// balancer.
	DiscoveryOff
	// DiscoveryNodes also learns all members of the cluster, by asking a node for them. That needs
	// the permission "status".
	DiscoveryNodes
)

// discoveryNames is indexed by Discovery.
var discoveryNames = []string{"redirect", "off", "nodes"}

// String returns the name used in a DSN, such as "redirect". For an undefined value it returns text
// that [ParseDiscovery] refuses.
func (d Discovery) String() string { return enumName("Discovery", discoveryNames, d) }

// ParseDiscovery returns the value with the given name. Names are exact and in lower case; the
// error for any other text lists them.
func ParseDiscovery(s string) (Discovery, error) {
	return parseEnum[Discovery]("discovery", discoveryNames, s)
}

// TxMode says how the driver runs transactions over a protocol that has none. The zero value is
// [TxAuto].
type TxMode uint8

const (
	// TxAuto runs the first executions of each statement at once, as TxInteractive does. Further
	// executions of a write whose results nobody looks at wait on the client, and go out together.
	// If one of them fails, the program hears of it late: at the next statement that needs the
	// server, or at Commit. That error is [ErrTxConflict], and has SQLite's code. Nothing is applied
	// then, and the connector runs that statement at once from then on.
	TxAuto TxMode = iota
	// TxInteractive runs each statement at once. The program gets its result or failure from the
	// call. Each statement runs the writes before it once more, so that a long loop is slow.
	TxInteractive
	// TxPipelined is TxAuto from the first execution of each statement on.
	TxPipelined
)

// txModeNames is indexed by TxMode.
var txModeNames = []string{"auto", "interactive", "pipelined"}

// txModeDeferred is an earlier name of TxPipelined, for DSNs that have it.
const txModeDeferred = "deferred"

// String returns the name used in a DSN, such as "auto". For an undefined value it returns
// text that [ParseTxMode] refuses.
func (m TxMode) String() string { return enumName("TxMode", txModeNames, m) }

// ParseTxMode returns the value with the given name. Names are exact and in lower case; the error
// for any other text lists them. The name "deferred" is TxPipelined.
func ParseTxMode(s string) (TxMode, error) {
	if s == txModeDeferred {
		return TxPipelined, nil
	}
	return parseEnum[TxMode]("transaction mode", txModeNames, s)
}

// TxLock says when a transaction takes the write lock of its connector. A transaction holds it
// exclusively; writes outside of transactions share it. The zero value is [TxLockDeferred].
type TxLock uint8

const (
	// TxLockDeferred takes the lock at the first write of the transaction. Other writers may have
	// changed what it read before that, which is a conflict, as with SQLite's BEGIN DEFERRED.
	TxLockDeferred TxLock = iota
	// TxLockImmediate takes the lock when the transaction begins. So transactions of one connector
	// never conflict with each other, as with SQLite's BEGIN IMMEDIATE. Read-only transactions do
	// not take it.
	TxLockImmediate
)

// txLockNames is indexed by TxLock.
var txLockNames = []string{"deferred", "immediate"}

// String returns the name used in a DSN, such as "immediate". For an undefined value it returns
// text that [ParseTxLock] refuses.
func (l TxLock) String() string { return enumName("TxLock", txLockNames, l) }

// ParseTxLock returns the value with the given name. Names are exact and in lower case; the error
// for any other text lists them.
func ParseTxLock(s string) (TxLock, error) {
	return parseEnum[TxLock]("transaction lock", txLockNames, s)
}

// PrepareMode says whether Prepare asks the server about a statement. The zero value is
// [PrepareLate].
type PrepareMode uint8

const (
	// PrepareLate sends nothing. A mistake that only SQLite can see, such as a missing table, is an
	// error of the first call.
	PrepareLate PrepareMode = iota
	// PrepareCheck makes the server explain the first statement of each text that is new to the
	// connector. A mistake is then an error of Prepare, an [*Error]. Within a transaction it asks
	// nothing. See "Statements" in the package documentation.
	PrepareCheck
)

// prepareModeNames is indexed by PrepareMode.
var prepareModeNames = []string{"late", "check"}

// String returns the name used in a DSN, such as "check". For an undefined value it returns text
// that [ParsePrepareMode] refuses.
func (m PrepareMode) String() string { return enumName("PrepareMode", prepareModeNames, m) }

// ParsePrepareMode returns the value with the given name. Names are exact and in lower case; the
// error for any other text lists them.
func ParsePrepareMode(s string) (PrepareMode, error) {
	return parseEnum[PrepareMode]("prepare mode", prepareModeNames, s)
}

// ExactlyOnce says for which writes outside of transactions the driver finds out what became of them
// when their answer is lost, and sends them again if they were not applied. See "Exactly once" in the
// package documentation. The zero value is [OnceJoined].
type ExactlyOnce uint8

const (
	// OnceJoined is for writes that go as a transaction of the server in any case: those that go out
	// with others, scripts and atomic batches. It costs them nothing that can be measured. It is for single
	// writes, too, within a second of some that went out together.
	OnceJoined ExactlyOnce = iota
	// OnceAll is for single writes, too. They take about 5 % longer.
	OnceAll
	// OnceOff is for none.
	OnceOff
)

// exactlyOnceNames is indexed by ExactlyOnce.
var exactlyOnceNames = []string{"joined", "all", "off"}

// String returns the name used in a DSN, such as "all". For an undefined value it returns text that
// [ParseExactlyOnce] refuses.
func (o ExactlyOnce) String() string { return enumName("ExactlyOnce", exactlyOnceNames, o) }

// ParseExactlyOnce returns the value with the given name. Names are exact and in lower case; the error
// for any other text lists them.
func ParseExactlyOnce(s string) (ExactlyOnce, error) {
	return parseEnum[ExactlyOnce]("exactly_once", exactlyOnceNames, s)
}

// TimeColumns says which columns are read as times. The zero value is [TimesDeclared]. [Time] reads
// the others, and expressions.
type TimeColumns uint8

const (
	// TimesDeclared reads times from columns declared DATE, DATETIME or TIMESTAMP, as
	// mattn/go-sqlite3 does.
	TimesDeclared TimeColumns = iota
	// TimesSimilar also reads them from columns whose declared type begins with DATETIME or
	// TIMESTAMP, such as timestamptz, TIMESTAMP WITH TIME ZONE or datetime(3). Text there that is no
	// time stays text.
	TimesSimilar
)

// timeColumnsNames is indexed by TimeColumns.
var timeColumnsNames = []string{"declared", "similar"}

// String returns the name used in a DSN, such as "similar". For an undefined value it returns text
// that [ParseTimeColumns] refuses.
func (t TimeColumns) String() string { return enumName("TimeColumns", timeColumnsNames, t) }

// ParseTimeColumns returns the value with the given name. Names are exact and in lower case; the
// error for any other text lists them.
func ParseTimeColumns(s string) (TimeColumns, error) {
	return parseEnum[TimeColumns]("times", timeColumnsNames, s)
}

// times returns how times are read.
func (c *Config) times() result.Times {
	return result.Times{Loc: c.Location, Similar: c.TimeColumns == TimesSimilar}
}

// Config holds the settings of a connector. The zero value of every field is its default, so that
// Config{} reaches a node on localhost:4001. [ParseDSN] makes a Config from text, and FormatDSN
// text from a Config. Only the fields HTTPClient, TLSConfig and Logger have no counterpart in a
// DSN.
//
// A Config is plain data: several goroutines may read it, but not while one changes it. Printing
// one, by fmt or slog, never shows the password.
type Config struct {
	// Hosts are the nodes to use, each "host", "host:port" or, for IPv6, "[address]:port". The
	// default port is 4001. No hosts mean localhost.
	Hosts []string
	// PathPrefix is the path below which a reverse proxy has rqlite, such as "/rqlite/", at all
	// hosts. It begins and ends with a slash, and the proxy has to remove it. The addresses that
	// nodes name are behind the proxy. So the nodes forward the requests for the leader, as with
	// DiscoveryOff. Empty means none.
	PathPrefix string

	// User and Password are sent by HTTP basic authentication. A password needs a user. Empty User
	// means no authentication.
	User     string
	Password string

	// TLS makes all requests https. The TLS fields below need it.
	TLS bool
	// TLSCA names a PEM file with the certificates of the trusted authorities. Empty means those of
	// the system.
	TLSCA string
	// TLSCert and TLSKey name the PEM files of the certificate that identifies this client, and of
	// its key. Set both or none.
	TLSCert string
	TLSKey  string
	// TLSServerName is the name that the certificates of the nodes must be valid for. Empty means
	// the dialled host.
	TLSServerName string
	// TLSInsecureSkipVerify accepts any certificate, which lets anybody in between read and change
	// the data. For tests only.
	TLSInsecureSkipVerify bool
	// TLSConfig replaces all TLS settings above except TLS itself. The connector uses a copy. Nil
	// means that those settings apply.
	TLSConfig *tls.Config

	// HTTPClient sends the requests, instead of a client of the connector's own. Its transport
	// decides how to dial and whom to trust, so ConnectTimeout and the TLS settings cannot be given
	// together with it. Its Timeout, if any, also ends the reading of rows.
	HTTPClient *http.Client

	// Logger gets events that are no error of any call. Nil discards them.
	Logger *slog.Logger

	// Consistency is the level of reads; see [WithConsistency] for another level per call.
	Consistency Consistency
	// Freshness bounds how long ago a node that answers a read from its own copy last heard from
	// the leader. Zero means no bound. It works only with None or Auto.
	Freshness time.Duration
	// FreshnessStrict also bounds how far behind the leader that node's data are. It needs
	// Freshness. See [WithFreshness].
	FreshnessStrict bool
	// LinearizableTimeout bounds how long a linearizable read waits for the leader to confirm its
	// leadership. Zero means the server's default.
	LinearizableTimeout time.Duration

	// Timeout bounds the wait for an answer, including retries, unless the deadline of the context
	// comes first. It does not bound the reading of rows. Zero means 30 seconds, and a negative
	// value no bound.
	Timeout time.Duration
	// ConnectTimeout bounds one attempt to connect to one host. Zero means 5 seconds.
	ConnectTimeout time.Duration

	// Discovery says how the driver finds nodes besides Hosts.
	Discovery Discovery
	// PrepareMode says whether Prepare makes the server check statements.
	PrepareMode PrepareMode
	// TxMode says how the driver runs transactions; see [WithTxMode] for another mode per
	// transaction.
	TxMode TxMode
	// TxLock says when a transaction that is not read-only takes the write lock, so that the other
	// writers of this connector wait.
	TxLock TxLock
	// DisableTxVersion keeps writes outside of transactions from advancing the version.
	// Transactions, of any process, then do not notice them. It is only for programs whose
	// transactions and other writers never use the same rows.
	DisableTxVersion bool
	// ExactlyOnce says which writes the driver sends again if they were not applied when their answer is
	// lost. With DisableTxVersion it does so for none.
	ExactlyOnce ExactlyOnce
	// DisableCoalescing sends each write and each read as a request of its own, instead of joining
	// concurrent ones; see WithoutCoalescing.
	DisableCoalescing bool

	// Queue sends writes to rqlite's queue. They are acknowledged before they are applied, and
	// their results and errors are lost.
	Queue bool
	// QueueWait makes a queued write wait until it has been applied or has failed; the call does
	// not report which. It needs Queue.
	QueueWait bool

	// Location is the zone of times that are read. Nil keeps the zone that they are stored in.
	Location *time.Location

	// TimeColumns says which columns are read as times.
	TimeColumns TimeColumns

	// SendForeignKeys sends PRAGMA foreign_keys, which sets for all clients whether writes enforce
	// foreign keys. Without it, a pragma that asks for the setting in force has no effect, and
	// others are refused: rqlited -fk enforces foreign keys.
	SendForeignKeys bool

	// NoRewriteRandom and NoRewriteTime leave random functions and the current time in writes
	// outside of transactions, instead of replacing them by literals. Nodes may then store
	// different values.
	NoRewriteRandom bool
	NoRewriteTime   bool
}

// Clone returns a copy that shares nothing changeable with c: it copies Hosts and TLSConfig.
// HTTPClient, Logger and Location are the same as in c. The clone of nil is nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	clone := *c
	clone.Hosts = slices.Clone(c.Hosts)
	clone.TLSConfig = c.TLSConfig.Clone()
	return &clone
}

// String returns the DSN of c with "xxxxx" in place of the password.
func (c Config) String() string {
	if c.Password != "" {
		c.Password = "xxxxx"
	}
	return c.FormatDSN()
}

// GoString implements [fmt.GoStringer], so that %#v does not show the password either.
func (c Config) GoString() string { return fmt.Sprintf("rqlite.Config(%q)", c.String()) }

// LogValue implements [slog.LogValuer]: a log shows what String returns.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// validate returns the first setting that cannot be used. It checks the settings alone, not the
// files. Messages name settings by their keys in a DSN.
func (c *Config) validate() error {
	for i, host := range c.Hosts {
		if _, err := dsn.Host(host); err != nil {
			return fmt.Errorf("rqlite: host %d: %w", i+1, err)
		}
	}
	if err := dsn.CheckPath(c.PathPrefix); err != nil {
		return fmt.Errorf("rqlite: %w", err)
	}
	read := readOptions{c.Consistency, c.Freshness, c.FreshnessStrict, c.LinearizableTimeout}
	if wrong := read.contradiction(); wrong != "" {
		return errors.New("rqlite: " + wrong)
	}
	hasFiles := c.TLSCA != "" || c.TLSCert != "" || c.TLSKey != ""
	hasTLSKeys := hasFiles || c.TLSServerName != "" || c.TLSInsecureSkipVerify
	for _, rule := range []struct {
		broken  bool
		message string
	}{
		{c.User == "" && c.Password != "", "a password needs a user"},
		{strings.Contains(c.User, ":"), `the user must not contain ":", which HTTP basic authentication cannot carry`},
		{int(c.Discovery) >= len(discoveryNames), "discovery must be one of " + strings.Join(discoveryNames, ", ")},
		{int(c.PrepareMode) >= len(prepareModeNames), "prepare must be one of " + strings.Join(prepareModeNames, ", ")},
		{int(c.ExactlyOnce) >= len(exactlyOnceNames), "exactly_once must be one of " + strings.Join(exactlyOnceNames, ", ")},
		{c.DisableTxVersion && c.ExactlyOnce == OnceAll, "exactly_once=all needs txversion"},
		{int(c.TxMode) >= len(txModeNames), "tx must be one of " + strings.Join(txModeNames, ", ")},
		{int(c.TxLock) >= len(txLockNames), "txlock must be one of " + strings.Join(txLockNames, ", ")},
		{int(c.TimeColumns) >= len(timeColumnsNames), "times must be one of " + strings.Join(timeColumnsNames, ", ")},
		{
			c.Discovery == DiscoveryNodes && c.behindProxy(),
			"discovery=nodes learns addresses behind the proxy that a path needs; leave one out",
		},
		{c.ConnectTimeout < 0, "connect_timeout must not be negative"},
		{c.QueueWait && !c.Queue, "queue_wait needs queue=true"},
		{hasTLSKeys && !c.TLS, "tls_ca, tls_cert, tls_key, tls_server_name and tls_insecure_skip_verify need tls=true or https://"},
		{c.TLSConfig != nil && !c.TLS, "TLSConfig needs TLS"},
		{c.TLSConfig != nil && hasTLSKeys, "TLSConfig replaces the tls_ settings; use one or the other"},
		{(c.TLSCert == "") != (c.TLSKey == ""), "tls_cert and tls_key need each other"},
		{
			c.TLSInsecureSkipVerify && c.TLSCA != "",
			"tls_insecure_skip_verify accepts any certificate, so that tls_ca would have no effect; leave one out",
		},
		{
			c.HTTPClient != nil && (hasTLSKeys || c.TLSConfig != nil),
			"HTTPClient brings its own transport, which would ignore the TLS settings; make them there",
		},
		{
			c.HTTPClient != nil && c.ConnectTimeout != 0,
			"HTTPClient brings its own transport, which would ignore connect_timeout; set it there",
		},
	} {
		if rule.broken {
			return errors.New("rqlite: " + rule.message)
		}
	}
	return nil
}

// scheme returns the URL scheme of all requests.
func (c *Config) scheme() string {
	if c.TLS {
		return "https"
	}
	return "http"
}

// addresses returns Hosts as "host:port", never empty and each one once. It leaves out invalid
// hosts, which validate reports.
func (c *Config) addresses() []string {
	hosts := c.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	addresses := make([]string, 0, len(hosts))
	for _, host := range hosts {
		if a, err := dsn.Host(host); err == nil && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// behindProxy reports whether the nodes are below a path of a proxy.
func (c *Config) behindProxy() bool { return c.PathPrefix != "" && c.PathPrefix != "/" }

// requestTimeout returns Timeout or its default; zero means no bound.
func (c *Config) requestTimeout() time.Duration {
	if c.Timeout == 0 {
		return defaultTimeout
	}
	return max(c.Timeout, 0)
}

// dialTimeout returns ConnectTimeout or its default.
func (c *Config) dialTimeout() time.Duration {
	if c.ConnectTimeout == 0 {
		return defaultConnectTimeout
	}
	return c.ConnectTimeout
}

// allowedCalls returns which functions each node is to carry out by itself.
func (c *Config) allowedCalls() (stmts sqltext.Calls) {
	if c.NoRewriteRandom {
		stmts |= sqltext.CallsRandom
	}
	if c.NoRewriteTime {
		stmts |= sqltext.CallsTime
	}
	return stmts
}

// warn sends the Logger an error that no call returns.
func (c *Config) warn(err error) {
	if c.Logger != nil {
		c.Logger.Warn(err.Error())
	}
}
