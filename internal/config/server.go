package config

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"ringdown/internal/auth"
	"ringdown/internal/front"
)

func (f fields) listen() (out []string) {
	if _, n := f.get("listen"); n != nil && n.kind == number {
		f.fail(n.place, fmt.Sprintf("write :%s for every address of the machine, or 127.0.0.1:%s", n.text, n.text), "listen is an address, host:port, not a number")
		return nil
	}
	for _, n := range f.texts("listen") {
		if f.noPlaceholder("listen", n, false) && f.listenAddress(n) {
			out = append(out, n.text)
		}
	}
	return out
}

func (f fields) listenAddress(n *node) bool {
	if path, ok := strings.CutPrefix(n.text, "unix:"); ok {
		if path == "" || strings.HasPrefix(path, "//") {
			f.fail(n.place, "write unix: and the path, as in unix:/run/ringdown.sock", "there is no path of a socket in %q", clip(n.text))
		}
		return true
	}
	if _, rest, ok := strings.Cut(n.text, "://"); ok {
		f.fail(n.place, fmt.Sprintf("write %s", strings.TrimSuffix(rest, "/")), "listen is an address, host:port, not a URL")
		return false
	}
	host, port, err := net.SplitHostPort(n.text)
	if err != nil {
		f.fail(n.place, "write host:port, as in :8000, 127.0.0.1:8000 or '[::1]:8000', or unix:PATH", "listen is an address, host:port, not %q", clip(n.text))
		return false
	}
	if p, err := strconv.Atoi(port); err != nil || p < 0 || p > 65535 {
		f.fail(n.place, "", "the port is a number from 0 to 65535, not %q", clip(port))
		return false
	}
	if f.opts.Dev && !loopback(host) {
		f.fail(n.place, fmt.Sprintf("write 127.0.0.1:%s, or start without --dev", port), "--dev lets everybody do everything, so it listens on this machine only, not on %q", clip(n.text))
		return false
	}
	return true
}

// requests reads what concerns requests and who is behind them.
func (f fields) requests(p *front.Policy) {
	if http, ok := f.mapping("http"); ok {
		p.Idle = http.duration("idle")
	}
	var list []string
	for _, n := range f.texts("trusted_proxies") {
		if _, err := front.ParseTrusted([]string{n.text}); err != nil {
			f.fail(n.place, "write a network, as in 10.0.0.0/8, an address, or unix", "%v", err)
			continue
		}
		if strings.HasSuffix(n.text, "/0") {
			f.warn(n.place, "list the proxies that are meant", "trusted_proxies has every address in it, so that every client may say that it is another")
		}
		list = append(list, n.text)
	}
	p.Trusted, _ = front.ParseTrusted(list) // each was read above
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (f fields) origins() (out []string) {
	for _, n := range f.texts("origins") {
		if _, err := auth.ParseOrigins([]string{n.text}); err != nil {
			f.optionErrors(n, "write scheme://host[:port] as browsers send it, self for pages of this server, loopback for those of this machine, or * for all", err)
			continue
		}
		if n.text == "*" {
			f.warn(n.place, "list the pages that are meant", "origins is *, so that every web page that one of your users opens may connect")
		}
		out = append(out, n.text)
	}
	if parsed, err := auth.ParseOrigins(out); err == nil {
		f.conf.WebSocket.Origins = parsed
	}
	return out
}

// A path is matched as it is written, so it has no wildcards and no escapes.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_.~-]+)+$`)

// paths reads the aliases of one of the server's own paths. seen are those of
// the other transports.
func (f fields) paths(own string, seen map[string]bool) (out []string) {
	for _, n := range f.texts("paths") {
		p := n.text
		switch {
		case !plainPath.MatchString(p) || strings.Contains(p+"/", "/../") || strings.Contains(p+"/", "/./"):
			f.fail(n.place, "write it as in /socket or /v1/ws/chat", "a path begins with /, does not end with one, and has only A-Z a-z 0-9 _ . ~ - between them: %q is none", clip(p))
		case seen[p] || p == own:
			f.fail(n.place, "remove one of the two", "the path %s is there already", p)
		case p == "/livez" || p == "/readyz" || p == "/metrics" || p == "/v1" || strings.HasPrefix(p, "/v1/") && !strings.HasPrefix(p, own+"/"):
			f.fail(n.place, "take a path outside of /v1, or one under "+own+"/", "the path %s belongs to the server's own API", p)
		default:
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}
