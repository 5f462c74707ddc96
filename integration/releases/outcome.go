package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// outcome is what came of the tests on one release.
type outcome struct {
	release, binary string
	passed          int
	failed          []string
	skipped         map[string][]string // names of tests by reason
}

// event is a line of "go test -json".
type event struct {
	Action, Test, Output string
}

// suite is a run of the tests of one module.
type suite struct {
	dir    string
	output map[string]*strings.Builder // of tests that have not ended, by name
	ended  map[string]string           // how tests have ended
	parent map[string]bool             // tests that have subtests, which stand for them
	reason map[string]string           // why tests were skipped
}

func newSuite(dir string) *suite {
	return &suite{
		dir: dir, output: map[string]*strings.Builder{}, ended: map[string]string{},
		parent: map[string]bool{}, reason: map[string]string{},
	}
}

// read takes note of an event. What belongs to no test, and what failing tests
// have said, it prints.
func (s *suite) read(line []byte, out io.Writer) {
	var e event
	switch err := json.Unmarshal(line, &e); {
	case err != nil:
		fmt.Fprint(out, string(line)) // of a compiler, or of the last line, which is empty
	case e.Test == "":
		fmt.Fprint(out, e.Output)
	case e.Action == "run":
		s.output[e.Test] = &strings.Builder{}
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			s.parent[e.Test[:i]] = true
		}
	case e.Action == "output" && s.output[e.Test] != nil:
		s.output[e.Test].WriteString(e.Output)
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		s.end(e, out)
	}
}

// reasonLine is how a test says why it is skipped.
var reasonLine = regexp.MustCompile(`(?m)^ +\w+\.go:\d+: (.*)$`)

func (s *suite) end(e event, out io.Writer) {
	text := s.output[e.Test].String()
	delete(s.output, e.Test)
	s.ended[e.Test] = e.Action
	switch e.Action {
	case "fail":
		fmt.Fprint(out, text)
	case "skip":
		s.reason[e.Test] = "for no reason it gives"
		if all := reasonLine.FindAllStringSubmatch(text, -1); all != nil {
			s.reason[e.Test] = all[len(all)-1][1]
		}
	}
}

// add adds a suite that has ended with err. A test stands for itself if it has no
// subtests, or if it failed and they did not.
func (o *outcome) add(s *suite, err error) {
	if o.skipped == nil {
		o.skipped = map[string][]string{}
	}
	before := len(o.failed)
	for name := range s.output {
		o.failed = append(o.failed, name+" (has not ended)")
	}
	for name, action := range s.ended {
		switch {
		case action == "fail" && !s.subtestFailed(name):
			o.failed = append(o.failed, name)
		case s.parent[name] || action == "fail":
		case action == "skip":
			o.skipped[s.reason[name]] = append(o.skipped[s.reason[name]], name)
		default:
			o.passed++
		}
	}
	if err != nil && len(o.failed) == before {
		o.failed = append(o.failed, fmt.Sprintf("go test in %s: %v", s.dir, err))
	}
}

// subtestFailed reports whether a subtest of a test failed.
func (s *suite) subtestFailed(name string) bool {
	for other, action := range s.ended {
		if action == "fail" && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// good reports whether tests ran and all passed.
func (o *outcome) good() bool { return o.passed > 0 && len(o.failed) == 0 }

// print prints the outcome.
func (o *outcome) print(out io.Writer) {
	skipped := 0
	for _, names := range o.skipped {
		skipped += len(names)
	}
	fmt.Fprintf(out, "  %-10s  %d passed, %d failed, %d skipped\n", o.release, o.passed, len(o.failed), skipped)
	slices.Sort(o.failed)
	for _, name := range o.failed {
		fmt.Fprintf(out, "      failed: %s\n", name)
	}
	for _, reason := range slices.Sorted(maps.Keys(o.skipped)) {
		slices.Sort(o.skipped[reason])
		fmt.Fprintf(out, "      skipped: %s: %s\n", strings.Join(o.skipped[reason], ", "), reason)
	}
}
