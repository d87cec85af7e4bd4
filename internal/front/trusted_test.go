package front

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestParseTrusted(t *testing.T) {
	for _, bad := range []string{"", "proxy.example", "10.0.0.0/33", "10.0.0.1:80", "fe80::1%eth0", "::ffff:10.0.0.0/104", "*"} {
		if _, err := ParseTrusted([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	tr, err := ParseTrusted([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48", "unix"})
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{"10.255.0.1": true, "::ffff:10.0.0.1": true, "11.0.0.1": false, "192.0.2.1": true, "192.0.2.2": false,
		"2001:db8:1::5": true, "2001:db8:2::5": false, "::1": false} {
		if tr.Contains(netip.MustParseAddr(a)) != want {
			t.Errorf("%s: not %v", a, want)
		}
	}
	if !tr.Contains(netip.Addr{}) || (Trusted{}).Contains(netip.Addr{}) {
		t.Error("a Unix socket")
	}
}

func TestClient(t *testing.T) {
	tr, err := ParseTrusted([]string{"10.0.0.0/8", "2001:db8:f::/48"})
	if err != nil {
		t.Fatal(err)
	}
	const peer = "10.0.0.1:4711"
	xff := func(lines ...string) http.Header { return http.Header{"X-Forwarded-For": lines} }
	fwd := func(lines ...string) http.Header { return http.Header{"Forwarded": lines} }
	for _, c := range []struct {
		name   string
		peer   string
		header http.Header
		want   string
	}{
		{"nobody says anything", peer, nil, peer},
		{"not a proxy of ours", "203.0.113.9:1", xff("198.51.100.1"), "203.0.113.9:1"},
		{"one hop", peer, xff("198.51.100.1"), "198.51.100.1:0"},
		{"with a port", peer, xff("198.51.100.1:5000"), "198.51.100.1:5000"},
		{"IPv6", peer, xff("2001:db8::1"), "[2001:db8::1]:0"},
		{"IPv6 in brackets", peer, xff("[2001:db8::1]"), "[2001:db8::1]:0"},
		{"IPv6 with a port", peer, xff("[2001:db8::1]:80"), "[2001:db8::1]:80"},
		{"a zone", peer, xff("fe80::1%eth0"), "[fe80::1]:0"},
		{"IPv4 in the clothes of IPv6", peer, xff("::ffff:198.51.100.1"), "198.51.100.1:0"},
		{"made up on the left", peer, xff("1.1.1.1, 198.51.100.1"), "198.51.100.1:0"},
		{"garbage on the left", peer, xff("<script>, 198.51.100.1"), "198.51.100.1:0"},
		{"two proxies", peer, xff("1.1.1.1, 198.51.100.1, 10.0.0.2"), "198.51.100.1:0"},
		{"two lines", peer, xff("1.1.1.1", "198.51.100.1,10.0.0.2"), "198.51.100.1:0"},
		{"all are proxies", peer, xff("10.9.9.9, 10.0.0.2"), "10.9.9.9:0"},
		{"a proxy of IPv6", "[2001:db8:f::1]:80", xff("198.51.100.1"), "198.51.100.1:0"},
		{"a proxy that came over IPv6", "[::ffff:10.0.0.1]:80", xff("198.51.100.1"), "198.51.100.1:0"},
		{"garbage", peer, xff("unknown"), peer},
		{"garbage behind a proxy", peer, xff("1.1.1.1, what, 10.0.0.2"), peer},
		{"empty", peer, xff(""), peer},
		{"a hole", peer, xff("1.1.1.1,"), peer},
		{"leading zeros", peer, xff("198.051.100.1"), peer},
		{"nowhere", peer, xff("0.0.0.0"), peer},
		{"everywhere", peer, xff("224.0.0.1"), peer},
		{"half a bracket", peer, xff("[2001:db8::1"), peer},
		{"behind a bracket", peer, xff("[2001:db8::1]x"), peer},

		{"Forwarded", peer, fwd("for=198.51.100.1"), "198.51.100.1:0"},
		{"Forwarded, whole", peer, fwd(`by=10.0.0.1;For="198.51.100.1:99" ; proto=https;host="a,b;c"`), "198.51.100.1:99"},
		{"Forwarded, IPv6", peer, fwd(`for="[2001:db8:cafe::17]:4711"`), "[2001:db8:cafe::17]:4711"},
		{"Forwarded, a hidden port", peer, fwd(`for="198.51.100.1:_x"`), "198.51.100.1:0"},
		{"Forwarded, escapes", peer, fwd(`for="198.51.\100.1"`), "198.51.100.1:0"},
		{"Forwarded, hops", peer, fwd("for=1.1.1.1, for=198.51.100.1, for=10.0.0.2"), "198.51.100.1:0"},
		{"Forwarded, lines", peer, fwd("for=1.1.1.1", "for=198.51.100.1"), "198.51.100.1:0"},
		{"Forwarded, hidden", peer, fwd("for=_gazonk"), peer},
		{"Forwarded, unknown", peer, fwd("for=unknown"), peer},
		{"Forwarded, without for", peer, fwd("proto=https"), peer},
		{"Forwarded, for twice", peer, fwd("for=1.1.1.1;for=198.51.100.1"), peer},
		{"Forwarded, swallowed", peer, fwd(`for="1.1.1.1`, "for=198.51.100.1"), peer},
		{"Forwarded, swallowed with a quote", peer, fwd(`for=1.1.1.1;x="`, `for="[2001:db8::1]"`), peer},
		{"Forwarded, empty", peer, fwd(""), peer},
		{"Forwarded, nonsense", peer, fwd("198.51.100.1"), peer},
		{"both", peer, http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Forwarded": {"for=1.1.1.1"}}, "198.51.100.1:0"},
	} {
		want := netip.MustParseAddrPort(c.want)
		if got := tr.client(netip.MustParseAddrPort(c.peer), c.header); got != want {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
	long := strings.Repeat("10.0.0.2,", 10_000) + "10.0.0.3"
	if got := tr.client(netip.MustParseAddrPort(peer), xff("198.51.100.1,"+long)); got.Addr().String() != "10.0.0.2" {
		t.Errorf("ten thousand proxies: %v", got)
	}
}

// FuzzClient: whatever a client sends, what the proxy appends behind it is what
// counts, or else nothing of it is believed.
func FuzzClient(f *testing.F) {
	f.Add("1.1.1.1", "for=1.1.1.1")
	f.Add("[::1]:1, 10.0.0.1", `for="[2001:db8::1]:1";by=x`)
	f.Add(",,,", `for=";,\"`)
	f.Add("10.0.0.2", `x="`)
	tr, err := ParseTrusted([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	peer, client := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("203.0.113.7:0")
	line := netip.MustParseAddrPort("[2001:db8::7]:0")
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		_ = tr.client(peer, http.Header{"X-Forwarded-For": {xff}})
		_ = tr.client(peer, http.Header{"Forwarded": {forwarded}})
		for _, h := range []http.Header{{"X-Forwarded-For": {xff + ", 203.0.113.7"}}, {"X-Forwarded-For": {xff, "203.0.113.7"}}} {
			if got := tr.client(peer, h); got != client {
				t.Errorf("%q: %v", h, got)
			}
		}
		for _, h := range []http.Header{
			{"Forwarded": {forwarded + `, for=203.0.113.7`}}, {"Forwarded": {forwarded, `for=203.0.113.7;proto=http`}},
			{"Forwarded": {forwarded + `, for="[2001:db8::7]"`}}, {"Forwarded": {forwarded, `proto=http;for="[2001:db8::7]"`}},
		} {
			if got := tr.client(peer, h); got != client && got != line && got != peer {
				t.Errorf("%q: %v", h, got)
			}
		}
	})
}
