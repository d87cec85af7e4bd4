package reactor

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestOrderUnderBacklog sends and shares in every mixture to a peer that reads
// late; what comes out is what went in.
func TestOrderUnderBacklog(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		drained := make(chan struct{}, 16)
		h.drained = func(*Conn) { drained <- struct{}{} }
		c := add(t, e, server, h, "")
		var want bytes.Buffer
		rnd := rand.New(rand.NewPCG(1, 2))
		on(t, c.Loop(), func() {
			for i := 0; !c.Blocked() || i < 500; i++ {
				p := bytes.Repeat([]byte{byte(rnd.IntN(256))}, 1+rnd.IntN(40_000))
				want.Write(p)
				switch rnd.IntN(3) {
				case 0:
					c.Send(p)
					clear(p) // Send has copied
				case 1:
					c.Share(p)
				case 2:
					if n := c.Offer(p); n < len(p) {
						c.Share(slices.Clone(p[n:]))
					}
					clear(p) // Offer keeps nothing
				}
				if i > 20_000 {
					t.Error("the socket takes everything")
					return
				}
			}
			if c.Pending() == 0 {
				t.Error("blocked with nothing pending")
			}
			if c.Offer([]byte("no")) != 0 {
				t.Error("offered while blocked, and taken")
			}
		})
		if want.Len() < 5<<20 {
			t.Errorf("only %d bytes were sent", want.Len())
		}
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatal("what came out is not what went in")
		}
		wait(t, "Drained", drained)
		on(t, c.Loop(), func() {
			if c.Blocked() || c.Pending() != 0 {
				t.Error("still blocked after Drained")
			}
			if c.LastWrite().Before(c.LastRead()) {
				t.Error("last write at", c.LastWrite())
			}
		})
	})
}

// TestPull moves many megabytes in the way a session does: offer, share the rest
// of the piece, go on when drained. The peer reads in fits and starts.
func TestPull(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		all := make([]byte, 16<<20)
		rnd := rand.NewChaCha8([32]byte{2})
		_, _ = rnd.Read(all)
		at, drains := 0, 0
		batch := make([]byte, 0, 32<<10)
		pull := func(c *Conn) {
			for at < len(all) && !c.Blocked() {
				batch = append(batch[:0], all[at:min(at+cap(batch), len(all))]...)
				n := c.Offer(batch)
				at += n
				if n < len(batch) {
					frame := min(at+132, len(all))
					c.Share(all[at:frame])
					at = frame
				}
				clear(batch)
			}
		}
		h := newHooks()
		h.drained = func(c *Conn) { drains++; pull(c) }
		c := add(t, e, server, h, "")
		on(t, c.Loop(), func() { pull(c.Conn) })
		got := make([]byte, len(all))
		for n := 0; n < len(got); {
			more, err := client.Read(got[n:min(len(got), n+1+rand.IntN(300_000))])
			if err != nil {
				t.Fatal(err)
			}
			n += more
		}
		if !bytes.Equal(got, all) {
			t.Fatal("what came out is not what went in")
		}
		on(t, c.Loop(), func() {
			if drains == 0 {
				t.Error("never blocked: this tested little")
			}
		})
	})
}

// TestManyMegabytesAtOnce: one share that is longer than every buffer.
func TestManyMegabytesAtOnce(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		c := add(t, e, server, h, "")
		all := make([]byte, 20<<20)
		rnd := rand.NewChaCha8([32]byte{3})
		_, _ = rnd.Read(all)
		on(t, c.Loop(), func() {
			c.Share(all[:10<<20])
			c.Send(all[10<<20:])
		})
		got := make([]byte, len(all))
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, all) {
			t.Fatal("what came out is not what went in")
		}
		watch(t, c.Loop(), "draining", func() bool { return !c.Blocked() })
	})
}

// recorder is a connection that notes its writes, and lets them wait.
type recorder struct {
	net.Conn
	mu     sync.Mutex
	writes []string
	wrote  chan struct{}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.writes = append(r.writes, string(p))
	r.mu.Unlock()
	r.wrote <- struct{}{}
	return len(p), nil
}

// TestCoalescing: the sends of a callback leave in one write, in order with what
// is shared, and before the callback of another.
func TestCoalescing(t *testing.T) {
	e := start(t, Options{Engine: "std", Loops: 1})
	client, server := net.Pipe()
	defer client.Close()
	r := &recorder{Conn: server, wrote: make(chan struct{})}
	h := newHooks()
	h.data = func(c *Conn, p []byte) {
		for _, b := range p {
			c.Send([]byte{b})
		}
	}
	c := add(t, e, r, h, "")
	expect := func(why string, want ...string) {
		t.Helper()
		for range want {
			wait(t, why, r.wrote)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.Equal(r.writes, want) {
			t.Errorf("%s: writes %q, want %q", why, r.writes, want)
		}
		r.writes = nil
	}
	if _, err := client.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	expect("Data", "abc")
	send := func(s string) { c.Send([]byte(s)) }
	on(t, c.Loop(), func() { send("d"); send("e") })
	expect("a task", "de")
	on(t, c.Loop(), func() {
		c.Loop().AddJob(&steps{left: 1, do: func(int) { send("f"); send("g") }})
	})
	expect("a job", "fg")
	timer := &firing{}
	timer.fire = func() { send("h"); send("i") }
	on(t, c.Loop(), func() { c.Loop().Arm(&timer.t, time.Millisecond, timer) })
	expect("a timer", "hi")
	on(t, c.Loop(), func() { send("j"); c.Share([]byte("k")); send("l") })
	wait(t, "the first write", r.wrote)
	// What follows while it is written leaves in one piece.
	watch(t, c.Loop(), "the rest", func() bool {
		select {
		case <-r.wrote:
			return true
		default:
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(bytes.Join(clone(r.writes), nil)) == 3
		}
	})
	r.mu.Lock()
	if all := string(bytes.Join(clone(r.writes), nil)); all != "jkl" {
		t.Errorf("in order it was %q", all)
	}
	r.mu.Unlock()
}

func clone(s []string) (b [][]byte) {
	for _, x := range s {
		b = append(b, []byte(x))
	}
	return b
}

// TestSendToMany: collecting for one connection does not mix it up with another.
func TestSendToMany(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e := start(t, Options{Engine: name, Loops: 1})
			var conns [4]added
			var clients [4]*net.TCPConn
			for i := range conns {
				client, server := pair(t)
				clients[i], conns[i] = client, add(t, e, server, newHooks(), "")
			}
			var want [4]bytes.Buffer
			rnd := rand.New(rand.NewPCG(3, 4))
			on(t, conns[0].Loop(), func() {
				for range 1000 {
					i := rnd.IntN(len(conns))
					p := bytes.Repeat([]byte{byte(rnd.IntN(256))}, 1+rnd.IntN(20))
					want[i].Write(p)
					switch rnd.IntN(3) {
					case 0:
						conns[i].Send(p)
					case 1:
						conns[i].Share(p)
					case 2:
						if n := conns[i].Offer(p); n != len(p) {
							t.Errorf("%d of %d were taken", n, len(p))
						}
					}
				}
			})
			for i, client := range clients {
				got := make([]byte, want[i].Len())
				if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want[i].Bytes()) {
					t.Errorf("connection %d got what was for another; %v", i, err)
				}
			}
		})
	}
}

// TestAllocations: offering, sharing and sending to a socket that takes it, and
// posting, allocate nothing.
func TestAllocations(t *testing.T) {
	if best == "std" {
		t.Skip("the goroutine driver copies what it is offered")
	}
	e := start(t, Options{Engine: best, Loops: 1})
	client, server := pair(t)
	c := add(t, e, server, newHooks(), "")
	go io.Copy(io.Discard, client)
	p := make([]byte, 132)
	on(t, c.Loop(), func() {
		for name, fn := range map[string]func(){
			"Offer": func() { c.Offer(p) },
			"Share": func() { c.Share(p) },
			"Send":  func() { c.Send(p); c.flush() },
		} {
			if n := testing.AllocsPerRun(50, fn); n != 0 && !c.Blocked() {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}

func TestCutParts(t *testing.T) {
	for limit := 1; limit < 12; limit++ {
		rest := net.Buffers{[]byte("abc"), []byte("d"), []byte("efghij")}
		var all []byte
		for len(rest) > 0 {
			var group net.Buffers
			var size int
			group, rest, size = cutParts(rest, limit)
			joined := bytes.Join(group, nil)
			if len(joined) != size || size == 0 || size > limit || len(rest) > 0 && size != limit {
				t.Fatalf("limit %d: a group of %d, said to be %d", limit, len(joined), size)
			}
			all = append(all, joined...)
		}
		if string(all) != "abcdefghij" {
			t.Fatalf("limit %d: %q", limit, all)
		}
	}
}

func TestBacklog(t *testing.T) {
	var b backlog
	shared := []byte("shared")
	text := []byte("one")
	b.add(text, false)
	text[0] = '!'
	b.add([]byte(", two, "), false)
	b.add(shared, true)
	b.add(nil, true)
	b.add([]byte(", three"), false)
	if len(b.parts) != 3 || b.bytes != 23 {
		t.Fatalf("%d parts, %d bytes", len(b.parts), b.bytes)
	}
	if &b.parts[1][0] != &shared[0] {
		t.Error("a shared part was copied")
	}
	var got []byte
	for p := b.first(); p != nil; p = b.first() {
		got = append(got, p[0])
		b.written(1)
	}
	if string(got) != "one, two, shared, three" || b.bytes != 0 {
		t.Errorf("%q, %d left", got, b.bytes)
	}
}
