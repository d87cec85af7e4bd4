package front

import (
	"context"
	"io"
	"net/http"
	"net/netip"

	"ringdown/internal/problem"
	"ringdown/protocol"
)

// Handler puts the address of the real client into the RemoteAddr of each request,
// and counts what a proxy asks for under the client that it asks for. It is for
// every handler, also those that are mounted in a server of somebody else's.
func (f *Front) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, peer, c := f.policy.Load(), peerOf(r), connOf(r)
		client := p.Trusted.client(peer, r.Header)
		if bad := f.counted(p, client.Addr(), r); bad != nil {
			f.turnAway(w, p.host(client.Addr()), bad)
			return
		}
		if client == peer && c != nil {
			next.ServeHTTP(w, r) // it was counted when it was accepted
			return
		}
		h := p.host(client.Addr())
		at, bad := f.lend(c, h, p)
		if bad != nil {
			f.turnAway(w, h, bad)
			return
		}
		defer f.giveBack(c, at)
		r = r.WithContext(context.WithValue(r.Context(), hostKey{}, h))
		if client.IsValid() {
			r.RemoteAddr = client.String()
		}
		next.ServeHTTP(w, r)
	})
}

// turnAway notes that a request of a host is not let in, and says why.
func (f *Front) turnAway(w http.ResponseWriter, h host, e *protocol.Error) {
	f.note(&place{host: h}, e)
	forPages(w.Header())
	problem.Write(w, e.Code.HTTPStatus(), e)
}

// forPages lets any page read an answer, so that it is told why it has to wait, and
// not only that something failed: limits are nobody's secret. Where its origin was
// not looked at yet, a page that sends cookies is not let.
func forPages(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
}

// counted spends a request of whom it comes from, unless it is not counted: a
// WebSocket has its own limit, and a proxy is asked by many.
func (f *Front) counted(p *Policy, client netip.Addr, r *http.Request) *protocol.Error {
	if p.RequestsPerAddress == 0 || p.Trusted.Contains(client) || r.Header.Get("Upgrade") != "" || f.exempt != nil && f.exempt(r) {
		return nil
	}
	return f.request(p.host(client), p)
}

// hostKey is where the context of a request has its host, if it is not that of
// the connection.
type hostKey struct{}

// Handshake spends one handshake of the client whose request ctx is of: nil, or a
// retryable *protocol.Error.
func (f *Front) Handshake(ctx context.Context) error {
	h, ok := ctx.Value(hostKey{}).(host)
	if !ok {
		c, ok := ctx.Value(connKey{}).(*Conn)
		if !ok {
			return nil
		}
		h = c.place.host
	}
	if e := f.handshake(h); e != nil {
		return e
	}
	return nil
}

// lend counts a request under the client that a proxy makes it for. If the
// connection is upgraded, that goes with it.
func (f *Front) lend(c *Conn, h host, p *Policy) (*place, *protocol.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, bad := f.take(h, p)
	if bad == nil && c != nil {
		c.speaksFor = at
	}
	return at, bad
}

func (f *Front) giveBack(c *Conn, at *place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case c == nil:
		f.give(at)
	case c.speaksFor == at && http.ConnState(c.state.Load()) != http.StateHijacked:
		c.speaksFor = nil
		f.give(at)
	}
}

// peerOf returns the other end of the connection that a request came over. Some
// middleware leaves an address without a port there.
func peerOf(r *http.Request) netip.AddrPort {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	a, err := netip.ParseAddr(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), 0)
}

// watch notes while a body is waited for: by the handler, and behind it by net/http,
// which reads what the handler has left.
func (f *Front) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		if r.Body != http.NoBody {
			// A copy: net/http looks at what it has put into the request itself.
			copied := *r
			copied.Body = &body{r.Body, c}
			r = &copied
		}
		defer func() { c.reading.Store(int64(f.now())) }()
		next.ServeHTTP(w, r)
	})
}

type body struct {
	io.ReadCloser
	conn *Conn
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.conn.reading.Store(int64(b.conn.front.now()))
	n, err := b.ReadCloser.Read(p)
	b.conn.reading.Store(0)
	return n, err
}
