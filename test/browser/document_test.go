package browser

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// writer opens a document as somebody, and waits until it has what the server has.
func (g *gallery) writer(t *testing.T, user, document string) *window {
	t.Helper()
	w := newWindow(t)
	w.live(g.url("/document/?user=" + user + "#" + document))
	w.stored()
	return w
}

// stored waits until the server has everything of the page.
func (w *window) stored() {
	w.t.Helper()
	w.waitText("#state", "Stored")
	w.wait(`shared.provider.position && shared.provider.pending.length === 0`)
}

// write puts text at an end of the document, as the keyboard does.
func (w *window) write(at, text string) {
	w.t.Helper()
	position := map[string]string{"start": "0", "end": "shared.view.state.doc.length"}[at]
	w.eval(`(shared.view.focus(), shared.view.dispatch({selection: {anchor: ` + position + `}}))`)
	w.do(command(input.InsertText, input.InsertTextParams{Text: text}))
}

// same waits until all pages have the same document to the byte, and returns its text.
func same(t *testing.T, pages ...*window) string {
	t.Helper()
	var seen []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		seen = seen[:0]
		for _, w := range pages {
			seen = append(seen, w.eval(`shared.text.toString() === shared.view.state.doc.toString() && shared.provider.pending.length === 0
				? JSON.stringify([shared.text.toString(), [...shared.Y.encodeStateVector(shared.doc)], [...shared.Y.encodeSnapshot(shared.Y.snapshot(shared.doc))]]) : 'unfinished ' + Math.random()`))
		}
		equal := true
		for _, s := range seen {
			equal = equal && s == seen[0]
		}
		if equal {
			return pages[0].eval(`shared.text.toString()`)
		}
	}
	t.Fatalf("the pages have different documents: %.3000s", strings.Join(seen, "\n\n"))
	return ""
}

// once fails the test unless each of the words is in text once.
func once(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if n := strings.Count(text, word); n != 1 {
			t.Errorf("%q is there %d times", word, n)
		}
	}
}

// log returns the offsets of what the server keeps of a document's updates.
func (g *gallery) updates(document string) (first, last int) {
	g.t.Helper()
	var page struct{ Messages []struct{ Offset int } }
	g.call("GET", "/v1/channels/doc:"+document+":updates/messages?limit=1", "", http.StatusOK, &page)
	if len(page.Messages) == 0 {
		return 0, 0
	}
	last = page.Messages[0].Offset
	g.call("GET", "/v1/channels/doc:"+document+":updates/messages?limit=1&after=0", "", http.StatusOK, &page)
	return page.Messages[0].Offset, last
}

func TestDocument(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "document")
	names := []string{"ann", "ben", "cleo"}
	pages := make([]*window, len(names))
	for i, name := range names {
		pages[i] = g.writer(t, name, "minutes")
	}
	ann, ben, cleo := pages[0], pages[1], pages[2]
	var words []string
	// all writes in all pages at the same time, in the same places.
	all := func(when string) {
		t.Helper()
		var writing sync.WaitGroup
		for i, w := range pages {
			for n := range 5 {
				words = append(words, fmt.Sprintf("<%s-%s-%d>", when, names[i], n))
			}
			mine := words[len(words)-5:]
			writing.Go(func() {
				for n, word := range mine {
					w.write([]string{"start", "end"}[n%2], word+"\n")
				}
			})
		}
		writing.Wait()
	}

	all("together")
	once(t, same(t, pages...), words...)
	for _, w := range pages {
		w.wait(`document.querySelectorAll('#people li').length === 3`)
	}
	ann.wait(`shared.view.dom.querySelectorAll('.caret').length === 2`)
	ann.shot("document-together")

	// Undo takes back one's own, and nobody else's.
	ann.write("end", "mistaken")
	same(t, pages...)
	ben.write("end", "right")
	same(t, pages...)
	ann.eval(`shared.view.focus()`)
	ann.do(chromedp.KeyEvent("z", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	ann.wait(`!shared.text.toString().includes('mistaken')`)
	once(t, same(t, pages...), "right")
	words = nil
	cleo.eval(`shared.view.dispatch({changes: {from: 0, to: shared.view.state.doc.length}})`)
	if text := same(t, pages...); text != "" {
		t.Fatalf("what was deleted is still there: %q", text)
	}

	// The network is cut, and all go on.
	g.cut()
	for _, w := range pages {
		w.lost()
	}
	all("offline")
	ann.waitText("#state", "sent when the line is back")
	ann.shot("document-offline")
	g.heal()
	for _, w := range pages {
		w.back()
	}
	once(t, same(t, pages...), words...)

	// A page stands still, while others write, and its own words were not sent.
	cleo.freeze()
	ann.write("end", "<frozen-ann>")
	ann.stored()
	g.cut()
	cleo.thaw()
	cleo.write("start", "<frozen-cleo>")
	g.heal()
	for _, w := range pages {
		w.back()
	}
	words = append(words, "<frozen-ann>", "<frozen-cleo>")
	once(t, same(t, pages...), words...)

	// The server is killed in the middle of it.
	ben.write("end", "<before-the-kill>")
	g.kill()
	all("killed")
	g.start()
	for _, w := range pages {
		w.back()
	}
	words = append(words, "<before-the-kill>")
	once(t, same(t, pages...), words...)

	// Whoever looks and writes nothing publishes nothing.
	_, before := g.updates("minutes")
	late := g.writer(t, "dora", "minutes")
	once(t, same(t, append(pages, late)...), words...)
	if _, after := g.updates("minutes"); after != before {
		t.Errorf("a page that only looked has published: offset %d after %d", after, before)
	}

	// The server loses everything: the pages have it, and bring it back.
	g.kill()
	if err := os.RemoveAll(filepath.Join(g.data, "messages")); err != nil {
		t.Fatal(err)
	}
	g.start()
	for _, w := range append(pages, late) {
		w.back()
	}
	same(t, append(pages, late)...)
	once(t, same(t, ann, g.writer(t, "emil", "minutes")), words...)
}

// TestDocumentLater: what was written while the line was down, in a page that was closed
// then, is published when the document is opened again.
func TestDocumentLater(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "document")
	ann, ben := g.writer(t, "ann", "later"), g.writer(t, "ben", "later")
	g.cut()
	ann.lost()
	ann.write("end", "<before-closing>")
	ann.waitText("#state", "sent when the line is back")
	ann.wait(`shared.provider && (shared.kept._dbsize ?? 0) > 0`)
	ann.open("about:blank")
	g.heal()
	ben.back()
	if text := ben.eval(`shared.text.toString()`); text != "" {
		t.Fatalf("it cannot be there yet: %q", text)
	}
	ann.live(g.url("/document/?user=ann#later"))
	ann.stored()
	once(t, same(t, ann, ben), "<before-closing>")

	// Another document is another document.
	ann.eval(`location.hash = 'else'`)
	ann.waitText("#title", "else")
	ann.stored()
	ann.write("end", "<elsewhere>")
	ann.stored()
	if text := ben.eval(`shared.text.toString()`); text != "<before-closing>" {
		t.Errorf("what was written elsewhere is here: %q", text)
	}
	ben.wait(`document.querySelectorAll('#people li').length === 1`)
}

// TestDocumentCompacted: the log is cut, and nothing is lost, for there is a snapshot.
func TestDocumentCompacted(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "document")
	ann, ben := g.writer(t, "ann", "long"), g.writer(t, "ben", "long")

	// A program writes more than the log keeps, each word an update.
	const many = 2_300
	made, err := chromedp.Run(ann.ctx, chromedp.Evaluate[string](fmt.Sprintf(`(() => {
		const doc = new shared.Y.Doc(), made = [];
		doc.on('update', (u) => made.push(btoa(String.fromCharCode(...u))));
		for (let n = 0; n < %d; n++) doc.getText('text').insert(0, '<word-' + n + '>\\n');
		return JSON.stringify(made);
	})()`, many)))
	if err != nil {
		t.Fatal(err)
	}
	var updates []string
	if err := json.Unmarshal([]byte(made), &updates); err != nil {
		t.Fatal(err)
	}
	g.publish("long", updates)
	ann.wait(`shared.provider.position.offset >= 2300`)
	text := same(t, ann, ben)
	for n := 0; n < many; n += 7 {
		once(t, text, fmt.Sprintf("<word-%d>", n))
	}
	ann.wait(`shared.provider.snapshots.newest(shared.provider.position.epoch) > 2000`)
	if first, last := g.updates("long"); first < 200 || last < many {
		t.Fatalf("the log has %d to %d: it was not cut", first, last)
	}
	late := g.writer(t, "cleo", "long")
	if got := same(t, ann, ben, late); got != text {
		t.Error("who comes late has another text")
	}
	if late.eval(`shared.provider.whole`) != "true" {
		t.Error("who comes late does not know that it has everything")
	}
	// Snapshots that are in another are deleted.
	for _, w := range []*window{ann, late} {
		w.wait(`shared.provider.snapshots.list().length <= 3`)
	}

	// More than one message holds, written while the line is down.
	big := "<big>" + strings.Repeat("0123456789abcdef", 8_000) + "</big>"
	g.cut()
	ann.lost()
	ann.eval(`shared.view.dispatch({changes: {from: 0, insert: ` + quote(big) + `}, userEvent: 'input.paste'})`)
	g.heal()
	for _, w := range []*window{ann, ben, late} {
		w.back()
	}
	text = same(t, ann, ben, late)
	once(t, text, big)
	if got := same(t, ann, g.writer(t, "dora", "long")); got != text {
		t.Error("who comes later still has another text")
	}

	// What is longer than a document may be is refused, with words.
	ann.eval(`shared.view.dispatch({changes: {from: 0, insert: 'x'.repeat(200_000)}, userEvent: 'input.paste'})`)
	ann.waitText(".toast", "at most 200,000 characters")
	if got := same(t, ann, ben); got != text {
		t.Error("what was refused is there")
	}

	// Who has something that it cannot read writes no snapshot.
	g.publish("long", []string{base64.StdEncoding.EncodeToString([]byte{255, 255, 255, 255, 255})})
	ben.wait(`shared.provider.skipped && !shared.provider.whole`)
	ben.waitText("#state", "A part may be missing")

	// The log was cut while nobody was there to write a snapshot: that is said.
	g.publish("torn", updates)
	w := newWindow(t)
	w.live(g.url("/document/?user=ann#torn"))
	w.waitText("#state", "A part may be missing")
	if n := w.eval(`shared.provider.snapshots.list().length`); n != "0" {
		t.Errorf("who has a part has written %s snapshots", n)
	}
}

// publish publishes updates in base64, as a program with a key.
func (g *gallery) publish(document string, updates []string) {
	g.t.Helper()
	for len(updates) > 0 {
		n := min(len(updates), 500)
		messages := make([]map[string]string, n)
		for i, u := range updates[:n] {
			messages[i] = map[string]string{"channel": "doc:" + document + ":updates", "type": "update", "data64": u}
		}
		body, err := json.Marshal(map[string]any{"messages": messages})
		if err != nil {
			g.t.Fatal(err)
		}
		g.call("POST", "/v1/messages", string(body), http.StatusOK, nil)
		updates = updates[n:]
	}
}

// TestEditorIsBuilt: what the page loads is what the sources and the lock file make.
func TestEditorIsBuilt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	dir := t.TempDir()
	for _, command := range [][]string{{"npm", "ci", "--silent", "--no-audit", "--no-fund"}, {"node", "build.mjs", dir}} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = "../../examples/document/editor"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
	}
	for _, name := range []string{"editor.js", "editor.licences.txt"} {
		built, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join("../../examples/document/web", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built, kept) {
			t.Errorf("web/%s is not what is built: node build.mjs in examples/document/editor", name)
		}
	}
}
