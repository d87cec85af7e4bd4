package spec

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is for an adapter that does not answer: its client hangs.
const patience = 20 * time.Second

// onTheWire are the events that must come in their order with none between.
var onTheWire = []string{"line", "send", "drop", "token"}

// player plays one case with one adapter.
type player struct {
	in     io.Writer
	out    chan map[string]any // what the adapter says; closed when it ends
	wire   []map[string]any    // not yet expected
	told   []map[string]any
	named  map[string]any // values of $names
	script strings.Builder

	now   float64 // of the adapter's clock, in milliseconds
	lacks []any   // what this client has no use for
}

// ErrLacks says that the client has no use for what the case is about.
var ErrLacks = errors.New("the client has none of these")

// Play plays a case with the adapter that command starts. The error says which step
// failed, what came in place of what was expected, and all that was said before.
func Play(c *Case, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "../.." // where commands and their paths are meant
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &player{in: in, out: make(chan map[string]any, 64), named: map[string]any{}}
	go p.listen(out)
	failed := p.play(c)
	_ = in.Close()
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	for range p.out {
	}
	ended := cmd.Wait()
	late.Stop()
	if failed == nil && ended != nil {
		failed = fmt.Errorf("the adapter ended with %w", ended)
	}
	if errors.Is(failed, ErrLacks) {
		return failed
	}
	if failed != nil {
		return fmt.Errorf("%s/%s: %w\n\nwhat was said:\n%s%s", c.File, c.Name, failed, p.script.String(), complaints.String())
	}
	return nil
}

func (p *player) listen(out io.Reader) {
	defer close(p.out)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e map[string]any
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			e = map[string]any{"event": "no JSON: " + lines.Text()}
		}
		p.out <- e
	}
}

func (p *player) play(c *Case) error {
	for i, s := range c.Steps {
		if c.Needs != "" && slices.Contains(p.lacks, any(c.Needs)) {
			return ErrLacks
		}
		if err := p.step(&s); err != nil {
			return fmt.Errorf("step %d, %s %s: %w", i+1, s.Kind, text(s.Value), err)
		}
	}
	if len(p.wire) > 0 {
		return fmt.Errorf("at the end, nobody had expected %s", text(p.wire[0]))
	}
	return nil
}

func (p *player) step(s *Step) error {
	switch s.Kind {
	case "line", "send", "drop", "token":
		return p.expectWire(s)
	case "told":
		return p.expectTold(s)
	case "none":
		for _, e := range p.told {
			if e["event"] == s.Value {
				return fmt.Errorf("there is %s", text(e))
			}
		}
		return nil
	case "quiet":
		if err := p.say(map[string]any{"do": "advance", "ms": s.Value}); err != nil {
			return err
		}
		if len(p.wire) > 0 {
			return fmt.Errorf("there is %s", text(p.wire[0]))
		}
		return nil
	}
	return p.say(p.command(s))
}

// command is what a step says to the adapter.
func (p *player) command(s *Step) map[string]any {
	c := map[string]any{"do": s.Kind}
	value := p.fill(s.Value)
	switch fields, _ := value.(map[string]any); s.Kind {
	case "do":
		c = fields
	case "receive":
		c["message"] = value
	case "advance", "jump":
		c["ms"] = value
	default:
		for k, v := range fields {
			c[k] = v
		}
	}
	if s.On > 0 {
		c["line"] = s.On
	}
	return c
}

// say gives the adapter a command and takes what comes of it.
func (p *player) say(command map[string]any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	fmt.Fprintf(&p.script, "→ %s\n", line)
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("the adapter does not read: %w", err)
	}
	if ms, ok := command["ms"].(float64); ok {
		p.now += ms
	}
	watchdog := time.After(patience)
	for {
		select {
		case e, ok := <-p.out:
			if !ok {
				return errors.New("the adapter has ended")
			}
			if e["settled"] == true {
				return nil
			}
			fmt.Fprintf(&p.script, "  ← %s\n", text(e))
			if e["event"] == "started" {
				p.now, _ = e["now"].(float64)
				p.lacks, _ = e["lacks"].([]any)
				continue
			}
			if kind, _ := e["event"].(string); slices.Contains(onTheWire, kind) {
				p.wire = append(p.wire, e)
			} else {
				p.told = append(p.told, e)
			}
		case <-watchdog:
			return errors.New("the adapter does not answer")
		}
	}
}

func (p *player) expectWire(s *Step) error {
	if len(p.wire) == 0 {
		return errors.New("nothing came")
	}
	e := p.wire[0]
	if e["event"] != s.Kind {
		return fmt.Errorf("there came %s", text(e))
	}
	if s.On > 0 && e["line"] != float64(s.On) {
		return fmt.Errorf("of another line: %s", text(e))
	}
	p.wire = p.wire[1:]
	var got any = e
	switch s.Kind {
	case "send":
		got = e["message"]
		// A channel that is only named may be a string.
		if m, ok := got.(map[string]any); ok {
			list, _ := m["channels"].([]any)
			for i, c := range list {
				if name, ok := c.(string); ok {
					list[i] = map[string]any{"channel": name}
				}
			}
		}
	case "drop":
		got = e["code"]
		if s.Value == nil {
			return nil
		}
	case "token":
		got = e["reason"]
	}
	return p.match(s.Value, got, s.Kind)
}

func (p *player) expectTold(s *Step) error {
	want, ok := s.Value.(map[string]any)
	if !ok {
		return errors.New("told takes a mapping with event")
	}
	for i, e := range p.told {
		if want["as"] != e["as"] || !alike(want, e, "event", "channel", "state", "reason", "transport") {
			continue
		}
		// States that came before it are passed over: there are many, and few matter to a case.
		rest := p.told[i+1:]
		if p.told = slices.Clone(p.told[:i]); want["event"] == "state" {
			p.told = slices.DeleteFunc(p.told, func(e map[string]any) bool { return e["event"] == "state" })
		}
		p.told = append(p.told, rest...)
		return p.match(want, e, "told")
	}
	return errors.New("it was not told")
}

// alike says whether e has the fields of want that tell events apart.
func alike(want, e map[string]any, fields ...string) bool {
	for _, f := range fields {
		if want[f] != nil && want[f] != e[f] {
			return false
		}
	}
	return true
}

// match compares by the fields that are wanted, lists as a whole, and gives names to values.
func (p *player) match(want, got any, where string) error {
	switch w := want.(type) {
	case nil:
		if got != nil {
			return fmt.Errorf("%s is %s, want none", where, text(got))
		}
	case string:
		if strings.HasPrefix(w, "$") {
			if known, ok := p.named[w]; ok {
				return p.match(known, got, where)
			}
			if got == nil {
				return fmt.Errorf("%s is missing", where)
			}
			p.named[w] = got
			return nil
		}
		if got != want {
			return fmt.Errorf("%s is %s, want %s", where, text(got), text(want))
		}
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %s, want %s", where, text(got), text(want))
		}
		for k, v := range w {
			if err := p.match(v, g[k], where+"."+k); err != nil {
				return err
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s is %s, want %s", where, text(got), text(want))
		}
		for i := range w {
			if err := p.match(w[i], g[i], fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	default:
		if got != want {
			return fmt.Errorf("%s is %s, want %s", where, text(got), text(want))
		}
	}
	return nil
}

// fill puts values in the place of their names, and times in the place of now+MS.
func (p *player) fill(v any) any {
	switch v := v.(type) {
	case string:
		if ms, ok := strings.CutPrefix(v, "now+"); ok {
			if n, err := strconv.ParseFloat(ms, 64); err == nil {
				return p.now + n
			}
		}
		if known, ok := p.named[v]; ok && strings.HasPrefix(v, "$") {
			return known
		}
	case map[string]any:
		filled := make(map[string]any, len(v))
		for k, field := range v {
			filled[k] = p.fill(field)
		}
		return filled
	case []any:
		filled := make([]any, len(v))
		for i := range v {
			filled[i] = p.fill(v[i])
		}
		return filled
	}
	return v
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
