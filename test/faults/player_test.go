package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/test/history"
)

// tokenLife is how long the tokens of players are good: none of them lives as long as
// a run.
const tokenLife = 5 * time.Second

// player is an application with one of this project's clients: a process that follows
// all channels and publishes to them, told what to do as spec/client/README.md says.
// The client comes back by itself; what it tells is recorded.
type player struct {
	t        *testing.T
	name     string
	command  []string
	options  map[string]any
	rec      *history.Recorder
	channels []string
	every    time.Duration
	pad      string
	begun    map[string]history.Position // where each channel stood before the run
	heads    *heads

	stop  atomic.Bool
	acked atomic.Int64
	full  atomic.Bool

	cmd *exec.Cmd
	in  io.WriteCloser

	mu     sync.Mutex
	flying map[string]string // channel, by the id of a message without an answer
	at     map[string]*history.Position
	answer map[string]bool
	opened time.Duration // when the line was last opened
}

func (p *player) who() string { return p.name }

// say writes a command. Its failure is that of the process, which is told of elsewhere.
func (p *player) say(c map[string]any) {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.in.Write(append(text, '\n'))
}

// start starts the process; run goes on from there.
func (p *player) start(ctx context.Context) {
	p.flying, p.at, p.answer = map[string]string{}, map[string]*history.Position{}, map[string]bool{}
	p.cmd = exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	p.cmd.Dir = "../.."
	p.cmd.Stderr = os.Stderr
	p.cmd.Env = append(os.Environ(), "RINGDOWN_ADAPT=real")
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.say(map[string]any{"do": "start", "real": true, "options": p.options})
	for _, name := range p.channels {
		p.say(map[string]any{"do": "subscribe", "channel": name})
	}
	go p.listen(out)
}

func (p *player) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e told
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			p.t.Errorf("%s said %q", p.name, lines.Text())
			return
		}
		p.take(&e)
	}
}

// told is an event of the client.
type told struct {
	Event, Channel, State, Reason, As string
	Recovered                         *bool
	Error                             *struct{ Code, Message string }
	Value                             struct {
		Epoch  string
		Offset uint64
	}
	Message struct {
		Type   string
		Offset uint64
		Data   struct{ ID string }
	}
	From, To uint64
	text     string
}

// UnmarshalJSON takes events whose message is a text.
func (e *told) UnmarshalJSON(p []byte) error {
	type plain told
	var kind struct{ Event string }
	if err := json.Unmarshal(p, &kind); err != nil {
		return err
	}
	if kind.Event == "thrown" {
		e.Event, e.text = kind.Event, string(p)
		return nil
	}
	return json.Unmarshal(p, (*plain)(e))
}

func (p *player) take(e *told) {
	if e.Event == "token" {
		token, err := auth.Sign(auth.JWT{Secret: []byte(jwtSecret), Algorithm: "HS256"}, map[string]any{"sub": p.name, "exp": time.Now().Add(tokenLife).Unix()})
		if err != nil {
			panic(err)
		}
		p.say(map[string]any{"do": "token", "give": token})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Event {
	case "state":
		p.changed(e)
	case "subscribed":
		p.subscribed(e)
	case "message":
		at := p.at[e.Channel]
		if at == nil {
			p.t.Errorf("%s was given a message before it was subscribed to %s", p.name, e.Channel)
			return
		}
		p.rec.Add(history.Event{Kind: history.Recv, Client: p.name, Channel: e.Channel, Epoch: at.Epoch, Offset: e.Message.Offset, Prev: at.Offset, ID: e.Message.Data.ID})
		at.Offset = e.Message.Offset
		p.heads.reached(e.Channel, at.Offset)
	case "gap", "failed", "thrown":
		p.t.Errorf("%s was told %s of %s: %s %v %s", p.name, e.Event, e.Channel, e.Reason, e.Error, e.text)
	case "result":
		p.answered(e)
	}
}

func (p *player) changed(e *told) {
	switch e.State {
	case "opening":
		p.opened = p.rec.Now()
	case "waiting":
		// That it is away is not recorded: the application may still be given what had come.
		clear(p.answer)
	case "closed":
		p.t.Errorf("%s is closed: %v", p.name, e.Error)
	}
}

func (p *player) subscribed(e *told) {
	at := p.at[e.Channel]
	s := history.Event{Kind: history.SubOK, Client: p.name, Channel: e.Channel, Asked: p.opened}
	if at == nil {
		begun := p.begun[e.Channel]
		at = &begun
		p.at[e.Channel] = at
	} else {
		s.Since = &history.Position{Epoch: at.Epoch, Offset: at.Offset}
		s.Recovered, s.Reason = e.Recovered != nil && *e.Recovered, e.Reason
	}
	s.Epoch, s.Offset, s.Head = at.Epoch, at.Offset, p.heads.of(e.Channel)
	p.rec.Add(s)
	p.answer[e.Channel] = true
}

func (p *player) answered(e *told) {
	name, ok := p.flying[e.As]
	if !ok {
		return
	}
	delete(p.flying, e.As)
	p.full.Store(len(p.flying) >= window)
	done := history.Event{Kind: history.PubOK, Client: p.name, Channel: name, ID: e.As, Epoch: e.Value.Epoch, Offset: e.Value.Offset}
	switch {
	case e.Error == nil:
		p.acked.Add(1)
		p.heads.reached(name, e.Value.Offset)
	case e.Error.Code == "unknown":
		done = history.Event{Kind: history.PubUnknown, Client: p.name, Channel: name, ID: e.As, Reason: e.Error.Code}
	default:
		p.t.Errorf("a publication of %s failed: %v", p.name, *e.Error)
	}
	p.rec.Add(done)
}

// run publishes until stop is set and everything has its answer, or ctx ends.
func (p *player) run(ctx context.Context) {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; {
		<-tick.C
		p.mu.Lock()
		flying := len(p.flying)
		p.mu.Unlock()
		switch {
		case p.stop.Load() && flying == 0:
			return
		case p.stop.Load() || flying >= window:
			continue
		}
		n++
		id, name := fmt.Sprintf("%s-%d", p.name, n), p.channels[n%len(p.channels)]
		p.mu.Lock()
		p.flying[id] = name
		p.full.Store(len(p.flying) >= window)
		p.rec.Add(history.Event{Kind: history.PubInvoke, Client: p.name, Channel: name, ID: id})
		p.mu.Unlock()
		p.say(map[string]any{"do": "publish", "channel": name, "type": "m", "data": map[string]string{"ID": id, "pad": p.pad}, "as": id})
	}
}

// end ends the process.
func (p *player) end() {
	p.in.Close()
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait() // it was killed
}

func (p *player) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) } // it may be gone already

func (p *player) follows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.answer) == len(p.channels)
}

func (p *player) has(name string, want history.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.at[name]
	return at != nil && p.answer[name] && at.Epoch == want.Epoch && at.Offset >= want.Offset
}

func (p *player) finish()     { p.stop.Store(true) }
func (p *player) acks() int64 { return p.acked.Load() }
func (p *player) stuck() bool { return p.full.Load() }

// heads are the offsets that logs have reached, as far as players know. Clients do not
// tell their application what the server said of it.
type heads struct {
	mu sync.Mutex
	at map[string]uint64
}

func (h *heads) reached(name string, offset uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at[name] = max(h.at[name], offset)
}

func (h *heads) of(name string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at[name]
}

// sdks are the clients of this project, by the commands that start their adapters.
func sdks(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	binary := t.TempDir() + "/adapter"
	build(t, "../..", "go", "test", "-c", "-o", binary, "./client")
	all["go"] = []string{binary, "-test.run=^TestAdapter$", "-test.timeout=0"}
	if _, err := exec.LookPath("python3"); err == nil {
		all["python"] = []string{strings.TrimSpace(build(t, "../..", "sdk/python/check.sh", "--environment")), "sdk/python/adapter/adapter.py"}
	}
	if _, err := exec.LookPath("npm"); err == nil {
		build(t, "../..", "sdk/typescript/build.sh")
		all["typescript"] = []string{"node", "sdk/typescript/adapter/adapter.mjs"}
		all["typescript-tab"] = []string{"env", "RINGDOWN_SHARED=1", "node", "sdk/typescript/adapter/adapter.mjs"}
	}
	if len(all) < 4 {
		t.Log("not all clients take part: npm or python3 is not installed")
	}
	return all
}

func build(t *testing.T, dir string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	return string(out)
}
