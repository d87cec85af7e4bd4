// Command nodes weighs two nodes of a server on one Redis: what a delivery costs
// them, and Redis, in CPU. It runs ringdown beside its rival centrifuge, and beside
// other builds of itself, round by round, and prints the medians.
//
//	cd bench && go run ./cmd/nodes -subscribers 10 -rate 1000
//
// Half of the subscribers are on each node; one client publishes, on the first.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"ringdown/internal/load"
)

var (
	subscribers = flag.Int("subscribers", 10, "on both nodes together")
	rate        = flag.Int("rate", 1000, "publications a second")
	channel     = flag.String("channel", "kept:1", "kept:1 has a history, room:1 has none")
	seconds     = flag.Int("seconds", 8, "how long each is weighed")
	rounds      = flag.Int("rounds", 3, "rounds, of each server in turn")
	size        = flag.Int("size", 100, "bytes of a message's data")
	before      = flag.String("before", "", "programs that were built from servers/ringdown of other checkouts, with commas between: they take part, by the names of their files")
)

// cost is what one round came to, in microseconds a delivery and a publication.
type cost struct{ node, redis float64 }

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "nodes")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs := map[string]string{}
	names := []string{"ringdown", "centrifuge"}
	for _, name := range names {
		programs[name] = filepath.Join(dir, name)
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", programs[name], "./servers/"+name).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	for _, path := range strings.FieldsFunc(*before, func(r rune) bool { return r == ',' }) {
		names = append(names, filepath.Base(path))
		programs[filepath.Base(path)] = path
	}
	found := map[string][]cost{}
	for round := range *rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			c, err := weigh(ctx, dir, programs[name], name == "centrifuge")
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Printf("%-12s %6.2f µs of the nodes a delivery, %6.2f µs of Redis a publication\n", name, c.node, c.redis)
			found[name] = append(found[name], c)
		}
	}
	fmt.Println("medians (least to most), and times centrifuge:")
	rival := found["centrifuge"]
	for _, name := range names {
		fmt.Printf("%-12s %s of the nodes, %s of Redis\n", name, figure(found[name], rival, cost.ofNode), figure(found[name], rival, cost.ofRedis))
	}
	return nil
}

func (c cost) ofNode() float64  { return c.node }
func (c cost) ofRedis() float64 { return c.redis }

func figure(list, rival []cost, of func(cost) float64) string {
	all, theirs := sorted(list, of), sorted(rival, of)
	median := all[len(all)/2]
	return fmt.Sprintf("%6.2f µs (%.2f to %.2f), × %.2f", median, all[0], all[len(all)-1], median/theirs[len(theirs)/2])
}

func sorted(list []cost, of func(cost) float64) (all []float64) {
	for _, c := range list {
		all = append(all, of(c))
	}
	slices.Sort(all)
	return all
}

// weigh runs one server with two nodes.
func weigh(ctx context.Context, dir, program string, rival bool) (c cost, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var started []*exec.Cmd
	defer func() {
		cancel() // which ends them
		for _, p := range started {
			_ = p.Wait()
		}
	}()
	port, err := freePort()
	if err != nil {
		return c, err
	}
	redis := exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", dir)
	if err := redis.Start(); err != nil {
		return c, err
	}
	started = append(started, redis)
	address := net.JoinHostPort("127.0.0.1", port)
	if err := await(address); err != nil {
		return c, err
	}
	var urls []string
	for range 2 {
		node := exec.CommandContext(ctx, program)
		node.Env = append(os.Environ(), "RINGDOWN_BENCH_REDIS="+address)
		node.Stderr = os.Stderr
		out, err := node.StdoutPipe()
		if err != nil {
			return c, err
		}
		if err := node.Start(); err != nil {
			return c, err
		}
		started = append(started, node)
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			return c, err
		}
		at := strings.TrimSpace(strings.TrimPrefix(line, "listening "))
		if rival {
			urls = append(urls, "ws://"+at+"/")
		} else {
			urls = append(urls, "ws://"+at+"/v1/ws")
		}
	}
	return measure(ctx, rival, urls, started)
}

// measure has the clients talk, and reads what the processes spent meanwhile.
func measure(ctx context.Context, rival bool, urls []string, processes []*exec.Cmd) (c cost, err error) {
	var got atomic.Int64
	for i := range *subscribers {
		if _, err := client(ctx, rival, urls[i%2], true, &got); err != nil {
			return c, err
		}
	}
	var ignored atomic.Int64
	publisher, err := client(ctx, rival, urls[0], false, &ignored)
	if err != nil {
		return c, err
	}
	ending, end := context.WithCancel(ctx)
	var work sync.WaitGroup
	var sent atomic.Int64
	var failed error
	work.Go(func() { failed = publish(ending, publisher, rival, &sent) })
	defer func() { end(); work.Wait(); err = errors.Join(err, failed) }()
	time.Sleep(time.Second) // warm
	was, deliveries, publications := spent(processes), got.Load(), sent.Load()
	time.Sleep(time.Duration(*seconds) * time.Second)
	after, d, p := spent(processes), float64(got.Load()-deliveries), float64(sent.Load()-publications)
	if want := float64(*rate * *seconds); p < 0.8*want || d < 0.8*p*float64(*subscribers) {
		return c, fmt.Errorf("%v publications and %v deliveries, which is too few of %v", p, d, want)
	}
	c.redis = float64((after[0] - was[0]).Nanoseconds()) / 1000 / p
	c.node = float64((after[1] + after[2] - was[1] - was[2]).Nanoseconds()) / 1000 / d
	return c, nil
}

// client connects, and subscribes if it is to.
func client(ctx context.Context, rival bool, url string, subscribe bool, got *atomic.Int64) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, url, nil) //nolint:bodyclose // the library closes it
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	var first []string
	if rival {
		first = append(first, `{"id":1,"connect":{}}`)
	}
	switch {
	case subscribe && rival:
		first = append(first, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, *channel))
	case subscribe:
		first = append(first, fmt.Sprintf(`{"type":"subscribe","channel":%q,"id":1}`, *channel))
	}
	for _, text := range first {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			return nil, err
		}
	}
	ready := make(chan error, 1)
	go func() {
		told := false
		for {
			_, text, err := conn.Read(ctx)
			if err != nil {
				if !told {
					ready <- err
				}
				return
			}
			if !told && (!subscribe || bytes.Contains(text, []byte(`"subscribe`))) {
				told = true
				ready <- nil
			}
			got.Add(int64(bytes.Count(text, []byte(`"x":"`)))) // some may share a frame
		}
	}()
	return conn, <-ready
}

func publish(ctx context.Context, conn *websocket.Conn, rival bool, sent *atomic.Int64) error {
	data := fmt.Sprintf(`{"x":"%s"}`, strings.Repeat("y", *size))
	text := fmt.Sprintf(`{"type":"e","channel":%q,"data":%s}`, *channel, data)
	if rival {
		text = fmt.Sprintf(`{"id":3,"publish":{"channel":%q,"data":%s}}`, *channel, data)
	}
	begun := time.Now()
	for n := 0; ; n++ {
		if wait := time.Until(begun.Add(time.Duration(n) * time.Second / time.Duration(*rate))); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil
			}
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		sent.Add(1)
	}
}

// spent is the CPU that processes have taken so far.
func spent(processes []*exec.Cmd) (list []time.Duration) {
	for _, p := range processes {
		d, _ := load.ProcessOf(p.Process.Pid).CPU() // of one that is gone: nothing
		list = append(list, d)
	}
	return list
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

func await(address string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return err
		}
	}
}
