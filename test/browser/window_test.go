package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const patience = 20 * time.Second

// A size is a screen to look at pages on.
type size struct {
	name          string
	width, height int64
	mobile        bool
}

var (
	desktop = size{"desktop", 1280, 800, false}
	phone   = size{"phone", 390, 844, true}
)

// window is one browser window with cookies and storage of its own: one person.
type window struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	mishaps  []string // exceptions, CSP violations, whatever the console calls an error
	frames   []string // text frames received over WebSockets
	upgrades []string // Sec-WebSocket-Extensions of the answers
	closing  bool
}

// newWindow opens an empty window that is closed with the test. At the end of
// the test the page must not have complained about anything.
func newWindow(t *testing.T) *window {
	t.Helper()
	return openWindow(t, browser, chromedp.WithNewBrowserContext())
}

// beside opens another tab of the same person.
func (w *window) beside() *window {
	w.t.Helper()
	return openWindow(w.t, w.ctx)
}

func openWindow(t *testing.T, from context.Context, options ...chromedp.ContextOption) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(from, options...)
	w := &window{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, w.listen); err != nil {
		cancel()
		t.Fatalf("opening a window: %v", err)
	}
	w.do(command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{}), command(runtime.Enable, cdp.Empty{}))
	w.resize(desktop)
	t.Cleanup(func() {
		w.mu.Lock()
		w.closing = true
		mishaps := w.mishaps
		w.mu.Unlock()
		if t.Failed() {
			w.shot("failed-" + strings.ReplaceAll(t.Name(), "/", "-"))
		}
		cancel()
		for _, m := range mishaps {
			t.Errorf("the page complained: %s", m)
		}
	})
	return w
}

func (w *window) listen(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return
	}
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		w.mishaps = append(w.mishaps, fmt.Sprint(e.ExceptionDetails))
	case *log.EventEntryAdded:
		// A server that is down on purpose, and requests that are refused on
		// purpose, are what the pages are there to deal with.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			w.mishaps = append(w.mishaps, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	case *network.EventWebSocketFrameReceived:
		w.frames = append(w.frames, string(e.Response.PayloadData))
	case *network.EventWebSocketHandshakeResponseReceived:
		for name, value := range e.Response.Headers {
			if strings.EqualFold(name, "Sec-WebSocket-Extensions") {
				w.upgrades = append(w.upgrades, fmt.Sprint(value))
			}
		}
	}
}

// received returns the messages of a type that came over the page's sockets.
func (w *window) received(kind string) (found []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.frames {
		var m struct{ Type string }
		if json.Unmarshal([]byte(f), &m) == nil && m.Type == kind {
			found = append(found, f)
		}
	}
	return found
}

func (w *window) extensions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.upgrades...)
}

// command makes a step of a command of the DevTools protocol.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("driving the browser: %v", err)
	}
}

func (w *window) resize(s size) {
	w.t.Helper()
	w.do(command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile}))
}

// scheme chooses what the page is told about light and dark.
func (w *window) scheme(name string) {
	w.t.Helper()
	w.do(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}))
}

func (w *window) open(url string) {
	w.t.Helper()
	w.do(chromedp.Navigate(url))
}

// live opens a page and waits for its line.
func (w *window) live(url string) {
	w.t.Helper()
	w.open(url)
	w.wait(`document.documentElement.dataset.line === 'live'`)
}

// wait waits until a JavaScript expression is true.
func (w *window) wait(expression string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	script := `new Promise((done) => {
		const look = () => { try { if (` + expression + `) { clearInterval(timer); done(true); } } catch {} };
		const timer = setInterval(look, 25);
		look();
	})`
	for {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			w.t.Fatalf("waited for %s: %v\nthe page says: %.1500s", expression, err, w.eval(`document.body.innerText`))
		}
		time.Sleep(25 * time.Millisecond) // the page went away under the question, and another is coming
	}
}

// waitText waits until an element that selector finds contains text.
func (w *window) waitText(selector, text string) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.textContent.includes(%s))`, quote(selector), quote(text)))
}

// eval evaluates an expression to text.
func (w *window) eval(expression string) string {
	w.t.Helper()
	result, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
	if err != nil {
		return err.Error()
	}
	return result
}

func (w *window) click(selector string) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`document.querySelector(%s) && !document.querySelector(%[1]s).disabled`, quote(selector)))
	w.do(chromedp.Click(chromedp.CSS(selector)))
}

func (w *window) typeIn(selector, text string) {
	w.t.Helper()
	w.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// shot keeps a picture of the window.
func (w *window) shot(name string) {
	png, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		w.t.Logf("no screenshot %s: %v", name, err)
		return
	}
	path := filepath.Join(screenshots, name+".png")
	if err := os.WriteFile(path, png, 0o600); err != nil {
		w.t.Errorf("keeping screenshot %s: %v", name, err)
	}
}

func quote(s string) string {
	q, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(q)
}
