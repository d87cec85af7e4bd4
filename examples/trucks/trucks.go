// Package trucks is an example: a map on which five hundred vehicles move.
//
// Each of them reports where it is once a second, on the channel of the region
// that it is in, trucks:{region}, with its own number as the key:
//
//	position  {"lon":-18.31,"lat":0.02,"heading":85,"speed":71,"status":"driving",…}
//	position  null: it has left this region
//
// That is all. Who opens the map gets the latest of each vehicle, because the
// channel keeps a state; who was away gets what has changed; who is slow, or
// asked for less with `rate`, gets the newest of each and not all that came
// before. None of it is in this package, which is a simulation of trucks and a
// page to look at them. The simulation sleeps while nobody looks.
//
// The country is invented (country.json), and nothing of it is copied from any
// map. It lies at the equator, where a degree is as long in either direction,
// so that the page needs no projection.
package trucks

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
)

// How many trucks there are.
const (
	DefaultTrucks = 500
	MaxTrucks     = 5000
)

// tick is how often the fleet looks whose turn it is. Reports are spread over
// the second in steps of it.
const tick = 20 * time.Millisecond

// Config is the configuration of the map alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

// Channels are the regions' channels.
type Channels interface {
	// Publish takes a report to the channel of a region. A nil position says that
	// the truck has left it. It is called concurrently, but for any one truck one
	// call after the other.
	Publish(ctx context.Context, region, truck string, p *Position) error
	// Held returns the trucks that the channel of a region has.
	Held(ctx context.Context, region string) ([]string, error)
}

// Through returns srv's trucks:{region} channels.
func Through(srv *ringdown.Server) Channels { return channels{srv} }

type channels struct{ server *ringdown.Server }

func (c channels) Publish(ctx context.Context, region, truck string, p *Position) error {
	_, err := c.server.Publish(ctx, "trucks:"+region, "position", p, ringdown.WithKey(truck))
	return err
}

func (c channels) Held(ctx context.Context, region string) ([]string, error) {
	st, err := c.server.State(ctx, "trucks:"+region)
	return slices.Collect(maps.Keys(st.Values)), err
}

// Options say how large a fleet is and who hears of it.
type Options struct {
	Channels Channels
	Watched  func(ctx context.Context) bool // whether anybody looks; the trucks sleep while nobody does. nil: always
	Trucks   int                            // default 500, at most 5000
	Seed     uint64                         // of all that happens by chance; 0: another one each time
	Logger   *slog.Logger                   // default slog.Default()
}

// Fleet is the trucks of a country and their page. One goroutine drives all of
// them, from Start to Stop.
type Fleet struct {
	*stage.Simulation
	country  *country
	traffic  *traffic // owned by the simulation
	channels Channels
	log      *slog.Logger
	failing  bool // owned by the simulation: the last reports did not go out
}

// Open draws the country and puts the trucks on its roads.
func Open(o Options) (*Fleet, error) {
	if o.Channels == nil {
		return nil, errors.New("trucks: Options need Channels")
	}
	n := cmp.Or(o.Trucks, DefaultTrucks)
	if n < 1 || n > MaxTrucks {
		return nil, fmt.Errorf("trucks: there can be 1 to %d trucks, not %d", MaxTrucks, n)
	}
	c, err := drawCountry(drawing)
	if err != nil {
		return nil, err
	}
	seed := o.Seed
	for seed == 0 {
		seed = rand.Uint64()
	}
	if o.Watched == nil {
		o.Watched = func(context.Context) bool { return true }
	}
	f := &Fleet{
		country:  c,
		traffic:  newTraffic(c, n, rand.New(rand.NewPCG(seed, seed))),
		channels: o.Channels,
		log:      cmp.Or(o.Logger, slog.Default()),
	}
	f.Simulation = stage.Simulate(tick, o.Watched, func(ctx context.Context, now time.Time) { f.report(ctx, f.traffic.due(now)) })
	return f, nil
}

// Start clears the channels of trucks that an earlier run has left there, for a
// store may outlive the process, and has the trucks go while somebody looks.
func (f *Fleet) Start(ctx context.Context) error {
	if err := f.clear(ctx); err != nil {
		return fmt.Errorf("trucks: clearing the regions: %w", err)
	}
	return f.Simulation.Start(ctx)
}

func (f *Fleet) clear(ctx context.Context) error {
	for _, r := range f.country.regions {
		held, err := f.channels.Held(ctx, r.ID)
		if err != nil {
			return err
		}
		if err := atOnce(held, func(truck string) error { return f.channels.Publish(ctx, r.ID, truck, nil) }); err != nil {
			return err
		}
	}
	return nil
}

// report sends the reports of the trucks whose turn it is.
func (f *Fleet) report(ctx context.Context, due []*truck) {
	err := atOnce(due, func(t *truck) error { return t.report(ctx, f.channels) })
	switch {
	case err != nil && !f.failing && ctx.Err() == nil:
		f.log.Warn("trucks cannot report where they are; they go on trying", "error", err)
	case err == nil && f.failing && len(due) > 0:
		f.log.Info("trucks report again")
	}
	f.failing = err != nil || f.failing && len(due) == 0
}

// atOnce does something for each of all, a hundred at a time, so that a store that has
// to write it down does so once for many of them. It returns one of the errors.
func atOnce[T any](all []T, do func(T) error) error {
	for some := range slices.Chunk(all, 100) {
		var under sync.WaitGroup
		var failure atomic.Pointer[error]
		for _, one := range some {
			under.Go(func() {
				if err := do(one); err != nil {
					failure.Store(&err)
				}
			})
		}
		under.Wait()
		if err := failure.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// Routes adds the page to mux, all of it under /trucks/.
func (f *Fleet) Routes(mux *http.ServeMux) {
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/trucks/", http.StripPrefix("/trucks", stage.Pages(web)))
	mux.Handle("GET /trucks/map.json", stage.File("map.json", f.country.sheet()))
	mux.Handle("GET /trucks/picture.svg", stage.File("picture.svg", f.country.picture()))
}
