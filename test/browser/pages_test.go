package browser

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringdown"
	"ringdown/test/program"
)

// pageOf is the page that a document shows, with a text in it replaced.
func pageOf(t *testing.T, document, old, replacement string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```html\n")
	html, _, ok := strings.Cut(rest, "```")
	if !ok || !strings.Contains(html, old) {
		t.Fatalf("%s has no page with %q in it", document, old)
	}
	return strings.ReplaceAll(html, old, replacement)
}

// programOf is the client program that a document shows, for another address, as
// a page that shows what it prints.
func programOf(t *testing.T, document, address string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```js\n")
	source, _, ok := strings.Cut(rest, "```")
	if !ok || !strings.Contains(source, "127.0.0.1:8000") {
		t.Fatalf("%s has no program with an address in it", document)
	}
	path := filepath.Join(t.TempDir(), "program.html")
	page := `<!doctype html><pre id="said"></pre><script>console.log = (...what) => said.append(JSON.stringify(what) + '\n')</script><script>` +
		strings.ReplaceAll(source, "127.0.0.1:8000", address) + `</script>`
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// TestPrograms are the clients of docs/recovery.md and docs/state.md, which say
// that they are for pages too: they come back to a server that comes back.
func TestPrograms(t *testing.T) {
	t.Parallel()
	address := program.FreeAddress(t)
	serve := func() *ringdown.Server {
		s, err := ringdown.New(ringdown.Options{Listen: address, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Config: []byte(`
auth: {anonymous: true}
origins: ["*"]
store: {memory: true}
channels:
  - {name: orders, history: {messages: 10}, allow: {subscribe: anyone}}
  - {name: 'trucks:{region}', state: {}, allow: {subscribe: anyone}}
`)})
		if err == nil {
			err = s.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stop := func(s *ringdown.Server) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Stop(ctx)
	}
	publish := func(s *ringdown.Server, channel, event string, data any, o ...ringdown.PublishOption) {
		t.Helper()
		if _, err := s.Publish(t.Context(), channel, event, data, o...); err != nil {
			t.Fatal(err)
		}
	}
	follow, trucks := newWindow(t), newWindow(t)
	follow.open(programOf(t, "recovery.md", address)) // before there is a server
	trucks.open(programOf(t, "state.md", address))
	s := serve()
	publish(s, "trucks:eu", "position", 1, ringdown.WithKey("a"))
	trucks.wait(`/"a",1|whole/.test(said.innerText)`)
	follow.wait(`position.orders !== undefined`)
	publish(s, "orders", "order-created", map[string]int{"id": 6})
	follow.wait(`/,\{"id":6\}\]/.test(said.innerText)`)
	stop(s)
	s = serve()
	defer stop(s)
	publish(s, "trucks:eu", "position", 2, ringdown.WithKey("a"))
	trucks.wait(`trucks.get('a') === 2`)
	// What was in memory is gone, and so the program says.
	follow.wait(`/missed something.*epoch/.test(said.innerText)`)
	publish(s, "orders", "order-created", map[string]int{"id": 7})
	follow.wait(`/,\{"id":7\}\]/.test(said.innerText)`)
}

// embedded starts a server in this process.
func embedded(t *testing.T, o ringdown.Options) *ringdown.Server {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := ringdown.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return s
}

// TestEventsPage is the page of docs/transports.md: orders appear, those of
// before too, and a client that the operator disconnects stays away.
func TestEventsPage(t *testing.T) {
	t.Parallel()
	s := embedded(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0"})
	page := pageOf(t, "transports.md", "const events = ", "window.events = ") // so that it can be asked for its state
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<link rel="icon" href="data:,">`+page)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	publish := func(id int) {
		t.Helper()
		if _, err := s.Publish(t.Context(), "orders", "order-created", map[string]int{"id": id}); err != nil {
			t.Fatal(err)
		}
	}
	publish(7)
	w := newWindow(t)
	w.open(web.URL + "/page?token=ann")
	w.wait(`document.querySelector('#list').innerText === '7'`)
	publish(8)
	w.wait(`document.querySelector('#list').innerText === '7\n8'`)
	if n, err := s.DisconnectUser(t.Context(), "ann"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	w.wait(`events.readyState === EventSource.CLOSED`)
}

// TestPresencePage is the page of docs/presence.md, from the folder that --www
// names: two people see each other, and one who goes is gone.
func TestPresencePage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := embedded(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0", DevFiles: dir})
	page := pageOf(t, "presence.md", "127.0.0.1:8000", s.Addr().String())
	if err := os.WriteFile(filepath.Join(dir, "here.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	visit := func(name string) *window {
		w := newWindow(t)
		w.before(`window.prompt = () => ` + quote(name))
		w.open("http://" + s.Addr().String() + "/here.html")
		return w
	}
	ann := visit("ann")
	ann.wait(`document.querySelector('#here').innerText === 'ann'`)
	ben := visit("ben")
	for _, w := range []*window{ann, ben} {
		w.wait(`document.querySelector('#here').innerText === 'ann\nben'`)
	}
	ben.eval(`socket.send(JSON.stringify({type: 'presence', channel: 'chat:1', data: {action: 'leave'}}))`)
	ann.wait(`document.querySelector('#here').innerText === 'ann'`)
}
