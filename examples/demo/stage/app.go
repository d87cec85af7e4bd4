package stage

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"ringdown"
)

// App is an example: its pages and routes, and what runs behind them.
type App interface {
	Part
	Routes(mux *http.ServeMux)
}

// Dialer is an app of which parts come to the demo over the network, as clients do.
// Ready is called once, when requests are being answered at address.
type Dialer interface {
	Ready(address net.Addr)
}

// Setting is what the demo gives to each of its apps.
type Setting struct {
	Server *ringdown.Server
	Gate   *Gate
	Dir    string // for what the app keeps
	Logger *slog.Logger
}

// Folder is an app without a back end: the files of web under /name/.
func Folder(name string, web fs.FS) App { return &folder{name, web} }

type folder struct {
	name string
	web  fs.FS
}

func (f *folder) Routes(mux *http.ServeMux) {
	web, err := fs.Sub(f.web, "web")
	if err != nil {
		panic(err) // only a name that is no path
	}
	mux.Handle("/"+f.name+"/", http.StripPrefix("/"+f.name, Pages(web)))
}

func (f *folder) Start(context.Context) error { return nil }
func (f *folder) Stop(context.Context) error  { return nil }

// lookEvery is how often a simulation that sleeps looks whether anybody is there.
const lookEvery = 250 * time.Millisecond

// Simulation calls a function again and again, but only while somebody watches: an
// example must not keep a machine busy that nobody looks at.
type Simulation struct {
	period  time.Duration
	watched func(ctx context.Context) bool
	step    func(ctx context.Context, now time.Time)

	cancel context.CancelFunc
	done   chan struct{}
}

// Simulate makes a simulation that calls step every period while watched says so. Both
// are called on one goroutine, from Start to Stop. After a sleep the next step comes
// as if no time had been lost: it is for step to see by now how long it was.
func Simulate(period time.Duration, watched func(ctx context.Context) bool, step func(ctx context.Context, now time.Time)) *Simulation {
	return &Simulation{period: period, watched: watched, step: step, done: make(chan struct{})}
}

// Start starts it.
func (s *Simulation) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.run(ctx)
	return nil
}

// Stop stops it and waits until the last step has ended. Stopping again, or what was
// never started, does nothing.
func (s *Simulation) Stop(context.Context) error {
	if s.cancel != nil {
		s.cancel()
		<-s.done
	}
	return nil
}

func (s *Simulation) run(ctx context.Context) {
	defer close(s.done)
	look, steps := time.NewTicker(lookEvery), time.NewTicker(s.period)
	defer look.Stop()
	defer steps.Stop()
	steps.Stop()
	awake := false
	for {
		select {
		case <-look.C:
			now := s.watched(ctx)
			if now && !awake {
				steps.Reset(s.period)
			} else if !now {
				steps.Stop()
			}
			awake = now
		case now := <-steps.C:
			if awake { // a tick may have been on its way
				s.step(ctx, now)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Watched returns a function that says whether anybody follows a channel whose name
// begins with one of the prefixes.
func Watched(s *ringdown.Server, prefixes ...string) func(ctx context.Context) bool {
	return func(ctx context.Context) bool {
		for _, p := range prefixes {
			// Who cannot be asked may be watching.
			if list, err := s.Channels(ctx, p); err != nil || len(list) > 0 {
				return true
			}
		}
		return false
	}
}

// Merge makes one configuration of those of several apps: the first as it is, and
// behind it what the others have under calls and channels. The files are text, so that
// their comments stay. Each of them has its sections at the beginning of a line.
func Merge(files ...[]byte) []byte {
	var head, calls, channels strings.Builder
	for i, file := range files {
		into := &head
		if i > 0 {
			into = nil // of the others what is neither
		}
		for line := range strings.Lines(string(file)) {
			switch {
			case strings.HasPrefix(line, "calls:"):
				into = &calls
				continue
			case strings.HasPrefix(line, "channels:"):
				into = &channels
				continue
			case line[0] != ' ' && line[0] != '#' && line[0] != '\n':
				if into = nil; i == 0 {
					into = &head
				}
			}
			if into != nil {
				into.WriteString(line)
			}
		}
		for _, b := range []*strings.Builder{&calls, &channels} {
			if text := b.String(); text != "" && !strings.HasSuffix(text, "\n\n") {
				b.WriteString("\n")
			}
		}
	}
	merged := head.String()
	if calls.Len() > 0 {
		merged += "calls:\n" + calls.String()
	}
	return []byte(merged + "channels:\n" + strings.TrimRight(channels.String(), "\n") + "\n")
}
