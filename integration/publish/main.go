// Command publish tries a release before it is one. It packs the published modules as the last
// commit has them, serves them as a module proxy of files, and builds and runs programs that get
// them from there. "make release-dry-run" calls it. It publishes nothing.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const root = "github.com/go-rqlite/rqlite"

// published are the directories of the modules that programs may require. The root comes first,
// because others require it.
var published = []string{"", "rqlitetest", "gormrqlite"}

// modulePath returns the path of the module in a directory.
func modulePath(dir string) string { return strings.TrimSuffix(root+"/"+dir, "/") }

func main() {
	version := flag.String("version", "", "version to try; by default the one that the modules require each other at")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if err := run(ctx, "..", *version); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run tries the release of the repository in a directory.
func run(ctx context.Context, dir, version string) (err error) {
	work, err := os.MkdirTemp("", "rqlite-release-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	repository := filepath.Join(work, "repository")
	if out, err := exec.CommandContext(ctx, "git", "clone", "--quiet", "--shared", dir, repository).CombinedOutput(); err != nil {
		return fmt.Errorf("git clone: %w\n%s", err, out)
	}
	if version, err = check(repository, version); err != nil {
		return err
	}
	proxy := filepath.Join(work, "proxy")
	for _, module := range published {
		if err := pack(proxy, repository, module, version); err != nil {
			return fmt.Errorf("pack %s: %w", modulePath(module), err)
		}
	}
	tools, err := newToolchains(ctx, repository, work, proxy)
	if err != nil {
		return err
	}
	for _, consumer := range []func(context.Context, *toolchains, string, string) error{useLean, useAll} {
		if err := consumer(ctx, tools, repository, version); err != nil {
			return err
		}
	}
	fmt.Printf("%s of %d modules can be had, built and run\n", version, len(published))
	return nil
}

// toolchains runs go for programs outside of the repository.
type toolchains struct {
	work     string
	env      []string
	lowest   string // the go that the root names
	lowestOf string // its version
	newest   string // the go that runs this program
}

// newToolchains prepares to take the modules of a proxy of files before those of others.
func newToolchains(ctx context.Context, repository, work, proxy string) (*toolchains, error) {
	t := &toolchains{work: work, newest: "go"}
	known, err := t.output(ctx, repository, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, proxies, _ := strings.Cut(strings.TrimSpace(known), "\n")
	if t.lowestOf, err = goDirective(filepath.Join(repository, "go.mod")); err != nil {
		return nil, err
	}
	t.env = append(os.Environ(), "GOTOOLCHAIN=go"+t.lowestOf)
	lowest, err := t.output(ctx, work, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	t.lowest = filepath.Join(strings.TrimSpace(lowest), "bin", "go")
	modules, err := moduleCache()
	if err != nil {
		return nil, err
	}
	downloads := "file://" + filepath.ToSlash(filepath.Join(cache, "cache", "download"))
	t.env = append(os.Environ(),
		"GOPROXY=file://"+filepath.ToSlash(proxy)+","+downloads+","+proxies,
		"GONOSUMDB="+root+","+root+"/*", // no sum is known before a module is published
		"GOMODCACHE="+modules, "GOFLAGS=-modcacherw", "GOWORK=off", "GOTOOLCHAIN=local")
	return t, nil
}

// moduleCache returns a directory for modules that has none of this repository. It is not that of
// the user: what is tried must not be taken for what is published. It stays, because the build cache
// knows the modules of others by it.
func moduleCache() (string, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(caches, "rqlite-release")
	tried := filepath.FromSlash(path.Dir(root))
	return dir, errors.Join(os.RemoveAll(filepath.Join(dir, tried)), os.RemoveAll(filepath.Join(dir, "cache", "download", tried)))
}

// module makes an empty module, and returns its directory.
func (t *toolchains) module(ctx context.Context, program, name string) (string, error) {
	dir := filepath.Join(t.work, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	return dir, t.run(ctx, dir, program, "mod", "init", "example.com/"+name)
}

// run runs a command and shows it. Its output is shown if it fails.
func (t *toolchains) run(ctx context.Context, dir, program string, args ...string) error {
	start := time.Now()
	out, err := t.output(ctx, dir, program, args...)
	if err != nil {
		return err
	}
	fmt.Printf("%6.1f s  %s: go %s\n", time.Since(start).Seconds(), filepath.Base(dir), strings.Join(args, " "))
	if args[0] == "run" || args[0] == "test" {
		_, err = io.WriteString(os.Stdout, indent(out))
	}
	return err
}

// output runs a command in a directory and returns what it prints.
func (t *toolchains) output(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, t.env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: go %s: %w\n%s%s", filepath.Base(dir), strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// indent moves each line of a text to the right.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("            " + line)
	}
	return b.String()
}
