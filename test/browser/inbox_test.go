package browser

import (
	"fmt"
	"net/http"
	"testing"
)

// tell has the application tell ann something.
func (g *gallery) tell(text string) {
	g.t.Helper()
	g.call("POST", "/v1/channels/inbox:ann/messages", `{"type":"notification","data":{"kind":"order","text":`+quote(text)+`}}`, http.StatusCreated, nil)
}

// TestInbox: two devices of one user agree on what is read, whatever happens to either.
func TestInbox(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "inbox")
	laptop, phone := g.page(t, "/inbox/?user=ann"), g.page(t, "/inbox/?user=ann")
	both := []*window{laptop, phone}
	for n := range 5 {
		g.tell(fmt.Sprint("parcel ", n))
	}
	for _, w := range both {
		w.wait(`document.title.startsWith('(')`)
	}
	laptop.click("#all")
	for _, w := range both {
		w.wait(`document.querySelectorAll('#list > .unread').length === 0 && document.querySelectorAll('#list > .read').length >= 5`)
	}

	// One by one, and sent by somebody else.
	ben := g.page(t, "/inbox/?user=ben")
	ben.eval(`document.querySelector('#to').value = 'ann'`)
	ben.typeIn("#text", "are you there?")
	ben.click("#send [type=submit]")
	first := `[...document.querySelectorAll('#list > li')].find((e) => e.textContent.includes('are you there?'))`
	for _, w := range both {
		w.wait(first + `?.className === 'unread'`)
	}
	phone.eval(first + `.firstChild.click()`)
	laptop.wait(first + `.className === 'read'`)

	// Without a line it is read here at once, and there when the line is back; what the
	// laptop reads meanwhile stays read.
	g.cut()
	for _, w := range both {
		w.lost()
	}
	g.tell("while it was dark")
	g.heal()
	laptop.back()
	phone.back()
	dark := `[...document.querySelectorAll('#list > li')].find((e) => e.textContent.includes('while it was dark'))`
	for _, w := range both {
		w.wait(dark + `?.className === 'unread'`)
	}
	g.cut()
	phone.lost()
	phone.eval(dark + `.firstChild.click()`)
	phone.wait(dark + `.className === 'read'`)
	g.heal()
	laptop.back()
	phone.back()
	laptop.wait(dark + `.className === 'read'`)

	// Frozen, while others go on; and the server killed.
	phone.freeze()
	g.tell("while it was frozen")
	laptop.waitText("#list", "while it was frozen")
	laptop.click("#all")
	g.restart()
	phone.thaw()
	for _, w := range both {
		w.back()
		w.waitText("#list", "while it was frozen")
		w.wait(`document.querySelectorAll('#list > .unread').length === 0`)
	}
	g.tell("after the restart")
	for _, w := range both {
		w.waitText("#list", "after the restart")
		for _, text := range []string{"parcel 0", "are you there?", "while it was dark", "while it was frozen", "after the restart"} {
			if n := w.eval(`[...document.querySelectorAll('#list > li')].filter((e) => e.textContent.includes(` + quote(text) + `)).length`); n != "1" {
				t.Errorf("%q is there %s times", text, n)
			}
		}
	}

	// A kind that is muted is muted on both, and counts for nothing.
	laptop.click(`#kinds [value=order]`)
	phone.wait(`!document.querySelector('#kinds [value=order]').checked`)
	phone.shot("inbox")

	// A new device has the same, and the pages before.
	for n := range 40 {
		g.tell(fmt.Sprint("old news ", n))
	}
	tablet := g.page(t, "/inbox/?user=ann")
	tablet.waitText("#list", "old news 39")
	tablet.click("#older")
	tablet.waitText("#list", "parcel 0")
}

// TestInboxLate: a device that was offline alone says late what it has marked, after the
// others have marked more: nothing that is read becomes unread, and nothing stays so that
// only it had read.
func TestInboxLate(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "inbox")
	far := newLink(t, g.addr) // the phone's own network
	laptop, phone := g.page(t, "/inbox/?user=ann"), newWindow(t)
	phone.live("http://" + far.Addr().String() + "/inbox/?user=ann")
	g.tell("the first")
	g.tell("the second")
	row := func(text string) string {
		return `[...document.querySelectorAll('#list > li')].find((e) => e.textContent.includes(` + quote(text) + `))`
	}
	for _, w := range []*window{laptop, phone} {
		w.wait(row("the second") + `?.className === 'unread'`)
	}
	far.set(true)
	phone.lost()
	phone.eval(row("the first") + `.firstChild.click()`)
	phone.wait(row("the first") + `.className === 'read' && ` + row("the second") + `.className === 'unread'`)
	g.tell("the third")
	laptop.wait(row("the third") + `?.className === 'unread'`)
	laptop.click("#all")
	laptop.wait(row("the third") + `.className === 'read'`)
	laptop.eval(`(window.fell = 0, new MutationObserver((all) => { for (const {target, oldValue} of all) if (oldValue === 'read' && target.className === 'unread') fell++; })
		.observe(document.querySelector('#list'), {subtree: true, attributes: true, attributeFilter: ['class'], attributeOldValue: true}))`)

	far.set(false)
	phone.back()
	phone.wait(row("the third") + `?.className === 'read' && ` + row("the second") + `.className === 'read' && ` + row("the first") + `.className === 'read'`)
	// What the phone had to say was said when nothing waits in it any more.
	phone.wait(`JSON.parse(localStorage.getItem('inbox ann')).offsets.length === 0`)
	laptop.wait(row("the first") + `.className === 'read' && ` + row("the second") + `.className === 'read'`)
	if n := laptop.eval(`fell`); n != "0" {
		t.Errorf("%s that were read became unread", n)
	}
}
