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
		&& [...fleet.vehicles.values()].every((v) => !fleet.stale(v, Date.now()) && fleet.regions.get(v.region).message(v.key)?.time === v.time)
		&& [...fleet.regions.values()].reduce((n, state) => n + state.size, 0) === %[1]d`, trucks))
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

// A line that looks open and is dead is found out when the page wakes up, and after
// 40 seconds of silence otherwise.
func TestTrucksOverADeadLine(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", fmt.Sprint(fleetSize))
	for _, test := range []struct {
		name  string
		doubt func(w *window) // what makes the page ask whether anybody is there
	}{
		{"waking up", func(w *window) { w.eval(`document.dispatchEvent(new Event('resume'))`) }},
		{"silence", func(w *window) {
			for range 2 { // a longer step at once would be a sleep
				w.eval(`looks = 0, passed += 17_500`)
				w.wait(`looks > 1`)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCable(t, s.addr)
			w := newWindow(t)
			// A test can let time pass, and the line is looked at often.
			w.before(`window.passed = window.looks = 0;
				const now = Date.now, after = setTimeout;
				Date.now = () => now() + passed;
				window.setTimeout = (f, ms) => ms === 5000 ? after(() => { looks++; f(); }, 50) : after(f, ms);`)
			w.watch("http://" + c.Addr().String() + "/trucks/")
			w.right(fleetSize)
			w.eval(`window.states = [], client.on('state', ({state}) => states.push(state))`)
			c.cut()
			w.eval(`passed += 6_000`)
			w.waitText(`#statuses [data-status=silent] b`, fmt.Sprint(fleetSize)) // all of them grey
			if states := w.eval(`client.state + states.join()`); states != "live" {
				t.Fatalf("the line is %s: the page was told", states)
			}
			w.shot("trucks-silent")
			test.doubt(w)
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
		})
	}
}

// before has every page run a script before its own.
func (w *window) before(script string) {
	w.t.Helper()
	w.do(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}))
}

// What fleet.js makes of reports that come late, across a border, or not at all.
func TestFleetKeepsNoGhosts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.open(s.url("/trucks/trucks.css"))
	script := `import('/trucks/fleet.js').then(({Fleet}) => {
		const said = [], f = new Fleet(), states = {};
		const note = (what) => said.push(what + ': ' + [...f.vehicles.values()].map((v) => v.key + '@' + v.region + v.data.lon).sort().join(' '));
		const at = (key, lon, time) => ({key, time, data: {lon, lat: 0, heading: 90, speed: 60, status: 'driving', load: 1, to: 'x'}});
		const follow = (region) => {
			const messages = new Map();
			f.follow(region, states[region] = {messages, ready: false, has: (k) => messages.has(k), keys: () => messages.keys(), message: (k) => messages.get(k)}, 0);
		};
		// What the client's state does before it tells of a change.
		const whole = (region, items, now) => {
			states[region].messages.clear();
			for (const m of items) states[region].messages.set(m.key, m);
			states[region].ready = true;
			f.change(region, {}, now);
		};
		const set = (region, message, now) => { states[region].messages.set(message.key, message); f.change(region, {key: message.key, message}, now); };
		const remove = (region, key, now) => { states[region].messages.delete(key); f.change(region, {key, message: {key, time: now, data: null}}, now); };
		follow('a'); follow('b');
		whole('a', [at('t', 1, 1000), at('u', 2, 1000)], 1000);
		whole('b', [], 1000);
		note('snapshot');
		set('b', at('t', 3, 2000), 2000); note('across');
		set('a', at('t', 4, 1500), 2010); note('belated');
		remove('a', 't', 2020); note('let go');
		set('a', at('v', 7, 2500), 2500); set('b', at('v', 8, 2600), 2600); remove('b', 'v', 2700); note('turned back');
		whole('b', [at('w', 5, 3000)], 3000); note('another snapshot');
		remove('b', 'w', 3500); note('deleted');
		f.drop('a', 4000); note('dropped'); f.change('a', {key: 'u', message: at('u', 9, 4000)}, 4000); note('after it was dropped');
		follow('a'); whole('a', [at('u', 6, 4000)], 4000); note('again');
		f.tidy(4000 + 3_700_000); note('an hour');
		return said.join('; ');
	})`
	got, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"snapshot: t@a1 u@a2", "across: t@b3 u@a2", "belated: t@b3 u@a2", "let go: t@b3 u@a2", "turned back: t@b3 u@a2 v@a7",
		"another snapshot: u@a2 v@a7 w@b5", "deleted: u@a2 v@a7", "dropped: ", "after it was dropped: ", "again: u@a6", "an hour: ",
	}
	if got != strings.Join(want, "; ") {
		t.Errorf("the fleet was\n%s, want\n%s", got, strings.Join(want, "; "))
	}
}
