package dsn

import (
	"errors"
	"net/url"
	"path"
	"strings"
)

// CheckPath returns what is wrong with the path below which a reverse proxy has rqlite, nil if there
// is none, or it is "/". Its errors do not quote it.
func CheckPath(text string) error {
	switch {
	case text == "" || text == "/":
		return nil
	case text[0] != '/' || !strings.HasSuffix(text, "/"):
		return errors.New("the path must begin and end with a slash, such as /rqlite/")
	case strings.Contains(text, "//"), path.Clean(text)+"/" != text:
		return errors.New(`the path must not have "//", "/./" or "/../" in it`)
	}
	return nil
}

// parsePath parses the path. It refuses one without a slash at its end: in the DSNs of many other
// drivers that is the name of a database.
func (p *Parts) parsePath(path string) error {
	if path == "" || path == "/" {
		return nil
	}
	if !strings.HasSuffix(path, "/") {
		return errors.New("rqlite has one database, which has no name; only keys may follow the hosts, after /?, " +
			"or the path below which a reverse proxy has rqlite, with a slash at its end, such as /rqlite/")
	}
	decoded, err := url.PathUnescape(path)
	switch {
	case err != nil:
		return errors.New(`the path holds a "%" that begins no escape; write it as %25`)
	case strings.Count(decoded, "/") != strings.Count(path, "/"):
		return errors.New("the path holds a slash as %2F, which proxies do not agree on")
	}
	p.Path = decoded
	return nil
}

// EscapePath encodes a path for a data source name.
func EscapePath(text string) string {
	return strings.ReplaceAll((&url.URL{Path: text}).EscapedPath(), "@", "%40")
}
