package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/store"
	"ringdown/protocol"
)

// childEnv names the directory that a process of this test publishes into.
const childEnv = "RINGDOWN_TEST_STORE"

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

var kept = &channel.Declaration{Name: "kept", History: &channel.History{}, State: &channel.State{}}

const (
	killChannels   = 5
	killPublishers = 16
)

// TestKill (F01, F03) kills a server under load, again and again, with SIGKILL: every message
// that was acknowledged or delivered is there afterwards, at its offset, and the
// epoch is the same. With fsync: interval the epoch changes.
func TestKill(t *testing.T) {
	rounds := 20
	if os.Getenv("RINGDOWN_LONG") != "" {
		rounds = 200
	}
	if testing.Short() {
		rounds = 5
	}
	t.Run("always", func(t *testing.T) { kills(t, store.Always, rounds) })
	t.Run("interval", func(t *testing.T) { kills(t, store.Interval, max(2, rounds/10)) })
}

func kills(t *testing.T, mode store.Fsync, rounds int) {
	dir := t.TempDir()
	told := map[string]map[string]string{} // channel, offset, data
	epoch := ""
	for round := range rounds {
		out := runChild(t, dir, mode, time.Duration(rand.IntN(80))*time.Millisecond)
		b := New(store.Options{Dir: dir, Fsync: mode, Logger: silent, MinFree: 1})
		if err := b.Start(t.Context(), "node", nil); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		was := ""
		for _, line := range out {
			what, rest, _ := strings.Cut(line, " ")
			switch what {
			case "epoch":
				was = rest
			case "acked", "fed":
				p := strings.SplitN(rest, " ", 3)
				if told[p[0]] == nil {
					told[p[0]] = map[string]string{}
				}
				told[p[0]][p[1]] = p[2]
			}
		}
		now := b.store.Epoch()
		switch {
		case mode == store.Always && epoch != "" && (now != epoch || was != "" && was != epoch):
			t.Fatalf("round %d: the epoch was %q, then %q, then %q", round, epoch, was, now)
		case mode == store.Interval && now == was:
			t.Fatalf("round %d: the epoch is still %q", round, now)
		}
		epoch = now
		missing(t, b, told)
		if err := b.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for _, m := range told {
		count += len(m)
	}
	t.Logf("%d kills, %d messages acknowledged or delivered", rounds, count)
	if count == 0 {
		t.Error("nothing was published: this tested nothing")
	}
	if r, err := store.Verify(t.Context(), store.Options{Dir: dir, Logger: silent}, nil); err != nil || len(r.Damage) > 0 {
		t.Errorf("%v, %v", r.Damage, err)
	}
}

// missing looks for everything that was told. A kill alone loses nothing in any
// mode: the system has what was written.
func missing(t *testing.T, b *Broker, told map[string]map[string]string) {
	t.Helper()
	for name, want := range told {
		found := 0
		for after := uint64(0); ; {
			page, err := b.Open(name, kept).Read(t.Context(), broker.Range{After: after, Limit: 5000, Bytes: 8 << 20})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				var m protocol.Message
				if err := e.Message(&m); err != nil {
					t.Fatal(err)
				}
				if e.Prev != after {
					t.Fatalf("%s: %d follows %d", name, e.Offset, after)
				}
				after = e.Offset
				if data, ok := want[fmt.Sprint(e.Offset)]; ok {
					found++
					if data != string(m.Data) {
						t.Fatalf("%s: message %d is %s and was %s", name, e.Offset, m.Data, data)
					}
				}
			}
			if !page.More {
				break
			}
		}
		if found != len(want) {
			t.Fatalf("%s: %d of %d messages that were acknowledged or delivered are there", name, found, len(want))
		}
	}
}

// runChild publishes in another process until it is killed, and returns the whole
// lines that it wrote.
func runChild(t *testing.T, dir string, mode store.Fsync, life time.Duration) (lines []string) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	c.Env = append(os.Environ(), childEnv+"="+dir, childEnv+"_FSYNC="+string(mode))
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	var timer *time.Timer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // a line that was cut off was not told
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "PASS" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "panic") {
			t.Errorf("the child ended by itself: %s", line)
		}
		if timer == nil {
			// Its first line says that it runs.
			timer = time.AfterFunc(life, func() { c.Process.Kill() })
		}
		lines = append(lines, line)
	}
	if timer != nil {
		timer.Stop()
	}
	c.Process.Kill()
	c.Wait()
	return lines
}

// printer writes what it is fed, each entry as one line in one write.
type printer struct {
	mu  sync.Mutex
	out io.Writer
}

func (p *printer) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// Begin implements broker.Follower.
func (p *printer) Begin(protocol.Position, error) {}

// Restart implements broker.Follower.
func (p *printer) Restart(protocol.Position) {}

// Entry implements broker.Follower.
func (p *printer) Entry(_ string, e *channel.Entry) {
	var m protocol.Message
	if err := e.Message(&m); err != nil {
		panic(err)
	}
	p.say("fed %s %d %s", m.Channel, e.Offset, m.Data)
}

type done chan outcome

type outcome struct {
	r   broker.Receipt
	err error
}

// TestKillChild is the process that is killed.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		t.Skip("this is the other process of TestKill")
	}
	p := &printer{out: os.Stdout}
	// Files are small, so that kills meet their ends and the sorting of tables.
	b := New(store.Options{Dir: dir, Fsync: store.Fsync(os.Getenv(childEnv + "_FSYNC")), Interval: 5 * time.Millisecond, Logger: silent,
		SegmentBytes: 64 << 10, MemTableBytes: 128 << 10, MinFree: 1})
	if err := b.Start(t.Context(), "node", nil); err != nil {
		t.Fatal(err)
	}
	p.say("epoch %s", b.store.Epoch())
	b.Open("c0", kept).Follow(p)
	for n := range killPublishers {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprint("c", (n+i)%killChannels)
				pub := &broker.Publication{Message: protocol.Message{Type: "e", Channel: name, Key: fmt.Sprint("k", i%50),
					Data: fmt.Appendf(nil, `"%d-%d-%d-%0*d"`, os.Getpid(), n, i, i%200, 0)}}
				d := make(done, 1)
				b.Open(name, kept).Append(pub, d)
				o := <-d
				if o.err != nil {
					p.say("--- refused: %v", o.err)
					return
				}
				p.say("acked %s %d %s", name, o.r.Position.Offset, pub.Message.Data)
			}
		}()
	}
	select {}
}

func (d done) Appended(r broker.Receipt, err error) { d <- outcome{r, err} }
