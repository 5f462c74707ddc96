package dsn

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const (
	defaultHost = "localhost"
	defaultPort = "4001"
)

// Host returns the "host:port" that s stands for. Without a host it is localhost, and without a port
// 4001. Its errors never quote s: in a malformed DSN
// it can be a part of the password.
func Host(s string) (string, error) {
	host, port := s, defaultPort
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", errors.New(`"[" without "]"`)
		}
		addr, err := netip.ParseAddr(s[1:end])
		if err != nil || !addr.Is6() || strings.IndexFunc(addr.Zone(), notHostRune) >= 0 {
			return "", errors.New("what stands in brackets is no IPv6 address")
		}
		host = addr.String()
		rest, hasPort := strings.CutPrefix(s[end+1:], ":")
		if hasPort {
			port = rest
		} else if rest != "" {
			return "", errors.New(`after "]" only a port may follow, such as [::1]:4001`)
		}
	} else {
		if name, p, ok := strings.Cut(s, ":"); ok {
			host, port = name, p
		}
		if strings.Contains(port, ":") {
			return "", errors.New(`more than one ":"; an IPv6 address stands in brackets, such as [::1]:4001`)
		}
		if strings.IndexFunc(host, notHostRune) >= 0 {
			return "", errors.New("a character that no host name has; write host:port")
		}
		if host == "" {
			host = defaultHost
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", errors.New("the port must be a number from 1 to 65535")
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// notHostRune reports whether r can be neither in a host name nor in the zone of an IPv6 address. A
// name in another script has to be given in its ASCII form.
func notHostRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("-._", r)
}
