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

// farthest is how far a page may be ahead of the server while it walks, in cells: the
// steps of a third of a second, on a machine that has other things to do.
const farthest = 2.1

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
		t.Logf("%s: ahead %.2f cells at most, corrected by %.2f at most", when, w.number(`game.meter.longest`), w.number(`game.own.worst`)/world.Cell)
		if n := w.number(`game.own.worst`); n != 0 {
			t.Errorf("%s: the server has corrected the page by %.2f cells", when, n/world.Cell)
		}
		if n := w.number(`game.meter.longest`); n > farthest {
			t.Errorf("%s: the page was %.2f cells ahead of the server", when, n)
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
	g.restart()
	for _, w := range []*window{ann, ben} {
		w.enters()
	}
	walk("after a crash", ann)
	walk("after a crash", ben)
	ben.sees("ann", ann)
	if got := ben.number(`game.scores.get('ann').bells`); got < gathered {
		t.Errorf("ann had %v bells before the crash, and has %v", gathered, got)
	}
}

// gather walks to bells until one is on the board, and returns how many are.
func (w *window) gather() float64 {
	w.t.Helper()
	w.eval(`window.hunt = setInterval(() => {
		const {own, field, others} = game, bells = others.frames.at(-1).bells;
		const [bx, by] = bells.toSorted((a, b) => Math.hypot(a[0] - own.at.x, a[1] - own.at.y) - Math.hypot(b[0] - own.at.x, b[1] - own.at.y))[0];
		const codes = {ArrowRight: bx - own.at.x > 25, ArrowLeft: own.at.x - bx > 25, ArrowDown: by - own.at.y > 25, ArrowUp: own.at.y - by > 25};
		for (const [code, down] of Object.entries(codes)) dispatchEvent(Object.assign(new KeyboardEvent(down ? 'keydown' : 'keyup', {code})));
	}, 30)`)
	w.wait(`game.scores.get('ann')?.bells > 0`)
	w.eval(`clearInterval(window.hunt), dispatchEvent(new Event('blur'))`)
	w.rest("after gathering")
	return w.number(`game.scores.get('ann').bells`)
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
