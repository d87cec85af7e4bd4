package browser

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"

	"ringdown/examples/game/world"
)

// playing opens the game as a user who is on the field.
func (g *gallery) playing(t *testing.T, user string) *window {
	t.Helper()
	w := g.page(t, "/game/?user="+user)
	w.eval(`import('/game/game.js').then((page) => { window.game = page; })`)
	w.wait(`window.game && game.own.inside`)
	return w
}

// key presses a key, or lets it go.
func (w *window) key(code string, down bool) {
	w.t.Helper()
	kind := input.DispatchKeyEventTypeKeyUp
	if down {
		kind = input.DispatchKeyEventTypeRawKeyDown
	}
	w.do(command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Code: code, Key: code}))
}

// run walks this way until the page has made n steps more.
func (w *window) run(code string, n int) {
	w.t.Helper()
	w.eval(`window.from = game.own.last`)
	w.key(code, true)
	w.wait(fmt.Sprintf(`game.own.last >= window.from + %d`, n))
	w.key(code, false)
}

// shown has a page be seen again that was frozen: Chromium hides those, and what is hidden
// draws nothing and walks nowhere.
func (w *window) shown() {
	w.t.Helper()
	w.do(command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}))
	w.wait(`document.visibilityState === 'visible'`)
}

// enters waits until the page is on the field by a tick that it has heard just now.
func (w *window) enters() {
	w.t.Helper()
	w.back()
	w.wait(`Date.now() - game.others.frames.at(-1).at < 300 && game.own.inside`)
}

// rest waits until the server has made all steps, and checks that the page and it agree.
func (w *window) rest(when string) {
	w.t.Helper()
	w.wait(`game.own.inside && game.own.pending.length === 0`)
	if ahead := w.eval(`game.own.ahead`); ahead != "0" {
		w.t.Errorf("%s: at rest the page is %s from where the server has the player", when, ahead)
	}
}

// number evaluates an expression to a number.
func (w *window) number(expression string) float64 {
	w.t.Helper()
	n, err := strconv.ParseFloat(w.eval(expression), 64)
	if err != nil {
		w.t.Fatalf("%s: %v", expression, err)
	}
	return n
}

// sees waits until another page has this player where the server has it.
func (w *window) sees(user string, other *window) {
	w.t.Helper()
	at := other.eval(`JSON.stringify([game.own.server.x, game.own.server.y])`)
	w.wait(fmt.Sprintf(`((p) => p && JSON.stringify([p.x, p.y]) === %s)(game.others.at(Date.now()).find((p) => p.user === %s))`, quote(at), quote(user)))
}

// The page walks by the same rules as the server: to the same places, over many steps.
func TestGameRules(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "game")
	w := g.playing(t, "ann")
	field := world.NewField(world.Drawing)
	chance := rand.New(rand.NewPCG(1, 2))
	others := []world.Point{{X: 950, Y: 450}, {X: 1250, Y: 750}, {X: 350, Y: 1150}}
	at := world.Point{X: 150, Y: 150}
	var steps strings.Builder
	var places [][2]int
	for range 3000 {
		way := byte('1' + chance.IntN(9))
		for range 1 + chance.IntN(12) { // a while in each direction, up to the walls
			steps.WriteByte(way)
			at = field.Step(at, way, others)
			places = append(places, [2]int{at.X, at.Y})
		}
	}
	want, err := json.Marshal(places)
	if err != nil {
		t.Fatal(err)
	}
	got := w.eval(fmt.Sprintf(`(() => {
		const others = [{x: 950, y: 450}, {x: 1250, y: 750}, {x: 350, y: 1150}];
		let at = {x: 150, y: 150};
		return JSON.stringify([...%s].map((way) => { at = game.field.step(at, way, others); return [at.x, at.y]; }));
	})()`, quote(steps.String())))
	if got != string(want) {
		t.Errorf("after %d steps the page and the server are at different places", len(places))
	}
}

// A page that the server contradicts is where the server says, with the steps that are on
// their way, at once; its picture begins where it was, and is there a moment later.
func TestGameCorrection(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "game")
	w := g.playing(t, "ann")
	w.eval(`import('/game/own.js').then(({Own}) => {
		const me = new Own(game.field), tick = (x, step) => me.hear({session: me.session, x, y: 150, step}, [], false);
		tick(150, 0);
		me.walk('6');
		me.walk('6');
		me.rest();
		const before = me.picture(50, 0).x;
		tick(120, 1);
		window.result = [before, me.at.x, me.pending.length, me.corrected, me.picture(50, 0).x, Math.round(me.picture(50, 800).x), me.ahead];
	})`)
	w.wait(`window.result`)
	if got, want := w.eval(`JSON.stringify(window.result)`), "[210,150,1,60,210,150,30]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// How far a page may be ahead of the server while it walks, in cells. The farthest is what
// the page itself allows, 20 steps: a machine with other things to do makes use of it now
// and then.
const (
	farthest = 6.0
	usual    = 1.5 // half of the time, at most
)

// Two players walk; the page is ahead of the server while they do, never wrong, and both
// see each other in the same place. Then the line is cut, the page frozen, the server killed.
func TestGame(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "game")
	ann, ben := g.playing(t, "ann"), g.playing(t, "ben")
	ann.wait(`game.others.at(Date.now()).length === 6`) // the two, and the bots

	walk := func(when string, w *window) {
		t.Helper()
		w.eval(`game.reset()`)
		for _, code := range []string{"ArrowRight", "KeyS", "ArrowLeft", "KeyW"} {
			w.run(code, 8)
		}
		w.rest(when)
		most, half := w.number(`Math.max(...game.meter.samples)`), w.number(`game.meter.samples.toSorted((a, b) => a - b)[game.meter.samples.length >> 1]`)
		t.Logf("%s: ahead %.2f cells at most and %.2f half of the time", when, most, half)
		if most > farthest || half > usual {
			t.Errorf("%s: the page was too far ahead of the server", when)
		}
		if n := w.number(`game.own.worst`); n != 0 {
			t.Errorf("%s: the server has corrected the page by %.2f cells", when, n/world.Cell)
		}
	}
	walk("at first", ann)
	walk("at first", ben)
	ben.sees("ann", ann)
	ann.sees("ben", ben)

	g.cut()
	ann.lost()
	ann.eval(`game.reset()`)
	ann.run("ArrowDown", 5) // into the blue: these are made when the line is back
	last := ann.eval(`game.own.last`)
	g.heal()
	ann.back()
	ben.back()
	ann.rest("after a cut")
	if got := ann.eval(`game.own.last`); got != last {
		t.Errorf("steps were made up: %s and not %s", got, last)
	}
	walk("after a cut", ann)
	ben.sees("ann", ann)

	ann.freeze()
	ben.wait(`!game.others.frames.at(-1).where.has('ann')`) // not heard of, so no longer there
	ann.thaw()
	ann.shown()
	ann.enters()
	walk("after a sleep", ann)
	ben.sees("ann", ann)

	gathered := ann.gather()
	before := ann.eval(`game.others.frames.at(-1).world`)
	g.restart()
	for _, w := range []*window{ann, ben} {
		w.back()
		w.wait(`game.others.frames.at(-1).world !== ` + before)
		w.enters()
	}
	walk("after a crash", ann)
	walk("after a crash", ben)
	ben.sees("ann", ann)
	if got := ben.number(`game.scores.get('ann').bells`); got < gathered {
		t.Errorf("ann had %v bells before the crash, and has %v", gathered, got)
	}
}

// hunter walks to the nearest of window.goals(), around the walls: from the goals all cells
// are visited in the order of their distance, until one is beside the player's.
const hunter = `window.hunt = setInterval(() => {
	const {own, field} = game, key = (x, y) => x + y * field.width;
	const x = Math.floor(own.at.x / 100), y = Math.floor(own.at.y / 100);
	const seen = new Set(), queue = goals().map(([bx, by]) => [Math.floor(bx / 100), Math.floor(by / 100)]);
	let to = queue.find((c) => c[0] === x && c[1] === y);
	for (let i = 0; i < queue.length && !to; i++) {
		for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
			const cx = queue[i][0] + dx, cy = queue[i][1] + dy;
			if (cx === x && cy === y) to = queue[i];
			if (field.wall(cx, cy) || seen.has(key(cx, cy))) continue;
			seen.add(key(cx, cy));
			queue.push([cx, cy]);
		}
	}
	if (!to) return void dispatchEvent(new Event('blur'));
	const right = to[0] * 100 + 50 - own.at.x, down = to[1] * 100 + 50 - own.at.y;
	for (const [code, held] of Object.entries({ArrowRight: right > 14, ArrowLeft: right < -14, ArrowDown: down > 14, ArrowUp: down < -14})) {
		dispatchEvent(new KeyboardEvent(held ? 'keydown' : 'keyup', {code, cancelable: true}));
	}
}, 30)`

// gather walks to bells until two more are on the board, and returns how many are.
func (w *window) gather() float64 {
	w.t.Helper()
	w.eval(`window.had = game.scores.get('ann')?.bells ?? 0`)
	w.eval(`window.goals = () => game.others.frames.at(-1).bells`)
	w.eval(hunter)
	w.wait(`game.scores.get('ann')?.bells >= window.had + 2`)
	w.eval(`clearInterval(window.hunt), dispatchEvent(new Event('blur'))`)
	w.rest("after gathering")
	return w.number(`game.scores.get('ann').bells`)
}

// Two players walk into each other. Neither page knows where the other one is just now, so
// one may be corrected; but they agree with the server when they have come to rest, and do not
// stand in one another.
func TestGameBump(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "game")
	ann, ben := g.playing(t, "ann"), g.playing(t, "ben")
	// ben stands still now and then: two who walk alike may go around a wall for ever.
	ann.eval(`window.rests = () => false`)
	ben.eval(`window.rests = () => Date.now() % 1200 < 600`)
	for _, w := range []*window{ann, ben} {
		w.eval(`window.goals = () => rests() ? [] : game.others.frames.at(-1).players.filter((p) => !p.user.startsWith('~') && p.session !== game.own.session).map((p) => [p.x, p.y])`)
		w.eval(hunter)
	}
	near := `game.own.others.some((o) => Math.hypot(o.x - game.own.server.x, o.y - game.own.server.y) < 105)` // one step more would be into the other
	ann.wait(near)
	ben.wait(near)
	for _, w := range []*window{ann, ben} {
		w.eval(`clearInterval(window.hunt), dispatchEvent(new Event('blur'))`)
		w.rest("after a bump")
		t.Logf("corrected by %.2f cells at most", w.number(`game.own.worst`)/world.Cell)
	}
	ann.sees("ben", ben)
	ben.sees("ann", ann)
	if n := ann.number(`Math.hypot(game.own.others[0].x - game.own.server.x, game.own.others[0].y - game.own.server.y)`); n < 2*world.Body {
		t.Errorf("their middles are %.0f apart", n)
	}
}

// The newest page of a user plays; the other one says so, and can take over.
func TestGameTwoPages(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "game")
	first := g.playing(t, "ann")
	second := g.playing(t, "ann")
	first.waitText("#veil", "You play in another window.")
	at := second.eval(`JSON.stringify(game.own.server)`)
	first.click("#here")
	first.wait(`game.own.inside`)
	if got := first.eval(`JSON.stringify(game.own.server)`); got != at {
		t.Errorf("the player was at %s and is at %s", at, got)
	}
	second.wait(`game.own.elsewhere`)
}
