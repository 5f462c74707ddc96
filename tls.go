package rqlite

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// tlsDialer opens TLS connections. It reads changed files of the configuration again, so that
// certificates can be renewed while the program runs. It is safe for concurrent use.
type tlsDialer struct {
	cfg  *Config
	dial net.Dialer

	// mu guards config and files, which current changes together.
	mu     sync.Mutex
	config *tls.Config
	files  [3]fileState // states of the files that config was made of
}

// fileState tells one state of a file from another.
type fileState struct {
	modified time.Time
	size     int64
}

// newTLSDialer reads the files for the first time.
func newTLSDialer(cfg *Config) (*tlsDialer, error) {
	d := &tlsDialer{cfg: cfg, dial: net.Dialer{Timeout: cfg.dialTimeout()}}
	d.files = d.look()
	var err error
	d.config, err = cfg.tlsConfig()
	return d, err
}

// look returns the states of the files. A file that is missing, or not configured, has the zero
// state.
func (d *tlsDialer) look() (states [3]fileState) {
	for i, path := range []string{d.cfg.TLSCA, d.cfg.TLSCert, d.cfg.TLSKey} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			states[i] = fileState{modified: info.ModTime(), size: info.Size()}
		}
	}
	return states
}

// current returns the configuration of the present files. If they cannot be used, as in the middle
// of a renewal, the earlier configuration stays, and the next connection reads them again.
func (d *tlsDialer) current() *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := d.look()
	if files == d.files {
		return d.config
	}
	config, err := d.cfg.tlsConfig()
	logger := d.cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if err != nil {
		logger.Warn("rqlite: changed TLS files cannot be used, those of before still are", "error", err)
		return d.config
	}
	logger.Info("rqlite: changed TLS files have been read")
	d.config, d.files = config, files
	return config
}

// DialContext opens a connection and shakes hands. The connect_timeout bounds each of the two.
func (d *tlsDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := d.dial.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.current()
	if config.ServerName == "" {
		config = config.Clone()
		if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
			_ = raw.Close()
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.dialTimeout())
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return conn, nil
}
