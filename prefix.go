package rqlite

import (
	"errors"
	"net/url"
	"path"
	"strings"
)

// behindProxy reports whether the nodes are below a path of a proxy.
func (c *Config) behindProxy() bool { return c.PathPrefix != "" && c.PathPrefix != "/" }

// checkPrefix returns what is wrong with a PathPrefix. Its errors do not quote it.
func checkPrefix(prefix string) error {
	switch {
	case prefix == "" || prefix == "/":
		return nil
	case prefix[0] != '/' || !strings.HasSuffix(prefix, "/"):
		return errors.New("the path must begin and end with a slash, such as /rqlite/")
	case strings.Contains(prefix, "//"), path.Clean(prefix)+"/" != prefix:
		return errors.New(`the path must not have "//", "/./" or "/../" in it`)
	}
	return nil
}

// parsePrefix parses the path. It refuses one without a slash at its end: in the DSNs of many other
// drivers that is the name of a database.
func (c *Config) parsePrefix(prefix string) error {
	if prefix == "" || prefix == "/" {
		return nil
	}
	if !strings.HasSuffix(prefix, "/") {
		return errors.New("rqlite has one database, which has no name; only keys may follow the hosts, after /?, " +
			"or the path below which a reverse proxy has rqlite, with a slash at its end, such as /rqlite/")
	}
	decoded, err := url.PathUnescape(prefix)
	switch {
	case err != nil:
		return errors.New(`the path holds a "%" that begins no escape; write it as %25`)
	case strings.Count(decoded, "/") != strings.Count(prefix, "/"):
		return errors.New("the path holds a slash as %2F, which proxies do not agree on")
	}
	c.PathPrefix = decoded
	return nil
}

// formatPrefix is the reverse of parsePrefix.
func (c *Config) formatPrefix() string {
	switch {
	case checkPrefix(c.PathPrefix) != nil:
		return "/(invalid)" // it may be anything, even a URL with a password in it
	case !c.behindProxy():
		return ""
	}
	return strings.ReplaceAll((&url.URL{Path: c.PathPrefix}).EscapedPath(), "@", "%40")
}
