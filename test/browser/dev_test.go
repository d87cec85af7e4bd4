package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringdown"
)

// TestDevPage is the page of serve --dev: it subscribes, publishes, shows what
// goes by and what is refused, has lines to copy, and fits every screen.
func TestDevPage(t *testing.T) {
	t.Parallel()
	s := embedded(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0",
		Config: []byte("channels: [{name: closed, allow: {subscribe: none, publish: none}}]")})
	w := newWindow(t)
	w.open("http://" + s.Addr().String() + "/")
	w.wait(`document.querySelector('#line').textContent === 'connected as nobody'`)
	w.click("#subscribe button")
	w.wait(`document.querySelector('#subs').textContent.includes('orders')`)
	w.click("#publish button:last-of-type")
	w.wait(`[...document.querySelectorAll('#frames .in')].some(f => f.textContent.includes('"order-created"') && f.textContent.includes('19.5'))`)
	w.wait(`document.querySelector('#curl').textContent.includes("-d '{\"type\":\"order-created\",\"data\":{\"id\":7,\"total\":19.5}}'")`)
	w.wait(`document.querySelector('#cli').textContent.includes("ringdown pub orders order-created '{\"id\":7,\"total\":19.5}'")`)
	w.wait(`document.querySelector('#js').textContent.includes('/v1/ws')`)

	// What is refused stands out, and what is no JSON is told before it is sent.
	w.eval(`(() => { const c = document.querySelector('#sub-channel'); c.value = 'closed'; c.dispatchEvent(new Event('input')) })()`)
	w.click("#subscribe button")
	w.wait(`document.querySelector('#frames .error').textContent.includes('closed.allow.subscribe')`)
	w.wait(`!document.querySelector('#subs').textContent.includes('closed')`)
	w.eval(`(() => { const d = document.querySelector('#pub-data'); d.value = '{"id": '; d.dispatchEvent(new Event('input')) })()`)
	w.wait(`document.querySelector('#pub-wrong').textContent.startsWith('This is not JSON')`)

	// Somebody else's text is text.
	if _, err := s.Publish(t.Context(), "orders", "order-created", `<img src=x onerror="document.title='bad'">`); err != nil {
		t.Fatal(err)
	}
	w.wait(`[...document.querySelectorAll('#frames .in')].some(f => f.textContent.includes('onerror'))`)
	if title := w.eval(`document.title + document.querySelectorAll('#frames img').length`); title != "Ringdown, dev mode0" {
		t.Errorf("the page is called %q", title)
	}

	w.typeIn("#token", "ann")
	w.click("#connect")
	w.wait(`document.querySelector('#connect').textContent === 'Connect'`)
	w.click("#connect")
	w.wait(`document.querySelector('#line').textContent === 'connected as ann'`)
	w.wait(`[...document.querySelectorAll('#frames .out')].some(f => f.textContent.includes('"since"'))`)

	// What cannot be used without eyes or a mouse: names of controls.
	if nameless := w.eval(`[...document.querySelectorAll('button, input, textarea')].filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.id).join()`); nameless != "" {
		t.Errorf("controls without a name: %s", nameless)
	}
	for _, screen := range []size{desktop, phone} {
		w.resize(screen)
		for _, scheme := range []string{"light", "dark"} {
			w.scheme(scheme)
			w.shot(fmt.Sprintf("dev-%s-%s", screen.name, scheme))
		}
		if wide := w.eval(`document.documentElement.scrollWidth - innerWidth`); wide != "0" {
			t.Errorf("on a %s it is %s pixels wider than the screen", screen.name, wide)
		}
	}
}

// TestReadmePage is the first program of the README, as it tells to run it.
func TestReadmePage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```html\n")
	page, _, ok := strings.Cut(rest, "```")
	dir := t.TempDir()
	s := embedded(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0", DevFiles: dir})
	page = strings.ReplaceAll(page, "127.0.0.1:8000", s.Addr().String())
	if err := os.WriteFile(filepath.Join(dir, "orders.html"), []byte(page), 0o600); err != nil || !ok {
		t.Fatal(err, ok)
	}
	w := newWindow(t)
	w.open("http://" + s.Addr().String() + "/orders.html")
	w.wait(`socket.readyState === WebSocket.OPEN`)
	// What is asked after the subscription is answered after it.
	w.eval(`(socket.addEventListener('message', e => { if (e.data.includes('"pong"')) window.ponged = true }), socket.send('{"type":"ping"}'))`)
	w.wait(`window.ponged`)
	if _, err := s.Publish(t.Context(), "orders", "order-created", map[string]any{"id": 7, "total": 19.5}); err != nil {
		t.Fatal(err)
	}
	w.wait(`document.querySelector('#list').innerText.includes('19.5')`)
}
