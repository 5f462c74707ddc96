package rqlite

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/dsn"
)

// ParseDSN parses a data source name:
//
//	rqlite://[user:password@]host[:port][,host[:port]…][/][path/][?key=value[&key=value…]]
//
// http:// and https:// may stand for rqlite://; https:// means tls=true. User, password, path and
// values are percent-encoded. The package documentation lists the keys. A missing port is 4001, a
// missing host localhost. An unknown key, a key given twice, a value out of range and contradictory
// settings are errors. ParseDSN does not open TLS files; NewConnector does.
//
// Errors never show the user, the password or any text that could be part of them.
func ParseDSN(dsn string) (*Config, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("rqlite: DSN: %w", err)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

func parseDSN(text string) (*Config, error) {
	parts, err := dsn.Split(text, dsnNames)
	if err != nil {
		return nil, err
	}
	c := &Config{Hosts: parts.Hosts, PathPrefix: parts.Path, User: parts.User, Password: parts.Password}
	for _, k := range dsnKeys {
		if v, ok := parts.Values[k.name]; ok && !k.parse(c, v) {
			return nil, fmt.Errorf("%s=%s: must be %s", k.name, shownValue(v), k.allowed)
		}
	}
	return c, c.settle(parts.Scheme, parts.Values)
}

// shownValue prepares the value of a known key for a message.
func shownValue(value string) string {
	const most = 60
	if len(value) > most {
		value = value[:most] + "..."
	}
	if quoted := strconv.Quote(value); value == "" || quoted != `"`+value+`"` {
		return quoted
	}
	return value
}

// settle applies the rules that concern several parts of the DSN.
func (c *Config) settle(scheme string, values map[string]string) error {
	if _, given := values["tls"]; given && scheme != "rqlite" && c.TLS != (scheme == "https") {
		return fmt.Errorf("%s:// contradicts tls=%t; leave tls out or begin with rqlite://", scheme, c.TLS)
	}
	c.TLS = c.TLS || scheme == "https"

	discovery, given := values["discovery"]
	if _, alias := values[gorqliteDiscovery]; alias && given && c.Discovery.String() != discovery {
		return fmt.Errorf("%s=true contradicts discovery=%s; leave one out", gorqliteDiscovery, discovery)
	}
	return nil
}

// FormatDSN returns a DSN from which [ParseDSN] makes a Config equal to c, including the password:
// use String for people. It leaves out zero fields, and settings that a DSN cannot express:
// HTTPClient, TLSConfig, Logger and a Location that [time.LoadLocation] does not know by its name.
// It writes hosts with their port. The DSN of an invalid Config is invalid, too.
func (c *Config) FormatDSN() string {
	var b strings.Builder
	b.WriteString("rqlite://")
	if c.Password != "" {
		b.WriteString(url.UserPassword(c.User, c.Password).String() + "@")
	} else if c.User != "" {
		b.WriteString(url.User(c.User).String() + "@")
	}
	hosts := c.addresses()
	if slices.ContainsFunc(c.Hosts, func(h string) bool { _, err := dsn.Host(h); return err != nil }) {
		// It may be anything, even a URL with a password in it.
		hosts = []string{"(invalid)"}
	}
	// The only "%" of an address is the one before a zone.
	b.WriteString(strings.ReplaceAll(strings.Join(hosts, ","), "%", "%25"))
	b.WriteString(c.formatPath())
	separator := byte('?')
	for _, k := range dsnKeys {
		value, ok := k.format(c)
		if !ok {
			continue
		}
		b.WriteByte(separator)
		separator = '&'
		b.WriteString(k.name + "=" + url.QueryEscape(value))
	}
	return b.String()
}

// formatPath returns the path for a DSN.
func (c *Config) formatPath() string {
	switch {
	case dsn.CheckPath(c.PathPrefix) != nil:
		return "/(invalid)" // it may be anything, even a URL with a password in it
	case !c.behindProxy():
		return ""
	}
	return dsn.EscapePath(c.PathPrefix)
}

// dsnKey describes one key.
type dsnKey struct {
	name    string
	doc     string // its meaning, for the manual
	allowed string // the allowed values, for the manual and for errors
	def     string // the default, for the manual
	// parse puts a value into a Config. It returns false, and changes nothing, if the value is not
	// allowed.
	parse func(*Config, string) bool
	// format is the reverse of parse. It returns false for a setting that has its default.
	format func(*Config) (string, bool)
}

// gorqliteDiscovery is the only key from the DSNs of another client.
const gorqliteDiscovery = "disableClusterDiscovery"

// dsnKeys is the only list of keys. Parsing, formatting, errors and the manual follow it.
var dsnKeys = []dsnKey{
	enumKey("level", "read consistency level", consistencyNames, func(c *Config) *Consistency { return &c.Consistency }),
	durationKey("freshness", "how long ago a node that answers from its own copy may have heard from the leader; only with level none or auto", "no bound",
		func(c *Config) *time.Duration { return &c.Freshness }),
	boolKey("freshness_strict", "also bound how far behind the leader the data may be; needs freshness", false,
		func(c *Config) *bool { return &c.FreshnessStrict }),
	durationKey("linearizable_timeout", "how long a linearizable read may wait for the leader to confirm its leadership", "that of the server",
		func(c *Config) *time.Duration { return &c.LinearizableTimeout }),
	timeoutKey("timeout", "how long to wait for an answer, retries included, if the context sets no earlier deadline; reading rows is not bounded by it",
		func(c *Config) *time.Duration { return &c.Timeout }),
	durationKey("connect_timeout", "how long one attempt to connect to one host may take", defaultConnectTimeout.String(),
		func(c *Config) *time.Duration { return &c.ConnectTimeout }),
	enumKey("discovery", "how nodes besides the hosts are found: redirect learns the leader from redirects, off uses the hosts only, nodes also asks for the members",
		discoveryNames, func(c *Config) *Discovery { return &c.Discovery }),
	enumKey("prepare", "when a mistake shows that only SQLite sees, such as a table that is missing: late at the first call, check at Prepare, which asks the server once for each text",
		prepareModeNames, func(c *Config) *PrepareMode { return &c.PrepareMode }),
	txModeKey("tx", "when the statements of a transaction run: interactive runs each at once, pipelined sends writes together as late as it can, auto does so from the third execution of a statement on"),
	enumKey("txlock", "when a transaction makes the other writers of this program wait: from its first write on, or from its beginning",
		txLockNames, func(c *Config) *TxLock { return &c.TxLock }),
	boolKey("txversion", "whether writes outside of transactions advance the version by which transactions notice them", true,
		func(c *Config) *bool { return &c.DisableTxVersion }),
	enumKey("exactly_once", "which writes outside of transactions the driver sends again if their answer is lost and they were not applied: joined those that go out together, scripts and atomic batches; all also single ones, which then take about 5 % longer; off none",
		exactlyOnceNames, func(c *Config) *ExactlyOnce { return &c.ExactlyOnce }),
	boolKey("coalesce", "whether writes, and quick reads, that are under way at the same time go out as one request", true, func(c *Config) *bool { return &c.DisableCoalescing }),
	boolKey("queue", "hand the writes of Exec to the queue of the server, so that neither their results nor their failures are known", false, func(c *Config) *bool { return &c.Queue }),
	boolKey("queue_wait", "wait until a queued write has been applied; needs queue", false, func(c *Config) *bool { return &c.QueueWait }),
	locationKey("loc", "zone of times that are read; auto leaves them as they are stored", func(c *Config) **time.Location { return &c.Location }),
	enumKey("times", "which columns hold times: declared those of the types DATE, DATETIME and TIMESTAMP, similar also those whose type begins with DATETIME or TIMESTAMP, such as timestamptz or datetime(3)",
		timeColumnsNames, func(c *Config) *TimeColumns { return &c.TimeColumns }),
	boolKey("tls", "use https; implied by https://", false, func(c *Config) *bool { return &c.TLS }),
	stringKey("tls_ca", "authorities to trust", "a PEM file", "those of the system", func(c *Config) *string { return &c.TLSCA }),
	stringKey("tls_cert", "certificate of the client; needs tls_key", "a PEM file", "none", func(c *Config) *string { return &c.TLSCert }),
	stringKey("tls_key", "key of tls_cert", "a PEM file", "none", func(c *Config) *string { return &c.TLSKey }),
	stringKey("tls_server_name", "name that the certificates of the nodes must be valid for", "a host name", "the host dialled",
		func(c *Config) *string { return &c.TLSServerName }),
	boolKey("tls_insecure_skip_verify", "accept any certificate; for tests only", false, func(c *Config) *bool { return &c.TLSInsecureSkipVerify }),
	boolKey("send_foreign_keys", "send PRAGMA foreign_keys, which sets it for all clients, instead of refusing what differs from the server's", false,
		func(c *Config) *bool { return &c.SendForeignKeys }),
	boolKey("norwrandom", "leave random functions in writes to each node, instead of replacing them by literals", false, func(c *Config) *bool { return &c.NoRewriteRandom }),
	boolKey("norwtime", "leave the current time in writes to each node, instead of replacing it by literals", false, func(c *Config) *bool { return &c.NoRewriteTime }),
	discoveryAliasKey(gorqliteDiscovery, "accepted for DSNs written for gorqlite; true is discovery=off"),
}

// dsnNames are the names of dsnKeys.
var dsnNames = func() (names []string) {
	for _, k := range dsnKeys {
		names = append(names, k.name)
	}
	return names
}()

func boolKey(name, doc string, def bool, field func(*Config) *bool) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: "true or false", def: strconv.FormatBool(def),
		parse: func(c *Config, s string) bool {
			v, err := strconv.ParseBool(s)
			if err != nil {
				return false
			}
			// The field says what differs from the default.
			*field(c) = v != def
			return true
		},
		format: func(c *Config) (string, bool) { return strconv.FormatBool(!def), *field(c) },
	}
}

func enumKey[E ~uint8](name, doc string, names []string, field func(*Config) *E) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: "one of " + strings.Join(names, ", "), def: names[0],
		parse: func(c *Config, s string) bool {
			v, err := parseEnum[E](name, names, s)
			if err != nil {
				return false
			}
			*field(c) = v
			return true
		},
		format: func(c *Config) (string, bool) { return enumName(name, names, *field(c)), *field(c) != 0 },
	}
}

// txModeKey also takes the earlier name of a mode.
func txModeKey(name, doc string) dsnKey {
	key := enumKey(name, doc, txModeNames, func(c *Config) *TxMode { return &c.TxMode })
	key.parse = func(c *Config, s string) (ok bool) {
		mode, err := ParseTxMode(s)
		if err == nil {
			c.TxMode = mode
		}
		return err == nil
	}
	return key
}

func stringKey(name, doc, allowed, def string, field func(*Config) *string) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: allowed, def: def,
		parse: func(c *Config, s string) bool {
			if s == "" {
				return false
			}
			*field(c) = s
			return true
		},
		format: func(c *Config) (string, bool) { return *field(c), *field(c) != "" },
	}
}

func durationKey(name, doc, def string, field func(*Config) *time.Duration) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: "a duration above zero with its unit, such as 500ms or 5s", def: def,
		parse: func(c *Config, s string) bool {
			d, err := time.ParseDuration(s)
			if err != nil || d <= 0 {
				return false
			}
			*field(c) = d
			return true
		},
		format: func(c *Config) (string, bool) { return field(c).String(), *field(c) != 0 },
	}
}

// timeoutKey is a durationKey that also takes seconds without a unit, as the DSNs of gorqlite have
// them. It also takes zero for no bound, which is negative in a Config, where zero is the default.
func timeoutKey(name, doc string, field func(*Config) *time.Duration) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: "a duration such as 500ms or 5s, a whole number of seconds, or 0 for no bound", def: defaultTimeout.String(),
		parse: func(c *Config, s string) bool {
			if _, err := strconv.ParseUint(s, 10, 63); err == nil {
				s += "s"
			}
			d, err := time.ParseDuration(s)
			if err != nil || d < 0 {
				return false
			}
			if d == 0 {
				d = -1
			}
			*field(c) = d
			return true
		},
		format: func(c *Config) (string, bool) {
			return max(*field(c), 0).String(), *field(c) != 0
		},
	}
}

func locationKey(name, doc string, field func(*Config) **time.Location) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: "auto, UTC, Local or the name of a zone this system knows, such as Europe/Berlin", def: "auto",
		parse: func(c *Config, s string) bool {
			if s == "auto" {
				*field(c) = nil
				return true
			}
			location, err := time.LoadLocation(s)
			if err != nil || s == "" {
				return false
			}
			*field(c) = location
			return true
		},
		format: func(c *Config) (string, bool) {
			if *field(c) == nil {
				return "", false
			}
			name := (*field(c)).String()
			_, err := time.LoadLocation(name)
			return name, err == nil && name != ""
		},
	}
}

// discoveryAliasKey never appears in a formatted DSN; the key that it stands for does.
func discoveryAliasKey(name, doc string) dsnKey {
	return dsnKey{
		name: name, doc: doc, allowed: "true or false", def: "false",
		parse: func(c *Config, s string) bool {
			off, err := strconv.ParseBool(s)
			if off {
				c.Discovery = DiscoveryOff
			}
			return err == nil
		},
		format: func(*Config) (string, bool) { return "", false },
	}
}
