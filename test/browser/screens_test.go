package browser

import (
	"fmt"
	"testing"
)

// Every page is shown on a phone and a desktop, in light and in dark, with
// something in it; nothing may be wider than the screen.
func TestScreens(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--trucks", "250")
	furnish(s)
	pages := []struct{ name, path, ready string }{
		{"home", "/?user=ann", `document.querySelector('#config').textContent.includes('channels')`},
		{"shop", "/shop/?user=ann", `document.querySelectorAll('#orders > li').length === 3`},
		{"staff", "/shop/staff", `document.querySelectorAll('#orders > tr').length === 6`},
		{"chat", "/chat/?user=ann", `document.querySelectorAll('#messages > li').length >= 7 && [...document.images].every((i) => i.complete)`},
		{"trucks", "/trucks/?user=ann", `document.querySelector('#count').textContent === '250' && document.querySelector('[data-status=driving] b').textContent > 0`},
		{"plain", "/demo/plain.html", `document.querySelector('#log').textContent.includes('subscribed')`},
	}
	ben := newWindow(t)
	ben.live(s.url("/chat/?user=ben"))
	converse(t, s, ben)
	for _, p := range pages {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := newWindow(t)
			w.open(s.url(p.path))
			if p.name != "plain" {
				w.wait(`document.documentElement.dataset.line === 'live'`)
			}
			w.wait(p.ready)
			if p.name == "shop" {
				w.click("#product-sun-lamp button")
				w.click("#product-bird-swing button")
			}
			if p.name == "trucks" {
				w.typeIn("#find", "17\r")
				w.waitText("#card-name", "truck-017")
				w.click("#whole")
			}
			for _, screen := range []size{desktop, phone} {
				w.resize(screen)
				w.eval(`window.scrollTo({top: 0, behavior: 'instant'})`)
				for _, scheme := range []string{"light", "dark"} {
					w.scheme(scheme)
					if p.name == "chat" {
						ben.typeIn("#text", "y")
						w.waitText("#typing", "ben is typing")
					}
					w.shot(fmt.Sprintf("%s-%s-%s", p.name, screen.name, scheme))
				}
				if wide := w.eval(`document.documentElement.scrollWidth - innerWidth`); wide != "0" {
					t.Errorf("%s on a %s is %s pixels wider than the screen", p.name, screen.name, wide)
				}
			}
		})
	}
}

// furnish gives the shop a past.
func furnish(s *server) {
	s.t.Helper()
	first := s.place("ann", `[{"product":"hamster-wheel","quantity":1},{"product":"hay-tunnel","quantity":2}]`)
	s.place("june", `[{"product":"rope-phone","quantity":3}]`)
	second := s.place("ann", `[{"product":"bell-collar","quantity":1}]`)
	gone := s.place("gus", `[{"product":"fish-castle","quantity":1},{"product":"bird-swing","quantity":2}]`)
	s.place("ben", `[{"product":"scratch-post","quantity":4}]`)
	s.place("ann", `[{"product":"fish-castle","quantity":1}]`)
	s.call("POST", fmt.Sprintf("/shop/orders/%d/ship", first.ID), "", 200, nil)
	s.call("PATCH", fmt.Sprintf("/shop/orders/%d", second.ID), `{"status":"packed"}`, 200, nil)
	s.call("PATCH", fmt.Sprintf("/shop/orders/%d", gone.ID), `{"status":"cancelled"}`, 200, nil)
}

// converse has ann and ben talk in the lobby.
func converse(t *testing.T, s *server, ben *window) {
	t.Helper()
	ann := newWindow(t)
	ann.live(s.url("/chat/?user=ann"))
	for i, line := range []struct {
		who  *window
		text string
	}{
		{ben, "Morning. Did the harbour post ever turn up?"},
		{ann, "It did, four of them, and the van is already gone again."},
		{ann, "The cat next door has moved in with one."},
		{ben, "That is what they are for."},
		{ben, "I found the shop's cat, by the way. Not lost, just busy:"},
	} {
		line.who.say(line.text)
		for _, w := range []*window{ann, ben} {
			w.wait(fmt.Sprintf(`document.querySelectorAll('#messages > .sent').length >= %d`, i+1))
		}
	}
	ben.attach(t, picture(320, 200))
	ben.say("")
	ann.wait(`document.querySelectorAll('#messages > .sent').length >= 6`)
	ann.say("Tell her the counter opens at nine.")
	ben.wait(`document.querySelectorAll('#messages > .sent').length >= 7`)
}
