package rqlite

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cfg  Config
		want string // "" if the Config is valid
	}{
		"zero":                        {Config{}, ""},
		"hosts":                       {Config{Hosts: []string{"a", "a:1", "[::1]", "[fe80::1%eth0]:1", ""}}, ""},
		"a URL as host":               {Config{Hosts: []string{"a", "http://u:s3cr3t@a"}}, `rqlite: host 2: more than one ":"; an IPv6 address stands in brackets, such as [::1]:4001`},
		"a path in a host":            {Config{Hosts: []string{"a/b"}}, "rqlite: host 1: a character that no host name has; write host:port"},
		"a path":                      {Config{PathPrefix: "/a/b/"}, ""},
		"a slash as path":             {Config{PathPrefix: "/", Discovery: DiscoveryNodes}, ""},
		"a path without an end":       {Config{PathPrefix: "/a"}, "rqlite: the path must begin and end with a slash, such as /rqlite/"},
		"a path without a beginning":  {Config{PathPrefix: "a/"}, "rqlite: the path must begin and end with a slash, such as /rqlite/"},
		"no bound":                    {Config{Timeout: -1}, ""},
		"freshness":                   {Config{Consistency: None, Freshness: 1, FreshnessStrict: true}, ""},
		"undefined level":             {Config{Consistency: 5}, "rqlite: Consistency(5) is no consistency level; use one of weak, linearizable, strong, none, auto"},
		"undefined discovery":         {Config{Discovery: 3}, "rqlite: discovery must be one of redirect, off, nodes"},
		"undefined mode":              {Config{TxMode: 3}, "rqlite: tx must be one of auto, interactive, pipelined"},
		"undefined exactly_once":      {Config{ExactlyOnce: 3}, "rqlite: exactly_once must be one of joined, all, off"},
		"tokens without versions":     {Config{ExactlyOnce: OnceAll, DisableTxVersion: true}, "rqlite: exactly_once=all needs txversion"},
		"undefined way to prepare":    {Config{PrepareMode: 2}, "rqlite: prepare must be one of late, check"},
		"negative freshness":          {Config{Consistency: None, Freshness: -1}, "rqlite: freshness must not be negative"},
		"negative linearizable bound": {Config{LinearizableTimeout: -1}, "rqlite: linearizable_timeout must not be negative"},
		"negative connect timeout":    {Config{ConnectTimeout: -1}, "rqlite: connect_timeout must not be negative"},
		"TLS":                         {Config{TLS: true}, ""},
		"TLSConfig":                   {Config{TLS: true, TLSConfig: &tls.Config{}}, ""},
		"TLSConfig with plain http":   {Config{TLSConfig: &tls.Config{}}, "rqlite: TLSConfig needs TLS"},
		"TLSConfig and a file":        {Config{TLS: true, TLSConfig: &tls.Config{}, TLSCA: "x"}, "rqlite: TLSConfig replaces the tls_ settings; use one or the other"},
		"client":                      {Config{HTTPClient: http.DefaultClient, TLS: true}, ""},
		"client and TLSConfig": {
			Config{HTTPClient: http.DefaultClient, TLS: true, TLSConfig: &tls.Config{}},
			"rqlite: HTTPClient brings its own transport, which would ignore the TLS settings; make them there",
		},
		"client and a TLS key": {
			Config{HTTPClient: http.DefaultClient, TLS: true, TLSServerName: "x"},
			"rqlite: HTTPClient brings its own transport, which would ignore the TLS settings; make them there",
		},
		"client and connect timeout": {
			Config{HTTPClient: http.DefaultClient, ConnectTimeout: 1},
			"rqlite: HTTPClient brings its own transport, which would ignore connect_timeout; set it there",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.cfg.validate()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	zero := &Config{}
	assert.Equal(t, []string{"localhost:4001"}, zero.addresses())
	assert.Equal(t, "http", zero.scheme())
	assert.Equal(t, 30*time.Second, zero.requestTimeout())
	assert.Equal(t, 5*time.Second, zero.dialTimeout())

	set := &Config{Hosts: []string{"a", "b:2", "a:4001", "[::1]"}, TLS: true, Timeout: time.Second, ConnectTimeout: time.Minute}
	assert.Equal(t, []string{"a:4001", "b:2", "[::1]:4001"}, set.addresses())
	assert.Equal(t, "https", set.scheme())
	assert.Equal(t, time.Second, set.requestTimeout())
	assert.Equal(t, time.Minute, set.dialTimeout())
	assert.Zero(t, (&Config{Timeout: -time.Second}).requestTimeout(), "negative is no bound")
}

func TestClone(t *testing.T) {
	t.Parallel()
	assert.Nil(t, (*Config)(nil).Clone())
	assert.Equal(t, &Config{}, (&Config{}).Clone())

	original := settings(t)
	original.HTTPClient, original.Logger = http.DefaultClient, slog.Default()
	original.TLSConfig = &tls.Config{ServerName: "a"}
	clone := original.Clone()
	require.Equal(t, original.FormatDSN(), clone.FormatDSN())
	assert.Same(t, original.HTTPClient, clone.HTTPClient)
	assert.Same(t, original.Logger, clone.Logger)

	clone.Hosts[0], clone.TLSConfig.ServerName = "changed", "changed"
	assert.Equal(t, settings(t).Hosts, original.Hosts)
	assert.Equal(t, "a", original.TLSConfig.ServerName)
}

func TestConfigShowsNoPassword(t *testing.T) {
	t.Parallel()
	c := settings(t)
	for _, v := range []any{c, *c, struct{ C *Config }{c}, struct{ C Config }{*c}, []*Config{c}, fmt.Errorf("x %v", c)} {
		text := fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v)
		assert.NotContains(t, text, secret)
	}
	assert.NotContains(t, shown(c), secret)
	assert.NotContains(t, shown(*c), secret)

	c = &Config{Hosts: []string{"h"}, User: "bob", Password: secret, Consistency: None}
	assert.Equal(t, "rqlite://bob:xxxxx@h:4001?level=none", c.String())
	assert.Equal(t, `rqlite.Config("rqlite://bob:xxxxx@h:4001?level=none")`, fmt.Sprintf("%#v", c))
	assert.Equal(t, c.String(), c.LogValue().String())
	assert.Equal(t, secret, c.Password, "printing leaves the Config alone")
	assert.Equal(t, "rqlite://bob@h:4001", Config{Hosts: []string{"h"}, User: "bob"}.String(), "no password, nothing to hide")
}
