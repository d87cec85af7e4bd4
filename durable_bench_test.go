package ringdown_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
)

// BenchmarkDurablePublish is what `make bench-store` runs beside the store's own
// figures: 64 WebSocket clients publish to a store with fsync always, each with so
// many publications under way, and wait for their acks. The clients take their
// part of the same processors.
func BenchmarkDurablePublish(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		b.Run(fmt.Sprintf("publishers=64/inflight=%d", inFlight), func(b *testing.B) {
			s, err := ringdown.New(ringdown.Options{Logger: quiet(), Env: env, Config: fmt.Appendf(nil, `
auth: {anonymous: true}
limits: {connection: {messages_per_second: 1000000, messages_burst: 1000000}}
store: {dir: %q}
channels:
  - name: orders:{n}
    history: {messages: 1000}
    allow: {subscribe: anyone, publish: anyone}
`, b.TempDir())})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := s.Stop(b.Context()); err != nil {
					b.Error(err)
				}
			}()
			srv := httptest.NewServer(s.Handler())
			defer srv.Close()
			var clients []*websocket.Conn
			for range 64 {
				c, _, err := websocket.Dial(b.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/v1/ws", nil)
				if err != nil {
					b.Fatal(err)
				}
				defer c.CloseNow()
				if _, _, err := c.Read(b.Context()); err != nil { // welcome
					b.Fatal(err)
				}
				clients = append(clients, c)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			began := time.Now()
			for n, c := range clients {
				all.Go(func() { publishAll(b, c, n, inFlight, &left) })
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "acks/s")
		})
	}
}

// publishAll publishes until nothing is left, with so many acks owed at a time.
func publishAll(b *testing.B, c *websocket.Conn, n, inFlight int, left *atomic.Int64) {
	text := fmt.Appendf(nil, `{"type":"order-created","channel":"orders:%d","id":1,"data":{"id":7,"customer":"ann","total":1950,"lines":[{"product":"bell-collar","quantity":1}]}}`, n)
	for owed := 0; ; {
		for owed < inFlight && left.Add(-1) >= 0 {
			if err := c.Write(b.Context(), websocket.MessageText, text); err != nil {
				b.Error(err)
				return
			}
			owed++
		}
		if owed == 0 {
			return
		}
		_, answer, err := c.Read(b.Context())
		if err != nil || !strings.Contains(string(answer), `"ack"`) {
			b.Errorf("%v: %s", err, answer)
			return
		}
		owed--
	}
}
