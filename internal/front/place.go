package front

import (
	"cmp"
	"net"
	"net/netip"
	"time"

	"ringdown/protocol"
)

// host is what clients are told apart by: an IPv4 address, or the 64 bits of an
// IPv6 address that a subscriber's line has. The zero host is of a Unix socket.
type host struct{ netip.Addr }

// lineBits is how much of an IPv6 address belongs to the network. The rest is the
// client's to choose, anew for every connection if it likes.
const lineBits = 64

// host returns what an address counts as. A proxy counts alone.
func (p *Policy) host(a netip.Addr) host {
	a = a.Unmap().WithZone("")
	if a.Is6() && !p.Trusted.Contains(a) {
		line, _ := a.Prefix(lineBits) // an IPv6 address has more bits than that
		a = line.Addr()
	}
	return host{a}
}

func (p *Policy) hostOf(a net.Addr) host {
	if t, ok := a.(*net.TCPAddr); ok {
		return p.host(t.AddrPort().Addr())
	}
	return host{}
}

// isPrivate reports that a proxy may stand at h of which nobody has told us.
func (h host) isPrivate() bool {
	return !h.IsValid() || h.IsLoopback() || h.IsPrivate() || h.IsLinkLocalUnicast()
}

// place is what one host holds. Its fields belong to the front's lock.
type place struct {
	front *Front
	host  host
	open  int           // sockets, and requests that a proxy makes for it
	due   time.Duration // when its handshakes are within their rate again
	asked time.Duration // the same of its requests
}

// idle reports that the place can be forgotten: it holds nothing, and all that it
// spent has come back. It comes back at the rate of the limit, so that a place lasts
// the longer the more was asked for it, and there are never many more of them than
// requests in a second.
func (p *place) idle(now time.Duration) bool {
	return p.open == 0 && p.due <= now && p.asked <= now
}

func (p *place) addr() netip.Addr { return p.host.Addr }

// placeOf returns the place of a host, made if need be. The lock is held.
func (f *Front) placeOf(h host) *place {
	at := f.hosts[h]
	if at == nil {
		f.sweep()
		at = &place{front: f, host: h}
		f.hosts[h] = at
	}
	return at
}

// take counts one more for a host, unless it holds as many as one may. The lock is
// held.
func (f *Front) take(h host, p *Policy) (*place, *protocol.Error) {
	at := f.placeOf(h)
	if limit := p.perAddress(h); limit > 0 && at.open >= limit {
		e := protocol.Errorf(protocol.CodeRateLimited, "%d connections from this address are open, and there may be no more (limits.address.connections); if it is that of a proxy, name it under trusted_proxies", limit)
		e.RetryAfter = 5 * time.Second
		return nil, e.WithLimit("limits.address.connections")
	}
	at.open++
	return at, nil
}

// give counts one less. The lock is held.
func (f *Front) give(at *place) {
	at.open--
	if at.idle(f.now()) {
		delete(f.hosts, at.host)
	}
}

// sweep forgets the hosts that hold nothing any more, whenever there are twice as
// many as it left the last time. The lock is held.
func (f *Front) sweep() {
	const few = 1024
	if len(f.hosts) < max(f.sweepAt, few) {
		return
	}
	now := f.now()
	for h, at := range f.hosts {
		if at.idle(now) {
			delete(f.hosts, h)
		}
	}
	f.sweepAt = 2 * len(f.hosts)
}

// perAddress returns how many connections a host may have; 0: any number.
func (p *Policy) perAddress(h host) int { return p.limit(h, p.PerAddress, max(p.Sockets/2, 1)) }

// handshakes returns how many handshakes a host may make in a second; 0: any number.
func (p *Policy) handshakes(h host) int { return p.limit(h, p.HandshakesPerAddress, 250) }

// limit returns what holds for a host. There is none for a trusted proxy, nor a
// preset one where a proxy may stand that nobody has declared.
func (p *Policy) limit(h host, declared, preset int) int {
	switch {
	case p.Trusted.Contains(h.Addr):
		return 0
	case declared > 0:
		return declared
	case h.isPrivate():
		return 0
	}
	return preset
}

// spend takes one from what a rate gives, by GCRA, or says how long it takes until
// there is one. due is when all that was spent has come back.
func spend(due *time.Duration, now time.Duration, rate, burst int) (wait time.Duration) {
	every := time.Second / time.Duration(rate)
	next := max(*due, now) + every
	if wait = next - now - every*time.Duration(cmp.Or(burst, 2*rate)); wait > 0 {
		return wait
	}
	*due = next
	return 0
}

// request spends one request of a host.
func (f *Front) request(h host, p *Policy) *protocol.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	wait := spend(&f.placeOf(h).asked, f.now(), p.RequestsPerAddress, p.RequestsBurst)
	if wait == 0 {
		return nil
	}
	e := protocol.Errorf(protocol.CodeRateLimited, "more than %d requests a second come from this address (limits.address.requests_per_second); if it is that of a proxy, name it under trusted_proxies", p.RequestsPerAddress)
	e.RetryAfter = max(wait, time.Second)
	return e.WithLimit("limits.address.requests_per_second")
}

// handshake spends one handshake of a host.
func (f *Front) handshake(h host) *protocol.Error {
	p := f.policy.Load()
	rate := p.handshakes(h)
	if rate == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := spend(&f.placeOf(h).due, f.now(), rate, p.HandshakesBurst); wait > 0 {
		e := protocol.Errorf(protocol.CodeRateLimited, "more than %d connections a second come from this address (limits.address.handshakes_per_second); if it is that of a proxy, name it under trusted_proxies", rate)
		e.RetryAfter = max(wait, time.Second)
		return e.WithLimit("limits.address.handshakes_per_second")
	}
	return nil
}
