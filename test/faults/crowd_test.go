package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
	"ringdown/internal/wsframe"
	"ringdown/test/history"
)

// reader is one of a crowd. It follows a channel like a subscriber, but only
// counts, so that there may be ten thousand.
type reader struct {
	crowd   *crowd
	channel string
	conn    net.Conn

	// Guarded by crowd.mu.
	at   history.Position // where it stands
	home string           // the node it is connected to and follows on; empty: none
	lost time.Time        // when it last had to leave
}

// crowd is readers and what they saw that they should not have.
type crowd struct {
	token   string
	address func() string
	ctx     context.Context
	wait    sync.WaitGroup

	mu      sync.Mutex
	readers []*reader
	wrong   []string        // what was not as promised, the first of it
	back    []time.Duration // how long each that lost its node was away
	refused atomic.Int64    // connections that a node did not let in
}

func newCrowd(ctx context.Context, n int, channels []string, address func() string) *crowd {
	c := &crowd{token: token("crowd"), address: address, ctx: ctx}
	for i := range n {
		r := &reader{crowd: c, channel: channels[i%len(channels)]}
		c.readers = append(c.readers, r)
		c.wait.Go(r.run)
	}
	return c
}

// run connects, and whenever the connection is lost does so again: after a time
// by chance that doubles, as the client libraries do.
func (r *reader) run() {
	most := 250 * time.Millisecond
	for pause(r.crowd.ctx, most) {
		began := time.Now()
		err := r.follow(r.crowd.address())
		if r.crowd.ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRefused) {
			r.crowd.refused.Add(1)
		}
		if most = min(2*most, 4*time.Second); time.Since(began) > time.Second {
			most = 250 * time.Millisecond
		}
		r.crowd.mu.Lock()
		if r.home != "" {
			r.home, r.lost = "", time.Now()
		}
		r.crowd.mu.Unlock()
	}
}

var errRefused = errors.New("not let in")

// follow is one connection.
func (r *reader) follow(addr string) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(r.crowd.ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(r.crowd.ctx, func() { conn.Close() })()
	r.conn = conn
	fmt.Fprintf(conn, "GET /v1/ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n", addr, r.crowd.token)
	in := bufio.NewReaderSize(conn, 1024)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return errRefused
	}
	var buf []byte
	for {
		op, p, err := readFrame(in, buf)
		if err != nil {
			return err
		}
		switch buf = p[:0]; op {
		case wsframe.Ping:
			err = r.send(wsframe.Pong, p)
		case wsframe.Text:
			err = r.take(addr, p)
		case wsframe.Close:
			return io.EOF
		}
		if err != nil {
			return err
		}
	}
}

// readFrame reads one frame of a server into buf, or a larger one.
func readFrame(in *bufio.Reader, buf []byte) (op wsframe.Opcode, p []byte, err error) {
	for want := 2; ; want++ {
		head, err := in.Peek(want)
		if err != nil {
			return 0, nil, err
		}
		h, n, err := wsframe.ParseHeader(head)
		if err != nil {
			return 0, nil, err
		}
		if n == 0 {
			continue
		}
		_, _ = in.Discard(n)
		buf = slices.Grow(buf[:0], int(h.Length))[:h.Length]
		_, err = io.ReadFull(in, buf)
		return h.Op, buf, err
	}
}

func (r *reader) send(op wsframe.Opcode, p []byte) error {
	frame := wsframe.AppendHeader(nil, wsframe.Header{Fin: true, Masked: true, Op: op, Length: int64(len(p))})
	_, err := r.conn.Write(append(frame, p...)) // masked with zeros
	return err
}

func (r *reader) take(addr string, p []byte) error {
	var m message
	if err := json.Unmarshal(lean(p), &m); err != nil {
		return err
	}
	c := r.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Type {
	case "welcome":
		ask := map[string]any{"type": "subscribe", "channel": r.channel, "id": 1}
		if r.at.Epoch != "" {
			ask["since"] = r.at
		}
		text, err := json.Marshal(ask)
		if err != nil {
			return err
		}
		return r.send(wsframe.Text, text)
	case "subscribed":
		if r.at.Epoch != "" && (!bytes.Contains(m.Data, []byte(`"recovered":true`)) || r.at != history.Position{Epoch: m.Epoch, Offset: m.Offset}) {
			c.bad("who stood at %v was told %s", r.at, p)
		}
		r.at, r.home = history.Position{Epoch: m.Epoch, Offset: m.Offset}, addr
		if !r.lost.IsZero() {
			c.back = append(c.back, time.Since(r.lost))
		}
	case "m":
		if m.prev() != r.at.Offset {
			c.bad("who stood at %v was given %s", r.at, p)
		}
		r.at.Offset = m.Offset
	case "error", "gap", "unsubscribed":
		c.bad("who stood at %v was told %s", r.at, p)
		return io.EOF
	}
	return nil
}

// bad is called with mu held.
func (c *crowd) bad(format string, args ...any) {
	if len(c.wrong) < 10 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// until waits until all readers are as they should be, and returns how many are
// not when it takes too long.
func (c *crowd) until(so func(r *reader) bool) (otherwise int) {
	for deadline := time.Now().Add(2 * rest); ; time.Sleep(50 * time.Millisecond) {
		otherwise = 0
		c.mu.Lock()
		for _, r := range c.readers {
			if !so(r) {
				otherwise++
			}
		}
		c.mu.Unlock()
		if otherwise == 0 || time.Now().After(deadline) {
			return otherwise
		}
	}
}

func (c *crowd) at(addr string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.readers {
		if r.home == addr {
			n++
		}
	}
	return n
}

// away is how long so many percent of those that lost their node were away at most.
func (c *crowd) away(percent int) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.back) == 0 {
		return 0
	}
	slices.Sort(c.back)
	return c.back[(len(c.back)-1)*percent/100].Round(time.Millisecond)
}

// TestKillNodeCrowd (G03): a node of three is killed with its share of ten
// thousand connections. They come back to the other two and miss nothing.
func TestKillNodeCrowd(t *testing.T) {
	if !long() {
		t.Skip("ten thousand connections: with RINGDOWN_LONG=1")
	}
	const crowded = 10_000
	all := nodes(t, redistest.Start(t), 3)
	for _, srv := range all {
		text := fmt.Sprintf(configuration, kept) + srv.more
		srv.configure(strings.Replace(text, "{ping: 2s, timeout: 2s}", "{ping: 30s, timeout: 30s}", 1))
	}
	few := cast{channels: 3, subscribers: 24, publishers: 4, every: 400 * time.Millisecond, pad: 100, direct: true}
	s := tell(t, shared(), few, all...)
	var dead atomic.Int32
	dead.Store(-1)
	c := newCrowd(s.ctx, crowded, s.channels, func() string {
		i := rand.IntN(len(all))
		if i == int(dead.Load()) { // a name that resolves to those that are there
			i = (i + 1 + rand.IntN(len(all)-1)) % len(all)
		}
		return all[i].addr
	})
	defer c.wait.Wait()
	defer s.cancel()
	if n := c.until(func(r *reader) bool { return r.home != "" }); n > 0 {
		t.Fatalf("%d of %d are not connected; %d were not let in", n, crowded, c.refused.Load())
	}
	for round := range 3 {
		at := 0 // the node with the most: nobody goes back to one that was away
		for i, srv := range all {
			if c.at(srv.addr) > c.at(all[at].addr) {
				at = i
			}
		}
		srv := all[at]
		had, began := c.at(srv.addr), time.Now()
		c.mu.Lock()
		c.back = nil
		c.mu.Unlock()
		s.during(srv.name, "kill", func() {
			srv.kill()
			dead.Store(int32(at))
			if n := c.until(func(r *reader) bool { return r.home != "" && r.home != srv.addr }); n > 0 {
				t.Errorf("%d of %d have not come back", n, had)
			}
			took := time.Since(began)
			t.Logf("round %d: %d lost their node; all back within %v, half within %v, 95%% within %v; %d were not let in at first",
				round, had, took.Round(time.Millisecond), c.away(50), c.away(95), c.refused.Swap(0))
			s.until(40)
			srv.start()
			dead.Store(-1)
		})
		if had < crowded/3 {
			t.Errorf("only %d of %d were on the node that was killed", had, crowded)
		}
	}
	for _, p := range s.pubs {
		p.finish()
	}
	s.writes.Wait()
	logs := s.settle(time.Now().Add(rest))
	heads := map[string]history.Position{}
	for _, l := range logs {
		heads[l.channel] = l.at
	}
	if n := c.until(func(r *reader) bool { return r.at == heads[r.channel] }); n > 0 {
		t.Errorf("%d of %d have not all that was published", n, crowded)
	}
	c.mu.Lock()
	for _, w := range c.wrong {
		t.Error(w)
	}
	c.mu.Unlock()
	s.whole()
}
