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
)

// pageOf is the page that a document shows, with a text in it replaced.
func pageOf(t *testing.T, document, old, new string) string {
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
	return strings.ReplaceAll(html, old, new)
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

// TestPresencePage is the page of docs/presence.md, opened as a file: two people
// see each other, and one who goes is gone.
func TestPresencePage(t *testing.T) {
	t.Parallel()
	s := embedded(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0"})
	path := filepath.Join(t.TempDir(), "here.html")
	if err := os.WriteFile(path, []byte(pageOf(t, "presence.md", "127.0.0.1:8000", s.Addr().String())), 0o600); err != nil {
		t.Fatal(err)
	}
	visit := func(name string) *window {
		w := newWindow(t)
		w.before(`window.prompt = () => ` + quote(name))
		w.open("file://" + path)
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
