package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moby/moby/client"
)

// guarded is a child process that ends a server when told to, or when this
// process is gone, however it went: a panic or a time-out of the tests leaves no
// chance to clean up.
//
// It is the test binary itself, with guardVariable set. It watches its
// standard input, which ends with this process.
type guarded struct {
	dir   string
	input io.Closer
	ended chan struct{} // closed when the guard has ended
	err   error         // of the guard, once it has ended
}

const (
	guardVariable = "RQLITE_INTEGRATION_GUARD"
	logName       = "log"
	pidName       = "pid" // of the command; it is there in one piece or not at all
)

// guard starts a guard: "process" runs a command and kills it at the end,
// "container" removes a container, "network" a network of containers, "directory"
// has nothing but its directory. It removes dir as well, where what it prints goes
// to the file logName. After an error dir is still there.
func guard(dir, kind string, args ...string) (*guarded, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, logName))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, append([]string{dir}, args...)...)
	cmd.Env = append(os.Environ(), guardVariable+"="+kind)
	cmd.Stdout, cmd.Stderr = log, log
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &guarded{dir: dir, input: input, ended: make(chan struct{})}
	go func() {
		g.err = cmd.Wait()
		close(g.ended)
	}()
	return g, nil
}

// release tells the guard to end the server, and waits until it is gone, and
// its directory too.
func (g *guarded) release() error {
	err := g.input.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil // the guard has ended before
	}
	<-g.ended
	return errors.Join(err, g.err, os.RemoveAll(g.dir))
}

// beGuard is the life of a guard. It returns the exit code.
func beGuard(kind string, args []string) int {
	signal.Ignore(os.Interrupt) // it goes to the whole group, the tests among them
	dir, args := args[0], args[1:]
	var err error
	switch kind {
	case "process":
		err = guardProcess(dir, args)
	case "container":
		err = guardContainer(args[0])
	case "network":
		err = guardNetwork(args[0])
	case "directory":
		<-inputEnds()
	default:
		err = fmt.Errorf("nothing to guard is called %q", kind)
	}
	if err == nil {
		err = os.RemoveAll(dir) // otherwise the log in it is still of use
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// guardProcess runs a command until it ends or the standard input does. Only a
// command that ends by itself is a failure. Its process ID goes to a file in dir.
func guardProcess(dir string, args []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	pid := filepath.Join(dir, pidName)
	if err := os.WriteFile(pid+".new", []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	if err := os.Rename(pid+".new", pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	select {
	case err := <-ended:
		return fmt.Errorf("%s ended: %w", args[0], err)
	case <-inputEnds():
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-ended
		return nil
	}
}

// guardContainer removes a container when the standard input ends.
func guardContainer(id string) error {
	<-inputEnds()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer docker.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = docker.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	return err
}

// guardNetwork removes a network when the standard input ends, as soon as its
// containers are gone, which have guards of their own.
func guardNetwork(id string) error {
	<-inputEnds()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer docker.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err = docker.NetworkRemove(ctx, id, client.NetworkRemoveOptions{}); err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// inputEnds returns a channel that is closed when the standard input has ended.
func inputEnds() <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return end
}
