package attack

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
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

	"ringdown/internal/load"
	"ringdown/internal/wsframe"
)

const generous = `
limits: {connection: {messages_per_second: 1000000, messages_burst: 1000000}}
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

// TestStoppedReader (D07): one of many stops reading. Nobody else notices, the
// server's memory does not, the kernel holds little for it, and when it reads
// again it gets what the ring still has, and a gap for the rest.
func TestStoppedReader(t *testing.T) {
	scenario := load.Scenario{Name: "stopped", Kind: load.Fanout, Connections: 99, Rate: 300, Warmup: 2 * time.Second, Duration: 6 * time.Second}
	if long() {
		scenario.Connections, scenario.Rate, scenario.Duration = 999, 1000, time.Minute
	}
	engines(t, func(t *testing.T, engine string) {
		s := serve(t, engine, true, generous)
		stopped := s.dial(t, "", true)
		stopped.subscribe("bench")
		var before, most int64
		result, err := load.Run(t.Context(), scenario, load.Target{Addr: s.addr, PID: s.pid}, func(p load.Progress) {
			// By then the heap has found its size.
			if p.Phase != "measure" || p.Done < 0.2 {
				return
			}
			now := s.rss()
			if before == 0 {
				before = now
			}
			most = max(most, now)
		})
		if err != nil {
			t.Fatal(err)
		}
		if before == 0 {
			t.Fatal("the server's memory was not looked at")
		}
		held := kernelHolds(t, stopped.conn)
		t.Logf("server memory %d KiB at the beginning, %d KiB at most in %v; the kernel holds %d bytes for the stopped reader",
			before>>10, most>>10, scenario.Duration, held)
		if most > before+8<<20 {
			t.Errorf("the server grew by %d KiB", (most-before)>>10)
		}
		if held > 128<<10 {
			t.Errorf("the kernel holds %d bytes for the stopped reader", held)
		}
		d := result.Delivery
		t.Logf("the others: %d messages, %.0f/s of %.0f/s offered, p50 %.1f ms, p99 %.1f ms", d.Delivered, d.PerSecond, d.Offered, d.Latency.P50, d.Latency.P99)
		if result.Missing+result.Disordered > 0 || result.Late+result.Lost > 0 {
			t.Errorf("the others: %d missing, %d out of order, %d late, %d connections lost (%s)", result.Missing, result.Disordered, result.Late, result.Lost, result.LostCause)
		}
		pub := s.dial(t, "", false)
		pub.send(`{"type":"end","channel":"bench","data":1}`)
		checkComesBack(t, stopped)
	})
}

// checkComesBack reads on with the one that stopped: it is told of one gap
// after what was on its way, and then given an unbroken run up to the end.
func checkComesBack(t *testing.T, w *wire) {
	t.Helper()
	next, gaps, missed := 0, 0, 0
	for {
		m := w.message()
		switch m.Type {
		case "gap":
			var n int
			if _, err := fmt.Sscanf(string(m.Data), `{"missed":%d,"reason":"slow"}`, &n); err != nil {
				t.Fatalf("gap %s", m.Data)
			}
			gaps, missed, next = gaps+1, missed+n, next+n
		case "end":
			t.Logf("it came back to %d messages in order, and was told of %d missed in %d gap(s)", next-missed, missed, gaps)
			if gaps == 0 {
				t.Error("it was away too shortly to miss anything: this tested nothing")
			}
			return
		default:
			var payload struct{ N string }
			if err := json.Unmarshal(m.Data, &payload); err != nil {
				t.Fatal(err)
			}
			n, err := strconv.ParseInt(payload.N, 16, 64)
			if err != nil || int(n) != next {
				t.Fatalf("after %d comes %q, and no gap said so", next-1, payload.N)
			}
			next++
		}
	}
}

const pad = "0123456789012345678901234567890123456789"

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

// TestSubscriptionChurn (D06): channels that are joined and left without end
// leave nothing behind, here and in the broker.
func TestSubscriptionChurn(t *testing.T) {
	period := 6 * time.Second
	if long() {
		period = 5 * time.Minute
	}
	s := serve(t, "epoll", true, generous)
	var changes atomic.Int64
	churn := func(d time.Duration) {
		end := time.Now().Add(d)
		var wg sync.WaitGroup
		for n := range 4 {
			w := s.dial(t, "", false)
			wg.Go(func() {
				for round := 0; time.Now().Before(end); round++ {
					var out []byte
					const some = 50
					for i := range some {
						name := fmt.Sprintf("room:%d-%d-%d", n, round, i)
						out = append(out, frame(wsframe.Text, []byte(`{"type":"subscribe","channel":"`+name+`"}`))...)
						out = append(out, frame(wsframe.Text, []byte(`{"type":"unsubscribe","channel":"`+name+`"}`))...)
					}
					if _, err := w.conn.Write(out); err != nil {
						t.Error(err)
						return
					}
					for left := some; left > 0; {
						m, err := w.tryMessage(10 * time.Second)
						if err != nil || m.Type == "error" {
							t.Errorf("%s: %v", m.Data, err)
							return
						}
						if m.Type == "unsubscribed" {
							left--
						}
					}
					changes.Add(2 * some)
				}
			})
		}
		wg.Wait()
	}
	churn(period / 4)
	before, begun := s.rss(), changes.Load()
	churn(period)
	grown := s.rss() - before
	t.Logf("%.0f changes per second; the server's memory changed by %d KiB", float64(changes.Load()-begun)/period.Seconds(), grown>>10)
	if grown > 4<<20 {
		t.Errorf("the server grew by %d KiB", grown>>10)
	}
	until(t, "no channel is followed", 10*time.Second, func() bool { return s.metric("ringdown_channels") == 0 })
}
