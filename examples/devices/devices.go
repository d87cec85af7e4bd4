// Package devices is an example: a fleet of devices that report, obey and vanish.
//
// Each device is a client of the server with a token of its own. It writes what it
// measures under its own name to a state channel, leaves as its will that it is offline,
// follows the channel of its commands and answers each of them once:
//
//	devices:telemetry          state    device-01: {"temperature":21.4,"valve":false,…}
//	devices:status             state    device-01: {"status":"online"}, or its will: "offline"
//	devices:{device}:commands  history  {"id":"…","verb":"valve","value":true,"deadline":1790000000000}
//	devices:{device}:replies   history  {"id":"…","outcome":"done"}
//
// device.go is a device in Go, fleet.py the same in Python: that is what to copy. The rest
// simulates greenhouses with a dozen of them in this process, whose plugs can be pulled.
// They come over the network all the same.
package devices

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// Config is the configuration of the fleet alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

const (
	telemetryChannel = "devices:telemetry"
	statusChannel    = "devices:status"
	plugsChannel     = "devices:plugs"

	// A device reports every period; their turns are spread over it in steps.
	period = 2 * time.Second
	steps  = 8
)

// sites are where the simulated devices are, four of them at each.
var sites = []string{"North house", "South house", "Seedlings"}

const perSite = 4

// Fleet is the simulated devices, what people may do to them, and the page. Its methods
// are safe for concurrent use.
type Fleet struct {
	server  *ringdown.Server
	log     *slog.Logger
	journal *journal
	sim     *stage.Simulation
	turn    int // owned by the simulation

	mu      sync.Mutex
	devices map[string]*simulated
	order   []*simulated
	address string // of the server; "": not known yet
	stopped bool
}

// simulated is a device and its plug. The fleet's lock guards the plug.
type simulated struct {
	device *Device
	in     bool
	pull   func(hard bool) // cuts the power, or if it is not hard switches it off; nil: it is off
}

// Open opens the journals of the devices and sets the hook and the call.
func Open(at stage.Setting) (*Fleet, error) {
	j, err := openJournal(filepath.Join(at.Dir, "devices.db"))
	if err != nil {
		return nil, err
	}
	f := &Fleet{server: at.Server, log: cmp.Or(at.Logger, slog.Default()), journal: j, devices: map[string]*simulated{}}
	for i := range perSite * len(sites) {
		id := fmt.Sprintf("device-%02d", i+1)
		s := &simulated{in: true, device: &Device{
			ID:      id,
			Token:   func() (string, error) { return at.Gate.Token(id) },
			Body:    newBody(sites[i/perSite], rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))),
			Journal: j.of(id),
			Log:     f.log,
		}}
		f.devices[id] = s
		f.order = append(f.order, s)
	}
	at.Server.OnPublish(guard)
	at.Server.HandleCall("devices-plug", f.plug)
	f.sim = stage.Simulate(period/steps, stage.Watched(at.Server, telemetryChannel), f.step)
	return f, nil
}

// Start tells of all devices that they are offline: a server that was killed took their
// wills along. Who is there says so itself when it comes.
func (f *Fleet) Start(ctx context.Context) error {
	st, err := f.server.State(ctx, statusChannel)
	if err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	for id := range st.Values {
		if _, err := f.server.Publish(ctx, statusChannel, "status", status{Status: "offline"}, ringdown.WithKey(id)); err != nil {
			return fmt.Errorf("devices: %w", err)
		}
	}
	for id := range f.devices {
		if err := f.tell(ctx, id, true); err != nil {
			return err
		}
	}
	return f.sim.Start(ctx)
}

// Ready switches the devices on, as now there is a server at address.
func (f *Fleet) Ready(address net.Addr) {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		f.log.Warn("devices: they dial TCP, and stay off", "address", address)
		return
	}
	host := tcp.IP
	if host.IsUnspecified() {
		host = net.IPv4(127, 0, 0, 1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.address = "http://" + (&net.TCPAddr{IP: host, Port: tcp.Port}).String()
	for _, s := range f.order {
		f.power(s)
	}
}

// Stop switches all devices off. Stopping again does nothing.
func (f *Fleet) Stop(ctx context.Context) error {
	err := f.sim.Stop(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	var all sync.WaitGroup
	for _, s := range f.order {
		if s.pull != nil {
			all.Go(func() { s.pull(false) })
		}
	}
	all.Wait()
	return errors.Join(err, f.journal.close())
}

// Routes adds the page to mux, all of it under /devices/.
func (f *Fleet) Routes(mux *http.ServeMux) {
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/devices/", http.StripPrefix("/devices", stage.Pages(web)))
}

// power switches a device on if its plug is in. The lock is held.
func (f *Fleet) power(s *simulated) {
	if !s.in || s.pull != nil || f.address == "" || f.stopped {
		return
	}
	wire := &cord{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.device.Run(ctx, f.address, wire)
	}()
	s.pull = func(hard bool) {
		if hard {
			wire.cut()
		}
		cancel()
		<-done
	}
}

// step has the devices report whose turn it is. It is called while somebody watches.
func (f *Fleet) step(_ context.Context, _ time.Time) {
	f.turn++
	for i, s := range f.order {
		if i%steps == f.turn%steps {
			s.device.Report()
		}
	}
}

// plug answers the call by which somebody pulls a plug or puts it in again.
func (f *Fleet) plug(ctx context.Context, call *ringdown.Call) (any, error) {
	who, err := stage.CallerOf(call.Claims)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(who.User, devicePrefix) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "a device cannot pull plugs")
	}
	var want struct {
		Device string `json:"device"`
		In     bool   `json:"in"`
	}
	if err := stage.DecodeJSON(bytes.NewReader(call.Data), &want); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.devices[want.Device]
	switch {
	case s == nil:
		return nil, protocol.Errorf(protocol.CodeNotFound, "there is no device here of that name whose plug is within reach")
	case f.stopped:
		return nil, protocol.Errorf(protocol.CodeUnavailable, "the greenhouses are closing")
	}
	if s.in = want.In; s.in {
		f.power(s)
	} else if s.pull != nil {
		s.pull(true)
		s.pull = nil
	}
	return map[string]bool{"in": s.in}, f.tell(ctx, want.Device, s.in)
}

func (f *Fleet) tell(ctx context.Context, id string, in bool) error {
	_, err := f.server.Publish(ctx, plugsChannel, "plug", map[string]bool{"in": in}, ringdown.WithKey(id))
	return err
}
