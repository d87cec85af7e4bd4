package transports

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

type message = map[string]any

// follow is what a client asks for.
type follow struct {
	channels []string
	last     int
	token    string
}

// client is one transport's way to follow channels. What it is given it puts
// into got, in order. It can be cut off and come back.
type client struct {
	t     *testing.T
	w     *world
	kind  string
	asked follow

	got  chan message
	stop context.CancelFunc // of the line that is open
	done sync.WaitGroup

	mu        sync.Mutex
	positions map[string]message // WebSocket: since of each channel
	cursor    string             // the others'
	id        string             // of the connection
	session   string             // of polls that have one
	conn      *websocket.Conn
	hold      chan struct{} // not nil: reads no more until it is closed
}

// kinds are the transports.
var kinds = []string{"websocket", "sse", "poll", "session"}

func newClient(t *testing.T, w *world, kind string, f follow) *client {
	t.Helper()
	if f.token == "" {
		f.token = token(t, time.Hour)
	}
	c := &client{t: t, w: w, kind: kind, asked: f, got: make(chan message, 100_000), positions: map[string]message{}}
	c.resume()
	t.Cleanup(c.cut)
	return c
}

// resume opens the line, from where the client was.
func (c *client) resume() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	run := map[string]func(context.Context) error{"websocket": c.socket, "sse": c.events, "poll": c.polls, "session": c.polls}[c.kind]
	c.done.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			c.got <- message{"type": "failed", "error": err.Error()}
		}
	})
}

// cut ends the line without a word.
func (c *client) cut() {
	c.stop()
	c.done.Wait()
}

// forget has a client of polls come back with its cursor alone.
func (c *client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = ""
}

// take takes one message that came.
func (c *client) take(m message, cursor string) {
	c.mu.Lock()
	hold := c.hold
	if data, _ := m["data"].(map[string]any); m["type"] == "welcome" {
		c.id, _ = data["connection"].(string)
		c.session, _ = data["session"].(string)
	}
	if cursor != "" {
		c.cursor = cursor
	}
	name, _ := m["channel"].(string)
	if epoch, ok := m["epoch"]; ok {
		c.positions[name] = message{"epoch": epoch, "offset": m["offset"]}
	} else if at := c.positions[name]; at != nil && m["offset"] != nil {
		at["offset"] = m["offset"]
	}
	c.mu.Unlock()
	c.got <- m
	if hold != nil {
		<-hold
	}
}

// socket is a plain WebSocket, with nothing around it.
func (c *client) socket(ctx context.Context) error {
	conn, _, err := websocket.Dial(ctx, c.w.base+"/v1/ws?token="+c.asked.token, nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	for first := true; ; first = false {
		kind, frame, err := conn.Read(ctx)
		if code := websocket.CloseStatus(err); code > 0 {
			c.got <- message{"type": "closed", "code": float64(code)}
			return nil
		}
		if err != nil {
			return err
		}
		var payload []byte
		if kind == websocket.MessageBinary {
			frame, payload, _ = bytes.Cut(frame, []byte{'\n'})
		}
		var m message
		if err := json.Unmarshal(frame, &m); err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			m["data64"] = base64.StdEncoding.EncodeToString(payload)
		}
		c.take(m, "")
		for _, name := range c.asked.channels {
			if !first {
				break
			}
			sub := message{"type": "subscribe", "channel": name}
			c.mu.Lock()
			if at := c.positions[name]; at != nil {
				sub["since"] = at
			} else if c.asked.last > 0 {
				sub["data"] = message{"last": c.asked.last}
			}
			text, err := json.Marshal(sub)
			c.mu.Unlock()
			if err == nil {
				err = conn.Write(ctx, websocket.MessageText, text)
			}
			if err != nil {
				return err
			}
		}
	}
}

func (c *client) query() url.Values {
	q := url.Values{"channel": c.asked.channels, "token": {c.asked.token}}
	if c.asked.last > 0 {
		q.Set("last", strconv.Itoa(c.asked.last))
	}
	return q
}

// refused turns an answer that is no stream into what a WebSocket is told.
func (c *client) refused(resp *http.Response) error {
	var p message
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		return fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	c.got <- message{"type": "error", "data": message{"code": p["code"]}}
	c.got <- message{"type": "closed", "code": float64(4001)}
	return nil
}

// events reads a stream as HTML has it, as far as it is used.
func (c *client) events(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, "GET", c.w.base+"/v1/sse?"+c.query().Encode(), nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.cursor != "" {
		req.Header.Set("Last-Event-ID", c.cursor)
	}
	c.mu.Unlock()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return c.refused(resp)
	}
	id, data := "", ""
	for in := bufio.NewReader(resp.Body); ; {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if data == "" {
				continue
			}
			var m message
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				return err
			}
			data = ""
			c.deliver(m, id)
		}
	}
}

// deliver takes a message of a transport without close codes.
func (c *client) deliver(m message, cursor string) {
	d, _ := m["data"].(map[string]any)
	if code, ok := d["close"]; ok && m["type"] == "error" {
		c.got <- message{"type": "closed", "code": code}
		return
	}
	c.take(m, cursor)
}

// polls asks again and again.
func (c *client) polls(ctx context.Context) error {
	for {
		q := c.query()
		c.mu.Lock()
		q.Set("cursor", c.cursor)
		method, body := "GET", []byte(nil)
		if c.kind == "session" {
			method, body = "POST", c.body()
			q = url.Values{"token": q["token"]}
		}
		c.mu.Unlock()
		req, err := http.NewRequestWithContext(ctx, method, c.w.base+"/v1/poll?"+q.Encode(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		over, err := c.page(resp)
		if err != nil || over {
			return err
		}
	}
}

// body says what a poll in a session asks for.
func (c *client) body() []byte {
	list := []message{}
	for _, name := range c.asked.channels {
		item := message{"channel": name}
		if c.asked.last > 0 {
			item["last"] = c.asked.last
		}
		list = append(list, item)
	}
	text, _ := json.Marshal(message{"channels": list, "cursor": c.cursor, "session": c.session})
	return text
}

func (c *client) page(resp *http.Response) (over bool, err error) {
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return true, c.refused(resp)
	}
	var a struct {
		Messages []message
		Cursor   string
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return true, err
	}
	for _, m := range a.Messages {
		if d, _ := m["data"].(map[string]any); d["close"] != nil || m["type"] == "reconnect" {
			over = true
		}
		c.deliver(m, "")
	}
	c.mu.Lock()
	c.cursor = a.Cursor
	c.mu.Unlock()
	return over, nil
}

// say sends a message: over the WebSocket, or for a stream by POST.
func (c *client) say(text string) {
	c.t.Helper()
	c.mu.Lock()
	id, conn := c.id, c.conn
	c.mu.Unlock()
	if conn == nil {
		c.w.do("POST", "/v1/connections/"+id+"/messages", c.asked.token, text, 202)
	} else if err := conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// position is where the client stands in a channel, as since has it.
func (c *client) position(channel string) message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.positions[channel])
}

// memberID is what a member of a presence is known by: drawn at random.
var memberID = regexp.MustCompile(`"id":"[A-Za-z0-9_-]{22}"`)

// until collects the history up to the message that ends it, in the one form
// that all transports have.
func (c *client) until(last func(m message) bool) (history []string) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m := <-c.got:
			if line := plain(m); line != "" {
				c.mu.Lock()
				history = append(history, memberID.ReplaceAllString(line, `"id":"member"`))
				c.mu.Unlock()
			}
			if last(m) {
				return history
			}
		case <-timeout:
			c.t.Fatalf("%s: waited in vain, after\n%s", c.kind, strings.Join(history[max(0, len(history)-20):], "\n"))
		}
	}
}

// count is for until: the n-th message of that type.
func count(typ string, n int) func(m message) bool {
	return func(m message) bool {
		if m["type"] == typ {
			n--
		}
		return n == 0
	}
}

// plain is a message without what differs from run to run, and "" for what only
// some transports say: that nothing was missed.
func plain(m message) string {
	c := message{}
	for k, v := range m {
		c[k] = v
	}
	d, _ := m["data"].(map[string]any)
	switch m["type"] {
	case "welcome", "reconnect":
		return ""
	case "subscribed":
		if d["recovered"] == true {
			return ""
		}
	case "error":
		c["data"] = message{"code": d["code"]}
	case "pong":
		delete(c, "data")
	case "ack":
		if d["expires"] != nil {
			delete(c, "data")
		}
	case "history":
		for _, m := range d["messages"].([]any) {
			delete(m.(map[string]any), "time")
		}
	case "state":
		items := []any{}
		for _, i := range d["items"].([]any) {
			item := i.(map[string]any)
			delete(item, "time")
			items = append(items, item)
		}
		c["data"] = message{"items": items, "more": d["more"]}
	}
	delete(c, "time")
	delete(c, "epoch")
	text, _ := json.Marshal(c)
	return string(text)
}
