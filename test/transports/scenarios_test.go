package transports

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// each (A11) runs a scenario over every transport, on a server of its own, and
// wants the same history of all.
func each(t *testing.T, scenario func(t *testing.T, w *world, kind string) []string) {
	histories := map[string][]string{}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { histories[kind] = scenario(t, newWorld(t), kind) })
	}
	same(t, histories, kinds...)
}

// same wants the histories of some transports to be the same, and tells where
// they part.
func same(t *testing.T, histories map[string][]string, kinds ...string) {
	t.Helper()
	want := histories[kinds[0]]
	for _, kind := range kinds[1:] {
		got := histories[kind]
		if slices.Equal(got, want) {
			continue
		}
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		from := max(0, i-3)
		t.Errorf("from line %d on %s was given\n\t%s\nand %s\n\t%s", from, kind, strings.Join(got[from:], "\n\t"), kinds[0], strings.Join(want[from:], "\n\t"))
	}
	if len(want) == 0 {
		t.Error("nothing was given")
	}
}

func isEvent(m message) bool { return m["type"] == "e" }

// byChannel puts a history of several channels, of which only each has an order,
// into one order.
func byChannel(h []string) []string {
	slices.SortStableFunc(h, func(a, b string) int {
		a, _, _ = strings.Cut(a, ",") // {"channel":"…"
		b, _, _ = strings.Cut(b, ",")
		return strings.Compare(a, b)
	})
	return h
}

func TestFollow(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders", "second", "plain"}})
		h := c.until(count("subscribed", 3))
		w.followed("plain", 1) // by poll: its next request waits already, for a channel that keeps nothing
		w.publish("plain", `{"type":"e","data":"plain"}`)
		h = append(h, c.until(isEvent)...)
		for i := range 20 {
			w.publish("orders", fmt.Sprintf(`{"type":"e","data":{"n": %d,"s":"ä\r\n\u2028"}}`, i))
			w.publish("second", "{\"type\":\"e\",\"data\":[1,\r\n\n2]}")
		}
		w.publish("orders", `{"type":"e","data64":"AAECDQr/"}`)
		return append(h, byChannel(c.until(count("e", 41)))...)
	})
}

func TestLast(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		for i := range 200 {
			w.publish("orders", fmt.Sprintf(`{"type":"e","data":%d}`, i))
		}
		c := newClient(t, w, kind, follow{channels: []string{"orders"}, last: 100})
		h := c.until(count("e", 100))
		w.publish("orders", `{"type":"e","data":"live"}`)
		return append(h, c.until(isEvent)...)
	})
}

// TestCut: the line is cut again and again while messages go on.
func TestCut(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders", "board"}})
		h := c.until(count("state", 1))
		n := 0
		for range 10 {
			for range 15 {
				n++
				w.publish("orders", fmt.Sprintf(`{"type":"e","data":%d}`, n))
			}
			c.cut()
			for range 15 {
				n++
				w.publish("orders", fmt.Sprintf(`{"type":"e","data":%d}`, n))
			}
			c.resume()
		}
		return append(h, c.until(func(m message) bool { return m["data"] == float64(n) })...)
	})
}

// TestTrimmed: more was missed than is kept. A session of polls that goes on has
// collected what it can meanwhile, so that it is given that, or a gap in it: the
// client comes back without its session, as one whose node is gone.
func TestTrimmed(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"short"}})
		h := c.until(count("subscribed", 1))
		w.publish("short", `{"type":"e","data":1}`)
		h = append(h, c.until(isEvent)...)
		c.cut()
		c.forget()
		for i := range 50 {
			w.publish("short", fmt.Sprintf(`{"type":"e","data":%d}`, 2+i))
		}
		c.resume()
		h = append(h, c.until(func(m message) bool { return m["type"] == "subscribed" })...)
		w.publish("short", `{"type":"e","data":"live"}`)
		return append(h, c.until(isEvent)...)
	})
}

func TestState(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		for i := range 30 {
			w.publish("board", fmt.Sprintf(`{"type":"e","key":"k%d","data":%d}`, i%10, i))
		}
		w.publish("board", `{"type":"e","key":"k3","data":null}`)
		c := newClient(t, w, kind, follow{channels: []string{"board"}})
		h := c.until(count("state", 1))
		w.publish("board", `{"type":"e","key":"k1","data":"new"}`)
		h = append(h, c.until(isEvent)...)
		c.cut()
		w.publish("board", `{"type":"e","key":"k2","data":"away"}`)
		c.resume()
		return append(h, c.until(isEvent)...)
	})
}

// TestRefused: what may not be followed is refused, the server's own names among
// it (C09), and the rest goes on.
func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"secret", "nowhere", "$sys", "$presence:orders", "no\nname", "short"}})
		h := byChannel(c.until(count("subscribed", 1)))
		w.publish("short", `{"type":"e","data":1}`)
		for _, line := range c.until(isEvent) {
			if !strings.Contains(line, `"error"`) { // a long-poll is told of the refusals again and again
				h = append(h, line)
			}
		}
		return h
	})
}

// TestSlow: a reader that stops is given everything when it goes on, far more
// than rings and sockets hold.
func TestSlow(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders"}})
		h := c.until(count("subscribed", 1))
		goOn := make(chan struct{})
		c.mu.Lock()
		c.hold = goOn
		c.mu.Unlock()
		const total, batch = 2000, 100
		wide := strings.Repeat("x", 8000)
		for i := 0; i < total; i += batch {
			var b strings.Builder
			for j := range batch {
				fmt.Fprintf(&b, `,{"channel":"orders","type":"e","data":{"n":%d,"x":"%s"}}`, i+j, wide)
			}
			w.do("POST", "/v1/messages", key, `{"messages":[`+b.String()[1:]+`]}`, 200)
		}
		close(goOn)
		h = append(h, c.until(count("e", total))...)
		for i, line := range h {
			h[i] = strings.Replace(line, wide, "…", 1)
		}
		return h
	})
}

// TestDrain: everybody is asked to come back when the server stops.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders"}})
		h := c.until(count("subscribed", 1))
		w.followed("orders", 1) // by poll: its next request waits
		go w.stop()
		var asked message
		c.until(func(m message) bool { asked = m; return m["type"] == "reconnect" })
		if d := asked["data"].(map[string]any); d["within"] == nil {
			t.Error(asked)
		}
		return h
	})
}

// TestKicked: the operator ends the connections of a user, and says so.
func TestKicked(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders"}})
		h := c.until(count("subscribed", 1))
		for gone := 0.0; gone == 0; {
			gone, _ = w.do("DELETE", "/v1/users/ann/connections", key, "", 200)["disconnected"].(float64)
		}
		return append(h, c.until(count("closed", 1))...)
	})
}

// TestExpiry: a token ends in the middle.
func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders"}, token: token(t, 2*time.Second)})
		return c.until(count("closed", 1))
	})
}

func TestBadToken(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders"}, token: "nonsense"})
		return c.until(count("closed", 1))
	})
}
