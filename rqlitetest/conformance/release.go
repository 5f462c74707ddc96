package conformance

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// Release is a release of rqlite, such as 9.4.5: major, minor and patch number.
type Release [3]int

// firstNumbers are the numbers with which a version begins.
var firstNumbers = regexp.MustCompile(`^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?`)

// ReleaseOf returns the release of a server that calls its version so, in
// X-Rqlite-Version: "v9.4.5", or "v10.2.7-23-gabc" for what came after a release.
// A server built by hand says less, such as "10" or "master". It counts as the
// newest there can be of that.
func ReleaseOf(version string) Release {
	r := Release{math.MaxInt, math.MaxInt, math.MaxInt}
	for i, text := range firstNumbers.FindStringSubmatch(version) {
		if n, err := strconv.Atoi(text); i > 0 && err == nil {
			r[i-1] = n
		}
	}
	return r
}

// ParseRelease reads the full name of a release, "9.4.5".
func ParseRelease(text string) (Release, error) {
	r := ReleaseOf(text)
	if r.String() != text {
		return r, fmt.Errorf("%q is not a release such as 9.4.5", text)
	}
	return r, nil
}

// String returns the release as ParseRelease reads it.
func (r Release) String() string { return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]) }

// Compare is negative if r came before the other one, and positive if it came
// after it.
func (r Release) Compare(other Release) int {
	return slices.CompareFunc(r[:], other[:], cmp.Compare[int])
}

// span is a range of releases: from since on, up to what comes before before. The
// zero Release is no bound.
type span struct{ since, before Release }

func (s span) holds(r Release) bool {
	return r.Compare(s.since) >= 0 && (s.before == Release{} || r.Compare(s.before) < 0)
}

// parse reads words such as "since 9.0.0 before 9.4.2", each of them once or not
// at all.
func (s *span) parse(words []string) error {
	for ; len(words) >= 2; words = words[2:] {
		bound := map[string]*Release{"since": &s.since, "before": &s.before}[words[0]]
		if bound == nil || *bound != (Release{}) {
			return fmt.Errorf("%q is neither since nor before, or the second", words[0])
		}
		var err error
		if *bound, err = ParseRelease(words[1]); err != nil {
			return err
		}
	}
	if len(words) > 0 {
		return fmt.Errorf("%q without a release", words[0])
	}
	return nil
}
