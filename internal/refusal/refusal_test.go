package refusal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/protocol"
)

func TestLine(t *testing.T) {
	var out bytes.Buffer
	r := NewRecorder(slog.New(slog.NewTextHandler(&out, nil)))
	e := protocol.Errorf(protocol.CodeForbidden, "publish on %q is refused", "chat:1")
	e.Rule = "chat:{room}.allow.publish"
	r.Note(Refusal{Door: SSE, Err: fmt.Errorf("deep: %w", e), Cause: errors.New("the backend said no"), Action: "publish",
		User: "ann", Channel: "chat:1", Connection: "c1", Address: netip.MustParseAddr("2001:db8::1"), Closed: protocol.CloseForbidden})
	for _, want := range []string{"level=INFO", "msg=refused", "reason=rule", "code=forbidden", "door=sse", "action=publish", "rule=chat:{room}.allow.publish",
		"user=ann", "address=2001:db8::1", "channel=chat:1", "connection=c1", "closed=4003", `cause="the backend said no"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, &out)
		}
	}
	out.Reset()
	r.Note(Refusal{Err: errors.New("a disk broke")})
	if s := out.String(); !strings.Contains(s, "reason=internal") || !strings.Contains(s, `cause="a disk broke"`) {
		t.Error(s)
	}
	out.Reset()
	r.Note(Refusal{Err: nil})
	(*Recorder)(nil).Note(Refusal{Err: e})
	if out.Len() > 0 {
		t.Error(out.String())
	}
	out.Reset()
	r.Note(Refusal{Err: e, Channel: strings.Repeat("x", 10_000)})
	if out.Len() > 1000 {
		t.Errorf("a line of %d bytes", out.Len())
	}
}

func TestNames(t *testing.T) {
	for want, e := range map[string]*protocol.Error{
		"not_found":                  {Code: protocol.CodeNotFound},
		"origin":                     {Code: protocol.CodeForbidden, Reason: "origin"},
		"rule":                       {Code: protocol.CodeForbidden, Reason: "x", Rule: "a.allow.publish"},
		"limits.messages_per_second": {Code: protocol.CodeRateLimited, Limit: "limits.messages_per_second"},
	} {
		if got := Name(e); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestFlood holds the log to its lines, and the counts to the truth.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := NewRecorder(slog.New(slog.NewTextHandler(&out, nil)))
		lines := func() int { return strings.Count(out.String(), "\n") }
		e := &protocol.Error{Code: protocol.CodeForbidden, Reason: "origin"}
		for range 1000 {
			r.Note(Refusal{Door: WebSocket, Err: e})
		}
		if lines() != linesAtOnce {
			t.Fatalf("%d lines at once", lines())
		}
		// Another reason has lines of its own.
		r.Note(Refusal{Door: WebSocket, Err: &protocol.Error{Code: protocol.CodeNotFound}})
		if lines() != linesAtOnce+1 {
			t.Fatal("one reason keeps another out of the log")
		}
		out.Reset()
		time.Sleep(lineEvery)
		r.Note(Refusal{Door: WebSocket, Err: e})
		r.Note(Refusal{Door: WebSocket, Err: e})
		if lines() != 1 || !strings.Contains(out.String(), fmt.Sprintf("left_out=%d", 1000-linesAtOnce)) {
			t.Fatalf("after a while: %s", &out)
		}
		if n := r.Counts()[Key{WebSocket, protocol.CodeForbidden, "origin"}]; n != 1002 {
			t.Fatalf("counted %d", n)
		}
		for i := range 2 * mostNames {
			r.Note(Refusal{Err: &protocol.Error{Code: protocol.CodeForbidden, Reason: fmt.Sprint(i)}})
		}
		if n := len(r.Counts()); n > mostNames+3 {
			t.Fatalf("%d names", n)
		}
	})
}
