package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how hosts and the client prove who they are. The zero value trusts the authorities of the
// system and has no certificate of the client.
type TLS struct {
	CA                 string      // a PEM file with the authorities to trust; "" means those of the system
	Cert, Key          string      // PEM files with the certificate of the client and its key; "" means none
	ServerName         string      // that certificates must be valid for; "" means the dialled host
	InsecureSkipVerify bool        // accepts any certificate
	Config             *tls.Config // replaces all of the above, if it is not nil
}

// Verifies reports whether certificates are checked.
func (t *TLS) Verifies() bool {
	if t.Config != nil {
		return !t.Config.InsecureSkipVerify
	}
	return !t.InsecureSkipVerify
}

// Load returns a new configuration, read from the files. Its errors call the files by the keys of a
// DSN.
func (t *TLS) Load() (*tls.Config, error) {
	if t.Config != nil {
		return t.Config.Clone(), nil
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if err := t.loadCA(config); err != nil {
		return nil, fmt.Errorf("rqlite: tls_ca: %w", err)
	}
	if t.Cert == "" {
		return config, nil
	}
	cert, err := os.ReadFile(t.Cert)
	if err != nil {
		return nil, fmt.Errorf("rqlite: tls_cert: %w", err)
	}
	key, err := os.ReadFile(t.Key)
	if err != nil {
		return nil, fmt.Errorf("rqlite: tls_key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("rqlite: tls_cert and tls_key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// loadCA reads the authorities into a configuration, if there is a file of them.
func (t *TLS) loadCA(config *tls.Config) error {
	if t.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in PEM form in " + t.CA)
	}
	return nil
}
