package devices

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown"
	"ringdown/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// A command is done once, whatever happens to the process of the device.
func TestObey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "devices.db")
	var all *journal
	var j Journal
	start := func() {
		t.Helper()
		var err error
		if all, err = openJournal(path); err != nil {
			t.Fatal(err)
		}
		j = all.of("device-01")
	}
	restart := func() {
		t.Helper()
		if err := all.close(); err != nil {
			t.Fatal(err)
		}
		start()
	}
	start()
	t.Cleanup(func() { _ = all.close() })

	now := time.Now()
	soon, over := now.Add(time.Minute).UnixMilli(), now.Add(-time.Minute).UnixMilli()
	done := 0
	fine := func(Command) error { done++; return nil }
	wont := func(Command) error { done++; return errors.New("the battery is flat") }
	expect := func(what string, c Command, do func(Command) error, outcome Outcome, tell bool, times int) {
		t.Helper()
		r, again, err := obey(j, c, now, do)
		if err != nil || r.ID != c.ID || r.Outcome != outcome || again != tell || done != times {
			t.Errorf("%s: %+v, to be told: %t, %v; done %d times, want %s, %t and %d", what, r, again, err, done, outcome, tell, times)
		}
	}
	expect("a command", Command{ID: "command-1", Deadline: soon}, fine, Done, true, 1)
	expect("the same", Command{ID: "command-1", Deadline: soon}, fine, Done, true, 1)
	restart()
	expect("after a restart", Command{ID: "command-1", Deadline: soon}, wont, Done, true, 1)
	if err := j.Told("command-1"); err != nil {
		t.Error(err)
	}
	restart()
	expect("when its reply is stored", Command{ID: "command-1", Deadline: soon}, wont, Done, false, 1)
	expect("one that it refuses", Command{ID: "command-2", Deadline: soon}, wont, Refused, true, 2)
	expect("the same", Command{ID: "command-2", Deadline: soon}, fine, Refused, true, 2)
	expect("past the deadline", Command{ID: "command-3", Deadline: over}, fine, Refused, true, 2)
	if _, err := j.Begin(Command{ID: "command-4", Deadline: soon}); err != nil {
		t.Error(err)
	}
	restart()
	expect("one in the middle of which power failed", Command{ID: "command-4", Deadline: soon}, fine, Unknown, true, 2)
	j = all.of("device-02")
	expect("another device's", Command{ID: "command-1", Deadline: soon}, fine, Done, true, 3)
}

func TestJournalForgets(t *testing.T) {
	all, err := openJournal(filepath.Join(t.TempDir(), "devices.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer all.close()
	j := all.of("device-01")
	old := time.Now().Add(-remembered - time.Hour).UnixMilli()
	for _, c := range []Command{{ID: "old-command", Deadline: old}, {ID: "new-command", Deadline: time.Now().UnixMilli()}, {ID: "any-command", Deadline: time.Now().UnixMilli()}} {
		if before, err := j.Begin(c); before != nil || err != nil {
			t.Errorf("%s: %+v, %v", c.ID, before, err)
		}
	}
	if err := j.Told("old-command"); err == nil {
		t.Error("a command that was over long ago is still in the journal")
	}
	if err := j.Told("new-command"); err != nil {
		t.Error(err)
	}
}

func TestGuard(t *testing.T) {
	in := func(d time.Duration) string {
		text, _ := json.Marshal(Command{ID: "command-1", Verb: "reboot", Value: json.RawMessage("null"), Deadline: time.Now().Add(d).UnixMilli()})
		return string(text)
	}
	tests := []struct {
		name, channel, key, data string
		code                     protocol.Code // "": let through
	}{
		{"its own report", telemetryChannel, "device-01", `{}`, ""},
		{"another's report", telemetryChannel, "device-02", `{}`, protocol.CodeForbidden},
		{"a report of nobody", telemetryChannel, "", `{}`, protocol.CodeForbidden},
		{"its own status", statusChannel, "device-01", `{}`, ""},
		{"another's status", statusChannel, "device-02", `{}`, protocol.CodeForbidden},
		{"a command", "devices:device-02:commands", "", in(time.Minute), ""},
		{"one that is sent again when it is over", "devices:device-02:commands", "", in(-time.Minute), ""},
		{"one that waits too long", "devices:device-02:commands", "", in(maxPatience + time.Minute), protocol.CodeInvalidData},
		{"none", "devices:device-02:commands", "", `[]`, protocol.CodeInvalidData},
		{"a reply", "devices:device-01:replies", "", `{}`, ""},
		{"something of another app", "chat:lobby", "x", `{}`, ""},
	}
	for _, test := range tests {
		err := guard(t.Context(), &ringdown.Connection{User: "device-01"}, &ringdown.Message{Channel: test.channel, Key: test.key, Data: []byte(test.data)})
		var code protocol.Code
		if e, ok := errors.AsType[*protocol.Error](err); ok {
			code = e.Code
		}
		if code != test.code || (err != nil) != (test.code != "") {
			t.Errorf("%s: %v, want %q", test.name, err, test.code)
		}
	}
}

func TestBody(t *testing.T) {
	b := newBody("here", rand.New(rand.NewPCG(1, 2)))
	for _, test := range []struct {
		verb, value string
		refused     bool
	}{
		{"valve", "true", false}, {"valve", "null", true}, {"valve", "1", true},
		{"target", "30", false}, {"target", "36", true}, {"target", "4", true}, {"target", "true", true}, {"target", "21.5", true},
		{"reboot", "null", false}, {"dance", "null", true}, {"valve", "true", false},
	} {
		if err := b.Do(Command{Verb: test.verb, Value: json.RawMessage(test.value)}); (err != nil) != test.refused {
			t.Errorf("%s %s: %v", test.verb, test.value, err)
		}
	}
	before := b.Measure()
	var after Telemetry
	for range 200 {
		after = b.Measure()
	}
	if !after.Valve || after.Moisture <= before.Moisture || after.Target != 30 || after.Temperature < 28 || after.Temperature > 32 {
		t.Errorf("heated to 30 degrees and watered it went from %+v to %+v", before, after)
	}
	b.battery = weak - 1
	if err := b.Do(Command{Verb: "valve", Value: json.RawMessage("true")}); err == nil {
		t.Error("a weak battery opened a valve")
	}
	if b.fail(); b.Measure().Valve {
		t.Error("without power the valve is open")
	}
}
