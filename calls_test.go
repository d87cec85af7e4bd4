package ringdown_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"ringdown"
	"ringdown/client"
	"ringdown/protocol"
)

const callsConf = `
listen: 127.0.0.1:0
auth: {anonymous: true}
documents: public
channels: []
calls:
  price:
    about: What something costs
    schema: {type: object, required: [sku], properties: {sku: {type: string}}}
    result: {type: object, required: [price], properties: {price: {type: number}}}
  hello: {}
`

// TestDeclaredCalls: what is asked and what is answered are held against the declaration,
// by whatever door the call comes.
func TestDeclaredCalls(t *testing.T) {
	var log bytes.Buffer
	s := start(t, ringdown.Options{Config: []byte(callsConf), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var asked atomic.Int64
	s.HandleCall("price", func(_ context.Context, c *ringdown.Call) (any, error) {
		asked.Add(1)
		var q struct{ SKU string }
		if err := json.Unmarshal(c.Data, &q); err != nil {
			return nil, err
		}
		if q.SKU == "odd" {
			return map[string]any{"price": "much"}, nil
		}
		return map[string]any{"price": 4.5}, nil
	})
	s.HandleCall("secret", func(context.Context, *ringdown.Call) (any, error) { return "it is not declared", nil })
	for _, way := range []string{"websocket", "protobuf", "sse", "poll"} {
		t.Run(way, func(t *testing.T) {
			options := []client.Option{client.WithTransports(way)}
			if way == "protobuf" {
				options = []client.Option{client.WithProtobuf(), client.WithTransports("websocket")}
			}
			c, err := client.New("http://"+s.Addr().String(), options...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			asked.Store(0)
			var answer struct{ Price float64 }
			if err := c.Call(t.Context(), "price", map[string]string{"sku": "x"}, &answer); err != nil || answer.Price != 4.5 {
				t.Errorf("%v %v", answer, err)
			}
			for _, w := range []struct {
				event string
				data  any
				code  protocol.Code
			}{
				{"price", map[string]int{"sku": 5}, protocol.CodeInvalidData},
				{"price", nil, protocol.CodeInvalidData},
				{"price", map[string]string{"sku": "odd"}, protocol.CodeBackendFailed},
				{"secret", nil, protocol.CodeNotFound},
				{"hello", nil, protocol.CodeNoBackend},
			} {
				if err := c.Call(t.Context(), w.event, w.data, nil); client.Code(err) != w.code {
					t.Errorf("%s %v: %v, want %s", w.event, w.data, err, w.code)
				}
			}
			if asked.Load() != 2 {
				t.Errorf("the application was asked %d times", asked.Load())
			}
		})
	}
	if text := log.String(); !strings.Contains(text, "the result does not fit its schema") || !strings.Contains(text, "reason=schema") {
		t.Errorf("the log does not say why:\n%s", text)
	}
	code, doc := fetch(t, s, "GET", "/v1/asyncapi.json", "", "")
	for _, want := range []string{`"call.price"`, "What something costs", `"call.price.result"`, `"reply"`} {
		if code != 200 || !bytes.Contains(doc, []byte(want)) {
			t.Errorf("the document (%d) has no %s", code, want)
		}
	}
}
