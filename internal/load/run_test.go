package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// hub is a small broadcast server in the raw dialect, or with greet in
// Ringdown's, on a WebSocket library that is not ours.
type hub struct {
	greet bool
	drop  func(n int) bool // which publications it loses
	limit int              // subscribers it accepts; 0: all

	mu        sync.Mutex
	rooms     map[string][]*websocket.Conn
	logs      map[string][][]byte // of every room: it keeps all there ever was
	published int
	settles   int
	sessions  sync.WaitGroup
}

func newHub(t *testing.T, h *hub) Target {
	t.Helper()
	h.rooms, h.logs = make(map[string][]*websocket.Conn), make(map[string][][]byte)
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.Close()
		h.sessions.Wait()
	})
	dialect := "raw"
	if h.greet {
		dialect = "ringdown"
	}
	return Target{
		Name: "hub", Addr: server.Listener.Addr().String(), Dialect: dialect, PID: os.Getpid(), Settle: "/settle",
	}
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/settle" {
		h.mu.Lock()
		h.settles++
		h.mu.Unlock()
		_, _ = w.Write([]byte(`{"heap_objects":10}`))
		return
	}
	h.sessions.Add(1)
	defer h.sessions.Done()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := r.Context()
	if h.greet {
		_ = conn.Write(ctx, websocket.MessageText, []byte(`{"type":"welcome","data":{}}`))
	}
	for {
		_, p, err := conn.Read(ctx)
		if err != nil {
			return
		}
		h.message(ctx, conn, p)
	}
}

func (h *hub) message(ctx context.Context, conn *websocket.Conn, p []byte) {
	var m struct {
		Type, Channel string
		Since         *struct{ Offset int }
	}
	if err := json.Unmarshal(p, &m); err != nil {
		_ = conn.Close(websocket.StatusInvalidFramePayloadData, err.Error())
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.Type == "subscribe" {
		if h.limit > 0 && len(h.rooms[m.Channel]) >= h.limit {
			_ = conn.Write(ctx, websocket.MessageText, []byte(`{"type":"error","data":{"code":"limit_exceeded"}}`))
			return
		}
		h.rooms[m.Channel] = append(h.rooms[m.Channel], conn)
		at := len(h.logs[m.Channel])
		if m.Since != nil {
			at = m.Since.Offset
		}
		_ = conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"subscribed","channel":%q,"epoch":"e","offset":%d}`, m.Channel, at))
		for _, missed := range h.logs[m.Channel][at:] {
			_ = conn.Write(ctx, websocket.MessageText, missed)
		}
		return
	}
	if h.published++; h.drop != nil && h.drop(h.published) {
		return
	}
	h.logs[m.Channel] = append(h.logs[m.Channel], p)
	for _, member := range h.rooms[m.Channel] {
		_ = member.Write(ctx, websocket.MessageText, p)
	}
}

// brief makes a preset short enough for a test.
func brief(t *testing.T, name string, n int) Scenario {
	t.Helper()
	s, err := Preset(name, n)
	if err != nil {
		t.Fatal(err)
	}
	s.Warmup, s.Duration = 20*time.Millisecond, 150*time.Millisecond
	s.Missed = min(s.Missed, 20)
	return s
}

// eachWire runs a test with the platform's best wire and with the plain one.
func eachWire(t *testing.T, test func(t *testing.T, plain bool)) {
	for name, plain := range map[string]bool{"best": false, "plain": true} {
		t.Run(name, func(t *testing.T) { test(t, plain) })
	}
}

func TestEveryPresetOnARealServer(t *testing.T) {
	eachWire(t, func(t *testing.T, plain bool) {
		for _, preset := range Presets(1) {
			t.Run(preset.Name, func(t *testing.T) {
				s := brief(t, preset.Name, 30)
				for {
					target := newHub(t, &hub{greet: preset.Name != "rooms"})
					target.plain = plain
					reports := 0
					result, err := Run(t.Context(), s, target, func(p Progress) {
						if reports++; p.Phase == "" || p.Done < 0 {
							t.Errorf("progress %+v", p)
						}
					})
					if err != nil {
						t.Fatal(err)
					}
					if silent(result) && s.Duration < 5*time.Second {
						s.Duration *= 4 // the machine stood still for as long as was measured
						continue
					}
					checkResult(t, result)
					if reports == 0 {
						t.Error("no progress was reported")
					}
					return
				}
			})
		}
	})
}

// silent reports that nothing came while it was measured.
func silent(r *Result) bool {
	return r.Delivery != nil && r.Delivery.Delivered == 0 || r.Calm != nil && r.Calm.Delivered == 0
}

func checkResult(t *testing.T, r *Result) {
	t.Helper()
	if r.Missing != 0 || r.Disordered != 0 || r.Late != 0 || r.Lost != 0 {
		t.Errorf("missing %d, disordered %d, late %d, lost %d (%s)", r.Missing, r.Disordered, r.Late, r.Lost, r.LostCause)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	switch r.Scenario.Kind {
	case Storm:
		if len(r.Waves) != 2 || r.Waves[0].PerSecond <= 0 || r.Waves[1].ServerMicros == nil {
			t.Errorf("waves %+v", r.Waves)
		}
	case Recover:
		if len(r.Waves) != 1 || r.Waves[0].Seconds <= 0 || r.Calm == nil || r.Calm.Delivered == 0 || r.Small == nil {
			t.Errorf("waves %+v, calm %+v, meanwhile %+v", r.Waves, r.Calm, r.Small)
		}
	case Idle:
		if r.Memory == nil || r.Memory.LoadedBytes == 0 || r.Memory.ObjectsPerConnection == nil || *r.Memory.ObjectsPerConnection != 0 {
			t.Errorf("memory %+v", r.Memory)
		}
	default:
		d := r.Delivery
		if d == nil || d.Delivered == 0 || d.Latency.P50 <= 0 || d.Latency.P99 < d.Latency.P50 || r.CPU.ServerMicros == nil {
			t.Errorf("delivery %+v, CPU %+v", d, r.CPU)
		}
		if r.Scenario.Kind == Beside && (r.Small == nil || r.Small.Delivered == 0) {
			t.Errorf("small rooms %+v", r.Small)
		}
	}
	if r.Connect != nil && (r.Connect.PerSecond <= 0 || r.Connect.ServerMicros == nil) {
		t.Errorf("connect %+v", r.Connect)
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	s := brief(t, "paced", 5)
	s.Rate, s.Duration = 100, 500*time.Millisecond
	result, err := Run(t.Context(), s, newHub(t, &hub{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Delivery.Published; got < 48 || got > 52 {
		t.Errorf("%d publications in half a second at 100/s", got)
	}
}

func TestALossyServerIsFoundOut(t *testing.T) {
	s := brief(t, "paced", 5)
	s.Rate, s.Duration = 200, 300*time.Millisecond
	result, err := Run(t.Context(), s, newHub(t, &hub{drop: func(n int) bool { return n%10 == 0 }}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Missing == 0 || result.Missing%5 != 0 {
		t.Errorf("%d missing, of 5 subscribers each", result.Missing)
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	eachWire(t, func(t *testing.T, plain bool) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		target := newHub(t, &hub{})
		target.plain = plain
		s := brief(t, "fanout", 10)
		s.Duration = time.Hour
		_, err := Run(ctx, s, target, func(p Progress) {
			if p.Phase == "measure" {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestRunFailsInASentence(t *testing.T) {
	nobody := httptest.NewServer(nil)
	nobody.Close()
	full := newHub(t, &hub{greet: true, limit: 3})
	for name, c := range map[string]struct {
		target   Target
		scenario Scenario
		want     string
	}{
		"nobody there":   {Target{Addr: nobody.Listener.Addr().String()}, brief(t, "fanout", 3), "connect"},
		"nobody, plain":  {Target{Addr: nobody.Listener.Addr().String(), plain: true}, brief(t, "fanout", 3), "connect"},
		"not here":       {Target{Addr: "192.0.2.1:80"}, brief(t, "fanout", 3), "loopback"},
		"no port":        {Target{Addr: "127.0.0.1"}, brief(t, "fanout", 3), "127.0.0.1"},
		"no dialect":     {Target{Addr: "127.0.0.1:1", Dialect: "morse"}, brief(t, "fanout", 3), "morse"},
		"no such PID":    {Target{Addr: full.Addr, PID: 1 << 22}, brief(t, "fanout", 3), "process"},
		"server is full": {full, brief(t, "fanout", 5), "limit_exceeded"},
		"bad scenario":   {full, Scenario{Name: "x", Kind: "dance"}, "dance"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(t.Context(), c.scenario, c.target, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
