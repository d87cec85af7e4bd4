package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const fleetSize = 60

// watch opens the map and puts its inner parts where a test can reach them.
func (w *window) watch(url string) {
	w.t.Helper()
	w.live(url)
	script := `import('/trucks/trucks.js').then((m) => { Object.assign(window, m, {began: Date.now()}); return true; })`
	if _, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise)); err != nil {
		w.t.Fatal(err)
	}
}

// right waits until the page has exactly the trucks there are, each once, each
// heard of lately, and each in the region whose table has it.
func (w *window) right(trucks int) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`document.querySelector('#count').textContent === '%[1]d' && fleet.vehicles.size === %[1]d
		&& [...fleet.vehicles.values()].every((v) => !fleet.stale(v, Date.now()) && fleet.regions.get(v.region).held.get(v.key)?.time === v.time)
		&& [...fleet.regions.values()].reduce((n, r) => n + r.held.size, 0) === %[1]d`, trucks))
}

// places returns where every truck is drawn.
func (w *window) places() (at map[string][2]float64) {
	w.t.Helper()
	text := w.eval(`JSON.stringify(Object.fromEntries([...fleet.vehicles.values()].map((v) => { const p = v.at(Date.now()); return [v.key, [p.lon, p.lat]]; })))`)
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return at
}

func TestTrucksAppearAndMove(t *testing.T) {
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(fleetSize)
	if n := len(w.received("state")); n < 6 {
		t.Errorf("%d snapshots came, want one of each region", n)
	}

	// Between two reports they glide: several steps a second, none of them long.
	w.eval(`window.steps = new Map(), (window.walk = () => { for (const v of fleet.vehicles.values()) {
		if (v.data.status !== 'driving') continue;
		const p = v.at(Date.now()), s = steps.get(v.key);
		if (!s) steps.set(v.key, {n: 0, longest: 0, ...p});
		else { const d = Math.hypot(p.lon - s.lon, p.lat - s.lat); if (d) Object.assign(s, {n: s.n + 1, longest: Math.max(s.longest, d), lon: p.lon, lat: p.lat}); }
	} }) && setInterval(walk, 50)`)
	w.wait(`Math.max(...[...steps.values()].map((s) => s.n)) >= 25`)
	var walked struct {
		Many    int
		Longest float64
	}
	text := w.eval(`JSON.stringify({many: [...steps.values()].filter((s) => s.n >= 10).length, longest: Math.max(...[...steps.values()].map((s) => s.longest))})`)
	if err := json.Unmarshal([]byte(text), &walked); err != nil {
		t.Fatal(err)
	}
	if walked.Many < fleetSize/3 || walked.Longest > 0.02 {
		t.Errorf("%d trucks moved smoothly, the longest step was %.4f degrees", walked.Many, walked.Longest)
	}

	// One of them, found by its number.
	w.typeIn("#find", "7\r")
	w.waitText("#card-name", "truck-007")
	w.waitText("#card-rows", "just now")
	w.eval(`document.querySelector('#fleet').focus()`)
	w.typeIn("#fleet", "n")
	w.waitText("#card-name", "truck-008")
	w.click("#close")
	w.wait(`document.querySelector('#card').hidden`)
}

func TestTrucksByRegion(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(fleetSize)
	only := `[...fleet.vehicles.values()].every((v) => v.region === 'lakeland')`
	for _, region := range []string{"westmark", "northmoor", "ostmark", "eastcape", "southfold"} {
		w.click(fmt.Sprintf(`#regions [value=%s]`, region))
	}
	w.wait(`fleet.regions.size === 1 && ` + only)
	before := w.eval(`fleet.vehicles.size`)
	if before == "0" || before == fmt.Sprint(fleetSize) {
		t.Errorf("lakeland has %s trucks", before)
	}
	w.click(`#regions [value=westmark]`)
	w.wait(`[...fleet.vehicles.values()].some((v) => v.region === 'westmark')`)
	for _, region := range []string{"northmoor", "ostmark", "eastcape", "southfold"} {
		w.click(fmt.Sprintf(`#regions [value=%s]`, region))
	}
	w.right(fleetSize)
}

// Asked for a report in two seconds, the server leaves the rest out.
func TestTrucksAtASlowerPace(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(fleetSize)
	w.eval(`document.querySelector('#rate').value = 2, document.querySelector('#rate').dispatchEvent(new Event('change'))`)
	w.waitText("#rate-now", "one report in 2 s")
	w.wait(`fleet.period === 2000`)
	states := len(w.received("state"))
	time.Sleep(500 * time.Millisecond) // what was under way
	from := len(w.received("position"))
	time.Sleep(3 * time.Second)
	if got := len(w.received("position")) - from; got < fleetSize/2 || got > 5*fleetSize/2 {
		t.Errorf("%d reports in 3 s of %d trucks, want about %d", got, fleetSize, 3*fleetSize/2)
	}
	if more := len(w.received("state")) - states; more > 0 {
		t.Errorf("%d snapshots: the change of pace needs none", more)
	}
	w.right(fleetSize)
}

// Killed and started again the fleet is another one, with other trucks in other
// places; the page has them, and none of the former ones.
func TestTrucksAfterARestart(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(fleetSize)
	s.kill()
	w.wait(`document.documentElement.dataset.line !== 'live'`)
	s.more = []string{"--trucks", "40"}
	s.start()
	w.wait(`document.documentElement.dataset.line === 'live'`)
	w.right(40)
}

// A frozen page hears nothing and its timers stand still, as on a laptop that
// sleeps. Meanwhile the server is another one.
func TestTrucksAfterSleep(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(fleetSize)
	before := w.places()
	w.eval(`window.beat = {last: Date.now(), pause: 0}, setInterval(() => { const now = Date.now(); beat.pause = Math.max(beat.pause, now - beat.last); beat.last = now; }, 50)`)
	w.freeze()
	s.kill()
	s.more = []string{"--trucks", "45"}
	s.start()
	time.Sleep(time.Second)
	w.thaw()
	w.wait(`document.documentElement.dataset.line === 'live' && fleet.vehicles.size === 45`)
	w.right(45)
	w.wait(`beat.pause >= 1000`) // or it never slept
	same := 0
	for key, at := range w.places() {
		if before[key] == at {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d trucks are where they were", same)
	}
}

func (w *window) freeze() {
	w.t.Helper()
	w.do(command(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "frozen"}))
}

func (w *window) thaw() {
	w.t.Helper()
	w.do(command(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: "active"}))
}

// cable is a network between page and server that can be cut without either
// being told, as when the laptop is carried to another network.
type cable struct {
	net.Listener
	to    string
	mu    sync.Mutex
	ends  []net.Conn
	holds sync.WaitGroup
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l, to: to}
	c.holds.Go(c.lay)
	t.Cleanup(func() {
		l.Close()
		c.mu.Lock()
		for _, end := range c.ends {
			end.Close()
		}
		c.mu.Unlock()
		c.holds.Wait()
	})
	return c
}

func (c *cable) lay() {
	for {
		near, err := c.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		c.mu.Lock()
		c.ends = append(c.ends, near, far)
		c.mu.Unlock()
		c.holds.Go(func() { c.carry(far, near) })
		c.holds.Go(func() { c.carry(near, far) })
	}
}

// carry ends one direction without closing the other side: whoever is there
// hears nothing more, not even that it is over.
func (c *cable) carry(to, from net.Conn) { io.Copy(to, from) }

// cut ends all connections on the server's side; the page is not told.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < len(c.ends); i += 2 {
		c.ends[i].Close()
	}
}

// A line that looks open and is dead is found out when the machine is in another network.
func TestTrucksOverADeadLine(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	c := newCable(t, s.addr)
	w := newWindow(t)
	w.watch("http://" + c.Addr().String() + "/trucks/")
	w.right(fleetSize)
	c.cut()
	w.waitText(`#statuses [data-status=silent] b`, fmt.Sprint(fleetSize)) // all of them grey
	if state := w.eval(`client.state`); state != "live" {
		t.Fatalf("the line is %s: the page was told", state)
	}
	w.shot("trucks-silent")
	w.eval(`window.states = [], client.on('state', ({state}) => states.push(state))`)
	w.eval(`dispatchEvent(new Event('online'))`) // another network
	w.wait(`states.join().startsWith('probing,waiting') && states.at(-1) === 'live'`)
	w.right(fleetSize)
	resumed := 0
	for _, frame := range w.received("subscribed") {
		if strings.Contains(frame, `"recovered":true`) {
			resumed++
		}
	}
	if resumed != 6 {
		t.Errorf("%d of 6 channels went on where they were", resumed)
	}
}

// What the tables of fleet.js make of messages that come late, twice, across a
// border, or not at all.
func TestFleetKeepsNoGhosts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.open(s.url("/trucks/trucks.css"))
	script := `import('/trucks/fleet.js').then(({Fleet}) => {
		const said = [], f = new Fleet();
		const at = (lon) => ({lon, lat: 0, heading: 90, speed: 60, status: 'driving', load: 1, to: 'x'});
		const note = (what) => said.push(what + ': ' + [...f.vehicles.values()].map((v) => v.key + '@' + v.region + v.data.lon).sort().join(' '));
		f.follow('a'); f.follow('b');
		f.restart('a'); f.restart('b');
		f.snapshot('a', {items: [{key: 't', offset: 5, time: 1000, data: at(1)}], more: true}, 1000);
		f.snapshot('a', {items: [{key: 'u', offset: 6, time: 1000, data: at(2)}], more: false}, 1000);
		f.snapshot('b', {items: [], more: false}, 1000);
		note('snapshot');
		f.message('a', {key: 't', offset: 5, time: 1000, data: at(9)}, 1100); note('twice');
		f.message('b', {key: 't', offset: 1, time: 2000, data: at(3)}, 2000); note('across');
		f.message('a', {key: 't', offset: 7, time: 1500, data: at(4)}, 2010); note('belated');
		f.message('a', {key: 't', offset: 8, time: 2000, data: null}, 2020); note('let go');
		f.restart('b'); f.snapshot('b', {items: [{key: 'w', offset: 1, time: 3000, data: at(5)}], more: false}, 3000); note('gap');
		f.message('b', {key: 'w', offset: 2, time: 3500, data: null}, 3500); note('deleted');
		f.message('b', {key: 'w', offset: 1, time: 3000, data: at(5)}, 3510); note('deleted before');
		f.drop('a', 4000); note('dropped');
		f.follow('a'); f.restart('a'); f.snapshot('a', {items: [{key: 'u', offset: 1, time: 4000, data: at(6)}], more: false}, 4000); note('again');
		f.tidy(4000 + 3_700_000); note('an hour');
		return said.join('; ');
	})`
	got, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"snapshot: t@a1 u@a2", "twice: t@a1 u@a2", "across: t@b3 u@a2", "belated: t@b3 u@a2", "let go: t@b3 u@a2",
		"gap: u@a2 w@b5", "deleted: u@a2", "deleted before: u@a2", "dropped: ", "again: u@a6", "an hour: ",
	}
	if got != strings.Join(want, "; ") {
		t.Errorf("the fleet was\n%s, want\n%s", got, strings.Join(want, "; "))
	}
}

// before has every page run a script before its own.
func (w *window) before(script string) {
	w.t.Helper()
	w.do(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}))
}
