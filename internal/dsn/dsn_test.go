package dsn

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The errors are tested where people see them, with ParseDSN.
func TestSplit(t *testing.T) {
	t.Parallel()
	keys := []string{"a", "b"}
	for text, want := range map[string]Parts{
		"rqlite://":       {Scheme: "rqlite", Hosts: []string{"localhost:4001"}, Values: map[string]string{}},
		"HTTP://h,h:4001": {Scheme: "http", Hosts: []string{"h:4001"}, Values: map[string]string{}},
		"https://u%40:p%2F@h:1,[fe80::1%25eth0]/x%20y/?a=1&&b=%26": {
			Scheme: "https", User: "u@", Password: "p/", Hosts: []string{"h:1", "[fe80::1%eth0]:4001"}, Path: "/x y/",
			Values: map[string]string{"a": "1", "b": "&"},
		},
		"rqlite://h/./?a=": {Scheme: "rqlite", Hosts: []string{"h:4001"}, Path: "/./", Values: map[string]string{"a": ""}},
	} {
		got, err := Split(text, keys)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	_, err := Split("rqlite://?c=1", keys)
	require.EqualError(t, err, `key "c" is unknown; the keys are a, b`)
}

func TestPath(t *testing.T) {
	t.Parallel()
	for path, good := range map[string]bool{
		"": true, "/": true, "/a/": true, "/a@b/ü?#/": true,
		"a/": false, "/a": false, "//": false, "/a//b/": false, "/./": false, "/a/../b/": false,
	} {
		if err := CheckPath(path); !good {
			require.Error(t, err, path)
			continue
		}
		require.NoError(t, CheckPath(path), path)
		p, err := Split("rqlite://h"+EscapePath(path), nil)
		require.NoError(t, err, path)
		if path != "/" {
			assert.Equal(t, path, p.Path)
		}
	}
}

func TestEditDistance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"level", "level", 0}, {"lvl", "level", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 2},
	} {
		assert.Equal(t, test.want, editDistance(test.a, test.b), "%s %s", test.a, test.b)
	}
}
