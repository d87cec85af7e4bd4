package trucks

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func newTestTraffic(t testing.TB, n int) *traffic {
	t.Helper()
	return newTraffic(drawn(t), n, rand.New(rand.NewPCG(1, 2)))
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// book is what the channels of all regions hold.
type book map[string]map[string]Position

func (b book) Held(_ context.Context, region string) ([]string, error) {
	return slices.Collect(maps.Keys(b[region])), nil
}

func (b book) Publish(_ context.Context, region, truck string, p *Position) error {
	if b[region] == nil {
		b[region] = map[string]Position{}
	}
	if p == nil {
		delete(b[region], truck)
	} else {
		b[region][truck] = *p
	}
	return nil
}

// offRoad returns how many km a position is from the nearest road.
func offRoad(c *country, p Position) float64 {
	at := point{(p.Lon - west) * kmInDegree, (p.Lat - south) * kmInDegree}
	best := math.Inf(1)
	for _, r := range c.roads {
		for i := 1; i < len(r.line); i++ {
			a, b := r.line[i-1], r.line[i]
			dx, dy := b.x-a.x, b.y-a.y
			share := ((at.x-a.x)*dx + (at.y-a.y)*dy) / (dx*dx + dy*dy)
			best = min(best, at.distance(a.toward(b, min(max(share, 0), 1))))
		}
	}
	return best
}

// Some minutes on the road: every truck reports once in each second, is on a road
// and in the one region that has it, and all of life happens to some.
func TestMinutesOnTheRoad(t *testing.T) {
	const trucks, seconds, step = 60, 240, 20 * time.Millisecond
	f, b := newTestTraffic(t, trucks), book{}
	seen := map[Status]int{}
	moves, most := 0, 0
	was := map[string]string{}
	if first := f.due(noon); len(first) != trucks {
		t.Fatalf("%d trucks reported at the first moment", len(first))
	}
	f.due(noon.Add(time.Second))
	for s := range seconds {
		reported := map[string]int{}
		for now := step; now <= time.Second; now += step {
			due := f.due(noon.Add(time.Duration(s+1)*time.Second + now))
			most = max(most, len(due))
			for _, truck := range due {
				if err := truck.report(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				reported[truck.id]++
				seen[truck.position.Status]++
				check(t, f.country, truck)
				if before := was[truck.id]; before != "" && before != truck.region {
					moves++
				}
				was[truck.id] = truck.region
			}
		}
		if len(reported) != trucks {
			t.Fatalf("in second %d, %d trucks reported", s, len(reported))
		}
		for id, n := range reported {
			if n != 1 {
				t.Fatalf("in second %d, %s reported %d times", s, id, n)
			}
		}
		held := 0
		for _, keys := range b {
			held += len(keys)
		}
		if held != trucks {
			t.Fatalf("after second %d the regions hold %d trucks", s, held)
		}
	}
	if most > 2*trucks/50+1 {
		t.Errorf("%d reports at once: they come in bursts", most)
	}
	if moves < trucks {
		t.Errorf("only %d borders were crossed", moves)
	}
	for _, status := range []Status{Driving, Loading, Resting, Broken} {
		if seen[status] == 0 {
			t.Errorf("no truck was ever %s", status)
		}
	}
	if share := float64(seen[Driving]) / (trucks * seconds); share < 0.5 || share > 0.95 {
		t.Errorf("trucks drove %.0f%% of the time", 100*share)
	}
}

func check(t *testing.T, c *country, truck *truck) {
	t.Helper()
	p := truck.position
	if truck.moved.Second()%5 == 0 { // it is a long search
		if far := offRoad(c, p); far > 0.01 {
			t.Fatalf("%s is %.3f km off the road: %+v", truck.id, far, p)
		}
	}
	if p.Heading < 0 || p.Heading > 359 || p.Speed < 0 || p.Speed > 100 || p.Load < 0 || p.Load > 100 || p.To == "" {
		t.Fatalf("%s reports %+v", truck.id, p)
	}
	if (p.Status == Driving) != (p.Speed > 0) {
		t.Fatalf("%s is %s at %d km/h", truck.id, p.Status, p.Speed)
	}
	if (p.Load == 0) != (p.Cargo == "") {
		t.Fatalf("%s has %d%% of %q", truck.id, p.Load, p.Cargo)
	}
}

// A truck goes where its heading points, as far as its speed takes it.
func TestHeadingAndSpeedAreTrue(t *testing.T) {
	f := newTestTraffic(t, 40)
	before, moved := map[string]Position{}, map[string]time.Time{}
	looked := 0
	for s := range 60 {
		for _, truck := range f.due(noon.Add(time.Duration(s) * time.Second)) {
			p, was, took := truck.position, before[truck.id], truck.moved.Sub(moved[truck.id])
			before[truck.id], moved[truck.id] = p, truck.moved
			if was.Status != Driving || p.Status != Driving || was.Heading != p.Heading {
				continue // it turned a corner between
			}
			looked++
			dx, dy := (p.Lon-was.Lon)*kmInDegree, (p.Lat-was.Lat)*kmInDegree
			turn := math.Mod(math.Atan2(dx, dy)*180/math.Pi-float64(p.Heading)+540, 360) - 180
			if math.Abs(turn) > 15 {
				t.Errorf("%s heads for %d° and goes %.0f° beside it: %+v", truck.id, p.Heading, turn, p)
			}
			if went, told := math.Hypot(dx, dy), float64(p.Speed)*haste*took.Hours(); math.Abs(went-told) > 0.15 {
				t.Errorf("%s goes at %d km/h and went %.2f km, not %.2f", truck.id, p.Speed, went, told)
			}
		}
	}
	if looked < 50 {
		t.Errorf("only %d steps were looked at", looked)
	}
}

// A machine that slept for an hour goes on as if a moment had passed.
func TestSleepIsNotMadeGoodFor(t *testing.T) {
	f := newTestTraffic(t, 50)
	for now := noon; now.Before(noon.Add(3 * time.Second)); now = now.Add(tick) {
		f.due(now)
	}
	before := map[string]Position{}
	for _, truck := range f.trucks {
		before[truck.id] = truck.position
	}
	due := f.due(noon.Add(time.Hour))
	seen := map[string]bool{}
	for _, truck := range due {
		if seen[truck.id] {
			t.Errorf("%s reported twice at once", truck.id)
		}
		seen[truck.id] = true
		p, was := truck.position, before[truck.id]
		if km := math.Hypot(p.Lon-was.Lon, p.Lat-was.Lat) * kmInDegree; km > 100*haste*longestStep.Hours() {
			t.Errorf("%s went %.1f km while nobody was awake", truck.id, km)
		}
	}
	if len(seen) != len(f.trucks) {
		t.Errorf("%d of %d trucks reported when it woke up", len(seen), len(f.trucks))
	}
	if again := f.due(noon.Add(time.Hour)); len(again) != 0 {
		t.Errorf("%d trucks reported twice at the same time", len(again))
	}
}

// A region that could not be told of a truck's leaving is told the next time.
func TestARegionThatDidNotHearIsToldAgain(t *testing.T) {
	f, b := newTestTraffic(t, 1), book{}
	truck := f.due(noon)[0]
	truck.region, truck.left = "lakeland", nil
	if err := truck.report(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the line is down")
	truck.settle("ostmark")
	err := truck.report(t.Context(), &listener{fail: broken})
	if !errors.Is(err, broken) {
		t.Errorf("it answered %v", err)
	}
	truck.settle("eastcape") // and before it is told, the truck goes on
	if err := truck.report(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b["lakeland"]) != 0 || len(b["ostmark"]) != 0 || len(b["eastcape"]) != 1 {
		t.Errorf("the regions hold %v", b)
	}
	truck.settle("lakeland") // back again
	if err := truck.report(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b["lakeland"]) != 1 || len(b["eastcape"]) != 0 {
		t.Errorf("after it came back the regions hold %v", b)
	}
}

func TestTheSameSeedIsTheSameTraffic(t *testing.T) {
	a, b := newTestTraffic(t, 30), newTestTraffic(t, 30)
	for s := range 100 {
		now := noon.Add(time.Duration(s) * time.Second)
		a.due(now)
		b.due(now)
	}
	for i := range a.trucks {
		if a.trucks[i].position != b.trucks[i].position {
			t.Fatalf("%+v and %+v", a.trucks[i].position, b.trucks[i].position)
		}
	}
}
