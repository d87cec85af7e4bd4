package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/client"
	"ringdown/examples/demo"
	"ringdown/examples/inbox"
	"ringdown/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// said takes what the demo says, and gives its address.
type said chan string

func (s said) Write(p []byte) (int, error) {
	if found := regexp.MustCompile(`http://127[0-9.:]+`).Find(p); found != nil {
		select {
		case s <- string(found):
		default:
		}
	}
	return len(p), nil
}

// users runs a demo, and makes clients of it.
func users(t *testing.T) func(user string) *client.Client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, ended, dir := make(said, 1), make(chan error, 1), t.TempDir()
	go func() {
		ended <- demo.Run(ctx, demo.Options{Listen: "127.0.0.1:0", DataDir: dir, Apps: []string{"inbox"}, Out: out, Logger: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var address string
	select {
	case address = <-out:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return func(user string) *client.Client {
		t.Helper()
		answer, err := http.Get(address + "/demo/token?user=" + user)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body struct{ Token string }
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		network := &http.Transport{}
		c, err := client.New(address, client.WithFixedToken(body.Token), client.WithHTTPClient(&http.Client{Transport: network}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.Close()
			network.CloseIdleConnections()
		})
		return c
	}
}

func TestCalls(t *testing.T) {
	sign := users(t)
	ann, ben := sign("ann"), sign("ben")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	// Sent again under the same reference it is there once; another's reference is another.
	var first, again, other struct{ Offset uint64 }
	note := map[string]any{"to": "ann", "kind": "mention", "text": "hello", "reference": "note-1"}
	for c, at := range map[*struct{ Offset uint64 }]*client.Client{&first: ben, &other: ann} {
		if err := at.Call(ctx, "inbox-send", note, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := ben.Call(ctx, "inbox-send", note, &again); err != nil || again != first || other == first {
		t.Errorf("it is at %d, sent again at %d (%v), and by another at %d", first.Offset, again.Offset, err, other.Offset)
	}

	// Whose inbox it is, and nobody else's.
	if _, err := ben.Channel("inbox:ann").Page(ctx, 0, 1); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("another's inbox: %v", err)
	}
	for _, channel := range []string{"inbox:ann", "inbox:ann:marks"} {
		if _, err := ann.Channel(channel).Publish(ctx, "notification", map[string]any{"kind": "system", "text": "x"}, client.Key("read")); !errors.Is(err, client.ErrForbidden) {
			t.Errorf("written to %s by its user: %v", channel, err)
		}
	}

	// What cannot be.
	for name, data := range map[string]any{
		"nobody":         map[string]any{"to": "", "kind": "mention", "text": "x"},
		"another's mark": map[string]any{"to": "ann:marks", "kind": "mention", "text": "x"},
		"no such kind":   map[string]any{"to": "ann", "kind": "gossip", "text": "x"},
		"nothing":        map[string]any{"to": "ann", "kind": "mention", "text": ""},
		"too much":       map[string]any{"to": "ann", "kind": "mention", "text": strings.Repeat("x", 281)},
	} {
		if err := ben.Call(ctx, "inbox-send", data, nil); err == nil {
			t.Errorf("%s was sent", name)
		}
	}
	err := ann.Call(ctx, "inbox-read", map[string]any{"epoch": "another", "upto": 1}, nil)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Code != protocol.CodeConflict {
		t.Errorf("marks of another epoch: %v", err)
	}
}

// TestDevicesMarkAtOnce: whatever the devices of a user mark at the same time, all of it
// is read in the end.
func TestDevicesMarkAtOnce(t *testing.T) {
	const devices, each = 4, 10
	sign := users(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ben := sign("ben")
	for range devices * each {
		if err := ben.Call(ctx, "inbox-send", map[string]any{"to": "ann", "kind": "order", "text": "x"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	sub := sign("ann")
	state, err := sub.Channel("inbox:ann:marks").State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	epoch := epochOf(t, ctx, ben)
	var all sync.WaitGroup
	for d := range devices {
		device := sign("ann")
		all.Go(func() {
			for n := range each {
				offset := n*devices + d + 1
				if err := device.Call(ctx, "inbox-read", map[string]any{"epoch": epoch, "offsets": []int{offset}}, nil); err != nil {
					t.Errorf("marking %d: %v", offset, err)
				}
			}
		})
	}
	all.Wait()
	for {
		var m inbox.Marks
		if _, err := state.Get("read", &m); err == nil && len(m.Also) == devices*each {
			break
		}
		select {
		case <-state.Changed():
		case <-ctx.Done():
			t.Fatalf("of %d only %v are read", devices*each, m)
		}
	}
	if err := sub.Call(ctx, "inbox-read", map[string]any{"epoch": epoch, "upto": devices*each + 1}, nil); err == nil {
		t.Error("what is not there yet was marked as read")
	}
}

// epochOf returns the epoch of the server's channels, as an ack tells it.
func epochOf(t *testing.T, ctx context.Context, c *client.Client) string {
	t.Helper()
	ack, err := c.Channel("lab:epoch").Publish(ctx, "x", 1)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Epoch
}
