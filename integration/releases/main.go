// Command releases runs the live tests of the modules integration and rqlitetest
// on a list of rqlite releases, one after the other, and upgrades clusters from each
// to the next. It says at the end what passed, failed and was skipped on each, and why.
//
// RQLITED_BINS lists the programs, rqlited of each release, separated by commas.
// Arguments go to "go test"; with -run there are no upgrades. "make releases" calls it.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// suites are the modules with live tests, from the directory of integration. The
// tests of rqlitetest that need no live server are not of interest here.
var suites = []struct {
	dir  string
	args []string
}{
	{".", []string{"-skip", upgrades}},
	{"../rqlitetest", []string{"-run", "Live$"}},
}

// upgrades matches the test that takes the whole list of programs.
const upgrades = "^TestRollingUpgrade$"

func main() {
	if err := run(os.Getenv("RQLITED_BINS"), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs all suites on all programs, however the others end. It returns an error
// unless everything passed.
func run(list string, args []string, out io.Writer) error {
	var outcomes []*outcome
	for binary := range strings.SplitSeq(list, ",") {
		if binary = strings.TrimSpace(binary); binary == "" {
			continue
		}
		name, err := nameOf(binary)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, &outcome{release: name, binary: binary})
	}
	if len(outcomes) == 0 {
		return errors.New("RQLITED_BINS has to list the rqlited to test on, separated by commas")
	}
	for _, o := range outcomes {
		for _, suite := range suites {
			fmt.Fprintf(out, "== rqlite %s: %s\n", o.release, suite.dir)
			if err := o.run(suite.dir, "", slices.Concat(suite.args, args), out); err != nil {
				return err
			}
		}
	}
	selected := slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(strings.TrimLeft(arg, "-"), "run") })
	if len(outcomes) > 1 && !selected {
		o := &outcome{release: "upgrades", binary: outcomes[0].binary}
		outcomes = append(outcomes, o)
		fmt.Fprintln(out, "== upgrades from each release to the next")
		if err := o.run(".", list, slices.Concat(args, []string{"-run", upgrades}), out); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "\nReleases:")
	good := true
	for _, o := range outcomes {
		o.print(out)
		good = good && o.good()
	}
	if !good {
		return errors.New("there are failures")
	}
	return nil
}

// nameOf asks a program for its release: it says "rqlited v9.4.5 linux amd64 …".
func nameOf(binary string) (string, error) {
	text, err := exec.Command(binary, "-version").CombinedOutput()
	words := strings.Fields(string(text))
	if err != nil || len(words) < 2 {
		return "", fmt.Errorf("%s does not say its version: %w\n%s", binary, err, text)
	}
	return words[1], nil
}

// run runs a suite, which may see a list of programs, and notes what comes of it.
func (o *outcome) run(dir, list string, args []string, out io.Writer) error {
	cmd := exec.Command("go", append([]string{"test", "-json", "-count=1", "-timeout=30m"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RQLITED_BIN="+o.binary, "RQLITED_BINS="+list, "RQLITE_BACKENDS=process", "RQLITE_LIVE=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s := newSuite(dir)
	lines := bufio.NewReader(stdout)
	for err == nil {
		var line []byte
		line, err = lines.ReadBytes('\n')
		s.read(line, out)
	}
	o.add(s, cmd.Wait())
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
