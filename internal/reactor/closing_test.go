package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

var errPlanned = errors.New("planned")

func TestLinger(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		h.drained = func(*Conn) { t.Error("Drained while ending") }
		c := add(t, e, server, h, "")
		text := bytes.Repeat([]byte("last words "), 200_000)
		on(t, c.Loop(), func() {
			c.Send(text[:100])
			c.Share(text[100:])
			c.CloseAfterFlush(inVain)
			c.Send([]byte("too late"))
			c.Share([]byte("too late"))
			if c.Offer([]byte("too late")) != 8 {
				t.Error("who offers is to wait for a connection that ends")
			}
		})
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes, want %d; %v", len(got), len(text), err)
		}
		select {
		case err := <-h.closed:
			t.Error("closed before the peer ended its side:", err)
		default:
		}
		client.Close()
		if err := wait(t, "Closed", h.closed); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestLingerHears: after our last word the peer is heard, even one that we had
// stopped reading from or that does not read, and nothing more is said to it.
func TestLingerHears(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, words := range []int{3, 8 << 20} {
			client, server := pair(t)
			h := newHooks()
			heard := make(chan string, 1)
			h.drained = func(*Conn) { t.Error("Drained while ending") }
			h.data = func(c *Conn, p []byte) { heard <- string(p) }
			c := add(t, e, server, h, "")
			text := bytes.Repeat([]byte("x"), words)
			on(t, c.Loop(), func() {
				c.PauseRead()
				c.Send(text)
				c.Linger(inVain)
				c.Send([]byte("too late"))
			})
			_, _ = client.Write([]byte("and you"))
			if got := wait(t, "Data", heard); got != "and you" {
				t.Errorf("heard %q", got)
			}
			// Our side is open still, and everything that waits leaves.
			got := make([]byte, words)
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, text) {
				t.Fatal("the last words did not come whole:", err)
			}
			on(t, c.Loop(), c.Finish)
			if n, err := client.Read(got); n != 0 || err != io.EOF {
				t.Errorf("after Finish %d bytes came, %v", n, err)
			}
			if err := wait(t, "Closed", h.closed); err != io.EOF {
				t.Error(err)
			}
		}
	})
}

// TestFinish: everything that waits leaves, and then the connection closes,
// whether the peer ends its side or not.
func TestFinish(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, lingered := range []bool{false, true} {
			client, server := pair(t)
			h := newHooks()
			h.data = func(*Conn, []byte) { t.Error("Data after Finish") }
			c := add(t, e, server, h, "")
			text := bytes.Repeat([]byte("last words "), 500_000)
			on(t, c.Loop(), func() {
				c.Share(text)
				if lingered {
					c.Linger(inVain)
				}
				c.Finish()
				c.Finish()
				c.Linger(inVain)
				c.Send([]byte("too late"))
			})
			if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d of %d bytes came; %v", len(got), len(text), err)
			}
			if err := wait(t, "Closed", h.closed); err != io.EOF {
				t.Error(err)
			}
		}
	})
}

// TestLingerThenClose: who has nothing more to hear after all waits for the end
// of the peer's side, in what is left of the grace.
func TestLingerThenClose(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		h.data = func(*Conn, []byte) { t.Error("Data after CloseAfterFlush") }
		c := add(t, e, server, h, "")
		on(t, c.Loop(), func() {
			c.Send([]byte("bye"))
			c.Linger(inVain)
			c.CloseAfterFlush(inVain)
		})
		if got, err := io.ReadAll(client); err != nil || string(got) != "bye" {
			t.Errorf("%q %v", got, err)
		}
		_, _ = client.Write([]byte("in vain"))
		client.Close()
		wait(t, "Closed", h.closed)
		// The grace of Linger ends it as well.
		_, server = pair(t)
		h = newHooks()
		c = add(t, e, server, h, "")
		on(t, c.Loop(), func() { c.Linger(30 * time.Millisecond) })
		if err := wait(t, "Closed", h.closed); err != nil {
			t.Error("the end of the grace is", err)
		}
	})
}

// TestLingerThrowsAway: a peer that goes on sending neither loses our last words
// to a reset nor is heard.
func TestLingerThrowsAway(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		h.data = func(c *Conn, p []byte) {
			h.data = func(*Conn, []byte) { t.Error("Data while ending") }
			c.Send([]byte("bye"))
			c.CloseAfterFlush(inVain)
		}
		add(t, e, server, h, "")
		if _, err := client.Write(make([]byte, 4<<20)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if err != nil || string(got) != "bye" {
			t.Fatalf("%q %v", got, err)
		}
		_ = client.CloseWrite()
		if err := wait(t, "Closed", h.closed); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestLingerEnds: neither a peer that never ends its side nor one that does not
// read is waited for longer than the grace.
func TestLingerEnds(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, words := range []int{0, 64 << 20} {
			_, server := pair(t)
			h := newHooks()
			c := add(t, e, server, h, "")
			on(t, c.Loop(), func() {
				c.Share(make([]byte, words))
				if c.Blocked() != (words > 0) {
					t.Error("blocked:", c.Blocked())
				}
				c.CloseAfterFlush(30 * time.Millisecond)
			})
			if err := wait(t, "Closed", h.closed); err != nil {
				t.Error("the end of the grace is", err)
			}
		}
	})
}

// TestHalfClose: what came before the peer ended its side is served, and what
// that sends leaves.
func TestHalfClose(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, size := range []int{10, 60_000} {
			client, server := pair(t)
			h := newHooks()
			h.data = func(c *Conn, p []byte) { c.Send(p) }
			add(t, e, server, h, "")
			question := make([]byte, size)
			if _, err := client.Write(question); err != nil {
				t.Fatal(err)
			}
			_ = client.CloseWrite()
			if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, question) {
				t.Errorf("%d of %d bytes came back; %v", len(got), size, err)
			}
			if err := wait(t, "Closed", h.closed); err != io.EOF {
				t.Error(err)
			}
		}
	})
}

// TestHalfCloseWhileEnding: a peer that ends its side first gets our last words
// all the same.
func TestHalfCloseWhileEnding(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		c := add(t, e, server, h, "")
		text := bytes.Repeat([]byte("last words "), 2_000_000)
		on(t, c.Loop(), func() {
			c.Share(text)
			c.CloseAfterFlush(inVain)
		})
		_ = client.CloseWrite()
		watch(t, c.Loop(), "the end of the peer's side", func() bool { return c.hungUp })
		if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d of %d bytes came; %v", len(got), len(text), err)
		}
		if err := wait(t, "Closed", h.closed); err != io.EOF {
			t.Error(err)
		}
	})
}

func TestReset(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, how := range []string{"idle", "paused", "blocked", "ending"} {
			client, server := pair(t)
			h := newHooks()
			c := add(t, e, server, h, "")
			on(t, c.Loop(), func() {
				switch how {
				case "paused":
					c.PauseRead()
				case "blocked":
					c.Share(make([]byte, 64<<20))
				case "ending":
					c.CloseAfterFlush(inVain)
				}
			})
			_ = client.SetLinger(0)
			client.Close()
			err := wait(t, "Closed when "+how, h.closed)
			if how != "blocked" && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("a reset when %s is %v", how, err)
			}
			if err == nil || err == io.EOF {
				t.Errorf("a reset when %s is orderly", how)
			}
		}
	})
}

func TestCloseInOpen(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for name, end := range map[string]func(c *Conn){
			"Close":           func(c *Conn) { c.Close(errPlanned) },
			"CloseAfterFlush": func(c *Conn) { c.Send([]byte("no")); c.CloseAfterFlush(inVain) },
		} {
			h := newHooks()
			h.data = func(*Conn, []byte) { t.Error("Data after", name) }
			client, server := pair(t)
			if err := e.Add(server, []byte("x"), func(c *Conn) Handler { end(c); return h }); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(client)
			if name == "CloseAfterFlush" && (err != nil || string(got) != "no") {
				t.Errorf("%q %v", got, err)
			}
			client.Close()
			wait(t, "Closed", h.closed)
		}
	})
}

// TestCloseInCallbacks: Closed comes once, after the callback that closed, with
// the first reason.
func TestCloseInCallbacks(t *testing.T) {
	twice := func(c *Conn) {
		c.Send([]byte("last"))
		c.Close(errPlanned)
		c.Close(nil)
		c.Send([]byte("too late"))
		c.CloseAfterFlush(inVain)
		c.PauseRead()
		c.ResumeRead()
	}
	ways := map[string]func(t *testing.T, c added, h *hooks, client *net.TCPConn){
		"Data": func(t *testing.T, c added, h *hooks, client *net.TCPConn) {
			on(t, c.Loop(), func() { h.data = func(c *Conn, _ []byte) { twice(c) } })
			_, _ = client.Write([]byte("x"))
		},
		"Drained": func(t *testing.T, c added, h *hooks, client *net.TCPConn) {
			on(t, c.Loop(), func() {
				h.drained = twice
				for !c.Blocked() {
					c.Share(make([]byte, 64<<10))
				}
			})
			go io.Copy(io.Discard, client)
		},
		"Timer": func(t *testing.T, c added, _ *hooks, _ *net.TCPConn) {
			f := &firing{}
			f.fire = func() { twice(c.Conn) }
			on(t, c.Loop(), func() { c.Loop().Arm(&f.t, 0, f) })
		},
		"Job": func(t *testing.T, c added, _ *hooks, _ *net.TCPConn) {
			on(t, c.Loop(), func() { c.Loop().AddJob(&steps{left: 1, do: func(int) { twice(c.Conn) }}) })
		},
		"Each": func(t *testing.T, c added, _ *hooks, _ *net.TCPConn) {
			on(t, c.Loop(), func() { c.Loop().Each(twice) })
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			drivers(t, func(t *testing.T, e *Engine) {
				client, server := pair(t)
				h := newHooks()
				c := add(t, e, server, h, "")
				way(t, c, h, client)
				if err := wait(t, "Closed", h.closed); err != errPlanned {
					t.Errorf("closed with %v", err)
				}
				turns(t, c.Loop()) // a second Closed would panic
			})
		})
	}
}

// TestCloseOthers: of two connections that are ready in the same turn, the first
// to be served closes the other, which is never served.
func TestCloseOthers(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e := start(t, Options{Engine: name, Loops: 1})
			var conns [2]added
			var handlers [2]*hooks
			var clients [2]*net.TCPConn
			gone := [2]bool{}
			served := 0
			for i := range conns {
				h := newHooks()
				h.data = func(*Conn, []byte) {
					if gone[i] {
						t.Error("Data after Close")
					}
					served++
					gone[1-i] = true
					conns[1-i].Close(errPlanned)
				}
				client, server := pair(t)
				clients[i], handlers[i] = client, h
				conns[i] = add(t, e, server, h, "")
				on(t, conns[i].Loop(), conns[i].PauseRead)
			}
			for _, client := range clients {
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			l := e.Loops()[0]
			on(t, l, func() {
				for _, c := range conns {
					c.ResumeRead()
				}
			})
			watch(t, l, "one of them", func() bool { return served == 1 && e.Connections() == 1 })
			// The slot is used again, and the new one is not taken for the old.
			_, server := pair(t)
			h := newHooks()
			h.data = func(*Conn, []byte) { t.Error("served what was for its forerunner") }
			add(t, e, server, h, "")
			turns(t, l)
			stop(t, e)
			for i, h := range handlers {
				want := ErrStopped
				if gone[i] {
					want = errPlanned
				}
				if err := wait(t, "Closed", h.closed); err != want {
					t.Errorf("connection %d closed with %v, want %v", i, err, want)
				}
			}
		})
	}
}
