package conformance

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// caseFile is one file of cases. Its name is without extension.
type caseFile struct {
	name  string
	cases []testCase
}

type testCase struct {
	name      string
	span      span   // releases that it runs on
	reason    string // why it does not run on others
	exchanges []exchange
}

// exchange is a request and its wanted answers: exactly one for each release that the case runs on.
type exchange struct {
	line         int // in the file
	method, path string
	header       map[string]string
	body         string
	answers      []wanted
}

// wanted is the answer of some releases.
type wanted struct {
	span   span
	status int
	exact  bool // compare the body as text
	header map[string]string
	body   string
}

// on returns the answer wanted from a release.
func (x exchange) on(r Release) wanted {
	return x.answers[slices.IndexFunc(x.answers, func(w wanted) bool { return w.span.holds(r) })]
}

func parseFiles(files fs.FS, dir string) ([]caseFile, error) {
	names, err := fs.Glob(files, dir+"/*.txt")
	if err != nil {
		return nil, err
	}
	var out []caseFile
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		cases, err := parseCases(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, caseFile{strings.TrimSuffix(path.Base(name), ".txt"), cases})
	}
	return out, nil
}

// parseCases reads a file of cases.
func parseCases(text string) ([]testCase, error) {
	var cases []testCase
	seen := map[string]bool{}
	var block []string
	flush := func(end int) error {
		if len(block) == 0 {
			return nil
		}
		if len(cases) == 0 {
			return fmt.Errorf("line %d: a request outside of a case", end)
		}
		last := &cases[len(cases)-1]
		err := last.add(block, end-len(block))
		block = nil
		return err
	}
	lines := strings.Split(text+"\n", "\n")
	for i, line := range lines {
		name, isName := strings.CutPrefix(line, "== ")
		switch {
		case strings.HasPrefix(line, "#") && len(block) == 0:
		case isName || line == "":
			if err := flush(i + 1); err != nil {
				return nil, err
			}
			if isName && seen[name] {
				return nil, fmt.Errorf("line %d: a second case %q", i+1, name)
			}
			if isName {
				seen[name] = true
				cases = append(cases, testCase{name: name})
			}
		case i > 0 && strings.HasPrefix(lines[i-1], "== ") && startsSpan(line):
			if err := cases[len(cases)-1].limit(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		default:
			block = append(block, line)
		}
	}
	return cases, nil
}

func startsSpan(line string) bool {
	return strings.HasPrefix(line, "since") || strings.HasPrefix(line, "before")
}

// limit reads the line of releases below the name of a case.
func (c *testCase) limit(line string) error {
	words, reason, found := strings.Cut(line, ": ")
	if !found {
		return errors.New("the reason is missing")
	}
	c.reason = reason
	return c.span.parse(strings.Fields(words))
}

// add reads an exchange. first is the number of its first line.
func (c *testCase) add(lines []string, first int) error {
	x, err := parseExchange(lines)
	if err == nil {
		err = c.covers(x)
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", first, err)
	}
	x.line = first
	c.exchanges = append(c.exchanges, x)
	return nil
}

// covers returns an error unless there is one answer for each release that the case runs on.
func (c *testCase) covers(x exchange) error {
	releases := []Release{c.span.since}
	for _, w := range x.answers {
		releases = append(releases, w.span.since, w.span.before)
	}
	for _, r := range releases {
		if !c.span.holds(r) {
			continue
		}
		n := 0
		for _, w := range x.answers {
			if w.span.holds(r) {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%d answers for release %v", n, r)
		}
	}
	return nil
}

// parseExchange reads a request and its answers.
func parseExchange(lines []string) (exchange, error) {
	var x exchange
	var ok bool
	if x.method, x.path, ok = strings.Cut(lines[0], " "); !ok {
		return x, errors.New("not a method and a path")
	}
	lines = lines[1:]
	x.header, lines = takeHeader(lines, "Content-Type: ", "Content-Type")
	isAnswer := func(line string) bool { return strings.HasPrefix(line, "-- ") }
	start := slices.IndexFunc(lines, isAnswer)
	if start < 0 {
		return x, errors.New("a request without an answer")
	}
	x.body = strings.Join(lines[:start], "\n")
	for lines = lines[start:]; len(lines) > 0; {
		end := len(lines)
		if next := slices.IndexFunc(lines[1:], isAnswer); next >= 0 {
			end = next + 1
		}
		w, err := parseAnswer(lines[:end])
		if err != nil {
			return x, err
		}
		x.answers = append(x.answers, w)
		lines = lines[end:]
	}
	return x, nil
}

// parseAnswer reads an answer.
func parseAnswer(lines []string) (w wanted, err error) {
	words := strings.Fields(lines[0])[1:]
	if len(words) == 0 {
		return w, errors.New("the status of an answer is missing")
	}
	if w.status, err = strconv.Atoi(words[0]); err != nil {
		return w, errors.New("the status of an answer is missing")
	}
	words = words[1:]
	if w.exact = len(words) > 0 && words[0] == "exact"; w.exact {
		words = words[1:]
	}
	if err := w.span.parse(words); err != nil {
		return w, err
	}
	w.header = map[string]string{}
	lines = lines[1:]
	for len(lines) > 0 && strings.HasPrefix(lines[0], "@") {
		key, value, found := strings.Cut(lines[0][1:], ": ")
		if !found {
			return w, fmt.Errorf("not a header: %s", lines[0])
		}
		w.header[key] = value
		lines = lines[1:]
	}
	w.body = strings.Join(lines, "\n")
	return w, nil
}

// takeHeader removes a header from the front of the lines, if there is one.
func takeHeader(lines []string, prefix, key string) (map[string]string, []string) {
	if len(lines) > 0 && strings.HasPrefix(lines[0], prefix) {
		return map[string]string{key: strings.TrimPrefix(lines[0], prefix)}, lines[1:]
	}
	return nil, lines
}
