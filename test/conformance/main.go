// Command conformance runs Autobahn's WebSocket cases, by way of the Python
// package kosoku, against an echo on the server's own connection code: the real
// handshake, framing, compression and event loops, with an echo in the place of
// the session. It prints a table and ends with one line of counts.
//
//	go run ./test/conformance -cases quick -engines epoll,std
//
// With -listen it only serves the echo, for a suite run by hand:
//
//	go run ./test/conformance -listen 127.0.0.1:9001 -engines std -max-message 65536
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/transport/websocket"
	"ringdown/internal/wsframe"
)

const kosoku = "kosoku==0.1.0"

// selections are the cases of the suite: 1-7 and 10 the protocol, 9 large
// messages, 12 and 13 compression, which take long.
var selections = map[string][]string{
	"all": nil,
	"quick": {"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*",
		"12.1.1", "12.1.2", "12.1.5", "12.2.3", "12.3.3", "12.4.3", "12.5.3",
		"13.1.1", "13.1.3", "13.2.3", "13.3.3", "13.4.3", "13.5.3", "13.6.3", "13.7.3"},
}

func main() {
	cases := flag.String("cases", "quick", "quick or all")
	engines := flag.String("engines", "epoll,std", "engines to test, divided by commas")
	reports := flag.String("reports", "reports", "directory of the suite's own reports")
	listen := flag.String("listen", "", "only serve the echo, at this address, on the first of the engines")
	largest := flag.Int("max-message", 17<<20, "bytes that a message may have; group 9 goes to 16 MiB")
	compression := flag.Bool("compression", true, "accept permessage-deflate")
	flag.Parse()
	o := echoOptions{listen: "127.0.0.1:0", largest: *largest, compression: *compression}
	selection, ok := selections[*cases]
	if !ok {
		fmt.Fprintln(os.Stderr, "conformance: -cases is quick or all")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *listen != "" {
		o.listen = *listen
		o.engine, _, _ = strings.Cut(*engines, ",")
		if err := serveOnly(ctx, o); err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			os.Exit(1)
		}
		return
	}
	suite, err := install(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
	passed, failed := 0, 0
	for engine := range strings.SplitSeq(*engines, ",") {
		if engine == "epoll" && runtime.GOOS != "linux" {
			fmt.Println("epoll: not on this system")
			continue
		}
		o.engine = engine
		p, f, err := run(ctx, suite, o, selection, filepath.Join(*reports, engine))
		if err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			os.Exit(1)
		}
		passed, failed = passed+p, failed+f
	}
	fmt.Printf("\n%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

// install makes a virtual environment with the suite, once.
func install(ctx context.Context) (string, error) {
	dir, err := filepath.Abs(".tools/kosoku")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "bin", "kosoku")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Println("installing", kosoku)
	for _, args := range [][]string{{"python3", "-m", "venv", dir}, {filepath.Join(dir, "bin", "pip"), "install", "-q", kosoku}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return program, nil
}

// echoOptions say how the echo is served.
type echoOptions struct {
	engine, listen string
	largest        int // bytes of a message
	compression    bool
}

// echo sends back what it gets.
type echo struct{ largest int }

func (echo) Open(*websocket.Conn) {}
func (echo) Message(c *websocket.Conn, op wsframe.Opcode, p []byte) {
	c.WriteMessage(op, p)
}
func (echo) Drained(*websocket.Conn)          {}
func (echo) Closed(*websocket.Conn, error)    {}
func (e echo) MaxMessage(*websocket.Conn) int { return e.largest }

// serve runs the echo until stop is called.
func serve(ctx context.Context, o echoOptions) (addr string, stop func() error, err error) {
	e, err := reactor.New(reactor.Options{Engine: o.engine, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", nil, err
	}
	if err := e.Start(ctx); err != nil {
		return "", nil, err
	}
	// All is as it comes but for one thing. RFC 7692 §6 leaves it to the sender
	// which messages it compresses, and this server leaves small ones plain; but a
	// plain text where compression was agreed breaks the suite's own hashing
	// ("Strings must be encoded before hashing"). The package's tests hold the mix.
	h := websocket.NewApp(e, websocket.Options{Compression: o.compression, DeflateAlways: true}, func() websocket.App { return echo{o.largest} })
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return "", nil, errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }()
	return l.Addr().String(), func() error {
		return errors.Join(srv.Close(), e.Stop(context.WithoutCancel(ctx)))
	}, nil
}

// serveOnly serves the echo until ctx ends.
func serveOnly(ctx context.Context, o echoOptions) error {
	addr, stop, err := serve(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("an echo on engine %s listens at ws://%s\n", o.engine, addr)
	<-ctx.Done()
	return stop()
}

func run(ctx context.Context, suite string, o echoOptions, selection []string, reports string) (passed, failed int, err error) {
	addr, stop, err := serve(ctx, o)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := os.RemoveAll(reports); err != nil {
		return 0, 0, err
	}
	args := []string{"-m", "fuzzingclient", "-p", "2", "-o", reports}
	for _, c := range selection {
		args = append(args, "-i", c)
	}
	begun := time.Now()
	// Its exit code says whether a case failed, and so does its report.
	out, runErr := exec.CommandContext(ctx, suite, append(args, addr)...).CombinedOutput()
	results, err := read(reports)
	if err != nil {
		return 0, 0, fmt.Errorf("%w\n%w\n%s", err, runErr, out)
	}
	passed, failed = show(o.engine, results, time.Since(begun))
	return passed, failed, nil
}

// result is what the suite says of one case.
type result struct {
	Case          string `json:"-"`
	Behavior      string `json:"behavior"`
	BehaviorClose string `json:"behaviorClose"`
}

// read finds the suite's index: agents, their cases, and how each went.
func read(reports string) ([]result, error) {
	text, err := os.ReadFile(filepath.Join(reports, "index.json"))
	if err != nil {
		return nil, fmt.Errorf("the suite left no report: %w", err)
	}
	var index map[string]map[string]result
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("the suite's report: %w", err)
	}
	var list []result
	for _, cases := range index {
		for name, r := range cases {
			r.Case = name
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b result) int { return strings.Compare(a.Case, b.Case) })
	return list, nil
}

// good is how a case may go. NON-STRICT would be allowed by the suite, and
// UNIMPLEMENTED not counted; here neither passes.
func good(behavior string) bool {
	return behavior == "OK" || behavior == "INFORMATIONAL"
}

func show(engine string, results []result, took time.Duration) (passed, failed int) {
	groups := map[string]map[string]int{}
	for _, r := range results {
		group, _, _ := strings.Cut(r.Case, ".")
		if groups[group] == nil {
			groups[group] = map[string]int{}
		}
		groups[group][r.Behavior]++
		if good(r.Behavior) && (good(r.BehaviorClose) || r.BehaviorClose == "") {
			passed++
		} else {
			failed++
			fmt.Printf("  %s: %s, close %s\n", r.Case, r.Behavior, r.BehaviorClose)
		}
	}
	fmt.Printf("engine %s: %d cases in %.1f s\n", engine, len(results), took.Seconds())
	var names []string
	for g := range groups {
		names = append(names, g)
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, g := range names {
		var parts []string
		for behavior, n := range groups[g] {
			parts = append(parts, fmt.Sprintf("%d %s", n, behavior))
		}
		slices.Sort(parts)
		fmt.Printf("  group %-3s %s\n", g, strings.Join(parts, ", "))
	}
	return passed, failed
}
