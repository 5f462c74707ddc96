// Command capture runs programs on several libraries for SQL databases, and
// writes down the statements that they send, for the test TestShapes of the
// integration module to replay. The statements are those of the libraries' own
// dialects for SQLite: nothing in here knows of rqlite. It is a module of its own
// so that the tests need none of the libraries.
//
// Run it from the root of the repository, after a library was updated or a
// scenario added:
//
//	go -C integration/capture run . ../testdata/shapes
//
// The argument is the directory for the files, one for each library. They are
// the same each time: clocks stand still, and names that libraries draw at random
// are replaced. Names of libraries behind the directory restrict it to those:
//
//	go -C integration/capture run . ../testdata/shapes gorm bun
//
// Before that, where queries or schemas have changed:
//
//	go -C integration/capture generate ./...
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"
)

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate
//go:generate go run entgo.io/ent/cmd/ent@v0.14.5 generate --feature sql/upsert,sql/modifier,sql/lock,sql/execquery ./internal/ent/schema

// library is one to capture.
type library struct {
	name      string // of the file
	module    string
	scenarios []scenario
}

// scenario is a program that uses a library.
type scenario struct {
	name string
	// setup makes what run needs. Its statements are marked as such.
	setup, run func(*recorder)
}

var libraries = []library{
	{"gorm", "gorm.io/gorm", gormScenarios},
	{"sqlx", "github.com/jmoiron/sqlx", sqlxScenarios},
	{"sqlc", "github.com/sqlc-dev/sqlc", sqlcScenarios},
	{"ent", "entgo.io/ent", entScenarios},
	{"bun", "github.com/uptrace/bun", bunScenarios},
	{"squirrel", "github.com/Masterminds/squirrel", squirrelScenarios},
}

// clock is the time in all statements.
var clock = time.Date(2024, 1, 2, 3, 4, 5, 678901000, time.UTC)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: capture directory [library…]")
		os.Exit(2)
	}
	for _, l := range libraries {
		if len(os.Args) > 2 && !slices.Contains(os.Args[2:], l.name) {
			continue
		}
		if err := l.capture(os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", l.name, err)
			os.Exit(1)
		}
	}
}

// capture runs the scenarios and writes the file.
func (l library) capture(directory string) error {
	out := script{Library: l.module, Version: version(l.module)}
	for _, s := range l.scenarios {
		captured, err := s.capture()
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		out.Scenarios = append(out.Scenarios, captured)
	}
	text, err := out.encode()
	if err != nil {
		return err
	}
	file := filepath.Join(directory, l.name+".json")
	fmt.Printf("%s: %d scenarios, %d statements\n", file, len(out.Scenarios), out.statements())
	return os.WriteFile(file, text, 0o644)
}

// version returns the version of a module that this program is built with.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return sqlcVersion
}

// must ends the scenario when its program has failed.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// must1 is must for functions with a result.
func must1[T any](value T, err error) T {
	must(err)
	return value
}

// mustFail ends the scenario when what has to fail has not.
func mustFail(err error) {
	if err == nil {
		panic("no error where one was expected")
	}
}
