//go:build unix

package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
)

// dockerPatience bounds one call of Docker.
const dockerPatience = time.Minute

// containerRunner runs a node as a container, under a guard.
type containerRunner struct {
	docker  *client.Client
	id      string
	guarded *guarded
	paused  bool
}

// startContainerFleet starts a cluster of containers on a network of their own,
// which ends with the test. Its nodes advertise the addresses of their proxies, or,
// if reachable is false, names that only they themselves know.
func startContainerFleet(t *testing.T, options fleetOptions, reachable bool) *fleet {
	t.Helper()
	docker, err := client.New(client.FromEnv)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, docker.Close()) })
	name := fmt.Sprintf("rqlite-integration-%x", time.Now().UnixNano())
	ctx, cancel := context.WithTimeout(t.Context(), dockerPatience)
	defer cancel()
	created, err := docker.NetworkCreate(ctx, name, client.NetworkCreateOptions{Driver: "bridge"})
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "rqlite-integration-")
	require.NoError(t, err)
	guarded, err := guard(dir, "network", created.ID)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, guarded.release()) })
	noteFleet("container")
	return newFleet(t, options, func(f *fleet, i int) (runner, error) { return newContainer(docker, name, f, i, reachable) })
}

// newContainer prepares the container of a node, and publishes its HTTP API at the
// node's address.
func newContainer(docker *client.Client, networkName string, f *fleet, i int, reachable bool) (*containerRunner, error) {
	m := f.members[i]
	host := func(i int) string { return fmt.Sprintf("%s-n%d", networkName, i+1) }
	advertised := m.proxy.address
	if !reachable {
		advertised = host(i) + ":4001"
	}
	command := []string{
		"-node-id", m.id, "-http-addr", "0.0.0.0:4001", "-http-adv-addr", advertised,
		"-raft-addr", "0.0.0.0:4002", "-raft-adv-addr", host(i) + ":4002",
	}
	if i > 0 {
		command = append(command, "-join", host(0)+":4002", "-join-interval", "200ms", "-join-attempts", "50")
	}
	if i >= f.voters {
		command = append(command, "-raft-non-voter")
	}
	command = append(command, f.options.flags()...)
	_, port, err := net.SplitHostPort(m.address)
	if err != nil {
		return nil, err
	}
	names, _ := images()
	exposed := network.MustParsePort(httpPort)
	ctx, cancel := context.WithTimeout(context.Background(), dockerPatience)
	defer cancel()
	created, err := docker.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:   host(i),
		Config: &container.Config{Image: names[0], Cmd: command, ExposedPorts: network.PortSet{exposed: {}}},
		HostConfig: &container.HostConfig{
			NetworkMode:  container.NetworkMode(networkName),
			PortBindings: network.PortMap{exposed: {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: port}}},
		},
	})
	if err != nil {
		return nil, err
	}
	c := &containerRunner{docker: docker, id: created.ID}
	dir, err := os.MkdirTemp("", "rqlite-integration-")
	if err == nil {
		c.guarded, err = guard(dir, "container", created.ID)
	}
	if err != nil {
		_, failed := docker.ContainerRemove(ctx, created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		return nil, errors.Join(err, failed)
	}
	return c, nil
}

// do calls Docker within dockerPatience.
func (c *containerRunner) do(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), dockerPatience)
	defer cancel()
	return call(ctx)
}

// start implements runner.
func (c *containerRunner) start() error {
	return c.do(func(ctx context.Context) error {
		_, err := c.docker.ContainerStart(ctx, c.id, client.ContainerStartOptions{})
		return err
	})
}

// ended implements runner: that a container has ended is not noticed.
func (c *containerRunner) ended() <-chan struct{} { return nil }

// kill implements runner.
func (c *containerRunner) kill() error {
	return c.do(func(ctx context.Context) error {
		_, err := c.docker.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "SIGKILL"})
		return err
	})
}

// pause implements runner.
func (c *containerRunner) pause() error {
	return c.do(func(ctx context.Context) error {
		_, err := c.docker.ContainerPause(ctx, c.id, client.ContainerPauseOptions{})
		c.paused = err == nil
		return err
	})
}

// resume implements runner.
func (c *containerRunner) resume() error {
	c.paused = false
	return c.do(func(ctx context.Context) error {
		_, err := c.docker.ContainerUnpause(ctx, c.id, client.ContainerUnpauseOptions{})
		return err
	})
}

// logs implements runner.
func (c *containerRunner) logs() (text string) {
	err := c.do(func(ctx context.Context) error {
		output, err := c.docker.ContainerLogs(ctx, c.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "50"})
		if err != nil {
			return err
		}
		defer output.Close()
		all, err := io.ReadAll(output)
		text = string(all)
		return err
	})
	if err != nil {
		return "no logs: " + err.Error()
	}
	return text
}

// remove implements runner: the guard removes the container.
func (c *containerRunner) remove() error {
	var err error
	if c.paused { // Docker does not kill what is paused
		err = c.resume()
	}
	return errors.Join(err, c.guarded.release())
}
