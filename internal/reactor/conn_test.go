package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestEcho(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		h.data = func(c *Conn, p []byte) { c.Send(p) }
		c := add(t, e, server, h, "left over")
		on(t, c.Loop(), func() {
			if got := c.RemoteAddr(); got != client.LocalAddr().(*net.TCPAddr).AddrPort() {
				t.Errorf("remote address %s, want %s", got, client.LocalAddr())
			}
		})
		sent := make([]byte, 3<<20)
		rnd := rand.NewChaCha8([32]byte{1})
		_, _ = rnd.Read(sent)
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(100_000))
				if _, err := client.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		}()
		got := make([]byte, len("left over")+len(sent))
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if string(got[:9]) != "left over" || !bytes.Equal(got[9:], sent) {
			t.Fatal("the echo is another")
		}
		client.Close()
		if err := wait(t, "Closed", h.closed); err != io.EOF {
			t.Error("an orderly end is", err)
		}
	})
}

// TestSmallPieces: what comes byte by byte is there byte by byte.
func TestSmallPieces(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		var got []byte
		come := make(chan int)
		h := newHooks()
		h.data = func(_ *Conn, p []byte) { got = append(got, p...); come <- len(p) }
		c := add(t, e, server, h, "")
		text := "one byte at a time"
		for i := range text {
			if _, err := client.Write([]byte{text[i]}); err != nil {
				t.Fatal(err)
			}
			if n := wait(t, "Data", come); n != 1 {
				t.Fatalf("%d bytes came", n)
			}
		}
		on(t, c.Loop(), func() {
			if string(got) != text {
				t.Errorf("%q came", got)
			}
			if c.LastRead().After(c.Loop().Now()) || c.Loop().Now().Sub(c.LastRead()) > inVain {
				t.Error("last read at", c.LastRead())
			}
		})
	})
}

// TestBlockedIsNotRead: a peer that does not read is not read from.
func TestBlockedIsNotRead(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		var reads atomic.Int64
		h.data = func(*Conn, []byte) { reads.Add(1) }
		c := add(t, e, server, h, "")
		on(t, c.Loop(), func() {
			c.Share(make([]byte, 64<<20)) // more than all buffers hold
			if !c.Blocked() {
				t.Error("not blocked")
			}
		})
		before := reads.Load()
		// The goroutine driver may have one read under way.
		for range 3 {
			if _, err := client.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			turns(t, c.Loop())
		}
		if n := reads.Load() - before; n > 1 {
			t.Errorf("%d reads while blocked", n)
		}
		go io.Copy(io.Discard, client)
		watch(t, c.Loop(), "reading again", func() bool { return reads.Load() > 0 && !c.Blocked() })
	})
}

func TestPause(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		got := make(chan string, 8)
		h.data = func(c *Conn, p []byte) { c.PauseRead(); got <- string(p) }
		c := add(t, e, server, h, "")
		for i := range 5 {
			text := fmt.Sprint("message ", i)
			if _, err := client.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if s := wait(t, "Data", got); s != text {
				t.Fatalf("%q, want %q", s, text)
			}
			if i == 2 {
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				turns(t, c.Loop())
				select {
				case s := <-got:
					t.Fatalf("%q came while paused", s)
				default:
				}
				on(t, c.Loop(), c.ResumeRead)
				wait(t, "Data", got)
			}
			on(t, c.Loop(), c.ResumeRead)
		}
	})
}

// TestResumeInData: resuming while the bytes are in use gives nothing away.
func TestResumeInData(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		sum := 0
		h.data = func(c *Conn, p []byte) {
			c.PauseRead()
			c.ResumeRead()
			for _, b := range p {
				sum += int(b)
			}
			c.PauseRead()
			c.ResumeRead()
		}
		c := add(t, e, server, h, "")
		if _, err := client.Write(bytes.Repeat([]byte{1}, 1<<20)); err != nil {
			t.Fatal(err)
		}
		watch(t, c.Loop(), "all bytes", func() bool { return sum == 1<<20 })
	})
}

// TestFlood: a peer that sends without end does not keep the loop from another.
func TestFlood(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e := start(t, Options{Engine: name, Loops: 1})
			var flooded atomic.Int64
			loud, loudServer := pair(t)
			hl := newHooks()
			hl.data = func(_ *Conn, p []byte) { flooded.Add(int64(len(p))) }
			l := add(t, e, loudServer, hl, "").Loop()
			go func() {
				p := make([]byte, 256<<10)
				for {
					if _, err := loud.Write(p); err != nil {
						return
					}
				}
			}()
			watch(t, l, "the flood", func() bool { return flooded.Load() > 0 })
			quiet, quietServer := pair(t)
			hq := newHooks()
			hq.data = func(c *Conn, p []byte) { c.Send(p) }
			add(t, e, quietServer, hq, "")
			buf := make([]byte, 1)
			for range 100 {
				if _, err := quiet.Write(buf); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(quiet, buf); err != nil {
					t.Fatal(err)
				}
			}
			loud.Close()
			wait(t, "Closed", hl.closed)
		})
	}
}

// TestPipe: what is no TCP connection is driven by goroutines on any engine.
func TestPipe(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := net.Pipe()
		defer client.Close()
		h := newHooks()
		h.data = func(c *Conn, p []byte) { c.Send(p) }
		c := add(t, e, server, h, "")
		go func() { _, _ = client.Write([]byte("hello")) }()
		got := make([]byte, 5)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "hello" {
			t.Fatalf("%q %v", got, err)
		}
		on(t, c.Loop(), func() {
			if c.RemoteAddr() != (netip.AddrPort{}) || c.Dead() {
				t.Error("a pipe has an address, or is dead")
			}
			c.CloseAfterFlush(inVain)
		})
		// It has no half to close, so it is closed.
		if _, err := client.Read(got); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if err := wait(t, "Closed", h.closed); err != nil && err != io.EOF {
			t.Error(err)
		}
	})
}

// TestSlotSize: an idle connection is to cost little. The figure is for 64 bits.
func TestSlotSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 128 {
		t.Errorf("a slot takes %d bytes", n)
	}
}

// TestTable: a slot that is used again answers to its new generation only, and
// does not move.
func TestTable(t *testing.T) {
	var tb table
	l := &Loop{}
	all := map[*Conn]bool{}
	for range 3 * chunk {
		c := tb.take(l)
		if all[c] {
			t.Fatal("a slot was given out twice")
		}
		all[c] = true
		if tb.find(c.index, c.generation) != c || tb.find(c.index, c.generation+1) != nil {
			t.Fatalf("slot %d is not found, or too often", c.index)
		}
	}
	for c := range all {
		index, generation := c.index, c.generation
		tb.give(c)
		if tb.find(index, generation) != nil {
			t.Fatal("an empty slot is found")
		}
		if again := tb.take(l); again != c || again.index != index || tb.find(index, generation) != nil || tb.find(index, again.generation) != c {
			t.Fatal("the slot is not the one that was given back, or answers to the past")
		}
	}
	if tb.find(uint32(len(all)), 0) != nil {
		t.Error("a slot behind the end")
	}
	n := 0
	tb.each(func(*Conn) { n++ })
	if n != len(all) || tb.size != n || len(tb.chunks) != 3 {
		t.Errorf("%d visited of %d in %d chunks", n, tb.size, len(tb.chunks))
	}
}
