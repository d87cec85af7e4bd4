package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
)

// touch puts so many fingers on the screen, or moves those that are there; none
// lifts them.
func (w *window) touch(kind string, at ...[2]float64) {
	w.t.Helper()
	var points []*input.TouchPoint
	for i, p := range at {
		points = append(points, &input.TouchPoint{X: p[0], Y: p[1], ID: new(float64(i))})
	}
	w.do(command(input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: input.DispatchTouchEventType(kind), TouchPoints: points}))
}

func (w *window) mouse(kind string, x, y, wheel float64) {
	w.t.Helper()
	p := input.DispatchMouseEventParams{Type: input.DispatchMouseEventType(kind), X: x, Y: y, DeltaY: wheel, DeltaX: wheel / 1e6} // a zero would be left out
	if kind != "mouseWheel" {
		p.Button, p.Buttons, p.ClickCount = "left", 1, 1
	}
	w.do(command(input.DispatchMouseEvent, p))
}

// under returns what is under a point of the window, as "longitude latitude" to
// a tenth of a kilometre.
func (w *window) under(x, y float64) string {
	w.t.Helper()
	return w.eval(fmt.Sprintf(`(() => { const box = document.querySelector('#fleet').getBoundingClientRect();
		return [((%v - box.left - view.width / 2) / view.scale + view.x) / 1000, -((%v - box.top - view.height / 2) / view.scale + view.y) / 1000].map((d) => d.toFixed(3)).join(' '); })()`, x, y))
}

// Wheel, drag, pinch, keys and buttons move the map, and what was under the
// hand stays under it.
func TestMapUnderTheHand(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", "5")
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(5)

	before := w.under(400, 300)
	w.mouse("mouseWheel", 400, 300, -400)
	w.wait(`view.zoom > 1.3`)
	if after := w.under(400, 300); after != before {
		t.Errorf("the wheel turned at %s and moved it to %s", before, after)
	}

	w.mouse("mousePressed", 400, 300, 0)
	w.mouse("mouseMoved", 450, 340, 0)
	w.mouse("mouseMoved", 480, 360, 0)
	w.mouse("mouseReleased", 480, 360, 0)
	if after := w.under(480, 360); after != before {
		t.Errorf("%s was dragged, and under the hand is %s", before, after)
	}
	if w.eval(`document.querySelector('#card').hidden`) != "true" {
		t.Error("a drag chose a truck")
	}

	w.eval(`document.querySelector('#fleet').focus()`)
	w.typeIn("#fleet", "0")
	w.wait(`view.zoom === 1`)
	w.typeIn("#fleet", "++")
	w.wait(`view.zoom > 1.9`)
	w.click("#out")
	w.click("#out")
	w.wait(`view.zoom === 1`)

	w.resize(phone)
	w.wait(`view.width === 390`)
	w.touch("touchStart", [2]float64{150, 300})
	w.touch("touchStart", [2]float64{150, 300}, [2]float64{250, 300})
	between := w.under(200, 300)
	w.touch("touchMove", [2]float64{100, 300}, [2]float64{300, 300})
	w.wait(`Math.abs(view.zoom - 2) < 0.1`)
	if after := w.under(200, 300); after != between {
		t.Errorf("between the fingers was %s and is %s", between, after)
	}
	w.touch("touchEnd")
	if w.eval(`document.querySelector('#card').hidden`) != "true" {
		t.Error("a pinch chose a truck")
	}
}

// A truck is chosen by a click on it, and let go by one beside it.
func TestATruckIsChosenByAClick(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", "5")
	w := newWindow(t)
	w.watch(s.url("/trucks/"))
	w.right(5)
	// It clicks by itself, for the truck does not wait.
	click := `(x, y) => { const c = document.querySelector('#fleet'), box = c.getBoundingClientRect();
		c.setPointerCapture = () => {};
		for (const type of ['pointerdown', 'pointerup']) c.dispatchEvent(new PointerEvent(type, {button: 0, pointerId: 1, clientX: box.left + x, clientY: box.top + y})); }`
	w.eval(`(() => { const v = fleet.vehicles.get('truck-003'), at = v.at(Date.now()); view.zoomAt(...view.toScreen(at.lon, at.lat), 32); view.centre(at.lon, at.lat); (` + click + `)(...view.toScreen(at.lon, at.lat)); })()`)
	w.waitText("#card-name", "truck-003")
	w.wait(`!document.querySelector('#card').hidden`)
	w.waitText("#spoken", "truck-003")
	w.click("#track")
	w.wait(`document.querySelector('#track').getAttribute('aria-pressed') === 'true'`)
	w.eval(`(` + click + `)(view.width / 2, 5)`)
	w.wait(`document.querySelector('#card').hidden`)
}
