package rqlitetest

import (
	"crypto/x509"
	"encoding/pem"
	"os"
)

// WriteKeyPair writes a certificate for the loopback addresses and its key, for a real server.
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

// Journal records a number of requests on a node, and returns how many of them the node still has.
func Journal(c *Cluster, i, requests int) int {
	for range requests {
		c.group.nodes[i].journal.add(Request{Method: "GET"})
	}
	return len(c.Requests(i))
}

// Acknowledged reports whether there were posts, and all nodes know that all of them were
// acknowledged.
func (c *Cluster) Acknowledged() bool {
	b := c.group.changes
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.highest > 0 && len(b.queue) == 0
}
