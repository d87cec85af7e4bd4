package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/protocol"
)

// TestAdapter plays the cases of spec/client with this client: commands on stdin and
// events on stdout, in virtual time; with RINGDOWN_ADAPT=real in the time that there is,
// over real lines. spec/client/README.md says what they mean. Without RINGDOWN_ADAPT it plays a short conversation, which shows that it works.
func TestAdapter(t *testing.T) {
	in, out := io.Reader(os.Stdin), io.Writer(os.Stdout)
	var said strings.Builder
	short := os.Getenv("RINGDOWN_ADAPT") == ""
	if short {
		in, out = strings.NewReader(`{"do":"start","options":{"token":"none"}}
{"do":"connect"}
{"do":"opened"}
{"do":"receive","message":{"type":"welcome","data":{"connection":"c","ping":1000}}}
{"do":"advance","ms":20000}
`), &said
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	play := func(t *testing.T, settle func()) {
		a := &adapter{t: t, out: out, settle: settle, waits: map[string]context.CancelFunc{}, follows: map[string]func(){}}
		defer a.stop()
		for lines.Scan() {
			var c command
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			a.do(&c)
			a.settle()
			a.tell(map[string]any{"settled": true})
		}
	}
	if os.Getenv("RINGDOWN_ADAPT") == "real" {
		play(t, func() {})
	} else {
		synctest.Test(t, func(t *testing.T) { play(t, synctest.Wait) })
	}
	if text := said.String(); short && (!strings.Contains(text, `"state":"live"`) || !strings.Contains(text, `"type":"ping"`)) {
		t.Error(text)
	}
}

// command is a line of stdin.
type command struct {
	Do      string
	Real    bool
	Options map[string]any
	Channel string
	Last    int
	Rate    float64
	Members bool
	State   bool
	As      string
	Type    string
	Data    json.RawMessage
	Data64  string
	Key     string
	Dedupe  string
	Ack     *bool
	Timeout float64
	Before  uint64
	Limit   int
	Will    *Will
	Give    *string
	Fail    *string
	MS      float64
	Line    int
	Status  int
	Problem json.RawMessage
	Retry   float64 `json:"retryAfter"`
	Message json.RawMessage
	Code    uint16
}

// adapter holds the client, whose time, chance and lines it puts in the place of the real.
type adapter struct {
	t      *testing.T
	client *Client
	settle func() // lets everything happen that needs no time
	jumped time.Duration

	mu        sync.Mutex
	out       io.Writer
	lines     []*fakeLine
	questions []chan answer
	waits     map[string]context.CancelFunc
	follows   map[string]func()
	running   sync.WaitGroup
}

type answer struct {
	token string
	err   error
}

func (a *adapter) stop() {
	if a.client == nil {
		return
	}
	for _, end := range a.follows {
		end()
	}
	for _, end := range a.waits {
		end()
	}
	_ = a.client.Close()
	a.running.Wait()
}

func (a *adapter) tell(e map[string]any) {
	text, err := json.Marshal(e)
	if err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, "%s\n", text)
}

func errorOf(err error) map[string]any {
	var e *Error
	switch {
	case errors.As(err, &e):
		return map[string]any{"code": e.Code, "message": e.Message, "retryable": e.Retryable}
	case errors.Is(err, context.Canceled):
		return map[string]any{"code": "aborted", "retryable": false}
	}
	return map[string]any{"code": "timeout", "message": err.Error(), "retryable": true}
}

func (a *adapter) start(c *command) {
	random := 0.5
	options := []Option{WithStateHandler(func(s StateChange) {
		e := map[string]any{"event": "state", "state": s.State, "reason": s.Reason, "transport": s.Transport}
		if s.State == Waiting {
			e["retryIn"] = s.RetryIn.Milliseconds()
		}
		if s.Err != nil {
			e["error"] = errorOf(s.Err)
		}
		a.tell(e)
	})}
	var all []transport
	for _, name := range []string{"websocket", "sse", "poll"} {
		all = append(all, &fakeTransport{a, name})
	}
	if !c.Real {
		options = append(options, func(s *settings) {
			s.transports = all
			s.now = func() time.Time { return time.Now().Round(0).Add(a.jumped) }
			s.random = func() float64 { return random }
		})
	}
	var token string
	url, ok := c.Options["url"].(string)
	if !ok {
		url = "http://example.test"
	}
	for name, value := range c.Options {
		ms := func() time.Duration { return time.Duration(value.(float64)) * time.Millisecond }
		options = append(options, func(s *settings) {
			switch name {
			case "token":
				token = value.(string)
			case "random":
				random = value.(float64)
			case "fixed", "url", "grace":
			case "transports":
				var names []string
				for _, n := range value.([]any) {
					names = append(names, n.(string))
				}
				WithTransports(names...)(s)
			case "outboxMessages":
				s.outboxMessages = int(value.(float64))
			case "outboxBytes":
				s.outboxBytes = int(value.(float64))
			case "pipeline":
				s.pipeline = int(value.(float64))
			default:
				field := map[string]*time.Duration{"openTimeout": &s.openTimeout, "silence": &s.silence, "backoffCap": &s.backoffCap, "backoffBase": &s.backoffBase,
					"betterAfter": &s.betterAfter, "betterCap": &s.betterCap, "probeTimeout": &s.probeTimeout, "healthy": &s.healthy, "publishTimeout": &s.publishTimeout, "watch": &s.watch}[name]
				if field == nil {
					a.t.Fatalf("there is no option %s", name)
				}
				*field = ms()
			}
		})
	}
	options = append(options, func(s *settings) {
		switch token {
		case "fixed":
			s.fixed = c.Options["fixed"].(string)
		case "function":
			s.token = a.ask
		}
	})
	client, err := New(url, options...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.client = client
	a.tell(map[string]any{"event": "started", "now": time.Now().UnixMilli(), "lacks": []string{"handlers", "grace", "reopen"}})
}

func (a *adapter) ask(ctx context.Context, reason TokenReason) (string, error) {
	question := make(chan answer, 1)
	a.mu.Lock()
	a.questions = append(a.questions, question)
	a.mu.Unlock()
	a.tell(map[string]any{"event": "token", "reason": reason})
	select {
	case got := <-question:
		return got.token, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// later runs work and tells its result under the command's name.
func (a *adapter) later(c *command, work func(ctx context.Context) (any, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	if c.Timeout > 0 && c.Do == "call" {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(c.Timeout)*time.Millisecond)
	}
	a.waits[c.As] = cancel
	a.running.Go(func() {
		value, err := work(ctx)
		if c.As == "" {
			return
		}
		e := map[string]any{"event": "result", "as": c.As, "value": value}
		if err != nil {
			delete(e, "value")
			e["error"] = errorOf(err)
		}
		a.tell(e)
	})
}

func (a *adapter) do(c *command) {
	var ch *Channel
	if a.client != nil {
		ch = a.client.Channel(c.Channel)
	}
	switch c.Do {
	case "start":
		a.start(c)
	case "connect":
		a.later(&command{}, func(ctx context.Context) (any, error) { return nil, a.client.Connect(ctx) })
	case "close":
		a.client.Close()
	case "wake":
		a.client.Wake()
	case "subscribe":
		a.subscribe(ch, c)
	case "unsubscribe":
		a.follows[c.Channel+" "+c.As]()
	case "publish":
		a.publish(ch, c)
	case "call":
		a.later(c, func(ctx context.Context) (any, error) {
			var result any
			err := a.client.Call(ctx, c.Type, orNil(c.Data), &result)
			return result, err
		})
	case "history":
		a.later(c, func(ctx context.Context) (any, error) {
			p, err := ch.Page(ctx, c.Before, c.Limit)
			if err != nil {
				return nil, err
			}
			var list []any
			for _, m := range p.Messages {
				list = append(list, shown(m))
			}
			return map[string]any{"messages": list, "more": p.More}, nil
		})
	case "enter", "update":
		var will []Will
		if c.Will != nil {
			will = []Will{*c.Will}
		}
		a.later(c, func(ctx context.Context) (any, error) { return nil, ch.Enter(ctx, orNil(c.Data), will...) })
	case "leave":
		a.later(c, func(ctx context.Context) (any, error) { return nil, ch.Leave(ctx) })
	case "cancel":
		a.waits[c.As]()
	case "token":
		a.mu.Lock()
		question := a.questions[0]
		a.questions = a.questions[1:]
		a.mu.Unlock()
		if c.Fail != nil {
			question <- answer{err: errors.New(*c.Fail)}
		} else {
			question <- answer{token: *c.Give}
		}
	case "advance":
		time.Sleep(time.Duration(c.MS) * time.Millisecond)
	case "jump":
		a.jumped += time.Duration(c.MS) * time.Millisecond
	default:
		a.onLine(c)
	}
}

func orNil(data json.RawMessage) any {
	if data == nil {
		return nil
	}
	return data
}

// onLine does what a command says of a line.
func (a *adapter) onLine(c *command) {
	n := c.Line
	if n == 0 {
		n = len(a.lines)
	}
	l := a.lines[n-1]
	if l.over {
		return
	}
	switch c.Do {
	case "opened":
		l.ev.opened()
	case "failed":
		e := ending{status: c.Status, retryAfter: time.Duration(c.Retry) * time.Millisecond}
		if c.Problem != nil {
			e.err, _ = readError(c.Problem, "")
		}
		l.over = true
		l.ev.ended(e)
	case "ended":
		l.over = true
		l.ev.ended(ending{code: protocol.CloseCode(c.Code)})
	case "heard":
		l.ev.heard()
	case "receive":
		all := []json.RawMessage{c.Message}
		if c.Message[0] == '[' {
			if err := json.Unmarshal(c.Message, &all); err != nil {
				a.t.Fatal(err)
			}
		}
		for _, text := range all {
			m := new(protocol.Message)
			if err := protocol.DecodeJSON(text, m); err != nil {
				a.t.Fatalf("%s: %v", text, err)
			}
			l.ev.message(m)
		}
	default:
		a.t.Fatalf("there is no command %s", c.Do)
	}
}

func (a *adapter) publish(ch *Channel, c *command) {
	var options []PublishOption
	if c.Key != "" {
		options = append(options, Key(c.Key))
	}
	if c.Dedupe != "" {
		options = append(options, Dedupe(c.Dedupe))
	}
	data := orNil(c.Data)
	if c.Data64 != "" {
		b, _ := base64.StdEncoding.DecodeString(c.Data64)
		data = Bytes(b)
	}
	if c.Timeout > 0 {
		a.client.settings.publishTimeout = time.Duration(c.Timeout) * time.Millisecond
	}
	a.later(c, func(ctx context.Context) (any, error) {
		if c.Ack != nil && !*c.Ack {
			return nil, ch.Send(c.Type, data, options...)
		}
		ack, err := ch.Publish(ctx, c.Type, data, options...)
		return map[string]any{"epoch": ack.Epoch, "offset": ack.Offset}, err
	})
	a.settle() // publications of one goroutine after the other are in their order
}

func shown(m *Message) map[string]any {
	e := map[string]any{"type": m.Type, "channel": m.Channel}
	if m.Key != "" {
		e["key"] = m.Key
	}
	if m.Kept {
		e["offset"] = m.Offset
	}
	if m.Binary {
		e["data64"] = base64.StdEncoding.EncodeToString(m.Data)
	} else if m.Data != nil {
		e["data"] = m.Data
	}
	return e
}

func (a *adapter) subscribe(ch *Channel, c *command) {
	about := func(event string, more map[string]any) {
		more["event"], more["channel"] = event, c.Channel
		if c.As != "" {
			more["as"] = c.As
		}
		a.tell(more)
	}
	options := []SubscribeOption{
		OnSubscribed(func(recovered bool, reason string) {
			more := map[string]any{}
			if recovered {
				more["recovered"] = true
			} else if reason != "" {
				more["recovered"], more["reason"] = false, reason
			}
			about("subscribed", more)
		}),
		OnRecovered(func(count int) { about("recovered", map[string]any{"count": count}) }),
		OnGap(func(g Gap) {
			about("gap", map[string]any{"reason": g.Reason, "from": g.From, "to": g.To, "missed": g.Missed})
		}),
		OnFailed(func(err *Error) { about("failed", map[string]any{"error": errorOf(err)}) }),
	}
	if c.Last > 0 {
		options = append(options, Last(c.Last))
	}
	if c.Rate > 0 {
		options = append(options, Rate(c.Rate))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := []func(){cancel}
	if c.State {
		s := ch.follow()
		ended = append(ended, s.Close)
		a.running.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-s.Changed():
				}
				items := map[string]any{}
				for key, value := range s.All() {
					items[key] = value
				}
				if s.ready {
					about("snapshot", map[string]any{"items": items})
				}
			}
		})
	}
	if c.Members {
		a.running.Go(func() {
			for list, err := range ch.WatchMembers(ctx) {
				if err != nil {
					return
				}
				about("members", map[string]any{"members": list})
			}
		})
		a.settle()
	}
	s := ch.Subscribe(options...)
	ended = append(ended, s.Close)
	a.running.Go(func() {
		for {
			m, err := s.Next(ctx)
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return
			}
			if err != nil {
				continue // told by OnFailed
			}
			about("message", map[string]any{"message": shown(m)})
		}
	})
	a.follows[c.Channel+" "+c.As] = func() {
		for _, end := range ended {
			end()
		}
	}
}

// fakeTransport opens lines that tell what they are asked, and do what they are told.
type fakeTransport struct {
	a    *adapter
	kind string
}

func (t *fakeTransport) name() string { return t.kind }

type fakeLine struct {
	a    *adapter
	n    int
	ev   events
	over bool
}

func (t *fakeTransport) open(_ context.Context, _ *sync.WaitGroup, o *opening, ev events) line {
	l := &fakeLine{a: t.a, ev: ev, n: len(t.a.lines) + 1}
	t.a.lines = append(t.a.lines, l)
	path := map[string]string{"websocket": "/v1/ws", "sse": "/v1/sse", "poll": "/v1/poll"}[t.kind]
	if t.kind == "websocket" {
		o.query.Set("heartbeat", "message")
	}
	e := map[string]any{"event": "line", "line": l.n, "transport": t.kind, "url": o.url + path + "?" + o.query.Encode(), "token": nil}
	if o.token != "" {
		e["token"] = o.token
	}
	if t.kind != "websocket" {
		items := []item{}
		for _, c := range o.channels {
			items = append(items, itemOf(c))
		}
		e["channels"] = items
	}
	t.a.tell(e)
	return l
}

func (l *fakeLine) send(m *protocol.Message) {
	if !l.over {
		l.a.tell(map[string]any{"event": "send", "line": l.n, "message": json.RawMessage(protocol.AppendJSON(nil, m))})
	}
}

func (l *fakeLine) close() {
	if !l.over {
		l.over = true
		l.a.tell(map[string]any{"event": "drop", "line": l.n, "code": 1000})
	}
}
