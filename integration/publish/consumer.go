package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

// useLean uses the driver and the GORM dialect, with the lowest Go. Neither may bring the SQLite of
// the embedded server.
func useLean(ctx context.Context, t *toolchains, repository, version string) error {
	server, err := rqlitetest.Start(rqlitetest.Config{})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Printf("A program with the driver and GORM, with Go %s:\n", t.lowestOf)
	dir, err := t.module(ctx, t.lowest, "lean")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(repository, "integration/publish/testdata/lean"))); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"get", modulePath("") + "@" + version},
		{"get", modulePath("gormrqlite") + "@" + version},
		{"mod", "tidy"},
		{"mod", "verify"},
		{"vet", "./..."},
		{"run", ".", server.DSN()},
	} {
		if err := t.run(ctx, dir, t.lowest, args...); err != nil {
			return err
		}
	}
	modules, err := t.output(ctx, dir, t.lowest, "list", "-m", "all")
	if err != nil {
		return err
	}
	for _, heavy := range []string{"modernc.org/", modulePath("rqlitetest")} {
		if strings.Contains(modules, heavy) {
			return fmt.Errorf("the driver and GORM bring %s:\n%s", heavy, modules)
		}
	}
	fmt.Printf("          it uses %d modules\n", strings.Count(modules, "\n")-1)
	return nil
}

// useAll uses every module, by the programs of examples and their tests.
func useAll(ctx context.Context, t *toolchains, repository, version string) error {
	fmt.Println("The programs of examples, outside of the repository:")
	dir, err := t.module(ctx, t.newest, "all")
	if err != nil {
		return err
	}
	programs, err := copyPrograms(filepath.Join(repository, "examples"), dir)
	if err != nil {
		return err
	}
	get := []string{"get"}
	for _, module := range published {
		get = append(get, modulePath(module)+"@"+version)
	}
	others, err := requirements(filepath.Join(repository, "examples", "go.mod"))
	if err != nil {
		return err
	}
	commands := [][]string{append(get, others...), {"mod", "tidy"}, {"build", "./..."}}
	for _, program := range programs {
		commands = append(commands, []string{"run", "./" + program})
	}
	for _, args := range append(commands, []string{"test", "-vet=off", "./..."}) {
		if err := t.run(ctx, dir, t.newest, args...); err != nil {
			return err
		}
	}
	return nil
}

// copyPrograms copies the programs of examples, and returns their names.
func copyPrograms(from, to string) ([]string, error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		names = append(names, entry.Name())
		if err := os.CopyFS(filepath.Join(to, entry.Name()), os.DirFS(filepath.Join(from, entry.Name()))); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// requirements returns what a go.mod file requires directly of modules of others.
func requirements(path string) ([]string, error) {
	file, err := readMod(path)
	if err != nil {
		return nil, err
	}
	var required []string
	for _, r := range file.Require {
		if !r.Indirect && !strings.HasPrefix(r.Mod.Path, root) {
			required = append(required, r.Mod.String())
		}
	}
	return required, nil
}
