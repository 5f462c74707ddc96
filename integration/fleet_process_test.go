//go:build unix

package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processRunner runs a node as a process under a guard, another one for each
// time that it is started.
type processRunner struct {
	command []string
	dir     *guarded // its data
	process *guarded // nil while it is down
	pid     int
}

// newProcess prepares an rqlited with flags, and with data of its own.
func newProcess(binary string, options serverOptions, flags []string) (*processRunner, error) {
	path, err := os.MkdirTemp("", "rqlite-integration-")
	if err != nil {
		return nil, err
	}
	more, err := optionFlags(options, path)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	dir, err := guard(path, "directory")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	command := append(append([]string{binary}, flags...), more...)
	return &processRunner{command: append(command, filepath.Join(path, "data")), dir: dir}, nil
}

// start implements runner.
func (p *processRunner) start() (err error) {
	path, err := os.MkdirTemp("", "rqlite-integration-")
	if err != nil {
		return err
	}
	if p.process, err = guard(path, "process", p.command...); err != nil {
		return errors.Join(err, os.RemoveAll(path))
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		text, err := os.ReadFile(filepath.Join(path, pidName))
		if err == nil {
			p.pid, err = strconv.Atoi(string(text))
			return err
		}
		select {
		case <-again.C:
		case <-p.process.ended:
			return errors.Join(errors.New("it ended"), p.process.err)
		}
	}
}

// ended implements runner.
func (p *processRunner) ended() <-chan struct{} { return p.process.ended }

// kill implements runner: a guard that is told to stop kills.
func (p *processRunner) kill() error {
	process := p.process
	p.process = nil
	return process.release()
}

// pause implements runner.
func (p *processRunner) pause() error { return syscall.Kill(p.pid, syscall.SIGSTOP) }

// resume implements runner.
func (p *processRunner) resume() error { return syscall.Kill(p.pid, syscall.SIGCONT) }

// logs implements runner.
func (p *processRunner) logs() string {
	if p.process == nil {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(p.process.dir, logName))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// remove implements runner.
func (p *processRunner) remove() error {
	var err error
	if p.process != nil {
		err = p.kill()
	}
	return errors.Join(err, p.dir.release())
}
