package rqlite

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
		"undefined mode":              {Config{TxMode: 2}, "rqlite: tx must be one of interactive, deferred"},
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

// files holds a certificate authority, a certificate that it issued for
// 127.0.0.1 and for clients, and files with all of it.
type files struct {
	pair          tls.Certificate
	pool          *x509.CertPool
	ca, cert, key string
	junk, missing string
}

func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	issue := func(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		require.NoError(t, err)
		return der
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER := issue(ca, ca, caKey, caKey)
	leafDER := issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, DNSNames: []string{"node.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, key, caKey)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)

	f := files{
		pair: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, pool: x509.NewCertPool(),
		ca: write("ca.pem", "CERTIFICATE", caDER), cert: write("cert.pem", "CERTIFICATE", leafDER),
		key: write("key.pem", "EC PRIVATE KEY", keyDER), junk: write("junk.pem", "JUNK", []byte("junk")), missing: filepath.Join(dir, "missing.pem"),
	}
	parsed, err := x509.ParseCertificate(caDER)
	require.NoError(t, err)
	f.pool.AddCert(parsed)
	return f
}

func TestTLSFiles(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	for name, tt := range map[string]struct {
		cfg  Config
		want string
	}{
		"missing authority": {Config{TLSCA: f.missing}, "rqlite: tls_ca: open " + f.missing + ": "},
		"junk as authority": {Config{TLSCA: f.junk}, "rqlite: tls_ca: no certificate in PEM form in " + f.junk},
		"missing cert":      {Config{TLSCert: f.missing, TLSKey: f.key}, "rqlite: tls_cert: open " + f.missing + ": "},
		"missing key":       {Config{TLSCert: f.cert, TLSKey: f.missing}, "rqlite: tls_key: open " + f.missing + ": "},
		"junk as cert":      {Config{TLSCert: f.junk, TLSKey: f.key}, "rqlite: tls_cert and tls_key: "},
		"key of another":    {Config{TLSCert: f.ca, TLSKey: f.key}, "rqlite: tls_cert and tls_key: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.TLS = true
			require.NoError(t, tt.cfg.checkContradictions(), "files are left alone here")
			require.ErrorContains(t, tt.cfg.validate(), tt.want)
		})
	}
	assert.NoError(t, (&Config{TLS: true, TLSCA: f.ca, TLSCert: f.cert, TLSKey: f.key}).validate())
}

// The configurations do on the wire what they say.
func TestTLSHandshake(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{f.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: f.pool}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)

	for name, tt := range map[string]struct {
		cfg Config
		ok  bool
	}{
		"mutual":             {Config{TLSCA: f.ca, TLSCert: f.cert, TLSKey: f.key}, true},
		"name matches":       {Config{TLSCA: f.ca, TLSCert: f.cert, TLSKey: f.key, TLSServerName: "node.example"}, true},
		"name does not":      {Config{TLSCA: f.ca, TLSCert: f.cert, TLSKey: f.key, TLSServerName: "other.example"}, false},
		"no certificate":     {Config{TLSCA: f.ca}, false},
		"unknown authority":  {Config{TLSCert: f.cert, TLSKey: f.key}, false},
		"authority does not": {Config{TLSCert: f.cert, TLSKey: f.key, TLSInsecureSkipVerify: true}, true},
		"TLSConfig":          {Config{TLSConfig: &tls.Config{RootCAs: f.pool, Certificates: []tls.Certificate{f.pair}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.TLS = true
			config, err := tt.cfg.tlsConfig()
			require.NoError(t, err)
			transport := &http.Transport{TLSClientConfig: config}
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Get(server.URL)
			if !tt.ok {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusNoContent, response.StatusCode)
		})
	}
}

func TestTLSConfig(t *testing.T) {
	t.Parallel()
	plain, err := (&Config{}).tlsConfig()
	require.NoError(t, err)
	assert.Nil(t, plain)

	secure, err := (&Config{TLS: true}).tlsConfig()
	require.NoError(t, err)
	assert.Nil(t, secure.RootCAs, "the roots of the system")
	assert.False(t, secure.InsecureSkipVerify)
	assert.Equal(t, uint16(tls.VersionTLS12), secure.MinVersion)

	given := &tls.Config{ServerName: "given", MinVersion: tls.VersionTLS13}
	copied, err := (&Config{TLS: true, TLSConfig: given}).tlsConfig()
	require.NoError(t, err)
	assert.NotSame(t, given, copied)
	assert.Equal(t, "given", copied.ServerName)
	assert.Equal(t, uint16(tls.VersionTLS13), copied.MinVersion)
}
