package dsn

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

const example = "rqlite://localhost:4001"

// Parts are the parts of a data source name, decoded.
type Parts struct {
	Scheme         string // "rqlite", "http" or "https"
	User, Password string
	Hosts          []string          // as Host returns them, each once
	Path           string            // "" for none; it ends with a slash, and CheckPath may refuse it
	Values         map[string]string // by key
}

// Split takes a data source name apart. It refuses keys other than the given ones. After an error,
// the parts are of no use.
//
//	scheme://[user:password@]host[:port][,host[:port]…][/][path/][?key=value[&key=value…]]
func Split(text string, keys []string) (p Parts, err error) {
	var rest, query string
	if p.Scheme, rest, err = cutScheme(text); err != nil {
		return p, err
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
		if query, err = p.parseTail(rest[i:]); err != nil {
			return p, err
		}
	}
	if err := p.parseAuthority(authority); err != nil {
		return p, err
	}
	p.Values, err = splitQuery(query, keys)
	return p, err
}

// cutScheme splits off the scheme. It refuses characters that no part of a DSN may hold.
func cutScheme(dsn string) (scheme, rest string, err error) {
	if dsn == "" {
		return "", "", errors.New("it is empty; write for example " + example)
	}
	if strings.IndexFunc(dsn, func(r rune) bool { return r <= ' ' || r == 0x7f }) >= 0 {
		return "", "", errors.New("it holds a space, a line end or another control character; percent-encode or remove it")
	}
	scheme, rest, ok := strings.Cut(dsn, "://")
	scheme = strings.ToLower(scheme)
	if !ok || !slices.Contains([]string{"rqlite", "http", "https"}, scheme) {
		return "", "", errors.New("it must begin with rqlite://, http:// or https://; write for example " + example)
	}
	return scheme, rest, nil
}

// parseTail parses the path behind the authority, and returns the query.
func (p *Parts) parseTail(tail string) (query string, err error) {
	// A "/", "?" or "#" in a password that is not encoded ends the authority too early. Then the
	// "@" that should end the password is in the tail. No message may show any of it.
	if strings.Contains(tail, "@") {
		return "", errors.New(`an "@" after the hosts; in user and password write "/", "?", "#" and "@" as %2F, %3F, %23 and %40, in values "@" as %40`)
	}
	if strings.Contains(tail, "#") {
		return "", errors.New(`a fragment has no meaning; write "#" as %23`)
	}
	path, query, _ := strings.Cut(tail, "?")
	return query, p.parsePath(path)
}

// parseAuthority parses [user:password@]host[:port][,host[:port]…]. Its errors quote nothing.
func (p *Parts) parseAuthority(authority string) error {
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		if err := p.parseUserinfo(authority[:at]); err != nil {
			return err
		}
	}
	list := strings.Split(hosts, ",")
	for i, host := range list {
		if host == "" && len(list) > 1 {
			return fmt.Errorf("host %d of %d is empty", i+1, len(list))
		}
		if strings.HasPrefix(host, "[") {
			// In a URL the "%" before the zone of an address is encoded.
			host = strings.Replace(host, "%25", "%", 1)
		}
		address, err := Host(host)
		if err != nil {
			return fmt.Errorf("host %d: %w", i+1, err)
		}
		if !slices.Contains(p.Hosts, address) {
			p.Hosts = append(p.Hosts, address)
		}
	}
	return nil
}

func (p *Parts) parseUserinfo(userinfo string) error {
	if at := strings.IndexByte(userinfo, '@'); at >= 0 && strings.Contains(userinfo[at:], ",") {
		return errors.New(`more than one "@"; give user and password once, before the first host, and write "@" in them as %40`)
	}
	user, password, _ := strings.Cut(userinfo, ":")
	var err error
	if p.User, err = url.PathUnescape(user); err != nil {
		return errors.New(`the user holds a "%" that begins no escape; write it as %25`)
	}
	if p.Password, err = url.PathUnescape(password); err != nil {
		return errors.New(`the password holds a "%" that begins no escape; write it as %25`)
	}
	return nil
}

// splitQuery returns the values by key, which are all among keys.
func splitQuery(query string, keys []string) (map[string]string, error) {
	values := make(map[string]string)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !slices.Contains(keys, name) {
			return nil, unknownKey(name, keys)
		}
		if !ok {
			return nil, fmt.Errorf("key %q has no value", name)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("key %q is given twice", name)
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fmt.Errorf(`the value of key %q holds a "%%" that begins no escape; write it as %%25`, name)
		}
		values[name] = value
	}
	return values, nil
}
