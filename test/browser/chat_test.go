package browser

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// say writes a message and sends it with Enter.
func (w *window) say(text string) {
	w.t.Helper()
	w.typeIn("#text", text+kb.Enter)
}

// attach chooses an image for the next message.
func (w *window) attach(t *testing.T, img []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "evening.png")
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
	w.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path}))
	w.wait(`!document.querySelector('#attached').hidden`)
}

// picture draws an evening with a moon in it.
func picture(width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{uint8(20 + 200*y/height), uint8(40 + 90*y/height), uint8(90 + 20*y/height), 255}
			if dx, dy := x-width*3/4, y-height/3; dx*dx+dy*dy < height*height/40 {
				c = color.RGBA{255, 240, 200, 255}
			}
			if y > height*3/4+(x*x/97)%9 {
				c = color.RGBA{16, 40, 44, 255}
			}
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // into memory
	}
	return b.Bytes()
}

func TestChatBetweenTwoWindows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, ben := newWindow(t), newWindow(t)
	ann.live(s.url("/chat/?user=ann"))
	ben.live(s.url("/chat/?user=ben"))
	// Each sees who is here.
	for _, w := range []*window{ann, ben} {
		w.waitText("#here", "ann")
		w.waitText("#here", "ben")
	}
	// Both follow the room once each has read the other.
	ben.say("here I am")
	ann.waitText("#messages", "here I am")
	ann.say("so am I")
	ben.waitText("#messages", "so am I")

	ann.typeIn("#text", "hel")
	ben.waitText("#typing", "ann is typing")
	ann.say("lo <b>ben</b> & all")
	ben.waitText("#messages .text", "hello <b>ben</b> & all")
	ben.wait(`document.querySelector('#typing').textContent === ''`)
	if n := ben.eval(`document.querySelectorAll('#messages .text b').length`); n != "0" {
		t.Errorf("markup of a message became %s elements", n)
	}
	if by := ben.eval(`[...document.querySelectorAll('#messages .byline b')].at(-1).textContent`); by != "ann" {
		t.Errorf("the message is by %q, want ann", by)
	}

	// Typing that nobody goes on with is forgotten.
	ben.typeIn("#text", "x")
	ann.waitText("#typing", "ben is typing")
	ann.wait(`document.querySelector('#typing').textContent === ''`)
}

func TestChatKeepsTheSessionAcrossRooms(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, ben := newWindow(t), newWindow(t)
	ann.live(s.url("/chat/?user=ann"))
	ben.live(s.url("/chat/?user=ben"))
	ann.say("said in the lobby")
	ben.waitText("#messages", "said in the lobby")
	ben.waitText("#here", "ann")

	ann.typeIn("#room-name", "Back Office"+kb.Enter)
	ann.waitText("#room", "back-office")
	ann.say("said in the back office")
	ben.waitText("#rooms", "back-office") // told to everybody
	ben.wait(`![...document.querySelectorAll('#here li')].some((e) => e.textContent.includes('ann'))`)
	ann.wait(`![...document.querySelectorAll('#here li')].some((e) => e.textContent.includes('ben'))`)

	ben.say("are you still there?")
	ann.waitText("#rooms .unread", "1")
	ann.click(`#rooms a[href="#lobby"]`)
	ann.waitText("#messages", "are you still there?")
	ann.waitText("#messages", "said in the lobby")
	ann.waitText("#here", "ben")
	ben.waitText("#here", "ann")
	ann.click(`#rooms a[href="#back-office"]`)
	ben.wait(`![...document.querySelectorAll('#here li')].some((e) => e.textContent.includes('ann'))`)
	ann.waitText("#messages", "said in the back office")

	// Somebody new gets what was said before.
	cleo := newWindow(t)
	cleo.live(s.url("/chat/?user=cleo"))
	cleo.waitText("#messages", "said in the lobby")
}

func TestChatImage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, ben := newWindow(t), newWindow(t)
	ann.live(s.url("/chat/?user=ann"))
	ben.live(s.url("/chat/?user=ben"))
	ann.attach(t, picture(640, 400))
	ann.say("the harbour, last night")
	ben.waitText("#messages", "the harbour, last night")
	ben.wait(`document.querySelector('#messages a .picture')?.naturalWidth === 640`)

	src := ben.eval(`document.querySelector('#messages .picture').src`)
	answer, err := http.Get(src)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("the image's %s is %q, want %q", name, got, want)
		}
	}
	for _, frame := range append(ann.received("message"), ben.received("message")...) {
		if len(frame) > 1000 {
			t.Errorf("a message of %d bytes: the image went through the socket", len(frame))
		}
	}
}

// A message long enough to be deflated arrives whole, and the connection did
// agree on permessage-deflate.
func TestChatLongMessageIsDeflated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, ben := newWindow(t), newWindow(t)
	ann.live(s.url("/chat/?user=ann"))
	ben.live(s.url("/chat/?user=ben"))
	long := strings.Repeat("the line is open ", 60) + "over"
	ann.do(chromedp.SetValue(chromedp.CSS("#text"), long))
	ann.say("")
	ben.wait(fmt.Sprintf(`[...document.querySelectorAll('#messages .text')].some((e) => e.textContent === %s)`, quote(long)))
	if !strings.Contains(strings.Join(ben.extensions(), ";"), "permessage-deflate") {
		t.Errorf("the server's answer has extensions %q, want permessage-deflate", ben.extensions())
	}
}

// Who reloads the page, or loses the line, does not flicker on the screens of others.
func TestChatReloadDoesNotFlicker(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ann, ben := newWindow(t), newWindow(t)
	ann.live(s.url("/chat/?user=ann"))
	ben.live(s.url("/chat/?user=ben"))
	ann.waitText("#here", "ben")
	ann.eval(`(() => {
		window.flickers = 0;
		const here = document.querySelector('#here');
		new MutationObserver(() => here.textContent.includes('ben') || flickers++).observe(here, {childList: true});
	})()`)
	told := len(ann.received("presence"))
	ben.eval(`(window.old = true, location.reload())`)
	ben.wait(`!window.old && document.querySelector('#here').textContent.includes('ann')`)
	deadline := time.Now().Add(10 * time.Second)
	for len(ann.received("presence")) < told+2 { // the new one entered, the old one left
		if time.Now().After(deadline) {
			t.Fatalf("ann was told, before and after: %d, %q", told, ann.received("presence"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	ann.waitText("#here", "ben")
	if n := ann.eval(`flickers`); n != "0" {
		t.Errorf("ben was gone %s times", n)
	}
}

// lines returns what was said in the room, in the order of the screen.
func (w *window) lines() string {
	w.t.Helper()
	return w.eval(`[...document.querySelectorAll('#messages > li')].map((e) => e.querySelector('.text').textContent + (e.classList.contains('sent') ? '' : '?')).join(' ')`)
}

// What is said over a cut network, to a frozen page, and to a server that is killed comes
// once, in its order, also from a page that is loaded anew before it could be sent.
func TestChatSaysItOnce(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "chat")
	ann, ben := g.page(t, "/chat/?user=ann"), g.page(t, "/chat/?user=ben")
	for _, w := range []*window{ann, ben} {
		w.waitText("#here", "ann")
		w.waitText("#here", "ben")
	}
	agree := func(want string) {
		t.Helper()
		for _, w := range []*window{ann, ben} {
			w.wait(fmt.Sprintf(`document.querySelectorAll('#messages > .sent').length === %d`, len(strings.Fields(want))))
			if got := w.lines(); got != want {
				t.Errorf("the room has %q, want %q", got, want)
			}
		}
	}
	ann.say("one")
	agree("one")

	g.cut()
	ann.lost()
	ben.lost()
	ann.say("two")
	ann.say("three")
	ann.wait(`document.querySelectorAll('#messages > .sending').length === 2`)
	g.heal()
	ann.back()
	ben.back()
	agree("one two three")

	ben.freeze()
	ann.say("four")
	ann.wait(`document.querySelectorAll('#messages > .sent').length === 4`)
	ben.thaw()
	agree("one two three four")

	g.kill()
	ann.lost()
	ben.lost()
	ann.say("five")
	ann.say("six")
	ann.open("about:blank")
	g.start()
	ben.back()
	ann.live(g.url("/chat/?user=ann"))
	agree("one two three four five six")
	for _, w := range []*window{ann, ben} {
		w.waitText("#here", "ann")
		w.waitText("#here", "ben")
	}
}

// What a page left behind and the server refuses is shown by the next one, to be mended.
func TestChatSaysWhatWasRefusedLater(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "chat")
	ann := g.page(t, "/chat/?user=ann")
	g.kill()
	ann.lost()
	ann.eval(`document.querySelector('#text').maxLength = 9999`)
	ann.do(chromedp.SetValue(chromedp.CSS("#text"), strings.Repeat("x", 2001)))
	ann.say("")
	ann.wait(`document.querySelectorAll('#messages > .sending').length === 1`)
	ann.open("about:blank")
	g.start()
	ann.live(g.url("/chat/?user=ann"))
	ann.wait(`document.querySelectorAll('#messages > .failed').length === 1`)
	ann.wait(`document.querySelector('.toast.bad') !== null`)
	ann.click("#messages .failed .acts button:last-child")
	ann.wait(`document.querySelectorAll('#messages > li').length === 0 && document.querySelector('#text').value.length === 2001`)
}
