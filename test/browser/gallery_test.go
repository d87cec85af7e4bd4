package browser

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringdown/internal/load"
)

// axe is the source of axe-core, which finds faults of accessibility in a page.
var axe = sync.OnceValues(func() (string, error) {
	if _, err := os.Stat("axe/node_modules/axe-core/axe.min.js"); err != nil {
		cmd := exec.Command("npm", "ci", "--silent", "--no-audit", "--no-fund")
		cmd.Dir = "axe"
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm ci in test/browser/axe: %w\n%s", err, out)
		}
	}
	source, err := os.ReadFile("axe/node_modules/axe-core/axe.min.js")
	return string(source), err
})

// accessible fails the test for each fault that axe finds in the page as it is.
func (w *window) accessible(what string) {
	w.t.Helper()
	source, err := axe()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](source+`; true`)); err != nil {
		w.t.Fatal(err)
	}
	found, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations.map((v) =>
		v.id + ': ' + v.help + '\n' + v.nodes.slice(0, 4).map((n) => '    ' + n.target.join(' ') + ' ' + n.any.map((a) => a.message).join('; ')).join('\n')).join('\n'))`, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatal(err)
	}
	if found != "" {
		w.t.Errorf("%s:\n%s", what, found)
	}
}

// weight returns the bytes of a page, gzipped, with all that it loads to begin with.
func (w *window) weight(url string) (sum int) {
	w.t.Helper()
	var urls []string
	if err := json.Unmarshal([]byte(w.eval(`JSON.stringify([...new Set(performance.getEntriesByType('resource').filter((e) => e.initiatorType !== 'beacon').map((e) => e.name))])`)), &urls); err != nil {
		w.t.Fatal(err)
	}
	for _, u := range append(urls, url) {
		if strings.Contains(u, "/v1/ws") || strings.Contains(u, "/v1/sse") || strings.Contains(u, "/v1/poll") || strings.HasPrefix(u, "data:") || strings.HasPrefix(u, "blob:") {
			continue
		}
		answer, err := http.Get(u)
		if err != nil {
			w.t.Fatal(err)
		}
		var packed bytes.Buffer
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		_, err = io.Copy(z, answer.Body)
		answer.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		z.Close()
		sum += packed.Len()
	}
	return sum
}

// heavy are the pages that may be heavier than the others: an editor is in them.
var heavy = map[string]int{"document": 600 << 10}

const maxPage = 300 << 10

// TestGallery: every page of every app, on a phone and a desktop, in light and in dark,
// is no wider than the screen, light enough, and without a fault of accessibility.
func TestGallery(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", "50")
	furnish(s)
	list := newWindow(t)
	list.live(s.url("/?user=ann"))
	var apps []struct {
		Name, Picture string
		Pages         [][2]string
	}
	text, err := chromedp.Run(list.ctx, chromedp.Evaluate[string](`import('/demo/assets/apps.js').then(({apps}) => JSON.stringify(apps))`, chromedp.EvalAwaitPromise))
	if err == nil {
		err = json.Unmarshal([]byte(text), &apps)
	}
	if err != nil {
		t.Fatal(err)
	}
	type page struct{ name, app, path string }
	pages := []page{{"home", "", "/"}}
	for _, a := range apps {
		for i, p := range a.Pages {
			name := a.Name
			if i > 0 {
				name += "-" + strings.ToLower(p[1])
			}
			pages = append(pages, page{name, a.Name, p[0]})
		}
		pages = append(pages, page{"about-" + a.Name, a.Name, "/demo/about/" + a.Name})
	}
	// A few at a time: each is a process of the browser.
	turns := make(chan struct{}, 3)
	for _, p := range pages {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			w := newWindow(t)
			url := s.url(p.path + "?user=ann")
			if strings.HasPrefix(p.name, "about-") {
				w.open(url)
				w.wait(`document.querySelector('header.top a') && document.querySelector('main h1')`)
			} else {
				w.live(url)
				w.wait(`performance.now() > 1500`) // what comes at once has come
			}
			most := maxPage
			if n, ok := heavy[p.app]; ok {
				most = n
			}
			if n := w.weight(url); n > most {
				t.Errorf("the page has %d bytes, gzipped, of at most %d", n, most)
			} else {
				t.Logf("%d bytes, gzipped", n)
			}
			for _, screen := range []size{desktop, phone} {
				w.resize(screen)
				for _, scheme := range []string{"light", "dark"} {
					w.scheme(scheme)
					w.shot(fmt.Sprintf("gallery-%s-%s-%s", p.name, screen.name, scheme))
					w.accessible(fmt.Sprintf("on a %s in %s", screen.name, scheme))
				}
				if wide := w.eval(`document.documentElement.scrollWidth - innerWidth`); wide != "0" {
					t.Errorf("on a %s it is %s pixels wider than the screen", screen.name, wide)
				}
			}
		})
	}
}

// TestGalleryOfSome: nothing leads to an app that is not served.
func TestGalleryOfSome(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "chat", "inbox")
	w := g.page(t, "/?user=ann")
	for _, list := range []string{"#doors", "#places ul"} {
		links := w.eval(`[...document.querySelector('` + list + `').querySelectorAll('a')].map((a) => new URL(a.href).pathname).join()`)
		if want := map[string]string{"#doors": "/chat/,/inbox/", "#places ul": "/,/chat/,/inbox/"}[list]; links != want {
			t.Errorf("%s leads to %s", list, links)
		}
	}
}

// TestDemoSleeps: with nobody there the demo costs nearly nothing, however many apps it
// has, and again when those who looked at it have left.
func TestDemoSleeps(t *testing.T) {
	s := newServer(t, "--trucks", "500")
	idle := func(when string) {
		t.Helper()
		const while = 5 * time.Second
		before := s.cpu()
		time.Sleep(while) // what is measured is what happens in this time
		if share := 100 * float64(s.cpu()-before) / float64(while); share > 2 {
			t.Errorf("%s it takes %.1f %% of a core", when, share)
		} else {
			t.Logf("%s it takes %.2f %% of a core", when, share)
		}
	}
	s.settle()
	idle("before anybody came")
	w := newWindow(t)
	w.live(s.url("/trucks/?user=ann"))
	w.wait(`document.querySelector('#count').textContent === '500'`)
	w.open("about:blank")
	s.settle()
	idle("when all have left")
}

// cpu is what the server has used so far.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	used, err := load.ProcessOf(s.run.PID()).CPU()
	if err != nil {
		s.t.Fatal(err)
	}
	return used
}

// settle waits until a second has passed in which the server did little: it has started,
// or said goodbye to somebody.
func (s *server) settle() {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		before := s.cpu()
		time.Sleep(time.Second)
		if s.cpu()-before < 20*time.Millisecond {
			return
		}
	}
	s.t.Fatal("the server does not come to rest")
}
