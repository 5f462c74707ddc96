package rqlite

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustLocation(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	require.NoError(t, err)
	return location
}

func TestParseDSN(t *testing.T) {
	t.Parallel()
	local := []string{"localhost:4001"}
	for dsn, want := range map[string]Config{
		"rqlite://":                               {Hosts: local},
		"rqlite:///":                              {Hosts: local},
		"rqlite://localhost":                      {Hosts: local},
		"rqlite://localhost/?":                    {Hosts: local},
		"RQLITE://localhost:4001?&":               {Hosts: local},
		"http://localhost":                        {Hosts: local},
		"http://localhost?tls=false":              {Hosts: local},
		"https://localhost":                       {Hosts: local, TLS: true},
		"https://localhost?tls=true":              {Hosts: local, TLS: true},
		"rqlite://localhost?tls=1":                {Hosts: local, TLS: true},
		"rqlite://:4002":                          {Hosts: []string{"localhost:4002"}},
		"rqlite://a:1,b,c-1.example_x.org:65535":  {Hosts: []string{"a:1", "b:4001", "c-1.example_x.org:65535"}},
		"rqlite://a,a:4001,b":                     {Hosts: []string{"a:4001", "b:4001"}},
		"rqlite://127.0.0.1:04001":                {Hosts: []string{"127.0.0.1:4001"}},
		"rqlite://[::1],[2001:DB8:0::1]:4002":     {Hosts: []string{"[::1]:4001", "[2001:db8::1]:4002"}},
		"rqlite://[fe80::1%25eth0]:4001":          {Hosts: []string{"[fe80::1%eth0]:4001"}},
		"rqlite://bob@h":                          {Hosts: []string{"h:4001"}, User: "bob"},
		"rqlite://bob:@h":                         {Hosts: []string{"h:4001"}, User: "bob"},
		"rqlite://bob:a:b@h":                      {Hosts: []string{"h:4001"}, User: "bob", Password: "a:b"},
		"rqlite://bob:a@b@h":                      {Hosts: []string{"h:4001"}, User: "bob", Password: "a@b"},
		"rqlite://bob:a,b@h,i":                    {Hosts: []string{"h:4001", "i:4001"}, User: "bob", Password: "a,b"},
		"rqlite://b%40b:%2F%3f%23%40%3A%25%20+@h": {Hosts: []string{"h:4001"}, User: "b@b", Password: "/?#@:% +"},
		"rqlite://@h":                             {Hosts: []string{"h:4001"}},
		"rqlite://h/rqlite/":                      {Hosts: []string{"h:4001"}, PathPrefix: "/rqlite/"},
		"https://h:443,i/a.b/c/?level=none":       {Hosts: []string{"h:443", "i:4001"}, TLS: true, PathPrefix: "/a.b/c/", Consistency: None},
		"rqlite://b@h/a%20%40%3F%23%25,:+/":       {Hosts: []string{"h:4001"}, User: "b", PathPrefix: "/a @?#%,:+/"},
		"rqlite://?level=none&freshness=1.5s&freshness_strict=t": {
			Hosts: local, Consistency: None, Freshness: 1500 * time.Millisecond, FreshnessStrict: true,
		},
		"rqlite://?level=weak":                            {Hosts: local},
		"rqlite://?level=auto&freshness=1h":               {Hosts: local, Consistency: Auto, Freshness: time.Hour},
		"rqlite://?linearizable_timeout=2s":               {Hosts: local, LinearizableTimeout: 2 * time.Second},
		"rqlite://?timeout=10":                            {Hosts: local, Timeout: 10 * time.Second},
		"rqlite://?timeout=1m":                            {Hosts: local, Timeout: time.Minute},
		"rqlite://?timeout=0":                             {Hosts: local, Timeout: -1},
		"rqlite://?timeout=0s":                            {Hosts: local, Timeout: -1},
		"rqlite://?connect_timeout=250ms":                 {Hosts: local, ConnectTimeout: 250 * time.Millisecond},
		"rqlite://?discovery=off&tx=pipelined":            {Hosts: local, Discovery: DiscoveryOff, TxMode: TxPipelined},
		"rqlite://?tx=deferred":                           {Hosts: local, TxMode: TxPipelined},
		"rqlite://?tx=interactive":                        {Hosts: local, TxMode: TxInteractive},
		"rqlite://?prepare=check":                         {Hosts: local, PrepareMode: PrepareCheck},
		"rqlite://?prepare=late":                          {Hosts: local},
		"rqlite://?exactly_once=all":                      {Hosts: local, ExactlyOnce: OnceAll},
		"rqlite://?exactly_once=joined":                   {Hosts: local},
		"rqlite://?discovery=nodes":                       {Hosts: local, Discovery: DiscoveryNodes},
		"rqlite://?txversion=false&coalesce=0":            {Hosts: local, DisableTxVersion: true, DisableCoalescing: true},
		"rqlite://?txversion=true&coalesce=1":             {Hosts: local},
		"rqlite://?queue=true&queue_wait=true":            {Hosts: local, Queue: true, QueueWait: true},
		"rqlite://?queue=false":                           {Hosts: local},
		"rqlite://?norwrandom=true&norwtime=T":            {Hosts: local, NoRewriteRandom: true, NoRewriteTime: true},
		"rqlite://?times=declared":                        {Hosts: local},
		"rqlite://?times=similar":                         {Hosts: local, TimeColumns: TimesSimilar},
		"rqlite://?loc=auto":                              {Hosts: local},
		"rqlite://?loc=UTC":                               {Hosts: local, Location: time.UTC},
		"rqlite://?loc=Local":                             {Hosts: local, Location: time.Local},
		"rqlite://?loc=Europe%2FBerlin":                   {Hosts: local, Location: mustLocation(t, "Europe/Berlin")},
		"rqlite://?loc=Europe/Berlin":                     {Hosts: local, Location: mustLocation(t, "Europe/Berlin")},
		"rqlite://?disableClusterDiscovery=false":         {Hosts: local},
		"rqlite://?disableClusterDiscovery=1":             {Hosts: local, Discovery: DiscoveryOff},
		"rqlite://?tls=true&tls_insecure_skip_verify=1":   {Hosts: local, TLS: true, TLSInsecureSkipVerify: true},
		"https://?tls_ca=%2Fno+such%2Fca.pem":             {Hosts: local, TLS: true, TLSCA: "/no such/ca.pem"},
		"https://?tls_cert=c&tls_key=k&tls_server_name=n": {Hosts: local, TLS: true, TLSCert: "c", TLSKey: "k", TLSServerName: "n"},
		"rqlite://?disableClusterDiscovery=true&discovery=off": {
			Hosts: local, Discovery: DiscoveryOff,
		},
		// As programs that use gorqlite have it.
		"http://user:pass@host:4001/?level=strong&timeout=10&disableClusterDiscovery=true": {
			Hosts: []string{"host:4001"}, User: "user", Password: "pass", Consistency: Strong,
			Timeout: 10 * time.Second, Discovery: DiscoveryOff,
		},
	} {
		t.Run(dsn, func(t *testing.T) {
			t.Parallel()
			got, err := ParseDSN(dsn)
			require.NoError(t, err)
			assert.Equal(t, &want, got)
			again, err := ParseDSN(got.FormatDSN())
			require.NoError(t, err, "its own output: %s", got.FormatDSN())
			assert.Equal(t, got, again)
		})
	}
}

// refuses checks that each DSN fails with the text that is given for it.
func refuses(t *testing.T, want map[string]string) {
	t.Helper()
	for dsn, text := range want {
		t.Run(dsn, func(t *testing.T) {
			t.Parallel()
			c, err := ParseDSN(dsn)
			require.EqualError(t, err, text)
			assert.Nil(t, c)
		})
	}
}

func TestParseDSNRefusesSyntax(t *testing.T) {
	t.Parallel()
	const (
		scheme   = "rqlite: DSN: it must begin with rqlite://, http:// or https://; write for example rqlite://localhost:4001"
		portText = "the port must be a number from 1 to 65535"
		double   = `rqlite: the path must not have "//", "/./" or "/../" in it`
		name     = "rqlite: DSN: rqlite has one database, which has no name; only keys may follow the hosts, after /?, " +
			"or the path below which a reverse proxy has rqlite, with a slash at its end, such as /rqlite/"
	)
	refuses(t, map[string]string{
		"":                          "rqlite: DSN: it is empty; write for example rqlite://localhost:4001",
		"localhost:4001":            scheme,
		"rqlite:localhost":          scheme,
		"sqlite://localhost":        scheme,
		"://localhost":              scheme,
		"rqlite://localhost\n":      "rqlite: DSN: it holds a space, a line end or another control character; percent-encode or remove it",
		"rqlite://localhost/db":     name,
		"rqlite://localhost/a/b?":   name,
		"rqlite://localhost//":      double,
		"rqlite://localhost/a//b/":  double,
		"rqlite://localhost/./":     double,
		"rqlite://localhost/a/../":  double,
		"rqlite://localhost/a%/":    `rqlite: DSN: the path holds a "%" that begins no escape; write it as %25`,
		"rqlite://localhost/a%2fb/": "rqlite: DSN: the path holds a slash as %2F, which proxies do not agree on",
		"rqlite://localhost/#x":     `rqlite: DSN: a fragment has no meaning; write "#" as %23`,
		"rqlite://a,":               "rqlite: DSN: host 2 of 2 is empty",
		"rqlite://u:p@,a":           "rqlite: DSN: host 1 of 2 is empty",
		"rqlite://a:":               "rqlite: DSN: host 1: " + portText,
		"rqlite://a:0":              "rqlite: DSN: host 1: " + portText,
		"rqlite://a,b:65536":        "rqlite: DSN: host 2: " + portText,
		"rqlite://a:-1":             "rqlite: DSN: host 1: " + portText,
		"rqlite://a:+1":             "rqlite: DSN: host 1: " + portText,
		"rqlite://a:http":           "rqlite: DSN: host 1: " + portText,
		"rqlite://a:%34":            "rqlite: DSN: host 1: " + portText,
		"rqlite://::1":              `rqlite: DSN: host 1: more than one ":"; an IPv6 address stands in brackets, such as [::1]:4001`,
		"rqlite://[::1":             `rqlite: DSN: host 1: "[" without "]"`,
		"rqlite://[127.0.0.1]":      "rqlite: DSN: host 1: what stands in brackets is no IPv6 address",
		"rqlite://[]":               "rqlite: DSN: host 1: what stands in brackets is no IPv6 address",
		"rqlite://[fe80::1%25a%25]": "rqlite: DSN: host 1: what stands in brackets is no IPv6 address",
		"rqlite://[::1]4001":        `rqlite: DSN: host 1: after "]" only a port may follow, such as [::1]:4001`,
		"rqlite://[::1]:x":          "rqlite: DSN: host 1: " + portText,
		"rqlite://a%20b":            "rqlite: DSN: host 1: a character that no host name has; write host:port",
		"rqlite://bücher.example":   "rqlite: DSN: host 1: a character that no host name has; write host:port",
		"rqlite://u:p@a,u:p@b":      `rqlite: DSN: more than one "@"; give user and password once, before the first host, and write "@" in them as %40`,
		"rqlite://u%:p@a":           `rqlite: DSN: the user holds a "%" that begins no escape; write it as %25`,
		"rqlite://u:p%2@a":          `rqlite: DSN: the password holds a "%" that begins no escape; write it as %25`,
		"rqlite://a%3Ab:p@a":        `rqlite: the user must not contain ":", which HTTP basic authentication cannot carry`,
	})
}

func TestParseDSNRefusesKeysAndValues(t *testing.T) {
	t.Parallel()
	const (
		boolText = "must be true or false"
		duration = "must be a duration above zero with its unit, such as 500ms or 5s"
		timeout  = "must be a duration such as 500ms or 5s, a whole number of seconds, or 0 for no bound"
		zone     = "must be auto, UTC, Local or the name of a zone this system knows, such as Europe/Berlin"
	)
	refuses(t, map[string]string{
		"rqlite://?lvl=none":                          `rqlite: DSN: key "lvl" is unknown; did you mean "level"?`,
		"rqlite://?Level=none":                        `rqlite: DSN: key "Level" is unknown; did you mean "level"?`,
		"rqlite://?insecure_skip_verify=1":            `rqlite: DSN: key "insecure_skip_verify" is unknown; did you mean "tls_insecure_skip_verify"?`,
		"rqlite://?disable_cluster_discovery=1":       `rqlite: DSN: key "disable_cluster_discovery" is unknown; did you mean "disableClusterDiscovery"?`,
		"rqlite://?_fk=1":                             `rqlite: DSN: key "_fk" is of another driver: foreign keys are enforced by a server that was started with -fk: leave it out`,
		"rqlite://?_timeout=5000":                     `rqlite: DSN: key "_timeout" is of another driver: use timeout=`,
		"rqlite://?sslmode=disable":                   `rqlite: DSN: key "sslmode" is of another driver: use tls=true, or the scheme https://, or leave it out for plain http`,
		"rqlite://?database=x":                        `rqlite: DSN: key "database" is unknown; the keys are ` + strings.Join(dsnNames, ", "),
		"rqlite://?=x":                                `rqlite: DSN: key "" is unknown; the keys are ` + strings.Join(dsnNames, ", "),
		"rqlite://?a%3db=x":                           `rqlite: DSN: a key is unknown; the keys are ` + strings.Join(dsnNames, ", "),
		"rqlite://?" + strings.Repeat("x", 41) + "=1": `rqlite: DSN: a key is unknown; the keys are ` + strings.Join(dsnNames, ", "),
		"rqlite://?level":                             `rqlite: DSN: key "level" has no value`,
		"rqlite://?queue":                             `rqlite: DSN: key "queue" has no value`,
		"rqlite://?level=none&level=none":             `rqlite: DSN: key "level" is given twice`,
		"rqlite://?level=%zz":                         `rqlite: DSN: the value of key "level" holds a "%" that begins no escape; write it as %25`,
		"rqlite://?level=foo":                         "rqlite: DSN: level=foo: must be one of weak, linearizable, strong, none, auto",
		"rqlite://?level=":                            `rqlite: DSN: level="": must be one of weak, linearizable, strong, none, auto`,
		"rqlite://?level=STRONG":                      "rqlite: DSN: level=STRONG: must be one of weak, linearizable, strong, none, auto",
		"rqlite://?level=%0a":                         `rqlite: DSN: level="\n": must be one of weak, linearizable, strong, none, auto`,
		"rqlite://?tx=" + strings.Repeat("x", 90): "rqlite: DSN: tx=" + strings.Repeat("x", 60) +
			"...: must be one of auto, interactive, pipelined",
		"rqlite://?queue=yes":                   "rqlite: DSN: queue=yes: " + boolText,
		"rqlite://?disableClusterDiscovery=yes": "rqlite: DSN: disableClusterDiscovery=yes: " + boolText,
		"rqlite://?level=none&freshness=1":      "rqlite: DSN: freshness=1: " + duration,
		"rqlite://?level=none&freshness=0s":     "rqlite: DSN: freshness=0s: " + duration,
		"rqlite://?linearizable_timeout=-1s":    "rqlite: DSN: linearizable_timeout=-1s: " + duration,
		"rqlite://?connect_timeout=0":           "rqlite: DSN: connect_timeout=0: " + duration,
		"rqlite://?timeout=-1":                  "rqlite: DSN: timeout=-1: " + timeout,
		"rqlite://?timeout=-1s":                 "rqlite: DSN: timeout=-1s: " + timeout,
		"rqlite://?timeout=1.5":                 "rqlite: DSN: timeout=1.5: " + timeout,
		"rqlite://?timeout=9223372037":          "rqlite: DSN: timeout=9223372037: " + timeout,
		"rqlite://?loc=Mars/Olympus":            "rqlite: DSN: loc=Mars/Olympus: " + zone,
		"rqlite://?loc=":                        `rqlite: DSN: loc="": ` + zone,
		"https://?tls_ca=":                      `rqlite: DSN: tls_ca="": must be a PEM file`,
		"rqlite://h?tls_ca=a@b":                 `rqlite: DSN: an "@" after the hosts; in user and password write "/", "?", "#" and "@" as %2F, %3F, %23 and %40, in values "@" as %40`,
	})
}

func TestParseDSNRefusesContradictions(t *testing.T) {
	t.Parallel()
	const tlsKeys = "rqlite: tls_ca, tls_cert, tls_key, tls_server_name and tls_insecure_skip_verify need tls=true or https://"
	refuses(t, map[string]string{
		"rqlite://:p@a":       "rqlite: a password needs a user",
		"http://h?tls=true":   "rqlite: DSN: http:// contradicts tls=true; leave tls out or begin with rqlite://",
		"https://h?tls=false": "rqlite: DSN: https:// contradicts tls=false; leave tls out or begin with rqlite://",
		"rqlite://?disableClusterDiscovery=true&discovery=redirect": "rqlite: DSN: disableClusterDiscovery=true contradicts discovery=redirect; leave one out",
		"rqlite://?discovery=nodes&disableClusterDiscovery=true":    "rqlite: DSN: disableClusterDiscovery=true contradicts discovery=nodes; leave one out",
		"rqlite://?freshness=1s":                                    "rqlite: freshness has no effect at level weak; use level none or auto, or leave freshness out",
		"rqlite://?level=strong&freshness=1s":                       "rqlite: freshness has no effect at level strong; use level none or auto, or leave freshness out",
		"rqlite://?level=none&freshness_strict=true":                "rqlite: freshness_strict needs a freshness",
		"rqlite://?queue_wait=true":                                 "rqlite: queue_wait needs queue=true",
		"rqlite://h/a/?discovery=nodes":                             "rqlite: discovery=nodes learns addresses behind the proxy that a path needs; leave one out",
		"rqlite://?tls_ca=x":                                        tlsKeys,
		"http://?tls_cert=x&tls_key=y":                              tlsKeys,
		"rqlite://?tls=false&tls_server_name=x":                     tlsKeys,
		"rqlite://?tls_insecure_skip_verify=true":                   tlsKeys,
		"https://?tls_cert=x":                                       "rqlite: tls_cert and tls_key need each other",
		"https://?tls_key=x":                                        "rqlite: tls_cert and tls_key need each other",
		"https://?tls_ca=x&tls_insecure_skip_verify=true":           "rqlite: tls_insecure_skip_verify accepts any certificate, so that tls_ca would have no effect; leave one out",
	})
}

// settings is a Config in which every field that a DSN can express differs
// from its default, and in which, on the way to FormatDSN, everything has to
// be encoded that can need it.
func settings(t testing.TB) *Config {
	return &Config{
		Hosts: []string{"a:1", "[fe80::1%eth0]:4001", "c.example:65535"}, User: "a@b/?#%& ü,+", Password: "s3cr3t:@/?#%&=,\x00\xff",
		TLS: true, TLSCert: "/c & d.pem", TLSKey: "k@?#=%.pem", TLSServerName: "name", TLSInsecureSkipVerify: true,
		Consistency: Auto, Freshness: 1500 * time.Microsecond, FreshnessStrict: true, LinearizableTimeout: time.Nanosecond,
		Timeout: 1<<63 - 1, ConnectTimeout: 90 * time.Second, Discovery: DiscoveryNodes, PrepareMode: PrepareCheck, ExactlyOnce: OnceOff, TimeColumns: TimesSimilar, TxMode: TxPipelined, TxLock: TxLockImmediate,
		DisableTxVersion: true, DisableCoalescing: true, Queue: true, QueueWait: true, Location: mustLocation(t, "America/New_York"),
		SendForeignKeys: true, NoRewriteRandom: true, NoRewriteTime: true,
	}
}

func TestFormatDSN(t *testing.T) {
	t.Parallel()
	full := settings(t)
	dsn := full.FormatDSN()
	for _, k := range dsnKeys {
		switch k.name {
		case gorqliteDiscovery, "tls_ca": // tls_ca excludes tls_insecure_skip_verify
			assert.NotContains(t, dsn, k.name)
		default:
			assert.Contains(t, dsn, k.name+"=")
		}
	}
	for name, c := range map[string]*Config{
		"all":          full,
		"CA":           {Hosts: []string{"h:1"}, TLS: true, TLSCA: "/x y/+.pem"},
		"30s is kept":  {Hosts: []string{"h:1"}, Timeout: defaultTimeout, ConnectTimeout: defaultConnectTimeout},
		"unbounded":    {Hosts: []string{"h:1"}, Timeout: -1},
		"UTC":          {Hosts: []string{"h:1"}, Location: time.UTC},
		"Local":        {Hosts: []string{"h:1"}, Location: time.Local},
		"discovery":    {Hosts: []string{"h:1"}, Discovery: DiscoveryOff},
		"linearizable": {Hosts: []string{"h:1"}, Consistency: Linearizable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseDSN(c.FormatDSN())
			require.NoError(t, err, "%s", c.FormatDSN())
			assert.Equal(t, c, got)
		})
	}
	for want, c := range map[string]*Config{
		"rqlite://localhost:4001": {},
		"rqlite://h:4001,[::1]:4001?level=none&timeout=1m0s": {
			Hosts: []string{"h", "[::1]"}, Consistency: None, Timeout: time.Minute,
		},
		"rqlite://h:1?timeout=0s":                    {Hosts: []string{"h:1"}, Timeout: -time.Hour},
		"rqlite://u@h:1?txversion=false":             {Hosts: []string{"h:1"}, User: "u", DisableTxVersion: true},
		"rqlite://u:a%40%3Ab@h:1?loc=Asia%2FTokyo":   {Hosts: []string{"h:1"}, User: "u", Password: "a@:b", Location: mustLocation(t, "Asia/Tokyo")},
		"rqlite://h:2":                               {Hosts: []string{"h:2"}, Location: time.FixedZone("", 3600)},
		"rqlite://h:3":                               {Hosts: []string{"h:3"}, Location: time.FixedZone("here", 3600)},
		"rqlite://(invalid)":                         {Hosts: []string{"h:1", "http://u:s3cr3t@h:4001/"}},
		"rqlite://h:4?discovery=discovery%287%29":    {Hosts: []string{"h:4"}, Discovery: 7},
		"rqlite://h:6":                               {Hosts: []string{"h:6"}, PathPrefix: "/"},
		"rqlite://h:7/(invalid)":                     {Hosts: []string{"h:7"}, PathPrefix: "/http://u:s3cr3t@h/"},
		"rqlite://h:8/(invalid)":                     {Hosts: []string{"h:8"}, PathPrefix: "s3cr3t"},
		"rqlite://h:5?tls=true&tls_server_name=h%26": {Hosts: []string{"h:5"}, TLS: true, TLSServerName: "h&"},
	} {
		assert.Equal(t, want, c.FormatDSN())
	}
}

// Each key is independent of the others: nothing but its own field changes,
// and what it formats it also parses.
func TestKeyTable(t *testing.T) {
	t.Parallel()
	full, seen := settings(t), map[string]bool{}
	full.TLSCA = "ca.pem"
	for _, k := range dsnKeys {
		require.False(t, seen[k.name], "%s is in the table twice", k.name)
		seen[k.name] = true
		for what, text := range map[string]string{"doc": k.doc, "allowed": k.allowed, "default": k.def} {
			assert.NotEmpty(t, text, "%s of %s", what, k.name)
		}
		_, ok := k.format(&Config{})
		assert.False(t, ok, "%s formats a default", k.name)

		value, ok := k.format(full)
		if k.name == gorqliteDiscovery {
			assert.False(t, ok)
			continue
		}
		require.True(t, ok, k.name)
		var one Config
		require.True(t, k.parse(&one, value), "%s=%s", k.name, value)
		for _, other := range dsnKeys {
			got, formatted := other.format(&one)
			assert.Equal(t, other.name == k.name, formatted, "%s changed %s", k.name, other.name)
			if formatted {
				assert.Equal(t, value, got)
			}
		}
		before := one
		for _, bad := range []string{"", "\x00", "-"} {
			if k.parse(&one, bad) {
				assert.True(t, strings.HasPrefix(k.name, "tls_"), "%s accepts %q", k.name, bad)
				one = before
			}
			assert.Equal(t, before, one, "%s=%q was refused and changed something", k.name, bad)
		}
	}
}

// inManual renders the key table as the list that doc.go shows.
func inManual() string {
	var b strings.Builder
	for _, k := range dsnKeys {
		line := "//   -"
		text := fmt.Sprintf("%s: %s. Value: %s. Default: %s.", k.name, k.doc, k.allowed, k.def)
		for word := range strings.FieldsSeq(text) {
			if len(line)+1+len(word) > 100 {
				b.WriteString(line + "\n")
				line = "//    "
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func TestManualListsAllKeys(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("doc.go")
	if err != nil || !strings.Contains(string(manual), inManual()) {
		t.Fatalf("doc.go (%v) does not hold the list of keys, which has to be:\n%s", err, inManual())
	}
}

const secret = "s3cr3t"

// shown is everything that fmt and slog make of v.
func shown(v any) string {
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x", v, v, v, v, v, v)
	return b.String()
}

func TestErrorsShowNoPassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"bob:s3cr3t@host", "//bob:s3cr3t@host", "rqlite:bob:s3cr3t@host:4001", "postgres://bob:s3cr3t@host", "s3cr3t://host",
		"rqlite://bob:s3cr3t", "rqlite://bob:s3cr3t,host", "rqlite://bob:s3cr3t@host:x", "rqlite://bob:s3cr3t@ho st",
		"rqlite://bob:s3cr3t@host:99999", "rqlite://bob:s3cr3t@host:1:2", "rqlite://bob:s3cr3t@[::1", "rqlite://bob:s3cr3t@[x]",
		"rqlite://bob:s3cr3t%@host", "rqlite://bob:%zzs3cr3t@host", "rqlite://s3cr3t%:x@host", "rqlite://:s3cr3t@host",
		"rqlite://bob:/s3cr3t@host", "rqlite://bob:1/s3cr3t@host", "rqlite://bob:?s3cr3t@host", "rqlite://bob:1?s3cr3t@host",
		"rqlite://bob:1?s3cr3t=1@host", "rqlite://bob:1?level=s3cr3t@host", "rqlite://bob:#s3cr3t@host", "rqlite://bob:1#s3cr3t@host",
		"rqlite://a@bob:1?s3cr3t&x@host", "rqlite://bob:s3cr3t@a,bob:s3cr3t@b", "rqlite://bob:s3cr3t@host/s3cr3t",
		"rqlite://bob:s3cr3t@host/s3cr3t//", "rqlite://bob:s3cr3t@host/s3cr3t%/", "rqlite://bob:s3cr3t@host/s3cr3t%2F/", "rqlite://bob:s3cr3t@host/x/s3cr3t@y/",
		"rqlite://bob:s3cr3t@host?lvl=none", "rqlite://bob:s3cr3t@host?level=none&level=none", "rqlite://bob:s3cr3t@host?level=foo",
		"rqlite://bob:s3cr3t@host?timeout=-1", "rqlite://bob:s3cr3t@host?tls_ca=x", "http://bob:s3cr3t@host?tls=true",
		"rqlite://host?password=s3cr3t", "rqlite://host?password=s3cr3t&level", "rqlite://host?level=%zzs3cr3t", "rqlite://bob:s3cr3t@host\n",
		"rqlite://bob:s3cr3t@@host:", "rqlite://bob%3Ax:s3cr3t@host", "rqlite://host?s3cr3t%40x", "rqlite://bob:s3cr3t@host?" + strings.Repeat("x", 99),
	} {
		c, err := ParseDSN(dsn)
		require.Error(t, err, "%q", dsn)
		assert.Nil(t, c)
		assert.NotContains(t, shown(err), secret)
		assert.NotContains(t, err.Error(), "bob")
		assert.True(t, strings.HasPrefix(err.Error(), "rqlite: "), err)
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, seed := range [][2]string{
		{"rqlite://bob", "host:4001?level=none&freshness=1s"},
		{"rqlite://a%40b", "a,[::1]:2/?tls=true&tls_ca=x&timeout=3&loc=UTC"},
		{"http://u?level=", "h/?discovery=off&disableClusterDiscovery=true&txversion=false"},
		{"rqlite://b", "h/a%20b/c/?level=none"},
		{"https://x@y", "h?tls_cert=%2Fa&tls_key=b&connect_timeout=3s&queue=1&queue_wait=t"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		_, _ = checkDSN(t, before+after) // anything goes, as long as it holds what is true for any text
		c, err := checkDSN(t, before+":"+secret+"@"+after)
		if strings.Contains(before+after, secret) {
			return
		}
		if err != nil {
			require.NotContains(t, shown(err), secret)
			return
		}
		require.Contains(t, c.Password, secret)
		require.NotContains(t, shown(c), secret)
		require.NotContains(t, shown(*c), secret)
	})
}

// checkDSN asserts what holds for any text.
func checkDSN(t *testing.T, dsn string) (*Config, error) {
	t.Helper()
	c, err := ParseDSN(dsn)
	if err != nil {
		require.Nil(t, c)
		require.True(t, strings.HasPrefix(err.Error(), "rqlite: "), err)
		return nil, err
	}
	require.NotEmpty(t, c.Hosts)
	require.Equal(t, c.Hosts, c.addresses(), "hosts are parsed into their final form")
	again, err := ParseDSN(c.FormatDSN())
	require.NoError(t, err, "%q from %q", c.FormatDSN(), dsn)
	require.Equal(t, c, again, "%q from %q", c.FormatDSN(), dsn)
	require.Equal(t, c.FormatDSN(), again.FormatDSN())
	return c, nil
}

func BenchmarkParseDSN(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseDSN("rqlite://bob:pw@a,b,c:4003/?level=none&freshness=1s&timeout=10"); err != nil {
			b.Fatal(err)
		}
	}
}
