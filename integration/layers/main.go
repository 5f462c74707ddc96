// Command layers measures how the driver hangs together: files and imports of each package, imports
// that run up, and the arrows between the files of the root, from a file that uses a declaration to the
// one that has it, with the largest cycle among them. "make layers" calls it. It fails when an import
// runs up.
package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

const module = "github.com/go-rqlite/rqlite"

// floors are the packages from the ground up. A package imports those on lower floors only.
var floors = [][]string{
	{"internal/wire", "internal/sqltext", "internal/transport", "internal/dsn"},
	{"internal/cluster"},
	{"internal/sqlerr", "internal/coalesce"},
	{"internal/bind"},
	{"internal/result", "internal/occ", "internal/fuse"},
	{"internal/autocommit", "internal/txn"},
	{"."},
}

func main() {
	if err := run(".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run measures the module in a directory.
func run(dir string) error {
	if err := os.Chdir(dir); err != nil { // where the importer finds the module
		return err
	}
	up := 0
	for floor, packages := range floors {
		for _, path := range packages {
			p, err := load(path)
			if err != nil {
				return err
			}
			imports := p.imports()
			fmt.Printf("%-22s floor %d, %2d files, %5d lines, imports %s\n", path, floor, len(p.files), p.lines, strings.Join(imports, " "))
			for _, imported := range imports {
				if at := floorOf(imported); at < 0 || at >= floor {
					fmt.Printf("%-22s imports %s, which is not below it\n", path, imported)
					up++
				}
			}
		}
	}
	root, err := load(".")
	if err != nil {
		return err
	}
	arrows, err := root.arrows()
	if err != nil {
		return err
	}
	fmt.Printf("\nroot: %d files, %d arrows between them, largest cycle %v\n", len(root.files), count(arrows), largestCycle(arrows))
	if up > 0 {
		return fmt.Errorf("%d imports run up", up)
	}
	return nil
}

func floorOf(path string) int {
	return slices.IndexFunc(floors, func(list []string) bool { return slices.Contains(list, path) })
}

// pkg is a package without its tests.
type pkg struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	lines int
}

func load(path string) (*pkg, error) {
	p := &pkg{path: path, fset: token.NewFileSet()}
	names, err := filepath.Glob(filepath.Join(path, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(p.fset, name, nil, 0)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, file)
		p.lines += p.fset.File(file.Pos()).LineCount()
	}
	return p, nil
}

// imports returns the packages of the module that the package imports.
func (p *pkg) imports() (list []string) {
	for _, file := range p.files {
		for _, spec := range file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if inside, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(list, inside) {
				list = append(list, inside)
			}
		}
	}
	sort.Strings(list)
	return list
}

// arrows returns, for each file, those whose declarations it uses.
func (p *pkg) arrows() (map[string]map[string]bool, error) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(p.fset, "source", nil)}
	checked, err := config.Check(module, p.fset, p.files, info)
	if err != nil {
		return nil, err
	}
	list := map[string]map[string]bool{}
	for id, object := range info.Uses {
		if object.Pkg() != checked || object.Parent() != nil && object.Parent() != checked.Scope() {
			continue // of another package, or local
		}
		from, to := p.fset.Position(id.Pos()).Filename, p.fset.Position(object.Pos()).Filename
		if from == to || to == "" {
			continue
		}
		if list[from] == nil {
			list[from] = map[string]bool{}
		}
		list[from][to] = true
	}
	return list, nil
}

func count(arrows map[string]map[string]bool) (n int) {
	for _, to := range arrows {
		n += len(to)
	}
	return n
}

// largestCycle returns the most files of which each leads to all others.
func largestCycle(arrows map[string]map[string]bool) (cycle []string) {
	reached := map[string]map[string]bool{}
	for from := range arrows {
		reached[from] = map[string]bool{}
		reach(arrows, from, reached[from])
	}
	for from, all := range reached {
		var same []string
		for to := range all {
			if to == from || reached[to][from] {
				same = append(same, to)
			}
		}
		if len(same) > len(cycle) {
			sort.Strings(same)
			cycle = same
		}
	}
	return cycle
}

func reach(arrows map[string]map[string]bool, from string, seen map[string]bool) {
	for to := range arrows[from] {
		if !seen[to] {
			seen[to] = true
			reach(arrows, to, seen)
		}
	}
}
