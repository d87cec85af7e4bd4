package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
)

// exchange is a server that plays one part per connection: what line.js does
// about closings, lost messages and silence is seen against it, without the
// real server having to misbehave.
type exchange struct {
	*httptest.Server
	parts []part
	count atomic.Int32  // connections so far
	calls chan struct{} // one per connection
}

// A part plays a connection after the client's auth and returns how to close it.
type part func(c *caller) (websocket.StatusCode, string)

type caller struct {
	t     *testing.T
	ctx   context.Context
	ws    *websocket.Conn
	token string
}

type clientMessage struct {
	Type, Channel, Token string
	ID                   int
	Since                *struct {
		Epoch  string
		Offset int
	}
}

func (c *caller) send(text string) {
	c.ws.Write(c.ctx, websocket.MessageText, []byte(text)) // a client that has left is not the test's business
}

func (c *caller) welcome() {
	c.send(`{"type":"welcome","data":{"connection":"c","user":"ann","protocol":1}}`)
}

// next returns the client's next message of a type; ok is false once it left.
func (c *caller) next(kind string) (m clientMessage, ok bool) {
	for {
		_, text, err := c.ws.Read(c.ctx)
		if err != nil {
			return m, false
		}
		m = clientMessage{}
		if err := json.Unmarshal(text, &m); err != nil {
			c.t.Errorf("the page sent %q: %v", text, err)
			return m, false
		}
		if m.Type == kind {
			return m, true
		}
	}
}

// stay welcomes the client and keeps the line until it leaves.
func stay(c *caller) (websocket.StatusCode, string) {
	c.welcome()
	c.next("nothing")
	return websocket.StatusNormalClosure, ""
}

// refuse closes without a welcome.
func refuse(code websocket.StatusCode, reason string) part {
	return func(c *caller) (websocket.StatusCode, string) {
		c.send(`{"type":"error","data":{"code":"unauthorized","message":"in words: ` + reason + `"}}`)
		return code, reason
	}
}

// drop welcomes and then closes.
func drop(code websocket.StatusCode) part {
	return func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		return code, "dropped"
	}
}

// newExchange plays one part per connection, the last one for all that follow.
func newExchange(t *testing.T, parts ...part) *exchange {
	t.Helper()
	script, err := os.ReadFile("../../examples/demo/stage/assets/line.js")
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{parts: parts, calls: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<!doctype html><title>line</title>"))
	})
	mux.HandleFunc("GET /line.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		w.Write(script)
	})
	mux.HandleFunc("GET /v1/ws", func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		n := int(x.count.Add(1))
		x.calls <- struct{}{}
		c := &caller{t: t, ctx: t.Context(), ws: ws}
		auth, ok := c.next("auth")
		if !ok {
			return
		}
		c.token = auth.Token
		play := x.parts[min(n, len(x.parts))-1]
		ws.Close(play(c))
	})
	x.Server = httptest.NewServer(mux)
	t.Cleanup(x.CloseClientConnections)
	t.Cleanup(x.Close)
	return x
}

// openLine has a page open a line; states, tokens and messages are collected in
// the page as `seen`.
func openLine(t *testing.T, x *exchange) *window {
	t.Helper()
	w := newWindow(t)
	w.open(x.URL)
	script := `(async () => {
		const {openLine} = await import('/line.js');
		window.seen = {states: [], tokens: 0, messages: [], offset: 0, in: 0, out: 0};
		const now = Date.now, every = setInterval;
		Date.now = () => now() + seen.offset;                              // a test can let time pass
		window.setInterval = (f, ms) => every(f, ms === 5000 ? 20 : ms);   // and the pulse is quick
		window.line = openLine(async () => 'token-' + ++seen.tokens, {traffic: (way) => seen[way]++});
		line.watch((s) => seen.states.push(s.name + (s.code ? ' ' + s.code : '') + (s.reason ? ' ' + s.reason : '')));
		return true;
	})()`
	if _, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *window) waitState(state string) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`seen.states.at(-1).startsWith(%s)`, quote(state)))
}

func TestLineObeysCloseCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		parts []part
		end   string // the last state
		calls int    // connections made by then
	}{
		{"protocol error", []part{drop(4000), stay}, "ended 4000 dropped", 1},
		{"forbidden", []part{refuse(4003, "Forbidden"), stay}, "ended 4003 in words: Forbidden", 1},
		{"operator", []part{drop(4005), stay}, "ended 4005", 1},
		{"token refused once", []part{refuse(4001, "Invalid token"), stay}, "live", 2},
		{"token refused twice", []part{refuse(4001, "Invalid token"), refuse(4001, "Invalid token"), stay}, "ended 4001 in words: Invalid token", 2},
		{"token expired", []part{drop(4004), stay}, "live", 2},
		{"rate limited", []part{drop(4100), stay}, "live", 2},
		{"draining", []part{drop(4200), stay}, "live", 2},
		{"heartbeat", []part{drop(4201), stay}, "live", 2},
		{"going away", []part{drop(1001), stay}, "live", 2},
		{"restart, again and again", []part{drop(1012), drop(1012), drop(1012), stay}, "live", 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newExchange(t, test.parts...)
			w := openLine(t, x)
			for range test.calls {
				select {
				case <-x.calls:
				case <-time.After(patience):
					t.Fatalf("%d connections, want %d", x.count.Load(), test.calls)
				}
			}
			w.waitState(test.end)
			if n := int(x.count.Load()); n != test.calls {
				t.Errorf("%d connections, want %d; the states were %s", n, test.calls, w.eval(`seen.states.join()`))
			}
		})
	}
}

func TestLineUsesAFreshTokenOnce(t *testing.T) {
	t.Parallel()
	tokens := make(chan string, 10)
	note := func(next part) part {
		return func(c *caller) (websocket.StatusCode, string) {
			tokens <- c.token
			return next(c)
		}
	}
	x := newExchange(t, note(drop(4004)), note(drop(1012)), note(stay))
	openLine(t, x).waitState("live")
	got := []string{<-tokens, <-tokens, <-tokens}
	if want := "token-1 token-2 token-2"; strings.Join(got, " ") != want {
		t.Errorf("the tokens were %s, want %s", got, want)
	}
}

// A draining server says when to come back.
func TestLineComesBackWhenAsked(t *testing.T) {
	t.Parallel()
	x := newExchange(t, func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		c.send(`{"type":"reconnect","data":{"after":30000,"within":40000}}`)
		return 4200, "draining"
	}, stay)
	w := openLine(t, x)
	w.waitState("waiting")
	w.wait(`line.state.until - Date.now() > 25_000 && line.state.until - Date.now() < 40_000`)
	w.eval(`line.hurry()`)
	w.waitState("live")
}

func TestLineResumesWhereItWas(t *testing.T) {
	t.Parallel()
	since := make(chan string, 1)
	x := newExchange(t, func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		m, _ := c.next("subscribe")
		c.send(fmt.Sprintf(`{"type":"subscribed","channel":"orders","id":%d,"epoch":"e","offset":5}`, m.ID))
		for _, offset := range []int{6, 7, 7, 6, 9} { // twice the same is handed over once
			c.send(fmt.Sprintf(`{"type":"tick","channel":"orders","offset":%d,"data":%[1]d}`, offset))
		}
		c.next("done")
		return 1012, ""
	}, func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		m, ok := c.next("subscribe")
		if ok && m.Since != nil {
			since <- fmt.Sprintf("%s %d", m.Since.Epoch, m.Since.Offset)
		}
		c.send(fmt.Sprintf(`{"type":"subscribed","channel":"orders","id":%d,"epoch":"e","offset":9,"data":{"recovered":true,"head":10}}`, m.ID))
		c.send(`{"type":"tick","channel":"orders","offset":10,"data":10}`)
		c.send(`{"type":"tick","channel":"orders","data":"ephemeral"}`)
		c.next("nothing")
		return 1000, ""
	})
	w := openLine(t, x)
	w.eval(`line.subscribe('orders', {message: (m) => seen.messages.push(m.data)})`)
	w.wait(`seen.messages.length === 3`)
	w.eval(`line.send({type: 'done'})`)
	w.wait(`seen.messages.length === 5`)
	if got := w.eval(`seen.messages.join()`); got != "6,7,9,10,ephemeral" {
		t.Errorf("the page got %s", got)
	}
	if got := <-since; got != "e 9" {
		t.Errorf("it resumed after %s, want e 9", got)
	}
}

func TestLineSnapshotAndGap(t *testing.T) {
	t.Parallel()
	x := newExchange(t, func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		m, _ := c.next("subscribe")
		c.send(fmt.Sprintf(`{"type":"subscribed","channel":"stock","id":%d,"epoch":"e","offset":5}`, m.ID))
		c.send(`{"type":"state","channel":"stock","data":{"items":[{"type":"set","key":"a","offset":2,"data":1},{"type":"set","key":"b","offset":4,"data":2}],"more":false}}`)
		c.send(`{"type":"gap","channel":"stock","data":{"from":6,"to":9,"reason":"slow"}}`)
		c.send(`{"type":"set","channel":"stock","key":"a","offset":9,"data":"lost already"}`)
		c.send(`{"type":"set","channel":"stock","key":"a","offset":10,"data":3}`)
		c.next("nothing")
		return 1000, ""
	})
	w := openLine(t, x)
	w.eval(`line.subscribe('stock', {message: (m) => seen.messages.push(m.channel + m.key + m.data), gap: () => seen.messages.push('gap')})`)
	w.wait(`seen.messages.length === 4`)
	if got := w.eval(`seen.messages.join()`); got != "stocka1,stockb2,gap,stocka3" {
		t.Errorf("the page got %s", got)
	}
}

func TestLineRequests(t *testing.T) {
	t.Parallel()
	x := newExchange(t, func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		m, _ := c.next("good")
		c.send(fmt.Sprintf(`{"type":"ack","id":%d,"data":"fine"}`, m.ID))
		m, _ = c.next("bad")
		c.send(fmt.Sprintf(`{"type":"error","id":%d,"data":{"code":"conflict","message":"sold out","retryable":false}}`, m.ID))
		c.next("leave")
		return 1012, ""
	}, stay)
	w := openLine(t, x)
	w.waitState("live")
	ask := func(kind, timeout string) string {
		t.Helper()
		script := fmt.Sprintf(`line.request({type: %s}, %s).then((m) => 'ok ' + m.data, (e) => [e.code, e.message, e.retryable].join('; '))`, quote(kind), timeout)
		got, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, test := range []struct{ kind, timeout, want string }{
		{"good", "5000", "ok fine"},
		{"bad", "5000", "conflict; sold out; false"},
		{"unheard", "50", "timeout; The server did not answer in time.; true"},
		{"leave", "5000", "unavailable; The line was lost before the answer came.; true"},
	} {
		if got := ask(test.kind, test.timeout); got != test.want {
			t.Errorf("%s: %s, want %s", test.kind, got, test.want)
		}
	}
	w.waitState("live")
}

// Silence is asked about, and a line that stays silent is given up.
func TestLineNoticesSilence(t *testing.T) {
	t.Parallel()
	pings := make(chan bool, 10)
	x := newExchange(t, func(c *caller) (websocket.StatusCode, string) {
		c.welcome()
		_, ok := c.next("ping")
		pings <- ok
		c.send(`{"type":"pong","data":{"time":1}}`)
		c.send(`{"type":"note"}`) // the page counts it: the pong was heard
		_, ok = c.next("ping")
		pings <- ok
		c.next("nothing") // and not a word more
		return 1000, ""
	}, stay)
	w := openLine(t, x)
	w.waitState("live")
	w.eval(`seen.offset += 26_000`)
	if !<-pings {
		t.Fatal("the page left instead of asking")
	}
	w.wait(`seen.in === 1`) // the note
	if states := w.eval(`seen.states.join()`); states != "connecting,live" {
		t.Errorf("the states were %s: the answer is a sign of life", states)
	}
	w.eval(`seen.offset += 26_000`)
	<-pings
	w.eval(`seen.offset += 16_000`)
	w.wait(`seen.states.join() === 'connecting,live,waiting,connecting,live'`)
}
