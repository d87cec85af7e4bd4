package event

import (
	"fmt"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

func entry(offset uint64, data string) *channel.Entry {
	return channel.NewEntry(&protocol.Message{Type: "e", Channel: "c", Offset: offset, Prev: offset - 1, Kept: true, Time: 7, Data: []byte(data)}, false)
}

// TestNative: each event as the native protocol has it.
func TestNative(t *testing.T) {
	at := protocol.Position{Epoch: "E", Offset: 5}
	noon := time.UnixMilli(1_790_000_000_000)
	bytes := channel.NewEntry(&protocol.Message{Type: "b", Channel: "c", Binary: true, Data: []byte{1, 2, 3}}, false)
	for _, c := range []struct {
		e    Event
		want string
	}{
		{&Welcome{Connection: "k", Ping: 25 * time.Second, DedupeWindow: 2 * time.Minute, MaxMessage: 9, Server: "s"},
			`{"type":"welcome","data":{"connection":"k","protocol":1,"ping":25000,"dedupe_window":120000,"max_message":9,"server":"s"}}`},
		{&Welcome{Connection: "k", User: `a"b`, Secret: "x", Session: "y", Ping: time.Second, Expires: noon, DedupeWindow: time.Minute, MaxMessage: 9, Server: "s"},
			`{"type":"welcome","data":{"connection":"k","user":"a\"b","protocol":1,"secret":"x","ping":1000,"expires":1790000000000,"dedupe_window":60000,"max_message":9,"server":"s","session":"y"}}`},
		{&Subscribed{ID: []byte("1"), Channel: "c"}, `{"type":"subscribed","channel":"c","id":1}`},
		{&Subscribed{Channel: "c", Barred: true}, `{"type":"subscribed","channel":"c","data":{"history":"forbidden"}}`},
		{&Subscribed{Channel: "c", Kept: true, Position: at, Asked: true, Head: 8}, `{"type":"subscribed","channel":"c","epoch":"E","offset":5,"data":{"recovered":true,"head":8}}`},
		{&Subscribed{Channel: "c", Kept: true, Position: at, Asked: true, Lost: "trimmed"}, `{"type":"subscribed","channel":"c","epoch":"E","offset":5,"data":{"recovered":false,"reason":"trimmed"}}`},
		{&Unsubscribed{ID: []byte(`"u"`), Channel: "c"}, `{"type":"unsubscribed","channel":"c","id":"u"}`},
		{&Ack{ID: []byte("2"), Channel: "c"}, `{"type":"ack","channel":"c","id":2}`},
		{&Ack{ID: []byte("2"), Channel: "c", Position: at}, `{"type":"ack","channel":"c","id":2,"epoch":"E","offset":5}`},
		{&Ack{ID: []byte("2"), Expires: noon}, `{"type":"ack","id":2,"data":{"expires":1790000000000}}`},
		{&Ack{ID: []byte("2"), Result: []byte(`[1]`)}, `{"type":"ack","id":2,"data":[1]}`},
		{&Error{ID: []byte("3"), Channel: "c", Err: protocol.Errorf(protocol.CodeForbidden, "no")}, `{"type":"error","channel":"c","id":3,"data":{"code":"forbidden","message":"no","retryable":false,"retry_after":0,"href":"/v1/errors/forbidden"}}`},
		{&Gap{Channel: "c", Reason: "slow", Lost: channel.Gap{Missed: 4}}, `{"type":"gap","channel":"c","data":{"missed":4,"reason":"slow"}}`},
		{&Gap{Channel: "c", Reason: "trimmed", Epoch: "E", Lost: channel.Gap{From: 2, To: 4}}, `{"type":"gap","channel":"c","data":{"from":2,"to":4,"reason":"trimmed"}}`},
		{&Gap{Channel: "c", Reason: "epoch", Epoch: "F", Lost: channel.Gap{From: 2, To: 4, Epoch: true, Origin: 3}}, `{"type":"gap","channel":"c","epoch":"F","offset":3,"data":{"from":2,"to":4,"reason":"epoch"}}`},
		{&State{Channel: "c", More: true}, `{"type":"state","channel":"c","data":{"items":[],"more":true}}`},
		{&History{ID: []byte("4"), Channel: "c", Epoch: "E", Entries: []*channel.Entry{entry(5, "1"), bytes}},
			fmt.Sprintf(`{"type":"history","channel":"c","id":4,"epoch":"E","data":{"messages":[%s,%s],"more":false}}`, entry(5, "1").JSON(), bytes.Line())},
		{&Members{Channel: "c", Page: broker.MemberPage{Total: 2, More: true, Members: []broker.Member{{ID: "m", Connection: "secret", User: "u"}, {ID: "n", Data: []byte(`{}`)}}}},
			`{"type":"presence","channel":"c","data":{"action":"members","members":[{"id":"m","user":"u"},{"id":"n","data":{}}],"total":2,"more":true}}`},
		{&Ping{}, `{"type":"ping"}`},
		{&Pong{ID: []byte("5"), Time: noon}, `{"type":"pong","id":5,"data":{"time":1790000000000}}`},
		{&Reconnect{After: time.Second, Within: 2 * time.Second}, `{"type":"reconnect","data":{"after":1000,"within":2000}}`},
		{Closing(protocol.CloseForbidden, "go away"), `{"type":"error","data":{"code":"forbidden","message":"go away","retryable":false,"retry_after":0,"href":"/v1/errors/forbidden","close":4003}}`},
	} {
		n := Encode(c.e)
		if got := string(protocol.AppendJSON(nil, &n.Message)); got != c.want {
			t.Errorf("%T:\n got %s\nwant %s", c.e, got, c.want)
		}
		n.Release()
	}
}

// TestClosing: what the close codes are where there are no close frames.
func TestClosing(t *testing.T) {
	for code, want := range map[protocol.CloseCode]protocol.Code{
		protocol.CloseInvalidToken: protocol.CodeUnauthorized, protocol.CloseNoAuth: protocol.CodeUnauthorized, protocol.CloseTokenExpired: protocol.CodeUnauthorized,
		protocol.CloseByOperator: protocol.CodeForbidden, protocol.CloseRateLimited: protocol.CodeRateLimited, protocol.CloseProtocol: protocol.CodeBadRequest,
		protocol.CloseInternal: protocol.CodeInternal, protocol.CloseBackendRefused: protocol.CodeUnavailable,
	} {
		e := Closing(code, "")
		if e == nil || e.Err.Code != want || e.Close != code || e.Err.Message == "" || e.Err.Retryable != (code >= 4100 || code < 4000) {
			t.Errorf("%d: %+v", code, e)
		}
	}
	for _, code := range []protocol.CloseCode{protocol.CloseDraining, protocol.CloseNormal, protocol.CloseGoingAway} {
		if e := Closing(code, "x"); e != nil {
			t.Errorf("%d is told: %+v", code, e)
		}
	}
}

// TestEncodeAllocations: encoding allocates nothing once its memory is there, and
// keeps no large buffer.
func TestEncodeAllocations(t *testing.T) {
	e := &Ack{ID: []byte("17"), Channel: "c", Position: protocol.Position{Epoch: "E", Offset: 5}}
	if n := testing.AllocsPerRun(1000, func() { Encode(e).Release() }); n > 0.1 {
		t.Errorf("%v allocations an ack", n)
	}
	n := Encode(&Ack{Result: make([]byte, 2*mostData)})
	n.Release()
	for range 100 {
		if got := Encode(&Ping{}); cap(got.data) > mostData {
			t.Fatal("a large buffer is kept")
		}
	}
}
