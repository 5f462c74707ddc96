package main

import (
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
)

func describe(server *lab.Server, rounds int) (figures.Setting, error) {
	version, err := server.Version()
	if err != nil {
		return figures.Setting{}, err
	}
	return figures.Setting{
		Server:   server.Kind,
		Rqlite:   version,
		Go:       runtime.Version(),
		Driver:   revision(),
		Gorqlite: moduleVersion("github.com/rqlite/gorqlite"),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:     runtime.NumCPU(),
		Nodes:    server.Nodes,
		Rounds:   rounds,
	}, nil
}

// revision returns the git revision that the working directory is at, or "". The build
// information of go run does not have it.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// moduleVersion returns the version of a module in this program, or "".
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}
