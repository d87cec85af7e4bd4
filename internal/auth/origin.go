package auth

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"ringdown/protocol"
)

// Origins is an allow-list of origins (RFC 6454): of the sites whose pages may
// talk to this server from a browser. The zero value allows none. It is
// immutable.
type Origins struct {
	listed map[string]struct{} // in canonical form
	any    bool                // "*"
	self   bool                // "self": the host that was asked for
	null   bool                // "null"
	// loopback: pages that this machine serves, on whatever port.
	loopback bool
	cookies  bool // see WithCookies
}

// WithCookies returns o for a server that takes cookies, or whatever else a browser
// sends by itself, for who somebody is. Pages of its own host may come in then.
func (o Origins) WithCookies() Origins {
	o.cookies, o.self = true, true
	return o
}

// Cookies reports whether what a browser sends by itself may say who makes the
// request: because no page made it, or one of the server's own host, or of an
// origin that is listed by its name. "*" and "null" say that every site may come
// in, and not that every site may do so as whoever looks at it.
func (o Origins) Cookies(r *http.Request) bool {
	values := r.Header["Origin"]
	switch {
	case !o.cookies || len(values) > 1:
		return false
	case len(values) == 0:
		// A browser sends none with a GET of its own host, nor with one that another
		// site made by an image or a link.
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "" || site == "same-origin" || site == "none"
	case values[0] == "null":
		return false
	}
	o.any = false
	return o.Allow(r)
}

// ParseOrigins reads a list of origins such as https://shop.example. Scheme,
// host and port are compared exactly, a default port being the same as none and
// upper case the same as lower. There are four words besides: "*" allows every
// site, "self" pages from the host that they connect to, "loopback" pages that this
// machine serves, "null" pages without an origin, such as files and whatever
// another site puts into a frame without one. An error joins an *OptionError for each bad entry.
func ParseOrigins(list []string) (Origins, error) {
	o := Origins{listed: make(map[string]struct{}, len(list))}
	var p problems
	for i, entry := range list {
		switch entry {
		case "*":
			o.any = true
		case "self":
			o.self = true
		case "null":
			o.null = true
		case "loopback":
			o.loopback = true
		default:
			c, bad := canonical(entry)
			if bad != nil {
				p.add(fmt.Sprintf("origins[%d]", i), fmt.Sprintf("%q %s", entry, bad.What), bad.Remedy)
				continue
			}
			o.listed[c] = struct{}{}
		}
	}
	if err := p.err(); err != nil {
		return Origins{}, err
	}
	return o, nil
}

// Allow reports whether the request may come in: because its Origin is on the
// list, or because it has none, and so does not come from a page of another
// site. What is no origin at all is refused, as are two of them.
//
// With "self", whoever serves a page under a name that he lets point here is
// allowed, since a browser takes that for the same host.
func (o Origins) Allow(r *http.Request) bool {
	values := r.Header["Origin"]
	switch {
	case len(values) == 0 || o.any:
		return true
	case len(values) > 1:
		return false
	case values[0] == "null":
		return o.null
	}
	c, bad := canonical(values[0])
	if bad != nil {
		return false
	}
	if _, ok := o.listed[c]; ok {
		return true
	}
	return o.loopback && LoopbackHost(hostOf(c)) || o.self && sameHost(c, r)
}

// hostOf returns host and port of a canonical origin.
func hostOf(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	return host
}

// LoopbackHost reports whether a Host header, or host and port of an origin,
// names this machine and nothing that DNS could point here.
func LoopbackHost(hostport string) bool {
	host, _, bad := splitHost(hostport)
	if bad != nil {
		return false
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || loopback(strings.Trim(host, "[]"))
}

// OriginRefused is what the sender of a request is told whose Origin is not
// allowed. It names the origin, as it came: pages have another one than one
// thinks, and some libraries for programs send one too.
func OriginRefused(r *http.Request) *protocol.Error {
	const most = 100
	came := strings.Join(r.Header["Origin"], ", ")
	if len(came) > most {
		came = came[:most] + "…"
	}
	return protocol.Errorf(protocol.CodeForbidden, "the origin %q is not allowed here; list it under origins in the configuration file (a program that is no page can leave the header Origin out)", came).WithReason("origin")
}

// sameHost reports whether a canonical origin is where r was sent to. Behind a
// proxy that ends TLS the scheme is not known here, so that only host and port
// count; an https server does not take http for itself.
func sameHost(origin string, r *http.Request) bool {
	scheme, _, _ := strings.Cut(origin, "://")
	if r.TLS != nil && scheme != "https" {
		return false
	}
	c, bad := canonical(scheme + "://" + r.Host)
	return bad == nil && c == origin
}

// canonical returns the one spelling of an origin: in lower case, without a
// default port.
func canonical(s string) (string, *OptionError) {
	const example = "write it as a browser does: https://shop.example or http://localhost:3000"
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = lower(scheme)
	switch {
	case !ok:
		return "", &OptionError{What: "has no scheme", Remedy: example}
	case !validScheme(scheme):
		return "", &OptionError{What: "has a bad scheme", Remedy: example}
	case strings.ContainsRune(rest, '@'):
		return "", &OptionError{What: "holds a user name, which is no part of an origin", Remedy: example}
	case strings.HasSuffix(rest, "/") && strings.Count(rest, "/") == 1:
		return "", &OptionError{What: "ends with a slash, which is no part of an origin", Remedy: "leave the slash out"}
	case strings.ContainsAny(rest, `/\?#`):
		return "", &OptionError{What: "has a path, query or fragment, which are no parts of an origin", Remedy: "leave out all that comes after the host and the port"}
	case strings.Contains(rest, "*"):
		return "", &OptionError{What: "has a wildcard inside, and origins are compared exactly", Remedy: `list each origin, or "*" alone for all of them`}
	}
	host, port, bad := splitHost(rest)
	if bad != nil {
		return "", bad
	}
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return scheme + "://" + host, nil
	}
	return scheme + "://" + host + ":" + port, nil
}

// lower changes ASCII letters only: strings.ToLower would make a plain k of the
// Kelvin sign, and so one host of another.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// validScheme checks RFC 3986 §3.1. Schemes of apps and extensions are as good
// as http.
func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// splitHost takes host and port apart and returns the host in lower case. port
// is "" if there is none.
func splitHost(s string) (host, port string, bad *OptionError) {
	var colon bool
	if strings.HasPrefix(s, "[") {
		inner, rest, ok := strings.Cut(s[1:], "]")
		ip, err := netip.ParseAddr(inner)
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", &OptionError{What: "has a bad IPv6 address", Remedy: "write it like http://[::1]:3000"}
		}
		host = "[" + ip.String() + "]"
		if rest != "" && rest[0] != ':' {
			return "", "", &OptionError{What: "has something after the IPv6 address", Remedy: "write it like http://[::1]:3000"}
		}
		_, port, colon = strings.Cut(rest, ":")
	} else {
		host, port, colon = strings.Cut(s, ":")
		host = lower(host)
		if bad := verifyHost(host); bad != nil {
			return "", "", bad
		}
	}
	if !colon {
		return host, "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' {
		return "", "", &OptionError{What: "has a bad port", Remedy: "write a number from 1 to 65535 after the colon, or no colon"}
	}
	return host, port, nil
}

func verifyHost(host string) *OptionError {
	if host == "" {
		return &OptionError{What: "has no host", Remedy: "write it as a browser does: https://shop.example"}
	}
	for i := range len(host) {
		c := host[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		case c >= 0x80:
			return &OptionError{What: "has a letter outside ASCII in its host, which no browser sends", Remedy: "write the host in punycode (xn--…)"}
		default:
			return &OptionError{What: "has a character in its host that cannot be there", Remedy: "write it as a browser does: https://shop.example"}
		}
	}
	return nil
}
