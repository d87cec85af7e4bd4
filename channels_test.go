package ringdown_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"ringdown"
)

// TestChannels: what is followed is listed, and no more when nobody follows it.
func TestChannels(t *testing.T) {
	s := start(t, ringdown.Options{})
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	list := func(prefix, want string) {
		t.Helper()
		found, err := s.Channels(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, c := range found {
			names = append(names, fmt.Sprintf("%s %d", c.Name, c.Subscribers))
		}
		if got := fmt.Sprint(names); got != want {
			t.Errorf("the list is %s, want %s", got, want)
		}
	}
	list("", "[]")
	for _, name := range []string{"hall:2", "orders", "hall:1"} {
		p.send(`{"type":"subscribe","channel":"` + name + `","id":1}`)
		if m := p.read(); m.Type != "subscribed" {
			t.Fatalf("%+v", m)
		}
	}
	list("hall:", "[hall:1 1 hall:2 1]")
	p.send(`{"type":"unsubscribe","channel":"hall:1","id":2}`)
	if m := p.read(); m.Type != "unsubscribed" {
		t.Fatalf("%+v", m)
	}
	list("hall:", "[hall:2 1]")
}

// TestChannelsPageByPage: all of them are listed, however many there are.
func TestChannelsPageByPage(t *testing.T) {
	s := start(t, ringdown.Options{})
	const many = 1001 // one more than is asked for at a time
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for n := range many {
		all.Go(func() {
			for range s.Subscribe(ctx, fmt.Sprintf("lab:%04d", n)) {
			}
		})
	}
	for {
		list, err := s.Channels(t.Context(), "lab:")
		if err != nil {
			t.Fatal(err)
		}
		if len(list) < many {
			continue // some have not begun yet
		}
		for n, c := range list {
			if c.Name != fmt.Sprintf("lab:%04d", n) || c.Epoch == "" {
				t.Fatalf("number %d is %+v", n, c)
			}
		}
		return
	}
}
