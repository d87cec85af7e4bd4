package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	server "ringdown"
	"ringdown/internal/auth"
)

const followSecret = "a-secret-of-at-least-thirty-two-bytes!"

// newFollowed starts a real server with the channel that is followed.
func newFollowed(t *testing.T) Target {
	t.Helper()
	srv, err := server.New(server.Options{Config: []byte(`
auth: {jwt: {secret: env:SECRET}}
store: {memory: true}
channels:
  - name: updates
    history: {messages: 1000}
    allow: {subscribe: signed_in, publish: 'user == "user-0"'}
`), Env: func(string) (string, bool) { return followSecret, true }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := &http.Server{Handler: srv.Handler()}
	done := make(chan struct{})
	go func() { _ = front.Serve(listener); close(done) }()
	t.Cleanup(func() {
		front.Close()
		<-done
		if err := srv.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return Target{Name: "ringdown", Addr: listener.Addr().String(), PID: os.Getpid()}
}

func followToken(user int) (string, error) {
	return auth.Sign(auth.JWT{Algorithm: "HS256", Secret: []byte(followSecret)},
		map[string]any{"sub": fmt.Sprintf("user-%d", user), "exp": time.Now().Add(time.Hour).Unix()})
}

// brieflyFollowing is a run short enough for a test.
func brieflyFollowing(way Way) Following {
	f := Following{Way: way, Users: 5, Token: followToken, Duration: 2 * time.Second}
	if way == ShortPoll {
		f.Every = 500 * time.Millisecond
	}
	return f
}

func TestEveryWayGetsEveryUpdate(t *testing.T) {
	eachWire(t, func(t *testing.T, plain bool) {
		for _, way := range []Way{ShortPoll, LongPoll, SSE, WebSocket} {
			t.Run(string(way), func(t *testing.T) {
				t.Parallel()
				target := newFollowed(t)
				target.plain = plain
				phases := map[string]bool{}
				r, err := Follow(t.Context(), brieflyFollowing(way), target, func(p Progress) { phases[p.Phase] = true })
				if err != nil {
					t.Fatal(err)
				}
				if r.Missing+r.Disordered+r.Skipped != 0 || r.Lost != 0 {
					t.Errorf("not all is well: %+v", r.Tally)
				}
				if r.Published < 1 || r.Published > 3 || r.Delivered < 5*(r.Published-1) {
					t.Errorf("%d published and %d delivered in two seconds", r.Published, r.Delivered)
				}
				if !phases["measure"] {
					t.Errorf("told only of %v", phases)
				}
				checkFigures(t, r)
			})
		}
	})
}

// checkFigures looks whether figures are those of the way that they are said to be of.
func checkFigures(t *testing.T, r *Followed) {
	t.Helper()
	f := r.Figures
	asks := r.Way == ShortPoll || r.Way == LongPoll
	if asks != (f.Requests > 0) || asks != (f.BytesUp > 0) {
		t.Errorf("%v requests a second and %v bytes up", f.Requests, f.BytesUp)
	}
	if f.BytesDown < PayloadBytes || f.BytesDown > 2000 {
		t.Errorf("%v bytes down for an update of %d", f.BytesDown, PayloadBytes)
	}
	if r.Way == ShortPoll && (f.Requests < 5 || f.Requests > 15) {
		t.Errorf("%v requests a second of 5 users who ask twice", f.Requests)
	}
	if f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 || f.CPUMicros <= 0 {
		t.Errorf("figures %+v", f)
	}
}

func TestFollowSaysWhatIsWrong(t *testing.T) {
	target := newFollowed(t)
	stranger := func(int) (string, error) { return "no-token", nil }
	none := func(int) (string, error) { return "", errors.New("no pen") }
	for name, c := range map[string]struct {
		change func(*Following)
		want   string
	}{
		"no way":     {func(f *Following) { f.Way = "pigeon" }, "pigeon"},
		"no period":  {func(f *Following) { f.Every = 0 }, "users poll each"},
		"a period":   {func(f *Following) { f.Way = SSE }, "no period"},
		"nobody":     {func(f *Following) { f.Users = 0 }, "at least one"},
		"no time":    {func(f *Following) { f.Duration = 0 }, "duration"},
		"no tokens":  {func(f *Following) { f.Token = nil }, "tokens"},
		"no pen":     {func(f *Following) { f.Token = none }, "no pen"},
		"bad tokens": {func(f *Following) { f.Token = stranger }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			f := brieflyFollowing(ShortPoll)
			c.change(&f)
			if _, err := Follow(t.Context(), f, target, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestAFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := brieflyFollowing(LongPoll)
	f.Duration = time.Hour
	_, err := Follow(ctx, f, newFollowed(t), func(p Progress) {
		if p.Phase == "measure" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// TestDeliveriesAreAccountedFor: what a user was not given, or was given twice, is found.
func TestDeliveriesAreAccountedFor(t *testing.T) {
	stamps := func(numbers ...uint32) (p []byte) {
		for _, n := range numbers {
			p = append(appendStamp(append(p, `{"data":`...), time.Second, n), '}')
		}
		return p
	}
	a := &audience{users: make([]user, 2)}
	a.published = 6
	a.deliveries(&a.users[1], stamps(0, 1), 3*time.Second)
	if a.delivered != 2 || a.gone != 0 || a.disordered != 0 || a.owed() != 4 {
		t.Fatalf("after two: %d delivered, %d gone, %d disordered, %d owed", a.delivered, a.gone, a.disordered, a.owed())
	}
	a.deliveries(&a.users[1], stamps(1, 4), 3*time.Second)
	if a.delivered != 3 || a.gone != 2 || a.disordered != 1 || a.owed() != 1 {
		t.Errorf("after one twice and two left out: %d delivered, %d gone, %d disordered, %d owed", a.delivered, a.gone, a.disordered, a.owed())
	}
	if got := a.latency.Max(); got != 2*time.Second {
		t.Errorf("a delay of %v", got)
	}
}

// TestAPollThatIsUnansweredIsNotRepeated: a slow server is asked less, and that is told.
func TestAPollThatIsUnansweredIsNotRepeated(t *testing.T) {
	w := &fakeWire{written: map[int][]byte{}}
	a := &audience{wire: w, ways: [2]way{socket{publishes: true}, shortPoll{}}, host: "h", users: make([]user, 3), every: time.Second, silent: true}
	for i := range a.users {
		a.users[i].state = present
	}
	if wake := a.pump(600 * time.Millisecond); wake != time.Second {
		t.Errorf("the next poll is due at %v", wake)
	}
	a.users[1].waiting = false
	a.pump(1600 * time.Millisecond)
	if first, second := requestsIn(w, 1), requestsIn(w, 2); first != 2 || second != 1 || a.skipped != 1 || a.requests != 3 {
		t.Errorf("%d and %d requests, %d skipped, %d counted", first, second, a.skipped, a.requests)
	}
	if a.sent != uint64(len(w.written[1])+len(w.written[2])) {
		t.Errorf("%d bytes counted", a.sent)
	}
}

func requestsIn(w *fakeWire, i int) int { return strings.Count(string(w.written[i]), "GET /v1/") }
