package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestChatRefusedImage: an image that the server refuses can be discarded, and
// what was said with it is not lost.
func TestChatRefusedImage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.live(s.url("/chat/?user=ann"))
	path := filepath.Join(t.TempDir(), "no.png")
	if err := os.WriteFile(path, []byte("this is no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path}))
	w.wait(`!document.querySelector('#attached').hidden`)
	w.say("look at this")
	w.wait(`document.querySelectorAll('#messages .failed .acts button').length === 2`)
	w.wait(`document.querySelector('.toast.bad') !== null`)
	w.clear("#send")
	w.click("#messages .failed .acts button:last-child")
	w.wait(`document.querySelectorAll('#messages > li').length === 0 && document.querySelector('#text').value === 'look at this'`)
	if focus := w.eval(`document.activeElement.id`); focus != "text" {
		t.Errorf("the focus is on %q", focus)
	}
}

// clear checks that no toast lies over an element, on a desktop and on a phone.
func (w *window) clear(selector string) {
	w.t.Helper()
	for _, screen := range []size{phone, desktop} {
		w.resize(screen)
		over := w.eval(`(() => {
			const a = document.querySelector(` + quote(selector) + `).getBoundingClientRect();
			return [...document.querySelectorAll('.toast')].some((t) => {
				const b = t.getBoundingClientRect();
				return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
			});
		})()`)
		if over != "false" {
			w.t.Errorf("on a %s a toast lies over %s", screen.name, selector)
		}
	}
}

// TestChatLinks: an address in a message is a link, to nothing else than it says,
// and a script is none.
func TestChatLinks(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.live(s.url("/chat/?user=ann"))
	w.say("see https://example.com/a?b=1&c=(2)#d, or (http://example.org/x). javascript:alert(1) <https://example.net>")
	w.wait(`document.querySelectorAll('#messages .text a').length === 3`)
	want := "https://example.com/a?b=1&c=(2)#d http://example.org/x https://example.net/"
	if got := w.eval(`[...document.querySelectorAll('#messages .text a')].map((a) => a.href).join(' ')`); got != want {
		t.Errorf("the links are %s, want %s", got, want)
	}
	if got := w.eval(`document.querySelector('#messages .text').textContent`); !strings.HasPrefix(got, "see https://example.com/a?b=1&c=(2)#d, or (http://example.org/x).") {
		t.Errorf("the text became %s", got)
	}
	if got := w.eval(`[...document.querySelectorAll('#messages .text a')].every((a) => a.target === '_blank' && a.rel.includes('noopener'))`); got != "true" {
		t.Error("a link opens in this window, or tells the other where it came from")
	}
}

// TestChatAtFirstSight: an empty room says what to do.
func TestChatAtFirstSight(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.live(s.url("/chat/?user=ben"))
	w.waitText("#empty", "Say something below")
	if to := w.eval(`document.querySelector('#second').getAttribute('href')`); to != "/chat/?user=ann" {
		t.Errorf("the second window is %s", to)
	}
	w.shot("chat-empty")
	w.resize(phone)
	w.shot("chat-empty-phone")
}

// TestFocusAfterAnOrder: the button goes with the basket, and the focus to what
// became of it; no toast lies over that.
func TestFocusAfterAnOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.live(s.url("/shop/?user=ann"))
	w.buy("bell-collar")
	w.waitText("#orders .order", "Order 1")
	onOrder := `document.activeElement === document.querySelector('#orders .order')`
	w.wait(onOrder)
	w.wait(`document.querySelector('.toast') !== null`)
	w.clear("#orders .order .acts")
	w.shot("shop-ordered")
	w.click("#orders .order .acts button")
	w.wait(`document.querySelector('#orders .order').dataset.status === 'paid'`)
	w.wait(onOrder)
}

// TestRateWithoutALine: what comes a second is nothing once the line is down.
func TestRateWithoutALine(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.live(s.url("/trucks/?user=ann"))
	w.wait(`document.querySelector('#flow').textContent > 0`)
	s.kill()
	w.wait(`document.documentElement.dataset.line !== 'live'`)
	if n := w.eval(`document.querySelector('#flow').textContent`); n != "0" {
		t.Errorf("%s messages a second come over a line that is down", n)
	}
}

// TestPlainPageLeadsHome: the page that is not part of the others has a way back.
func TestPlainPageLeadsHome(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	w := newWindow(t)
	w.open(s.url("/demo/plain.html"))
	w.click("main a[href='/']")
	w.wait(`location.pathname === '/' && document.querySelector('#config') !== null`)
}
