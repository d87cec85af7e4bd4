package ringdown_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/protocol"
)

// A server of one channel, and a client that knows nothing but WebSocket.
func Example() {
	ctx := context.Background()
	srv, err := ringdown.New(ringdown.Options{
		Listen: "127.0.0.1:0",
		Logger: slog.New(slog.DiscardHandler),
		Config: []byte(`
auth: {anonymous: true}
channels:
  - name: orders
    history: {messages: 100}
    allow: {subscribe: anyone, publish: none}
`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop(ctx)

	conn, _, err := websocket.Dial(ctx, "ws://"+srv.Addr().String()+"/v1/ws", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	conn.Write(ctx, websocket.MessageText, []byte(`{"type":"subscribe","channel":"orders","id":1}`))
	for n := 0; n < 3; n++ {
		_, text, err := conn.Read(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		var m struct {
			Type string
			Data json.RawMessage
		}
		json.Unmarshal(text, &m)
		switch m.Type {
		case "welcome":
			fmt.Println("welcome")
		case "subscribed":
			fmt.Println("subscribed")
			srv.Publish(ctx, "orders", "order-created", map[string]any{"id": 7, "total": 19.5})
		default:
			fmt.Println(m.Type, string(m.Data))
		}
	}
	// Output:
	// welcome
	// subscribed
	// order-created {"id":7,"total":19.5}
}

// Calls are requests of a client to your program; the result comes in the ack.
func ExampleServer_HandleCall() {
	srv, err := ringdown.New(ringdown.Options{Dev: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.HandleCall("order", func(ctx context.Context, c *ringdown.Call) (any, error) {
		var lines []string
		if err := json.Unmarshal(c.Data, &lines); err != nil || len(lines) == 0 {
			return nil, protocol.Errorf(protocol.CodeInvalidData, "an order is a list of at least one product")
		}
		return map[string]any{"id": 1, "lines": len(lines)}, nil
	})
}

// The server can be a part of your own: mount its handler and keep your listener.
func ExampleServer_Handler() {
	ctx := context.Background()
	srv, err := ringdown.New(ringdown.Options{
		Logger: slog.New(slog.DiscardHandler),
		Config: []byte("channels: [{name: news, allow: {subscribe: anyone}}]\nauth: {anonymous: true}\n")})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop(ctx)
	mux := http.NewServeMux()
	mux.Handle("/v1/", srv.Handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "my own page") })
	mine := httptest.NewServer(mux)
	defer mine.Close()

	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(mine.URL, "http")+"/v1/ws", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	_, text, _ := conn.Read(ctx)
	fmt.Println(strings.Contains(string(text), `"type":"welcome"`))
	// Output: true
}

// The sessions of your own program say who somebody is: here by a cookie.
func ExampleOptions_authenticate() {
	ctx := context.Background()
	sessions := map[string]string{"s3cr3t": "ann"} // yours are in a database
	authenticate := func(r *http.Request) (*ringdown.User, error) {
		cookie, err := r.Cookie("session")
		if err != nil {
			return nil, nil // no session: perhaps it has a token
		}
		user := sessions[cookie.Value]
		if user == "" {
			return nil, protocol.Errorf(protocol.CodeUnauthorized, "sign in again")
		}
		return &ringdown.User{ID: user, Claims: map[string]any{"plan": "gold"}}, nil
	}
	srv, err := ringdown.New(ringdown.Options{
		Listen:       "127.0.0.1:0",
		Authenticate: authenticate,
		Logger:       slog.New(slog.DiscardHandler),
		Config:       []byte("channels: [{name: 'inbox:{user}', allow: {subscribe: user == params.user}}]\n"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop(ctx)

	conn, _, err := websocket.Dial(ctx, "ws://"+srv.Addr().String()+"/v1/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Cookie": {"session=s3cr3t"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	_, text, _ := conn.Read(ctx)
	var welcome struct {
		Data struct{ User string }
	}
	json.Unmarshal(text, &welcome)
	fmt.Println("welcome,", welcome.Data.User)
	// Output: welcome, ann
}

// Channels can be declared by the program, with the same checks as in the file.
func ExampleOptions_channels() {
	ctx := context.Background()
	srv, err := ringdown.New(ringdown.Options{
		Listen: "127.0.0.1:0",
		Logger: slog.New(slog.DiscardHandler),
		Config: []byte("auth: {anonymous: true}"),
		Channels: []ringdown.Channel{{
			Name:    "orders:{customer}",
			History: &ringdown.ChannelHistory{Messages: 1000, For: 24 * time.Hour},
			Events: map[string]ringdown.ChannelEvent{
				"order-created": {Schema: json.RawMessage(`{"type": "object", "required": ["id"]}`)},
			},
			Allow: ringdown.ChannelRules{Subscribe: "user == params.customer"},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop(ctx)

	_, err = srv.Publish(ctx, "orders:ann", "order-created", map[string]any{"id": 7})
	fmt.Println(err)
	_, err = srv.Publish(ctx, "orders:ann", "order-created", map[string]any{"total": 19.5})
	fmt.Println(err)
	// Output:
	// <nil>
	// invalid_data: data of "order-created" does not fit its schema: "id" is missing
}

// A program that follows a channel of its own server, and goes on where it was.
func ExampleServer_Subscribe() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	srv, err := ringdown.New(ringdown.Options{
		Listen:   "127.0.0.1:0",
		Logger:   slog.New(slog.DiscardHandler),
		Channels: []ringdown.Channel{{Name: "orders", History: &ringdown.ChannelHistory{Messages: 100}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop(context.Background())
	for n := range 3 {
		srv.Publish(ctx, "orders", "order-created", n)
	}

	var epoch string
	var offset uint64
	for m, err := range srv.Subscribe(ctx, "orders", ringdown.Latest(10)) {
		if lost, ok := errors.AsType[*ringdown.Lost](err); ok {
			fmt.Println("something was lost:", lost)
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(m.Event, string(m.Data))
		epoch, offset = m.Epoch, m.Offset
		if offset == 2 {
			break
		}
	}
	for m := range srv.Subscribe(ctx, "orders", ringdown.After(epoch, offset)) {
		fmt.Println("and then", string(m.Data))
		break
	}
	// Output:
	// order-created 0
	// order-created 1
	// and then 2
}
