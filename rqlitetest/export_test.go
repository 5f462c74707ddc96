package rqlitetest

import (
	"crypto/x509"
	"encoding/pem"
	"os"
)

// WriteKeyPair writes a certificate for the loopback addresses and its key, for
// a real server.
func WriteKeyPair(certFile, keyFile string) error {
	cfg, err := newTLSConfig(certFile)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(cfg.Certificates[0].PrivateKey)
	if err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// Journal makes a node note that many requests, and returns how many it shows.
func Journal(c *Cluster, i, requests int) int {
	for range requests {
		c.group.nodes[i].journal.add(Request{Method: "GET"})
	}
	return len(c.Requests(i))
}

// Acknowledged reports whether all nodes know that everything was acknowledged that
// was to be posted, of which there is something.
func (c *Cluster) Acknowledged() bool {
	b := c.group.changes
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.highest > 0 && len(b.queue) == 0
}
