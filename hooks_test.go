package ringdown_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"ringdown"
	"ringdown/protocol"
)

// TestSeveralHooks: functions of one hook are asked in order, and the first that
// refuses ends the asking.
func TestSeveralHooks(t *testing.T) {
	s := start(t, ringdown.Options{})
	var mu sync.Mutex
	var asked []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, what)
	}
	for _, n := range []string{"1", "2"} {
		s.OnConnect(func(context.Context, *ringdown.Connection) error { note("connect " + n); return nil })
		s.OnSubscribe(func(_ context.Context, _ *ringdown.Connection, channel string) error {
			note("subscribe " + n)
			if channel == "lab:closed" {
				return protocol.Errorf(protocol.CodeForbidden, "not this one")
			}
			return nil
		})
		s.OnPublish(func(context.Context, *ringdown.Connection, *ringdown.Message) error { note("publish " + n); return nil })
	}
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	for _, text := range []string{
		`{"type":"subscribe","channel":"lab:closed","id":1}`, `{"type":"subscribe","channel":"lab:open","id":2}`, `{"type":"e","channel":"lab:other","id":3}`,
	} {
		p.send(text)
		p.read()
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"connect 1", "connect 2", "subscribe 1", "subscribe 1", "subscribe 2", "publish 1", "publish 2"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}
