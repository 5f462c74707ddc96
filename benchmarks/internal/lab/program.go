package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// stdlibPackage is the program with gorqlite's database/sql driver.
const stdlibPackage = "github.com/go-rqlite/rqlite/benchmarks/cmd/gorqlite-stdlib"

// stdlib builds the program with gorqlite's database/sql driver, once, and returns
// its path. The working directory has to be in this module.
func (s *Site) stdlib() (string, error) {
	const name = "gorqlite-stdlib.exe" // the ending is needed on some systems, and does no harm on others
	if s.programs != "" {
		return filepath.Join(s.programs, name), nil
	}
	dir, err := os.MkdirTemp("", "rqlite-benchmarks-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-o", path, stdlibPackage).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("building %s: %w\n%s", stdlibPackage, err, out), os.RemoveAll(dir))
	}
	s.programs = dir
	return path, nil
}
