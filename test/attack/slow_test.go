package attack

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const generous = `
limits: {messages_per_second: 1000000, messages_burst: 1000000}
heartbeat: {ping: 25s, timeout: 10s}
`

// kernelHolds returns how many bytes the server's kernel holds for a connection:
// what was written and not yet acknowledged by the peer.
func kernelHolds(t *testing.T, client *net.TCPConn) int64 {
	t.Helper()
	c, s := client.LocalAddr().(*net.TCPAddr), client.RemoteAddr().(*net.TCPAddr)
	addr := func(a *net.TCPAddr) string {
		ip := slices.Clone(a.IP.To4())
		slices.Reverse(ip)
		return strings.ToUpper(hex.EncodeToString(ip)) + fmt.Sprintf(":%04X", a.Port)
	}
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 4 && f[1] == addr(s) && f[2] == addr(c) {
			tx, _, _ := strings.Cut(f[4], ":")
			n, err := strconv.ParseInt(tx, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the server's socket is not in /proc/net/tcp")
	return 0
}

// reader counts what it is given and how late.
type reader struct {
	w    *wire
	got  atomic.Int64
	lost atomic.Int64
	late []time.Duration
}

func (r *reader) run() error {
	for {
		m, err := r.w.tryMessage(20 * time.Second)
		if err != nil {
			return err
		}
		switch m.Type {
		case "gap":
			r.lost.Add(1)
		case "e":
			var n, sent int64
			if _, err := fmt.Sscanf(string(m.Data), `{"n":%d,"t":%d`, &n, &sent); err != nil {
				return err
			}
			r.late = append(r.late, time.Duration(time.Now().UnixNano()-sent))
			r.got.Add(1)
		}
	}
}

// TestStoppedReader (D07): one of many stops reading. Nobody else notices, the
// server's memory does not, the kernel holds little for it, and when it reads
// again it gets what the ring still has, and a gap for the rest.
func TestStoppedReader(t *testing.T) {
	readers, perSecond, pause := 100, 300, 6*time.Second
	if long() {
		readers, perSecond, pause = 1000, 1000, time.Minute
	}
	engines(t, func(t *testing.T, engine string) {
		s := serve(t, engine, true, generous)
		stopped := s.dial(t, "", true)
		stopped.subscribe("live")
		var all []*reader
		var wg sync.WaitGroup
		for range readers - 1 {
			r := &reader{w: s.dial(t, "", false)}
			r.w.subscribe("live")
			all = append(all, r)
			wg.Go(func() {
				if err := r.run(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a reader's line ended: %v", err)
				}
			})
		}
		pub := s.dial(t, "", false)
		sent := 0
		publish := func(d time.Duration) {
			end, tick := time.Now().Add(d), time.NewTicker(10*time.Millisecond)
			defer tick.Stop()
			for begun, first := time.Now(), sent; time.Now().Before(end); <-tick.C {
				for due := first + int(time.Since(begun).Seconds()*float64(perSecond)); sent < due; sent++ {
					pub.send(fmt.Sprintf(`{"type":"e","channel":"live","data":{"n":%d,"t":%d,"pad":%q}}`, sent, time.Now().UnixNano(), pad))
				}
			}
		}
		publish(2 * time.Second)
		before := s.rss()
		publish(pause)
		after := s.rss()
		held := kernelHolds(t, stopped.conn)
		t.Logf("server memory %d KiB before, %d KiB after %v; the kernel holds %d bytes for the stopped reader", before>>10, after>>10, pause, held)
		if after > before+8<<20 {
			t.Errorf("the server grew by %d KiB", (after-before)>>10)
		}
		if held > 128<<10 {
			t.Errorf("the kernel holds %d bytes for the stopped reader", held)
		}
		until(t, "the others have everything", 20*time.Second, func() bool {
			for _, r := range all {
				if r.got.Load() < int64(sent) {
					return false
				}
			}
			return true
		})
		checkComesBack(t, stopped, sent)
		for _, r := range all {
			r.w.conn.Close()
		}
		wg.Wait()
		reportLateness(t, all)
	})
}

const pad = "0123456789012345678901234567890123456789"

// checkComesBack reads on with the one that stopped: it is told of one gap
// after what was on its way, and then given an unbroken run up to the newest.
func checkComesBack(t *testing.T, w *wire, sent int) {
	t.Helper()
	next, gaps, missed := 0, 0, 0
	for next < sent {
		m := w.message()
		switch m.Type {
		case "gap":
			var n int
			if _, err := fmt.Sscanf(string(m.Data), `{"missed":%d,"reason":"slow"}`, &n); err != nil {
				t.Fatalf("gap %s", m.Data)
			}
			gaps, missed, next = gaps+1, missed+n, next+n
		case "e":
			var n int
			if _, err := fmt.Sscanf(string(m.Data), `{"n":%d`, &n); err != nil {
				t.Fatal(err)
			}
			if n != next {
				t.Fatalf("after %d comes %d, and no gap said so", next-1, n)
			}
			next++
		}
	}
	t.Logf("it came back to %d messages in order, and was told of %d missed in %d gap(s)", sent-missed, missed, gaps)
	if gaps == 0 {
		t.Error("it was away too shortly to miss anything: this tested nothing")
	}
}

func reportLateness(t *testing.T, all []*reader) {
	t.Helper()
	var late []time.Duration
	for _, r := range all {
		late = append(late, r.late...)
		if n := r.lost.Load(); n > 0 {
			t.Errorf("a reader that read all the time was told of %d gaps", n)
		}
	}
	slices.Sort(late)
	t.Logf("the others: %d messages, p50 %v, p99 %v", len(late), late[len(late)/2], late[len(late)*99/100])
}

// TestManyStoppedReaders (D08): half of all stop. The server holds no more than
// a small amount for each.
func TestManyStoppedReaders(t *testing.T) {
	readers := 400
	if long() {
		readers = 5000
	}
	s := serve(t, "epoll", true, generous)
	var conns []*wire
	for range readers {
		w := s.dial(t, "", true)
		w.subscribe("live")
		conns = append(conns, w)
	}
	var wg sync.WaitGroup
	for _, w := range conns[readers/2:] {
		r := bufio.NewReaderSize(w.conn, 4096)
		_ = w.conn.SetReadDeadline(time.Time{})
		wg.Go(func() { _, _ = r.WriteTo(nowhere{}) })
	}
	before := s.rss()
	pub := s.dial(t, "", false)
	for n := range 3000 {
		pub.send(fmt.Sprintf(`{"type":"e","channel":"live","data":{"n":%d,"t":0,"pad":"%s%s%s"}}`, n, pad, pad, pad))
	}
	pub.send(`{"type":"ping","id":1}`)
	for pub.message().Type != "pong" {
	}
	grown := s.rss() - before
	each := grown / int64(readers/2)
	t.Logf("%d stopped readers: the server grew by %d KiB, %d bytes for each", readers/2, grown>>10, each)
	if grown > 8<<20+int64(readers/2)*8<<10 {
		t.Errorf("the server grew by %d KiB", grown>>10)
	}
	for _, w := range conns {
		w.conn.Close()
	}
	wg.Wait()
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// TestChurn (H01): a thousand connections come and go, and leave nothing.
func TestChurn(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		s := serve(t, engine, true, generous)
		cycle := func(n int) {
			for range n {
				w := s.dial(t, "", false)
				w.subscribe("kept")
				w.subscribe("room:1")
				w.conn.Close()
			}
		}
		cycle(50)
		gone := func() bool { return s.metric("ringdown_connections") == 0 }
		until(t, "all have gone", 10*time.Second, gone)
		fds, goroutines := s.descriptors(), s.metric("go_goroutines")
		cycle(1000)
		until(t, "all have gone", 10*time.Second, gone)
		until(t, "goroutines and descriptors are back at their base", 10*time.Second, func() bool {
			return s.metric("go_goroutines") <= goroutines+3 && s.descriptors() <= fds+2
		})
		if n := s.metric("ringdown_channels"); n != 0 {
			t.Errorf("%v channels are still followed", n)
		}
	})
}
