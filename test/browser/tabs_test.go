package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// tabPage shares its connection with the other tabs, by a worker if it is asked to, and
// keeps what it publishes over reloads.
const tabPage = `<!doctype html><title>tab</title><link rel="icon" href="data:,">
<script type="module">
import {Ringdown, tabs, keepOutbox, protobuf} from '/v1/client/all.js'
window.got = []
window.gaps = []
window.lines = 0
window.settled = []
const asked = new URLSearchParams(location.search)
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args)
    lines++
  }
}
window.ringdown = new Ringdown(location.origin, {
  token: async () => (await fetch('/token')).text(),
  backoffBase: 200, watch: 1000, silence: 1000, probeTimeout: 1000,
  share: asked.has('alone') ? undefined : tabs(asked.has('worker') ? {worker: '/v1/client/worker.js'} : {}),
  codec: asked.has('protobuf') ? protobuf : undefined,
})
if (asked.has('keep')) keepOutbox(ringdown, {settled: (message, result) => settled.push(message.data + ' ' + (result.code ?? result.offset))})
const chat = ringdown.channel('chat:1')
chat.when('gap', ({reason}) => gaps.push(reason))
chat.on('message', (n) => got.push(n))
</script>`

// crash ends the tab's process, as the system does when it wants the memory.
func (w *window) crash() {
	w.t.Helper()
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second) // nobody answers
	defer cancel()
	_ = chromedp.Do(ctx, command(page.Crash, cdp.Empty{}))
}

// tab opens a page that shares, beside another if there is one, and waits until it hears.
func (s *site) tab(beside *window, query string) *window {
	s.t.Helper()
	var w *window
	if beside == nil {
		w = newWindow(s.t)
	} else {
		w = beside.beside()
	}
	w.open(s.URL + "/tab?" + query)
	w.through()
	return w
}

// through waits until what is published is heard.
func (w *window) through() {
	w.t.Helper()
	w.wait(`ringdown.state === 'live'`)
	w.eval(`ringdown.channel('chat:1').publish('message', 'tab')`)
	w.wait(`got.includes('tab')`)
	w.eval(`got.length = 0`)
}

// begin forgets what the tabs have heard while others were opened.
func begin(tabs []*window) {
	for _, w := range tabs {
		w.eval(`got.length = 0`)
	}
}

// leaders returns those of the tabs that have opened a line of their own.
func leaders(tabs []*window) (list []*window) {
	for _, w := range tabs {
		if w.eval(`lines > 0`) == "true" {
			list = append(list, w)
		}
	}
	return list
}

// TestTabs: eight tabs have one connection, whatever holds it, and whoever of them is
// killed or frozen, the others miss nothing and hear nothing twice.
func TestTabs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var tabs []*window
	for range 8 {
		var first *window
		if len(tabs) > 0 {
			first = tabs[0]
		}
		tabs = append(tabs, s.tab(first, ""))
	}
	begin(tabs)
	for range 3 {
		s.say()
	}
	for _, w := range tabs {
		s.heard(w)
	}
	lead := leaders(tabs)
	if len(lead) != 1 {
		t.Fatalf("%d tabs have a line", len(lead))
	}
	lead[0].crash()
	rest := without(tabs, lead[0])
	for range 3 {
		s.say()
	}
	for _, w := range rest {
		s.heard(w)
	}
	lead = leaders(rest)
	if len(lead) != 1 {
		t.Fatalf("%d tabs have a line when the first is gone", len(lead))
	}
	// One that is frozen holds its lock: it has to be taken away.
	frozen := lead[0]
	frozen.freeze()
	rest = without(rest, frozen)
	for range 3 {
		s.say()
		time.Sleep(time.Second)
	}
	for _, w := range rest {
		s.heard(w)
	}
	frozen.thaw()
	s.say()
	for _, w := range append(rest, frozen) {
		s.heard(w)
	}
	// Signing out is for all of them.
	rest[0].eval(`ringdown.signOut()`)
	for _, w := range append(rest, frozen) {
		w.wait(`ringdown.state === 'closed'`)
	}
}

func without(tabs []*window, one *window) (rest []*window) {
	for _, w := range tabs {
		if w != one {
			rest = append(rest, w)
		}
	}
	return rest
}

// TestTabsWithAWorker: none of the tabs has a line, and when the worker cannot be had one has.
func TestTabsWithAWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.tab(nil, "worker&protobuf")
	second := s.tab(first, "worker")
	tabs := []*window{first, second}
	begin(tabs)
	for range 3 {
		s.say()
	}
	for _, w := range tabs {
		s.heard(w)
	}
	if n := len(leaders(tabs)); n != 0 {
		t.Errorf("%d tabs have a line beside the worker", n)
	}
	if user := second.eval(`ringdown.user`); user != "ann" {
		t.Errorf("the user is %s", user)
	}
	s.cut()
	s.say()
	for _, w := range tabs {
		s.heard(w)
	}
	first.crash()
	s.say()
	s.heard(second)
}

// TestOutboxIsKept: what was published while there was no line is published by the page
// that is loaded next, in order and once; signing out forgets it.
func TestOutboxIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	w := s.tab(nil, "keep")
	s.down.Store(true)
	s.cut()
	w.wait(`ringdown.state === 'waiting'`)
	for n := 1; n <= 5; n++ {
		w.eval(fmt.Sprintf(`ringdown.channel('chat:1').publish('message', %d).catch(() => {})`, n))
	}
	w.eval(`(window.written = 0, indexedDB.open('ringdown').onsuccess = ({target}) => {
		const look = () => { target.result.transaction('ringdown publications').objectStore('ringdown publications').count().onsuccess = (e) => {
			window.written = e.target.result
			if (written < 5) look()
		} }
		look()
	})`)
	w.wait(`written >= 5`) // for it is written beside
	s.said = 5
	w.open(s.URL + "/tab?keep")
	w.wait(`ringdown.state === 'opening' || ringdown.state === 'waiting'`)
	w.eval(`ringdown.channel('chat:1').publish('message', 6)`) // comes behind them
	s.said = 6
	s.down.Store(false)
	w.eval(`window.dispatchEvent(new Event('online'))`)
	s.heard(w)
	w.wait(`settled.length === 5`)
	if got := w.eval(`settled.join()`); !strings.HasPrefix(got, "1 ") || strings.Contains(got, "unknown") {
		t.Errorf("settled: %s", got)
	}
	// Nothing is left of it.
	w.open(s.URL + "/tab?keep")
	w.through()
	s.say()
	w.wait(`got.includes(7)`)
	// What was settled a moment before the page went may be there still, and is said once
	// more under its key, which stores nothing.
	if got := w.eval(`got.join()`); got != "7" {
		t.Errorf("again: %s", got)
	}
	s.down.Store(true)
	s.cut()
	w.wait(`ringdown.state === 'waiting'`)
	w.eval(`ringdown.channel('chat:1').publish('message', 99).catch(() => {})`)
	w.eval(`ringdown.signOut()`)
	w.wait(`ringdown.state === 'closed'`)
	s.down.Store(false)
	w.open(s.URL + "/tab?keep")
	w.through()
	s.say()
	w.wait(`got.includes(8)`)
	if got := w.eval(`got.join()`); got != "8" {
		t.Errorf("after signing out: %s", got)
	}
}
