package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// readMod reads a go.mod file.
func readMod(path string) (*modfile.File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path, data, nil)
}

// goDirective returns the version of Go that a go.mod file names.
func goDirective(path string) (string, error) {
	file, err := readMod(path)
	if err != nil {
		return "", err
	}
	if file.Go == nil {
		return "", fmt.Errorf("%s names no version of Go", path)
	}
	return file.Go.Version, nil
}

// check demands that the published modules require each other at a version, and returns it. With
// "" it is the version of the first such requirement.
func check(repository, version string) (string, error) {
	var found error
	for _, dir := range published {
		file, err := readMod(filepath.Join(repository, dir, "go.mod"))
		if err != nil {
			return "", err
		}
		for _, required := range file.Require {
			if required.Mod.Path != root && !strings.HasPrefix(required.Mod.Path, root+"/") {
				continue
			}
			if version == "" {
				version = required.Mod.Version
			}
			if required.Mod.Version != version {
				found = errors.Join(found, fmt.Errorf("%s requires %s, not %s", modulePath(dir), required.Mod, version))
			}
		}
	}
	return version, errors.Join(found, module.Check(root, version))
}

// pack writes the files by which a module proxy serves a version of the module in a directory: the
// files of the last commit.
func pack(proxy, repository, dir, version string) error {
	mod := module.Version{Path: modulePath(dir), Version: version}
	at := filepath.Join(proxy, filepath.FromSlash(mod.Path), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	definition, err := os.ReadFile(filepath.Join(repository, dir, "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"list": []byte(version + "\n"), version + ".mod": definition, version + ".info": info,
	} {
		if err := os.WriteFile(filepath.Join(at, name), content, 0o644); err != nil {
			return err
		}
	}
	archive, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		return err
	}
	err = errors.Join(zip.CreateFromVCS(archive, mod, repository, "HEAD", dir), archive.Close())
	if err != nil {
		return err
	}
	packed, err := os.Stat(archive.Name())
	if err != nil {
		return err
	}
	fmt.Printf("%-45s %7d bytes\n", mod, packed.Size())
	return nil
}
