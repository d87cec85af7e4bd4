package main

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestQuick plays a small tournament of the two servers that need nothing but
// the toolchains: builds, starts, loads, reports and ends them.
func TestQuick(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler for the floor")
	}
	runtime.LockOSThread() // see main
	defer runtime.UnlockOSThread()
	o, err := parse([]string{"-quick", "-servers", "floor,gws", "-scenario", "idle,fanout,beside,storm"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range o.scenarios {
		s := &o.scenarios[i]
		s.Connections, s.Warmup, s.Duration = 50, 50*time.Millisecond, 200*time.Millisecond
	}
	servers, err := build(t.Context(), o.rivals, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	records, err := newTournament(o, servers).play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(o, records)
	if err := r.failures(); err != nil {
		t.Fatal(err, r.notes())
	}
	for _, row := range r.Rows {
		for _, server := range []string{"floor", "gws"} {
			// The floor has no garbage-collected heap to tell of.
			if _, ok := row.Median[server]; !ok && !(server == "floor" && strings.HasPrefix(row.Name, "heap")) {
				t.Errorf("%s, %s: nothing from %s", row.Scenario, row.Name, server)
			}
		}
	}
}

func TestStartTellsWhyAServerDoesNot(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, err := start(server{rival{name: "mute"}, []string{"sh", "-c", "echo bad luck >&2; exit 3"}}, false)
	if err == nil || !strings.Contains(err.Error(), "bad luck") {
		t.Errorf("error %v", err)
	}
	if _, err := start(server{rival{name: "none"}, []string{"/nonexistent/server"}}, false); err == nil {
		t.Error("a server that does not exist starts")
	}
}
