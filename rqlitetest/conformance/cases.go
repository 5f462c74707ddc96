package conformance

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// caseFile is one file of cases; its name is without extension.
type caseFile struct {
	name  string
	cases []testCase
}

type testCase struct {
	name      string
	exchanges []exchange
}

// exchange is a request and the answer it should get.
type exchange struct {
	line         int // in the file
	method, path string
	header       map[string]string
	body         string

	status     int
	exact      bool // the body is compared as text
	wantHeader map[string]string
	want       string
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
		x, err := parseExchange(block, end-len(block))
		last := &cases[len(cases)-1]
		last.exchanges = append(last.exchanges, x)
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
		default:
			block = append(block, line)
		}
	}
	return cases, nil
}

// parseExchange reads one exchange; first is the number of its first line.
func parseExchange(lines []string, first int) (exchange, error) {
	x := exchange{line: first}
	var ok bool
	if x.method, x.path, ok = strings.Cut(lines[0], " "); !ok {
		return x, fmt.Errorf("line %d: not a method and a path", first)
	}
	lines = lines[1:]
	x.header, lines = takeHeader(lines, "Content-Type: ", "Content-Type")
	var body, want []string
	for i, line := range lines {
		status, found := strings.CutPrefix(line, "-- ")
		if !found {
			body = append(body, line)
			continue
		}
		status, x.exact = strings.CutSuffix(status, " exact")
		var err error
		if x.status, err = strconv.Atoi(status); err != nil {
			return x, fmt.Errorf("line %d: the status of an answer is missing", first)
		}
		want = lines[i+1:]
		break
	}
	if x.status == 0 {
		return x, fmt.Errorf("line %d: a request without an answer", first)
	}
	x.wantHeader = map[string]string{}
	for len(want) > 0 && strings.HasPrefix(want[0], "@") {
		key, value, found := strings.Cut(want[0][1:], ": ")
		if !found {
			return x, fmt.Errorf("line %d: not a header: %s", first, want[0])
		}
		x.wantHeader[key] = value
		want = want[1:]
	}
	x.body, x.want = strings.Join(body, "\n"), strings.Join(want, "\n")
	return x, nil
}

// takeHeader takes a header off the front of the lines, if it is there.
func takeHeader(lines []string, prefix, key string) (map[string]string, []string) {
	if len(lines) > 0 && strings.HasPrefix(lines[0], prefix) {
		return map[string]string{key: strings.TrimPrefix(lines[0], prefix)}, lines[1:]
	}
	return nil, lines
}
