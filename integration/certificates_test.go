package integration_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificates are an authority made for a test, and what it has signed. All is
// in PEM form.
type certificates struct {
	authority             []byte
	serverCert, serverKey []byte
	clientCert, clientKey []byte

	// The same in files, for DSNs.
	authorityFile, clientCertFile, clientKeyFile string
}

// newCertificates makes certificates for a server on 127.0.0.1 and for a client.
func newCertificates(t *testing.T) *certificates {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "rqlite integration tests"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	require.NoError(t, err)

	c := &certificates{authority: encodePEM("CERTIFICATE", der)}
	c.serverCert, c.serverKey = sign(t, authority, key, 2, x509.ExtKeyUsageServerAuth)
	c.clientCert, c.clientKey = sign(t, authority, key, 3, x509.ExtKeyUsageClientAuth)
	c.authorityFile = writeFile(t, "ca.crt", c.authority)
	c.clientCertFile = writeFile(t, "client.crt", c.clientCert)
	c.clientKeyFile = writeFile(t, "client.key", c.clientKey)
	return c
}

func sign(t *testing.T, authority *x509.Certificate, by *ecdsa.PrivateKey, serial int64, usage x509.ExtKeyUsage) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "127.0.0.1"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, &private.PublicKey, by)
	require.NoError(t, err)
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", privateDER)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

// clientConfig returns the configuration of a client that trusts the authority
// and shows its own certificate.
func (c *certificates) clientConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.authority)
	cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if pair, err := tls.X509KeyPair(c.clientCert, c.clientKey); err == nil {
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg
}
