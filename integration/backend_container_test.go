package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

// releases are the images that are tried unless the environment names others.
var releases = []string{"rqlite/rqlite:10.2.7", "rqlite/rqlite:9.4.5", "rqlite/rqlite:8.43.4"}

const (
	httpPort = "4001/tcp"
	filesDir = "/etc/rqlite-integration"
)

// images returns the names of the images to run, at least one, and whether the
// environment gives them.
func images() (names []string, given bool) {
	for name := range strings.SplitSeq(os.Getenv("RQLITE_IMAGES"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if name := os.Getenv("RQLITE_IMAGE"); len(names) == 0 && name != "" {
		names = []string{name}
	}
	if len(names) == 0 {
		return releases, false
	}
	return names, true
}

// containerBackends returns a backend for each image. The first is called container, and runs
// the clusters of several nodes too; the others have the tag of their image behind that.
func containerBackends() (list []*backend) {
	names, given := images()
	for i, image := range names {
		b := &backend{
			name: "container", kind: "container", live: true, optional: !given && i > 0,
			start: func(options serverOptions) (*cluster, error) { return startContainer(image, options) },
		}
		if i > 0 {
			b.name += "-" + image[strings.LastIndexAny(image, ":/")+1:]
		}
		list = append(list, b)
	}
	return list
}

// startContainer starts a container of an image. Its guard removes it, so that nothing
// depends on the reaper of testcontainers.
func startContainer(image string, options serverOptions) (*cluster, error) {
	if err := prepareDocker(); err != nil {
		return nil, err
	}
	if err := prepareImage(image); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	c, err := testcontainers.Run(ctx, image,
		testcontainers.WithExposedPorts(httpPort),
		testcontainers.WithHostConfigModifier(publishOnLoopback),
		testcontainers.WithFiles(containerFiles(options)...),
		testcontainers.WithCmd(containerCommand(options)...),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, readiness(options)),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the container of %s does not start: %w\n%s", image, err, logs(c)), remove(c))
	}
	return containerCluster(ctx, options, c)
}

// containerCluster describes a running container, and has it guarded.
func containerCluster(ctx context.Context, options serverOptions, c *testcontainers.DockerContainer) (*cluster, error) {
	port, err := c.MappedPort(ctx, httpPort)
	if err != nil {
		return nil, errors.Join(err, remove(c))
	}
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port.Num()))
	dir, err := os.MkdirTemp("", "rqlite-integration-")
	if err != nil {
		return nil, errors.Join(err, remove(c))
	}
	guarded, err := guard(dir, "container", c.GetContainerID())
	if err != nil {
		return nil, errors.Join(err, remove(c), os.RemoveAll(dir))
	}
	base := options.scheme() + "://" + address
	version, err := versionOf(options.client(), base)
	if err != nil {
		return nil, errors.Join(err, guarded.release())
	}
	return &cluster{nodes: []node{{url: base}}, dsn: options.dsn(address), version: version, stop: guarded.release}, nil
}

// publishOnLoopback keeps other machines from reaching the server.
func publishOnLoopback(host *container.HostConfig) {
	host.PortBindings = network.PortMap{
		network.MustParsePort(httpPort): {{HostIP: netip.MustParseAddr("127.0.0.1")}},
	}
}

// containerFiles returns the files that the options need.
func containerFiles(options serverOptions) []testcontainers.ContainerFile {
	var files []testcontainers.ContainerFile
	for name, data := range options.files() {
		files = append(files, testcontainers.ContainerFile{
			Reader:            bytes.NewReader(data),
			ContainerFilePath: path.Join(filesDir, name),
			FileMode:          0o644, // rqlited does not run as root
		})
	}
	return files
}

// containerCommand returns what the image is told: "run", or flags.
func containerCommand(options serverOptions) []string {
	command := options.flags()
	for flag, name := range options.fileFlags() {
		command = append(command, flag, path.Join(filesDir, name))
	}
	if len(command) == 0 {
		return []string{"run"}
	}
	return command
}

func readiness(options serverOptions) wait.Strategy {
	ready := wait.ForHTTP("/readyz").WithPort(httpPort).WithPollInterval(50 * time.Millisecond)
	if options.tls != nil {
		ready = ready.WithTLS(true, options.tls.clientConfig())
	}
	return ready
}

// logs returns the end of what a container has printed.
func logs(c *testcontainers.DockerContainer) string {
	if c == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	output, err := c.Logs(ctx)
	if err != nil {
		return "no logs: " + err.Error()
	}
	defer output.Close()
	text, err := io.ReadAll(output)
	if err != nil {
		return "no logs: " + err.Error()
	}
	return string(text[max(0, len(text)-8<<10):])
}

func remove(c *testcontainers.DockerContainer) error {
	if c == nil {
		return nil
	}
	return testcontainers.TerminateContainer(c, testcontainers.StopTimeout(time.Second))
}

// prepareDocker says whether containers can be had, and switches the reaper of
// testcontainers off if its image cannot. It must run before testcontainers
// reads its settings, which it does once.
var prepareDocker = sync.OnceValue(func() error {
	// What a container prints is in the error if it does not start.
	tclog.SetDefault(tclog.NewNoopLogger())
	return withDocker(func(ctx context.Context, docker *client.Client) error {
		if _, err := docker.Ping(ctx, client.PingOptions{}); err != nil {
			return fmt.Errorf("%w: no Docker: %w", errMissing, err)
		}
		// Ports are published there and nowhere else, also where this process runs
		// in a container itself and testcontainers would try another address.
		if err := os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1"); err != nil {
			return err
		}
		if os.Getenv("TESTCONTAINERS_RYUK_DISABLED") != "" {
			return nil
		}
		reaper := path.Join(os.Getenv("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX"), testcontainers.ReaperDefaultImage) //nolint:staticcheck // nothing else tells the image of the reaper
		if err := haveImage(ctx, docker, reaper); err != nil {
			return os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
		}
		return nil
	})
})

// withDocker calls f with a client of the Docker engine, and with time for an image to come.
func withDocker(f func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), pullPatience)
	defer cancel()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return fmt.Errorf("%w: no Docker: %w", errMissing, err)
	}
	defer docker.Close()
	return f(ctx, docker)
}

// prepareImage gets an image unless it is there. A failure is remembered, so that nobody
// waits for it twice.
func prepareImage(name string) error {
	once, _ := imagesPrepared.LoadOrStore(name, sync.OnceValue(func() error {
		return withDocker(func(ctx context.Context, docker *client.Client) error {
			if err := haveImage(ctx, docker, name); err != nil {
				return fmt.Errorf("%w: no image %s (RQLITE_IMAGES names others): %w", errMissing, name, err)
			}
			return nil
		})
	}))
	return once.(func() error)()
}

// imagesPrepared has a func() error for each image.
var imagesPrepared sync.Map

// pullPatience bounds how long an image may take to come.
const pullPatience = 5 * time.Minute

// haveImage gets an image unless it is there.
func haveImage(ctx context.Context, docker *client.Client, name string) error {
	if _, err := docker.ImageInspect(ctx, name); err == nil {
		return nil
	}
	pull, err := docker.ImagePull(ctx, name, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer pull.Close()
	return pull.Wait(ctx)
}
