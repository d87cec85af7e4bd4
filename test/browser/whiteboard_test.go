package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// drawer opens a board as somebody, and waits until it has what the server has.
func (g *gallery) drawer(t *testing.T, user, board string) *window {
	t.Helper()
	w := g.page(t, "/whiteboard/?user="+user+"#"+board)
	w.wait(`shared.board.channel.state.ready`)
	return w
}

// onBoard does something with the mouse at a place of the board.
func (w *window) onBoard(kind input.DispatchMouseEventType, x, y int) {
	w.t.Helper()
	var at [2]float64
	where := w.eval(fmt.Sprintf(`(() => {
		const {x, y} = shared.view.from(%d, %d), frame = document.querySelector('#frame').getBoundingClientRect();
		return (frame.x + x) + ' ' + (frame.y + y);
	})()`, x, y))
	if _, err := fmt.Sscan(where, &at[0], &at[1]); err != nil {
		w.t.Fatalf("%v: %s", err, where)
	}
	event := input.DispatchMouseEventParams{Type: kind, X: at[0], Y: at[1]}
	if kind != input.DispatchMouseEventTypeMouseMoved {
		event.Button, event.ClickCount = input.MouseButtonLeft, 1
	}
	w.do(command(input.DispatchMouseEvent, event))
}

// draw draws a line.
func (w *window) draw(x1, y1, x2, y2 int) {
	w.t.Helper()
	w.onBoard(input.DispatchMouseEventTypeMousePressed, x1, y1)
	for n := 1; n <= 10; n++ {
		w.onBoard(input.DispatchMouseEventTypeMouseMoved, x1+(x2-x1)*n/10, y1+(y2-y1)*n/10)
	}
	w.onBoard(input.DispatchMouseEventTypeMouseReleased, x2, y2)
}

// sameBoard waits until all pages have the same strokes, so many, and the server too.
func (g *gallery) sameBoard(t *testing.T, board string, strokes int, pages ...*window) {
	t.Helper()
	var seen []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		seen = seen[:0]
		for _, w := range pages {
			seen = append(seen, w.eval(`shared.board.waiting.size + ' ' + JSON.stringify(shared.board.strokes())`))
		}
		equal := strings.HasPrefix(seen[0], "0 ") && strings.Count(seen[0], `"points"`) == strokes
		for _, s := range seen {
			equal = equal && s == seen[0]
		}
		var state struct{ Items []any }
		if equal {
			if g.call("GET", "/v1/channels/whiteboard:"+board+"/state?limit=1000", "", http.StatusOK, &state); len(state.Items) == strokes {
				return
			}
		}
	}
	t.Fatalf("the boards differ, or have not %d strokes:\n%.3000s", strokes, strings.Join(seen, "\n\n"))
}

func TestWhiteboard(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "whiteboard")
	ann, ben, cleo := g.drawer(t, "ann", "plan"), g.drawer(t, "ben", "plan"), g.drawer(t, "cleo", "plan")
	pages := []*window{ann, ben, cleo}
	for _, w := range pages {
		w.wait(`document.querySelectorAll('#people li').length === 3`)
	}

	// A stroke is seen while it is drawn, and stored when it is finished.
	ann.click("[name=colour][value=red]")
	ann.onBoard(input.DispatchMouseEventTypeMousePressed, 200, 200)
	ben.wait(`shared.board.others.size === 1`)
	for x := 220; x <= 600; x += 20 {
		ann.onBoard(input.DispatchMouseEventTypeMouseMoved, x, 200+x/4)
	}
	ben.wait(`[...shared.board.others.values()][0].stroke.points.length > 4`)
	ben.waitText(".cursor", "ann")
	ben.shot("whiteboard-live")
	if n := ben.eval(`shared.board.strokes().length`); n != "0" {
		t.Errorf("%s strokes are stored before one is finished", n)
	}
	ann.onBoard(input.DispatchMouseEventTypeMouseReleased, 600, 350)
	g.sameBoard(t, "plan", 1, pages...)
	ben.wait(`shared.board.others.size === 0 && document.querySelector('#empty').hidden`)
	ben.draw(200, 800, 900, 800)
	cleo.draw(1000, 300, 1300, 900)
	ann.draw(300, 900, 800, 400)
	g.sameBoard(t, "plan", 4, pages...)

	// Who points is seen, and who is silent is not.
	cleo.onBoard(input.DispatchMouseEventTypeMouseMoved, 700, 700)
	ann.waitText(".cursor", "cleo")
	ann.wait(`document.querySelectorAll('.cursor').length === 0`)

	// Everybody takes back their own, and only that.
	ann.click("#undo")
	g.sameBoard(t, "plan", 3, pages...)
	ann.eval(`document.querySelector('#drawing').focus()`)
	ann.do(chromedp.KeyEvent("z", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	g.sameBoard(t, "plan", 2, pages...)
	ann.wait(`document.querySelector('#undo').disabled`)
	key := ann.eval(`shared.board.strokes()[0][0]`)
	if !strings.HasPrefix(key, "ben/") {
		t.Fatalf("the first stroke is %s, want one of ben", key)
	}
	refused, err := chromedp.Run(ann.ctx, chromedp.Evaluate[string](`shared.board.channel.publish('stroke', null, {key: `+quote(key)+`}).then(() => 'done', (e) => e.code + ': ' + e.message)`, chromedp.EvalAwaitPromise))
	if err != nil || !strings.HasPrefix(refused, "forbidden: this stroke is not yours") {
		t.Errorf("ann takes back ben's stroke: %s %v", refused, err)
	}

	// With the keyboard.
	ann.eval(`document.querySelector('#drawing').focus()`)
	ann.do(chromedp.KeyEvent(" "))
	ann.waitText("#spoken", "Pen down at 800, 600")
	for range 5 {
		ann.do(chromedp.KeyEvent("\u0303")) // right
	}
	ann.do(chromedp.KeyEvent(" "))
	ann.waitText("#spoken", "Pen up at 850, 600")
	g.sameBoard(t, "plan", 3, pages...)

	// The network is cut, and all draw on.
	g.cut()
	for i, w := range pages {
		w.lost()
		w.draw(100, 100+200*i, 700, 150+200*i)
		w.draw(900, 100+200*i, 1500, 150+200*i)
	}
	ben.click("#undo")
	ben.wait(`shared.board.strokes().length === 4`)
	g.heal()
	for _, w := range pages {
		w.back()
	}
	g.sameBoard(t, "plan", 8, pages...)

	// A page stands still while others draw.
	cleo.freeze()
	ann.draw(100, 1100, 1500, 1100)
	g.sameBoard(t, "plan", 9, ann, ben)
	cleo.thaw()
	cleo.back()
	g.sameBoard(t, "plan", 9, pages...)

	// The server is killed, and starts again on what it kept.
	ben.draw(100, 1000, 1500, 1000)
	g.kill()
	ann.draw(100, 900, 1500, 900)
	g.start()
	for _, w := range pages {
		w.back()
	}
	g.sameBoard(t, "plan", 11, pages...)
	late := g.drawer(t, "dora", "plan")
	pages = append(pages, late)
	g.sameBoard(t, "plan", 11, pages...)
	late.shot("whiteboard")

	// A picture of it.
	svg, err := chromedp.Run(ann.ctx, chromedp.Evaluate[string](`import('/whiteboard/ink.js').then(({asSVG}) => asSVG(shared.view.strokes).text())`, chromedp.EvalAwaitPromise))
	if err != nil || strings.Count(svg, "<path ") != 11 {
		t.Errorf("the SVG has %d paths: %v", strings.Count(svg, "<path "), err)
	}
	png, err := chromedp.Run(ann.ctx, chromedp.Evaluate[string](`import('/whiteboard/ink.js').then(({asPNG}) => asPNG(shared.view.strokes)).then(createImageBitmap).then((b) => b.width + 'x' + b.height)`, chromedp.EvalAwaitPromise))
	if err != nil || png != "1600x1200" {
		t.Errorf("the PNG is %s: %v", png, err)
	}

	// Clear asks first.
	ben.click("#clear")
	ben.click("#sure [value=no]")
	ben.wait(`!document.querySelector('#sure').open`)
	g.sameBoard(t, "plan", 11, pages...)
	ben.click("#clear")
	ben.click("#sure [value=yes]")
	g.sameBoard(t, "plan", 0, pages...)
	late.wait(`!document.querySelector('#empty').hidden`)
}

// TestWhiteboardLater: what was drawn while the line was down, in a page that was closed
// then, is stored when a board is opened again. And a long stroke is several.
func TestWhiteboardLater(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "whiteboard")
	ann, ben := g.drawer(t, "ann", "later"), g.drawer(t, "ben", "later")
	g.cut()
	ann.lost()
	ann.draw(100, 100, 800, 800)
	ann.wait(`shared.board.waiting.size === 1`)
	ann.open("about:blank")
	g.heal()
	ben.back()
	ann.live(g.url("/whiteboard/?user=ann#later"))
	g.sameBoard(t, "later", 1, ann, ben)

	ann.eval(`(() => {
		const pen = shared.pen;
		pen.begin(0, 600);
		for (let x = 0; x <= 1600; x += 2) pen.add(x, 600 + 300 * Math.sin(x / 100));
		pen.lift();
	})()`)
	g.sameBoard(t, "later", 4, ann, ben)
	if most := ben.eval(`Math.max(...shared.board.strokes().map(([, s]) => s.points.length))`); most != "800" {
		t.Errorf("the longest stroke has %s numbers, want 800", most)
	}

	// What is drawn on a board that is zoomed lies where it is seen.
	ann.click("#in")
	ann.draw(700, 500, 900, 700)
	g.sameBoard(t, "later", 5, ann, ben)
	if points := ben.eval(`(({points}) => [...points.slice(0, 2), ...points.slice(-2)])(shared.board.strokes().at(-1)[1])`); points != "700,500,900,700" {
		t.Errorf("the stroke goes from and to %s", points)
	}
	// Two fingers move and zoom, and draw nothing.
	ann.touch("touchStart", [2]float64{500, 400})
	ann.touch("touchStart", [2]float64{500, 400}, [2]float64{700, 400})
	ann.touch("touchMove", [2]float64{400, 400}, [2]float64{800, 400})
	ann.touch("touchEnd")
	ann.wait(`shared.view.zoom > 2.5 && shared.view.zoom < 3.5`)
	g.sameBoard(t, "later", 5, ann, ben)
}
