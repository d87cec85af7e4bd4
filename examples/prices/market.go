package prices

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"time"

	"ringdown"
)

// Market is a market and what is traded there.
type Market struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Shares []Share `json:"shares"`
}

// Share is one of the things traded. Trail is its price in the last while, a point
// every trailEvery, for a page to begin its line with.
type Share struct {
	Symbol string  `json:"symbol"`
	Name   string  `json:"name"`
	Home   int64   `json:"-"` // cents: what the price comes back to, sooner or later
	Pace   float64 `json:"-"` // how often it is traded, beside the others
	Trail  []int64 `json:"trail"`
}

// Price is what is published of a share.
type Price struct {
	Price int64 `json:"price"` // cents
	Open  int64 `json:"open"`  // cents: in the morning
}

const (
	trailEvery = 2 * time.Second
	trailLong  = 40
	cheapest   = 50 // cents
	wildness   = 0.0035
	homesick   = 0.002 // of the way home with each move
)

// A few of them are traded all the time and most now and then, as on real markets.
var markets = []Market{
	{"harbour", "Harbour", []Share{
		{"KELP", "Kelp & Sons", 1840, 1, nil}, {"TUGS", "Harbour Tugs", 7425, 3, nil}, {"ROPE", "Long Rope", 990, 8, nil}, {"BUOY", "Buoyant", 12310, 1, nil},
		{"EEL", "Eel Electric", 4415, 14, nil}, {"NET", "Net Makers", 3260, 2, nil}, {"SALT", "Salt Works", 675, 5, nil}, {"LAMP", "Lighthouse", 21490, 1, nil},
		{"CRAB", "Crab Logistics", 5585, 2, nil}, {"TIDE", "Tide Power", 8870, 4, nil},
	}},
	{"orchard", "Orchard", []Share{
		{"PEAR", "Pear Computing", 18920, 12, nil}, {"PLUM", "Plum Pictures", 2375, 3, nil}, {"HIVE", "Hive Mind", 9940, 6, nil}, {"JAM", "Jam Tomorrow", 1215, 1, nil},
		{"CORE", "Apple Core", 14060, 9, nil}, {"WASP", "Wasp Security", 3690, 2, nil}, {"LEAF", "Loose Leaf", 820, 1, nil}, {"ROOT", "Root Access", 6455, 4, nil},
		{"MULE", "Mule Haulage", 2980, 1, nil}, {"FROST", "Early Frost", 5120, 2, nil},
	}},
	{"foundry", "Foundry", []Share{
		{"ANVL", "Anvil Group", 6230, 4, nil}, {"BOLT", "Bolt & Nut", 1475, 10, nil}, {"SLAG", "Slag Heap", 385, 2, nil}, {"GEAR", "Second Gear", 4890, 3, nil},
		{"BELL", "Bell Casters", 15740, 1, nil}, {"WIRE", "Fence & Wire", 2145, 5, nil}, {"RUST", "Rust Never", 930, 6, nil}, {"TONG", "Tongs", 3310, 1, nil},
		{"COKE", "Coke Ovens", 7760, 2, nil}, {"MOLD", "Mould Breakers", 11280, 1, nil},
	}},
	{"signal", "Signal", []Share{
		{"RING", "Ring Ring", 5235, 16, nil}, {"DIAL", "Dial Tone", 2460, 3, nil}, {"POLE", "Pole Position", 1685, 1, nil}, {"MORS", "Dot Dash", 8345, 7, nil},
		{"FLAG", "Semaphore", 690, 1, nil}, {"BEEP", "Beep", 3975, 5, nil}, {"ECHO", "Echo Chamber", 10420, 2, nil}, {"PLUG", "Plug Board", 1330, 2, nil},
		{"FAX", "Fax Machines", 255, 1, nil}, {"HUM", "Mains Hum", 4550, 3, nil},
	}},
}

// quote is a price that has moved.
type quote struct {
	market, symbol string
	Price
}

// seat is one share on the floor.
type seat struct {
	market string
	share  *Share
	Price
	trail []int64 // the last trailLong, oldest first
}

// floor is what everything costs. It is pure: time and chance are handed in. It is not
// safe for concurrent use.
type floor struct {
	seats   []*seat
	of      map[string]*seat
	tickets float64 // the sum of all paces
	chance  *rand.Rand
	noted   time.Time // when the trails had their last point
}

func newFloor(chance *rand.Rand) *floor {
	f := &floor{of: map[string]*seat{}, chance: chance}
	for i := range markets {
		for j := range markets[i].Shares {
			share := &markets[i].Shares[j]
			s := &seat{market: markets[i].ID, share: share, Price: Price{share.Home, share.Home}}
			f.seats, f.of[share.Symbol] = append(f.seats, s), s
			f.tickets += share.Pace
			f.invent(s)
		}
	}
	return f
}

// invent gives a share a past that ends where it is: a walk looks alike in both
// directions.
func (f *floor) invent(s *seat) {
	s.trail = make([]int64, trailLong)
	price := s.Price.Price
	for i := range s.trail {
		s.trail[trailLong-1-i] = price
		price = f.walk(price, s.share.Home)
	}
}

// resume takes over the prices that the channel of a market has, and returns those that
// it does not have.
func (f *floor) resume(market string, held map[string]ringdown.Stored) (missing []quote) {
	for _, s := range f.seats {
		if s.market != market {
			continue
		}
		var p Price
		if was, ok := held[s.share.Symbol]; !ok || json.Unmarshal(was.Data, &p) != nil || p.Price < 1 || p.Open < 1 {
			missing = append(missing, s.quote())
			continue
		}
		s.Price = p
		f.invent(s)
	}
	return missing
}

func (s *seat) quote() quote { return quote{s.market, s.share.Symbol, s.Price} }

// step moves perTick different prices.
func (f *floor) step(now time.Time) []quote {
	moved := make([]quote, 0, perTick)
	drawn := map[*seat]bool{}
	for len(moved) < perTick {
		s := f.draw()
		if drawn[s] {
			continue
		}
		drawn[s] = true
		s.Price.Price = f.walk(s.Price.Price, s.share.Home)
		moved = append(moved, s.quote())
	}
	if now.Sub(f.noted) >= trailEvery {
		f.noted = now
		for _, s := range f.seats {
			s.trail = append(s.trail[1:], s.Price.Price)
		}
	}
	return moved
}

// draw draws a share, the lively ones more often.
func (f *floor) draw() *seat {
	at := f.chance.Float64() * f.tickets
	for _, s := range f.seats {
		if at -= s.share.Pace; at < 0 {
			return s
		}
	}
	return f.seats[len(f.seats)-1]
}

// walk returns the price after the next one who buys or sells: always another one, and
// never less than cheapest.
func (f *floor) walk(price, home int64) int64 {
	next := float64(price) * math.Exp(wildness*f.chance.NormFloat64()+homesick*math.Log(float64(home)/float64(price)))
	rounded := int64(math.Round(next))
	if rounded == price {
		rounded += 2*f.chance.Int64N(2) - 1
	}
	if rounded < cheapest {
		return cheapest + 1 + f.chance.Int64N(3)
	}
	return rounded
}

// sheet is what a page begins with.
func (f *floor) sheet() map[string]any {
	list := make([]Market, len(markets))
	at := 0
	for i, m := range markets {
		list[i] = Market{ID: m.ID, Name: m.Name}
		for _, share := range m.Shares {
			share.Trail = append([]int64(nil), f.seats[at].trail...)
			list[i].Shares = append(list[i].Shares, share)
			at++
		}
	}
	return map[string]any{"markets": list, "every": trailEvery.Milliseconds(), "points": trailLong, "cash": openingCash}
}
