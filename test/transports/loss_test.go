package transports

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
)

// TestGap: who reads too slowly for what is kept is told of it, and between what
// was given and what was told nothing is left out.
func TestGap(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			c := newClient(t, w, kind, follow{channels: []string{"short"}})
			c.until(count("subscribed", 1))
			goOn := make(chan struct{})
			c.mu.Lock()
			c.hold = goOn
			c.mu.Unlock()
			const total, batch = 2000, 100
			wide := strings.Repeat("x", 8000)
			for i := 0; i < total; i += batch {
				body := strings.Repeat(`,{"channel":"short","type":"e","data":"`+wide+`"}`, batch)
				w.do("POST", "/v1/messages", key, `{"messages":[`+body[1:]+`]}`, 200)
			}
			close(goOn)
			at, told := 0.0, 0
			c.until(func(m message) bool {
				d, _ := m["data"].(map[string]any)
				switch {
				case m["type"] == "gap":
					if d["from"] != at+1 || d["to"].(float64) < at+1 {
						t.Errorf("at %v: a gap of %v", at, d)
					}
					at, told = d["to"].(float64), told+1
				case m["type"] == "subscribed" && d["recovered"] == false:
					if d["reason"] != "trimmed" {
						t.Errorf("at %v: %v", at, m)
					}
					at, told = m["offset"].(float64), told+1
				case m["type"] == "e":
					if m["offset"] != at+1 {
						t.Errorf("%v comes after %v", m["offset"], at)
					}
					at = m["offset"].(float64)
				}
				return at == total
			})
			if told == 0 {
				t.Error("nothing was missed")
			}
		})
	}
}

// TestNewEpoch: the server that a client comes back to has lost everything.
func TestNewEpoch(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		c := newClient(t, w, kind, follow{channels: []string{"orders", "board"}})
		h := c.until(count("state", 1))
		for i := range 3 {
			w.publish("orders", fmt.Sprintf(`{"type":"e","data":%d}`, i))
		}
		h = append(h, c.until(count("e", 3))...)
		w.publish("board", `{"type":"e","key":"k","data":"old"}`)
		h = append(h, c.until(isEvent)...)
		c.cut()
		w.stop()
		w.start(strings.TrimPrefix(w.base, "http://"))
		w.publish("orders", `{"type":"e","data":"new"}`)
		c.resume()
		h = append(h, byChannel(c.until(count("state", 1)))...)
		w.publish("orders", `{"type":"e","data":"live"}`)
		h = append(h, c.until(isEvent)...)
		if all := strings.Join(h, "\n"); strings.Count(all, `"recovered":false`) != 2 || strings.Count(all, `"reason":"epoch"`) != 2 {
			t.Errorf("two channels have begun anew, and it was told\n%s", all)
		}
		return h
	})
}

// TestEpochChanges: a log is lost while clients follow it (E02).
func TestEpochChanges(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			shared := redistest.Start(t)
			w := newWorldOf(t, conf+"broker: {redis: {addresses: "+shared.Address+", timeout: 2s}}\n")
			c := newClient(t, w, kind, follow{channels: []string{"orders"}})
			c.until(count("subscribed", 1))
			w.publish("orders", `{"type":"e","data":"old"}`)
			c.until(isEvent)
			w.followed("orders", 1) // by poll: its next request waits
			shared.Kill()
			shared.Run()
			w.persist("orders", `{"type":"e","dedupe":"new","data":"new"}`)
			told := false
			c.until(func(m message) bool {
				d, _ := m["data"].(map[string]any)
				switch m["type"] {
				case "gap", "subscribed":
					told = told || d["reason"] == "epoch"
				case "e":
					if m["data"] != "new" || m["offset"] != 1.0 || !told {
						t.Errorf("told: %v, and then %v", told, m)
					}
					return true
				}
				return false
			})
		})
	}
}

// persist publishes until it is accepted.
func (w *world) persist(channel, body string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		req, err := http.NewRequestWithContext(w.t.Context(), "POST", w.base+"/v1/channels/"+channel+"/messages", strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 201 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("publishing to %s: %d", channel, resp.StatusCode)
		}
	}
}
