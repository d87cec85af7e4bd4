package devices_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/client"
	"ringdown/examples/demo"
	"ringdown/examples/devices"
)

const patience = 30 * time.Second // the grace of presence is 15 s

// running is a demo with the devices, and an operator of them.
type running struct {
	t       *testing.T
	address string
	ann     *client.Client
}

// said takes what the demo says, and gives its address.
type said struct{ address chan string }

func (s said) Write(p []byte) (int, error) {
	if found := regexp.MustCompile(`http://127[0-9.:]+`).Find(p); found != nil {
		select {
		case s.address <- string(found):
		default:
		}
	}
	return len(p), nil
}

func run(t *testing.T, dir string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := said{make(chan string, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{Listen: "127.0.0.1:0", DataDir: dir, Apps: []string{"devices"}, Out: out, Logger: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	r := &running{t: t}
	select {
	case r.address = <-out.address:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	r.ann = r.client("ann")
	return r
}

func (r *running) client(user string) *client.Client {
	r.t.Helper()
	answer, err := http.Get(r.address + "/demo/token?user=" + user)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	var body struct{ Token string }
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		r.t.Fatal(err)
	}
	network := &http.Transport{}
	c, err := client.New(r.address, client.WithFixedToken(body.Token), client.WithHTTPClient(&http.Client{Transport: network}))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		c.Close()
		network.CloseIdleConnections()
	})
	return c
}

// tell sends a command that is due within a time.
func (r *running) tell(device, id, verb string, value any, within time.Duration) error {
	command := map[string]any{"id": id, "verb": verb, "value": value, "deadline": time.Now().Add(within).UnixMilli()}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	_, err := r.ann.Channel("devices:"+device+":commands").Publish(ctx, "command", command)
	return err
}

// replies follows what a device answers, from the beginning; the function returns the next.
func (r *running) replies(device string) func() devices.Reply {
	sub := r.ann.Channel("devices:" + device + ":replies").Subscribe(client.Last(100))
	r.t.Cleanup(sub.Close)
	return func() (reply devices.Reply) {
		r.t.Helper()
		ctx, cancel := context.WithTimeout(r.t.Context(), patience)
		defer cancel()
		m, err := sub.Next(ctx)
		if err == nil {
			err = m.Decode(&reply)
		}
		if err != nil {
			r.t.Fatalf("waited for a reply of %s: %v", device, err)
		}
		return reply
	}
}

// state follows a state channel; the function waits until the value of a key fits.
func (r *running) state(channel string) func(key, part string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	s, err := r.ann.Channel(channel).State(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Close)
	return func(key, part string) string {
		r.t.Helper()
		late := time.After(patience)
		for {
			var text json.RawMessage
			if _, err := s.Get(key, &text); err == nil && text != nil && strings.Contains(string(text), part) {
				return string(text)
			}
			select {
			case <-s.Changed():
			case <-late:
				r.t.Fatalf("%s of %s is %s, and not %s", channel, key, text, part)
			}
		}
	}
}

func (r *running) plug(device string, in bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := r.ann.Call(ctx, "devices-plug", map[string]any{"device": device, "in": in}, nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) expect(got devices.Reply, id string, outcome devices.Outcome, reason string) {
	r.t.Helper()
	if got.ID != id || got.Outcome != outcome || !strings.Contains(got.Reason, reason) {
		r.t.Errorf("the reply is %+v, want %s of %s with %q", got, outcome, id, reason)
	}
}

func TestFleet(t *testing.T) {
	t.Parallel()
	r := run(t, t.TempDir())
	status, telemetry := r.state("devices:status"), r.state("devices:telemetry")
	status("device-01", "online")
	status("device-12", "online")
	telemetry("device-12", `"valve":false`) // they report, as somebody follows

	next := r.replies("device-01")
	tell := func(id, verb string, value any, within time.Duration) {
		t.Helper()
		if err := r.tell("device-01", id, verb, value, within); err != nil {
			t.Fatal(err)
		}
	}
	tell("command-1", "valve", true, time.Minute)
	r.expect(next(), "command-1", devices.Done, "")
	telemetry("device-01", `"valve":true`)
	tell("command-2", "target", 90, time.Minute)
	r.expect(next(), "command-2", devices.Refused, "between 5 and 35")
	tell("command-3", "target", 30, -time.Minute)
	r.expect(next(), "command-3", devices.Refused, "1m0s after its deadline")
	// Once: the same id again is neither done nor answered, so the next reply is another's.
	tell("command-1", "valve", false, time.Minute)
	tell("command-4", "reboot", nil, time.Minute)
	r.expect(next(), "command-4", devices.Done, "")
	// It was away for a moment when this one came.
	tell("command-5", "valve", true, time.Minute)
	r.expect(next(), "command-5", devices.Done, "")

	// Without a word: the server says it. What is kept for it is done when it is back, in time.
	r.plug("device-01", false)
	tell("command-6", "target", 25, time.Millisecond)
	tell("command-7", "target", 24, time.Minute)
	status("device-01", "gone without a word")
	r.plug("device-01", true)
	status("device-01", `"online"`)
	r.expect(next(), "command-6", devices.Refused, "after its deadline")
	r.expect(next(), "command-7", devices.Done, "")
	telemetry("device-01", `"target":24`)
}

func TestRights(t *testing.T) {
	r := run(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	device := r.client("device-99")
	report := map[string]any{"site": "x", "temperature": 20, "target": 20, "moisture": 1, "battery": 1, "signal": -1, "valve": false}
	publish := func(c *client.Client, channel, event string, data any, key string) error {
		_, err := c.Channel(channel).Publish(ctx, event, data, client.Key(key))
		return err
	}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"its own report", publish(device, "devices:telemetry", "telemetry", report, "device-99"), nil},
		{"another's report", publish(device, "devices:telemetry", "telemetry", report, "device-01"), client.ErrForbidden},
		{"a report of a person", publish(r.ann, "devices:telemetry", "telemetry", report, "ann"), client.ErrForbidden},
		{"a status of a person", publish(r.ann, "devices:status", "status", map[string]any{"status": "online"}, "ann"), client.ErrForbidden},
		{"another's will", device.Channel("devices:status").Enter(ctx, nil, client.Will{Type: "status", Key: "device-01", Data: map[string]any{"status": "offline"}}), client.ErrForbidden},
		{"a command of a device", publish(device, "devices:device-01:commands", "command", map[string]any{"id": "command-1", "verb": "reboot", "value": nil, "deadline": 1}, ""), client.ErrForbidden},
		{"a reply of a person", publish(r.ann, "devices:device-01:replies", "reply", map[string]any{"id": "command-1", "outcome": "done"}, ""), client.ErrForbidden},
		{"a plug pulled by a device", device.Call(ctx, "devices-plug", map[string]any{"device": "device-01", "in": false}, nil), client.ErrForbidden},
	}
	for _, test := range tests {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
	if _, err := device.Channel("devices:device-01:commands").Subscribe().Next(ctx); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("another's commands: %v", err)
	}
	if err := r.ann.Call(ctx, "devices-plug", map[string]any{"device": "device-99", "in": false}, nil); err == nil {
		t.Error("the plug of a device that is not here was pulled")
	}
	if err := r.tell("device-01", "command-2", "reboot", nil, time.Hour); err == nil {
		t.Error("a command may wait for an hour")
	}
}

// The devices in Python, as a process that is killed and started again.
func TestPython(t *testing.T) {
	t.Parallel()
	python := environment(t)
	r := run(t, t.TempDir())
	dir := t.TempDir()
	status, telemetry := r.state("devices:status"), r.state("devices:telemetry")
	var out output
	start := func() *exec.Cmd {
		t.Helper()
		cmd := exec.Command(python, "fleet.py", r.address, "--names", "device-py1", "--data", dir)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if cmd.ProcessState == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			if t.Failed() {
				t.Logf("the devices said:\n%s", out.String())
			}
		})
		return cmd
	}
	tell := func(id, verb string, value any, within time.Duration) {
		t.Helper()
		if err := r.tell("device-py1", id, verb, value, within); err != nil {
			t.Fatal(err)
		}
	}
	first := start()
	status("device-py1", "online")
	next := r.replies("device-py1")
	tell("command-1", "valve", true, time.Minute)
	r.expect(next(), "command-1", devices.Done, "")
	telemetry("device-py1", `"valve":true`)
	tell("command-2", "target", 99, time.Minute)
	r.expect(next(), "command-2", devices.Refused, "cannot")

	_ = first.Process.Kill()
	_ = first.Wait()
	tell("command-3", "target", 33, time.Millisecond)
	tell("command-4", "target", 30, time.Minute)
	// As it is killed between its journal and the deed.
	text, err := os.ReadFile(filepath.Join(dir, "device-py1.json"))
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]map[string]any{}
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	entries["command-5"] = map[string]any{"deadline": time.Now().Add(time.Minute).UnixMilli()}
	if text, err = json.Marshal(entries); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "device-py1.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	tell("command-5", "valve", true, time.Minute)
	status("device-py1", "gone without a word")

	second := start()
	r.expect(next(), "command-3", devices.Refused, "after its deadline")
	r.expect(next(), "command-4", devices.Done, "")
	r.expect(next(), "command-5", devices.Unknown, "power failed")
	status("device-py1", `"online"`)
	telemetry("device-py1", `"target":30`)

	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	status("device-py1", "switched off")
	if err := second.Wait(); err != nil {
		t.Errorf("it did not end well: %v", err)
	}
	if n := strings.Count(out.String(), "device-py1 valve True"); n != 1 {
		t.Errorf("the valve was opened %d times, and not once", n)
	}
}

// environment returns a Python with the client, or skips the test where there is no Python.
func environment(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.Command("../../sdk/python/check.sh", "--environment")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("making an environment for Python: %v\n%s", err, complaints.String())
	}
	return strings.TrimSpace(string(out))
}

// output is what a process says, while it says it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
