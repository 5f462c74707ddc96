package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startTimeout bounds how long a server may take until it is ready.
const startTimeout = 60 * time.Second

// startProcess starts an rqlited with its data in a directory of its own.
func startProcess(options serverOptions) (*cluster, error) {
	binary, err := findRqlited()
	if err != nil {
		return nil, err
	}
	// A port that is free now can be taken by the time rqlited listens.
	for range 3 {
		var c *cluster
		if c, err = startRqlited(binary, options); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func findRqlited() (string, error) {
	name := os.Getenv("RQLITED_BIN")
	if name == "" {
		name = "rqlited"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: no rqlited: put it on the PATH, or set RQLITED_BIN: %w", errMissing, err)
	}
	return path, nil
}

func startRqlited(binary string, options serverOptions) (_ *cluster, err error) {
	dir, err := os.MkdirTemp("", "rqlite-integration-")
	if err != nil {
		return nil, err
	}
	httpAddr, raftAddr, err := freeAddresses()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	args := []string{"-node-id", "1", "-http-addr", httpAddr, "-raft-addr", raftAddr}
	flags, err := optionFlags(options, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	args = append(append(args, flags...), filepath.Join(dir, "data"))
	guarded, err := guard(dir, "process", append([]string{binary}, args...)...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c := &cluster{nodes: []node{{url: options.scheme() + "://" + httpAddr}}, dsn: options.dsn(httpAddr), stop: guarded.release}
	if c.version, err = waitReady(options, c.nodes[0].url, guarded.ended); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, logName))
		return nil, errors.Join(fmt.Errorf("rqlited does not start: %w\n%s", err, log), c.stop())
	}
	return c, nil
}

// optionFlags returns the flags of rqlited for the options, having written the
// files they name to dir.
func optionFlags(options serverOptions, dir string) ([]string, error) {
	var flags []string
	for name, data := range options.files() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	for flag, name := range options.fileFlags() {
		flags = append(flags, flag, filepath.Join(dir, name))
	}
	return append(flags, options.flags()...), nil
}

// files returns the contents of the files that the options need, by name.
func (o serverOptions) files() map[string][]byte {
	files := map[string][]byte{}
	if o.users != nil {
		data, err := json.Marshal(o.users)
		if err != nil {
			panic(err) // there is nothing in users that JSON cannot hold
		}
		files["auth.json"] = data
	}
	if o.tls != nil {
		files["server.crt"], files["server.key"], files["ca.crt"] = o.tls.serverCert, o.tls.serverKey, o.tls.authority
	}
	if o.cdc != nil {
		files["cdc.json"] = o.cdc
	}
	return files
}

// fileFlags returns the flags of rqlited that name files.
func (o serverOptions) fileFlags() map[string]string {
	flags := map[string]string{}
	if o.users != nil {
		flags["-auth"] = "auth.json"
	}
	if o.tls != nil {
		flags["-http-cert"], flags["-http-key"] = "server.crt", "server.key"
	}
	if o.verify {
		flags["-http-ca-cert"] = "ca.crt"
	}
	if o.cdc != nil {
		flags["-cdc-config"] = "cdc.json"
	}
	return flags
}

// flags returns the other flags.
func (o serverOptions) flags() []string {
	var flags []string
	if o.verify {
		flags = append(flags, "-http-verify-client")
	}
	if o.foreignKeys {
		flags = append(flags, "-fk")
	}
	return flags
}

func (o serverOptions) scheme() string {
	if o.tls != nil {
		return "https"
	}
	return "http"
}

// dsn returns the DSN of a server with the options, for the first of its users.
func (o serverOptions) dsn(address string) string {
	if o.tls == nil {
		return "rqlite://" + address
	}
	return withSettings("rqlite://"+address, "tls=true", "tls_ca="+o.tls.authorityFile)
}

// client returns an HTTP client that such a server accepts.
func (o serverOptions) client() *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	if o.tls != nil {
		transport.TLSClientConfig = o.tls.clientConfig()
	}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}

// waitReady asks a node until it is ready, and returns its version.
func waitReady(options serverOptions, base string, ended <-chan struct{}) (version string, err error) {
	client := options.client()
	timeout := time.After(startTimeout)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		resp, err := client.Get(base + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return resp.Header.Get("X-Rqlite-Version"), nil
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		select {
		case <-again.C:
		case <-ended:
			return "", errors.New("it ended")
		case <-timeout:
			return "", fmt.Errorf("not ready within %v: %w", startTimeout, err)
		}
	}
}

// freeAddresses returns two addresses on loopback that nobody listens on.
func freeAddresses() (first, second string, err error) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}
