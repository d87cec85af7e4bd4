package front

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Trusted are the proxies that may say for whom they speak.
type Trusted struct {
	nets []netip.Prefix
	unix bool // whoever comes over a Unix socket
}

// ParseTrusted reads networks such as 10.0.0.0/8, addresses, and the word unix for
// Unix sockets.
func ParseTrusted(list []string) (Trusted, error) {
	var t Trusted
	for _, s := range list {
		if s == "unix" {
			t.unix = true
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil || a.Zone() != "" {
				return Trusted{}, fmt.Errorf("%q is neither a network, such as 10.0.0.0/8, nor an address, nor unix", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Addr().Is4In6() {
			return Trusted{}, fmt.Errorf("%q is an IPv4 network in the clothes of IPv6; write it as IPv4", s)
		}
		t.nets = append(t.nets, p.Masked())
	}
	return t, nil
}

// Contains reports whether what a peer says is believed. The zero address is that
// of a Unix socket.
func (t Trusted) Contains(a netip.Addr) bool {
	if !a.IsValid() {
		return t.unix
	}
	a = a.Unmap().WithZone("")
	for _, p := range t.nets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// mostHops is how many proxies a request may have come through. Each entry costs
// time, and who sends more has made them up.
const mostHops = 64

// client returns who made a request that came from peer: peer itself, or whom the
// proxies speak for. Every proxy appends whom it was asked by, so that the entries
// are read from the right, and no further than the first that is not of a proxy:
// what stands left of it is only what that one says. If that cannot be read, it is
// peer.
//
// Where both headers are there, X-Forwarded-For counts: nearly every proxy writes
// it, and few of them take a Forwarded away that a client has sent.
func (t Trusted) client(peer netip.AddrPort, h http.Header) netip.AddrPort {
	if !t.Contains(peer.Addr()) {
		return peer
	}
	var hops []string
	if lines := h["X-Forwarded-For"]; len(lines) > 0 {
		hops = splitHops(lines)
	} else {
		hops = forwardedFor(h["Forwarded"])
	}
	if len(hops) > mostHops {
		hops = hops[len(hops)-mostHops:]
	}
	last := peer
	for i := len(hops) - 1; i >= 0; i-- {
		a, ok := parseHop(hops[i])
		if !ok {
			return peer
		}
		if last = a; !t.Contains(a.Addr()) {
			break
		}
	}
	return last
}

// splitHops returns the entries of X-Forwarded-For.
func splitHops(lines []string) (hops []string) {
	for _, line := range lines {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, strings.Trim(hop, " \t"))
		}
	}
	return hops
}

// parseHop reads an address with or without a port, in any of the ways in which
// proxies write them: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80.
func parseHop(s string) (netip.AddrPort, bool) {
	text, port := s, ""
	switch {
	case strings.HasPrefix(s, "["):
		inner, rest, ok := strings.Cut(s[1:], "]")
		if !ok || rest != "" && rest[0] != ':' {
			return netip.AddrPort{}, false
		}
		text, port = inner, strings.TrimPrefix(rest, ":")
	case strings.Count(s, ":") == 1:
		text, port, _ = strings.Cut(s, ":")
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, false
	}
	a = a.WithZone("").Unmap()
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, portOf(port)), true
}

// portOf reads a port; one that is hidden, as RFC 7239 allows, is 0.
func portOf(s string) uint16 {
	n := 0
	for _, d := range s {
		if d < '0' || d > '9' || n > 65535 {
			return 0
		}
		n = 10*n + int(d-'0')
	}
	if n > 65535 {
		return 0
	}
	return uint16(n)
}

// forwardedFor returns what the elements of Forwarded (RFC 7239) have in for, "" if
// they have none. If anything of the header is not as it should be, all that comes
// of it is one entry that is no address: half of it may be what a client has sent
// to swallow the rest.
func forwardedFor(lines []string) (hops []string) {
	bad := []string{""}
	rest := strings.Join(lines, ",")
	if rest == "" {
		return nil
	}
	for hop, seen := "", false; ; {
		name, value, after, ok := forwardedPair(rest)
		if !ok {
			return bad
		}
		if strings.EqualFold(name, "for") {
			if seen {
				return bad
			}
			hop, seen = value, true
		}
		if after == "" {
			return append(hops, hop)
		}
		if after[0] == ',' {
			hops = append(hops, hop)
			hop, seen = "", false
		}
		rest = after[1:]
	}
}

// forwardedPair reads name=value, the value a token or in quotes, up to the ; or ,
// that after begins with.
func forwardedPair(s string) (name, value, after string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	name, s, ok = strings.Cut(s, "=")
	if !ok || name == "" || strings.ContainsAny(name, " \t,;\"") {
		return "", "", "", false
	}
	if strings.HasPrefix(s, `"`) {
		value, s, ok = quoted(s[1:])
	} else {
		end := strings.IndexAny(s, ",; \t\"")
		if end < 0 {
			end = len(s)
		}
		value, s = s[:end], s[end:]
	}
	s = strings.TrimLeft(s, " \t")
	return name, value, s, ok && (s == "" || s[0] == ',' || s[0] == ';')
}

// quoted reads up to the quote that ends it.
func quoted(s string) (value, after string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
