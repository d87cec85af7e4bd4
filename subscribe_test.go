package ringdown_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ringdown"
	"ringdown/protocol"
)

const subscribeConfig = `
channels:
  - name: log
    history: {messages: 50}
    buffer: {messages: 16}
  - name: live
    buffer: {messages: 16}
  - name: board
    state: {}
`

// TestSubscribe: a program is given what a channel gets, in order, from where it
// says, and may take its time.
func TestSubscribe(t *testing.T) {
	srv := start(t, ringdown.Options{Config: []byte(subscribeConfig)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	publish := func(channel, key string, n int) ringdown.Receipt {
		t.Helper()
		r, err := srv.Publish(ctx, channel, "e", n, ringdown.WithKey(key))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for n := range 5 {
		publish("log", "", n)
	}
	// From the past on; what is published meanwhile is far more than waits for anybody.
	var last ringdown.Received
	count := 0
	for m, err := range srv.Subscribe(ctx, "log", ringdown.Latest(3)) {
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != fmt.Sprint(count+2) || m.Offset != uint64(count+3) || m.Epoch == "" {
			t.Fatalf("%d: %+v", count, m)
		}
		if last = m; m.Offset < 30 {
			publish("log", "", int(m.Offset)+2)
		}
		if count++; m.Offset == 32 {
			break
		}
	}
	// Behind a message that it was given before; and behind one that is trimmed.
	for m, err := range srv.Subscribe(ctx, "log", ringdown.After(last.Epoch, last.Offset-1)) {
		if err != nil || m.Offset != last.Offset || string(m.Data) != string(last.Data) {
			t.Fatalf("%+v, %v", m, err)
		}
		break
	}
	for n := range 60 {
		publish("log", "", n)
	}
	for _, err := range srv.Subscribe(ctx, "log", ringdown.After(last.Epoch, 1)) {
		if lost, ok := errors.AsType[*ringdown.Lost](err); !ok || lost.Reason != "trimmed" {
			t.Fatal(err)
		}
		break
	}
	// A state comes first, and its deletions.
	publish("board", "a", 1)
	publish("board", "b", 2)
	var seen []string
	for m, err := range srv.Subscribe(ctx, "board") {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, m.Key+"="+string(m.Data)); len(seen) == 2 {
			publish("board", "a", 3)
		}
		if len(seen) == 3 {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "a=1 b=2 a=3" {
		t.Error(got)
	}
	for _, err := range srv.Subscribe(ctx, "nowhere") {
		if e := protocol.AsError(err); e.Code != protocol.CodeNotFound {
			t.Error(err)
		}
	}
}

// TestSubscribeSlowly: who takes long over a message of a channel that keeps nothing
// is told what it missed, and the iteration goes on.
func TestSubscribeSlowly(t *testing.T) {
	srv := start(t, ringdown.Options{Config: []byte(subscribeConfig)})
	const total = 40
	large := strings.Repeat("x", 50<<10)
	publish := func() {
		for range total {
			if _, err := srv.Publish(t.Context(), "live", "e", large); err != nil {
				t.Error(err)
			}
		}
	}
	// Nothing is taken while all of it is published: the buffer of the channel turns
	// over many times.
	begun := ringdown.Begun(func(string, uint64) { publish() })
	given, missed := uint64(0), uint64(0)
	for m, err := range srv.Subscribe(t.Context(), "live", begun) {
		if lost, ok := errors.AsType[*ringdown.Lost](err); ok && lost.Reason == "slow" {
			missed += lost.Missed
		} else if err != nil || len(m.Data) != len(large)+2 {
			t.Fatal(len(m.Data), err)
		} else {
			given++
		}
		if given+missed == total {
			break
		}
	}
	if missed == 0 || given < 4 {
		t.Errorf("%d messages were given and %d missed", given, missed)
	}
}

// TestSubscribeEnds: the context, the server's end and the program end it.
func TestSubscribeEnds(t *testing.T) {
	srv := start(t, ringdown.Options{Config: []byte(subscribeConfig)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for _, err := range srv.Subscribe(ctx, "live", ringdown.Begun(func(string, uint64) { cancel() })) {
			ended <- err
		}
	}()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	there := make(chan struct{})
	go func() {
		for _, err := range srv.Subscribe(t.Context(), "live", ringdown.Begun(func(string, uint64) { close(there) })) {
			ended <- err
		}
	}()
	<-there
	if err := srv.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; protocol.AsError(err).Code != protocol.CodeUnavailable {
		t.Error(err)
	}
}
