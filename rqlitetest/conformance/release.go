package conformance

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// Release is a release of rqlite, such as 9.4.5: major, minor and patch number. The zero value
// comes before all releases.
type Release [3]int

// firstNumbers matches the numbers at the start of a version.
var firstNumbers = regexp.MustCompile(`^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?`)

// ReleaseOf returns the release for a version in X-Rqlite-Version: "v9.4.5", or "v10.2.7-23-gabc"
// for a later commit. A server built by hand may say only "10" or "master". ReleaseOf then returns
// the newest possible release: missing numbers are the largest int.
func ReleaseOf(version string) Release {
	r := Release{math.MaxInt, math.MaxInt, math.MaxInt}
	for i, text := range firstNumbers.FindStringSubmatch(version) {
		if n, err := strconv.Atoi(text); i > 0 && err == nil {
			r[i-1] = n
		}
	}
	return r
}

// ParseRelease reads the full name of a release, such as "9.4.5". It returns an error for anything
// else.
func ParseRelease(text string) (Release, error) {
	r := ReleaseOf(text)
	if r.String() != text {
		return r, fmt.Errorf("%q is not a release such as 9.4.5", text)
	}
	return r, nil
}

// String returns the release as ParseRelease reads it.
func (r Release) String() string { return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]) }

// Compare returns a negative number if r is older than other, 0 if they are equal, and a positive
// number if r is newer.
func (r Release) Compare(other Release) int {
	return slices.CompareFunc(r[:], other[:], cmp.Compare[int])
}

// span is a range of releases: since and later, and earlier than before. A zero Release sets no
// bound.
type span struct{ since, before Release }

func (s span) holds(r Release) bool {
	return r.Compare(s.since) >= 0 && (s.before == Release{} || r.Compare(s.before) < 0)
}

// parse reads words such as "since 9.0.0 before 9.4.2". Each of the two may occur once.
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
