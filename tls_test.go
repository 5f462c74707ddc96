package rqlite

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// identity is a certificate with its key, both also in PEM form.
type identity struct {
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
	pem, keyP []byte
}

func (i *identity) tls(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(i.pem, i.keyP)
	require.NoError(t, err)
	return c
}

// newIdentity returns a certificate for a name, signed by an authority, or one
// of an authority if that is nil.
func newIdentity(t *testing.T, name string, authority *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{name},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer := &identity{cert: template, key: key}
	if authority != nil {
		signer = authority
	} else {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return &identity{
		cert: cert, key: key,
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyP: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// tlsNode is a node that answers SELECT 1 by https, with a certificate that can
// be changed.
type tlsNode struct {
	*httptest.Server
	identity atomic.Pointer[tls.Certificate]
}

func newTLSNode(t *testing.T, id *identity, clients *identity) *tlsNode {
	t.Helper()
	n := &tlsNode{}
	certificate := id.tls(t)
	n.identity.Store(&certificate)
	n.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, results(one))
	}))
	n.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	n.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := &tls.Config{Certificates: []tls.Certificate{*n.identity.Load()}}
		if clients != nil {
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			c.ClientCAs.AddCert(clients.cert)
		}
		return c, nil
	}}
	n.StartTLS()
	t.Cleanup(n.Close)
	return n
}

// ping opens a database on the node, asks it once, and closes it.
func (n *tlsNode) ping(t *testing.T, options url.Values) error {
	t.Helper()
	options.Set("timeout", "5s")
	db, err := sql.Open("rqlite", "https://"+n.Listener.Addr().String()+"/?"+options.Encode())
	require.NoError(t, err)
	defer db.Close()
	return db.Ping()
}

// write puts data into a file, whose time of change it moves on.
func writeFile(t *testing.T, path string, data []byte, age time.Duration) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, data, 0o600))
	at := time.Now().Add(-age)
	require.NoError(t, os.Chtimes(path, at, at))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority, stranger := newIdentity(t, "authority", nil), newIdentity(t, "stranger", nil)
	client := newIdentity(t, "client", authority)
	for name, data := range map[string][]byte{
		"ca": authority.pem, "stranger": stranger.pem, "cert": client.pem, "key": client.keyP,
	} {
		writeFile(t, filepath.Join(dir, name), data, 0)
	}
	file := func(name string) []string { return []string{filepath.Join(dir, name)} }
	plain := newTLSNode(t, newIdentity(t, "node1", authority), nil)
	mutual := newTLSNode(t, newIdentity(t, "node1", authority), authority)
	for _, test := range []struct {
		name    string
		node    *tlsNode
		options url.Values
		err     string // "" is success
	}{
		{"trusted", plain, url.Values{"tls_ca": file("ca"), "tls_server_name": {"node1"}}, ""},
		{"another name", plain, url.Values{"tls_ca": file("ca"), "tls_server_name": {"node2"}}, "certificate is valid for node1, not node2"},
		{"the name that was dialled", plain, url.Values{"tls_ca": file("ca")}, "certificate"},
		{"an authority that did not sign", plain, url.Values{"tls_ca": file("stranger"), "tls_server_name": {"node1"}}, "certificate signed by unknown authority"},
		{"those of the system", plain, url.Values{"tls_server_name": {"node1"}}, "certificate"},
		{"not verified", plain, url.Values{"tls_insecure_skip_verify": {"true"}}, ""},
		{"mutual", mutual, url.Values{"tls_ca": file("ca"), "tls_server_name": {"node1"}, "tls_cert": file("cert"), "tls_key": file("key")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.node.ping(t, test.options)
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.err)
			assert.Contains(t, err.Error(), "TLS handshake with "+test.node.Listener.Addr().String())
			assert.NotContains(t, err.Error(), "the attempt before", "it is not tried again")
		})
	}
}

// A certificate that is renewed under a running program is used for the next
// connection, and files that are half written leave the ones of before in force.
func TestTLSRenewal(t *testing.T) {
	t.Parallel()
	before, after := newIdentity(t, "before", nil), newIdentity(t, "after", nil)
	node := newTLSNode(t, newIdentity(t, "node1", before), nil)
	path := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, path, before.pem, time.Hour)
	var logged bytes.Buffer
	connector, err := NewConnector(&Config{
		Hosts: []string{node.Listener.Addr().String()}, TLS: true, TLSCA: path, TLSServerName: "node1",
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	defer db.Close()
	require.NoError(t, db.Ping())
	reconnect := func() error {
		connector.client.Close()
		return db.Ping()
	}

	writeFile(t, path, []byte("half of it"), 50*time.Minute)
	require.NoError(t, reconnect())
	assert.Contains(t, logged.String(), "changed TLS files cannot be used")

	writeFile(t, path, after.pem, 40*time.Minute)
	require.ErrorContains(t, reconnect(), "certificate signed by unknown authority", "the node still has the old one")
	renewed := newIdentity(t, "node1", after).tls(t)
	node.identity.Store(&renewed)
	require.NoError(t, reconnect())
	assert.Contains(t, logged.String(), "changed TLS files have been read")
	require.NoError(t, reconnect(), "without a change nothing is read")
}
