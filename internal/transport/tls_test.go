package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
		tls  TLS
		want string
	}{
		"missing authority": {TLS{CA: f.missing}, "rqlite: tls_ca: open " + f.missing + ": "},
		"junk as authority": {TLS{CA: f.junk}, "rqlite: tls_ca: no certificate in PEM form in " + f.junk},
		"missing cert":      {TLS{Cert: f.missing, Key: f.key}, "rqlite: tls_cert: open " + f.missing + ": "},
		"missing key":       {TLS{Cert: f.cert, Key: f.missing}, "rqlite: tls_key: open " + f.missing + ": "},
		"junk as cert":      {TLS{Cert: f.junk, Key: f.key}, "rqlite: tls_cert and tls_key: "},
		"key of another":    {TLS{Cert: f.ca, Key: f.key}, "rqlite: tls_cert and tls_key: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tt.tls.Load()
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := (&TLS{CA: f.ca, Cert: f.cert, Key: f.key}).Load()
	assert.NoError(t, err)
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
		tls TLS
		ok  bool
	}{
		"mutual":             {TLS{CA: f.ca, Cert: f.cert, Key: f.key}, true},
		"name matches":       {TLS{CA: f.ca, Cert: f.cert, Key: f.key, ServerName: "node.example"}, true},
		"name does not":      {TLS{CA: f.ca, Cert: f.cert, Key: f.key, ServerName: "other.example"}, false},
		"no certificate":     {TLS{CA: f.ca}, false},
		"unknown authority":  {TLS{Cert: f.cert, Key: f.key}, false},
		"authority does not": {TLS{Cert: f.cert, Key: f.key, InsecureSkipVerify: true}, true},
		"TLSConfig":          {TLS{Config: &tls.Config{RootCAs: f.pool, Certificates: []tls.Certificate{f.pair}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			carrier, err := New(Options{TLS: &tt.tls, DialTimeout: time.Minute})
			require.NoError(t, err)
			client := &http.Client{Transport: carrier}
			defer client.CloseIdleConnections()
			response, err := client.Get(server.URL)
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
	secure, err := (&TLS{}).Load()
	require.NoError(t, err)
	assert.Nil(t, secure.RootCAs, "the roots of the system")
	assert.False(t, secure.InsecureSkipVerify)
	assert.Equal(t, uint16(tls.VersionTLS12), secure.MinVersion)

	given := &tls.Config{ServerName: "given", MinVersion: tls.VersionTLS13}
	copied, err := (&TLS{Config: given}).Load()
	require.NoError(t, err)
	assert.NotSame(t, given, copied)
	assert.Equal(t, "given", copied.ServerName)
	assert.Equal(t, uint16(tls.VersionTLS13), copied.MinVersion)
}

func TestVerifies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tls  TLS
		want bool
	}{
		{TLS{}, true},
		{TLS{InsecureSkipVerify: true}, false},
		{TLS{Config: &tls.Config{}}, true},
		{TLS{Config: &tls.Config{InsecureSkipVerify: true}}, false},
	} {
		assert.Equal(t, tt.want, tt.tls.Verifies())
	}
}
