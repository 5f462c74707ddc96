package transport

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
	tls    *TLS
	dial   net.Dialer
	logger *slog.Logger

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
func newTLSDialer(o *Options) (*tlsDialer, error) {
	d := &tlsDialer{tls: o.TLS, dial: net.Dialer{Timeout: o.DialTimeout}, logger: o.Logger}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	d.files = d.look()
	var err error
	d.config, err = d.tls.Load()
	return d, err
}

// look returns the states of the files. A file that is missing, or not configured, has the zero
// state.
func (d *tlsDialer) look() (states [3]fileState) {
	for i, path := range []string{d.tls.CA, d.tls.Cert, d.tls.Key} {
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
	config, err := d.tls.Load()
	if err != nil {
		d.logger.Warn("rqlite: changed TLS files cannot be used, those of before still are", "error", err)
		return d.config
	}
	d.logger.Info("rqlite: changed TLS files have been read")
	d.config, d.files = config, files
	return config
}

// DialContext opens a connection and shakes hands. The timeout bounds each of the two.
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
	ctx, cancel := context.WithTimeout(ctx, d.dial.Timeout)
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return conn, nil
}
