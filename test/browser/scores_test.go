package browser

import (
	"fmt"
	"net/http"
	"testing"
)

// reading opens a page of the scores that has all boards and their news.
func (g *gallery) reading(t *testing.T, path string) *window {
	t.Helper()
	w := g.page(t, path)
	w.eval(`import('/scores/scores.js').then((page) => { window.scores = page; })`)
	w.wait(`window.scores && document.querySelectorAll('.match').length >= 12 && [...scores.open.values()].every((o) => o.news.following)`)
	return w
}

// whole waits until the board and the news say the same, and checks that no piece of news
// of a match is missing or there twice.
func (w *window) whole(when string) {
	w.t.Helper()
	w.wait(`[...scores.open.values()].every(({news, state}) => news.following && [...state.values()].every((m) => {
		const last = news.list.filter((n) => n.data.match === m.match).sort((a, b) => b.data.version - a.data.version)[0];
		return !last || last.data.version === m.version && String(last.data.goals) === String(m.goals);
	}))`)
	faults := w.eval(`[...scores.open.values()].flatMap(({news}) => {
		const of = Map.groupBy(news.list.filter((n) => n.data.match), (n) => n.data.match);
		return [...of].filter(([, list]) => list.sort((a, b) => a.data.version - b.data.version).some((n, i) => i > 0 && n.data.version !== list[i - 1].data.version + 1))
			.map(([match, list]) => match + ': ' + list.map((n) => n.data.version));
	}).join('; ')`)
	if faults != "" {
		w.t.Errorf("%s: the versions of the news are %s", when, faults)
	}
}

// notes counts how often the page shows this text among its news.
func (w *window) notes(text string) string {
	w.t.Helper()
	return w.eval(fmt.Sprintf(`[...document.querySelectorAll('#news p')].filter((p) => p.textContent === %s).length`, quote(text)))
}

func (g *gallery) note(league, text string) {
	g.t.Helper()
	g.call("POST", "/v1/channels/scores:"+league+":news/messages", `{"type":"note","data":{"text":`+quote(text)+`}}`, http.StatusCreated, nil)
}

func TestScores(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "scores")
	ann, desk := g.reading(t, "/scores/?user=ann"), g.reading(t, "/scores/desk")
	ann.whole("at first")
	ann.wait(`document.querySelectorAll('.match .edit').length === 0 && document.querySelector('#note').hidden`)

	// Cut: what happens meanwhile comes late, once, and is counted.
	ann.wait(`document.querySelector('#missed').hidden`)
	g.cut()
	ann.lost()
	g.note("north", "The floodlights are out.")
	g.note("cup", "They are on again.")
	desk.typeIn("#note-text", "Written without a line.")
	desk.click("#note button")
	desk.waitText("#note-state", "On its way")
	g.heal()
	ann.back()
	desk.back()
	desk.waitText("#note-state", "Published")
	ann.waitText("#missed", "notes")
	ann.waitText("#news", "Written without a line.")
	for _, text := range []string{"The floodlights are out.", "They are on again.", "Written without a line."} {
		if n := ann.notes(text); n != "1" {
			t.Errorf("after a cut %q is there %s times", text, n)
		}
	}
	ann.whole("after a cut")
	ann.click("#seen")
	ann.wait(`document.querySelector('#missed').hidden`)

	// Frozen: as if the laptop had been closed.
	ann.freeze()
	g.note("south", "Rain in Isolde.")
	desk.waitText("#news", "Rain in Isolde.")
	ann.thaw()
	ann.wait(`scores.open.get('south').news.list.some((n) => n.data.text === 'Rain in Isolde.')`) // still hidden
	ann.shown()
	ann.back()
	ann.waitText("#missed", "1 note")
	if n := ann.notes("Rain in Isolde."); n != "1" {
		t.Errorf("after a sleep the note is there %s times", n)
	}
	ann.whole("after a sleep")
	ann.click("#seen")

	// Killed: the matches go on where they were.
	versions := `JSON.stringify(Object.fromEntries([...scores.open.values()].flatMap((o) => [...o.state.values()].map((m) => [m.match, m.version]))))`
	before := ann.eval(versions)
	g.restart()
	ann.back()
	desk.back()
	played := `Object.values(JSON.parse(` + versions + `)).reduce((a, b) => a + b, 0)`
	ann.wait(fmt.Sprintf(`%s > Object.values(%s).reduce((a, b) => a + b, 0)`, played, before))
	ann.whole("after a crash")
	behind := ann.eval(fmt.Sprintf(`Object.entries(%s).filter(([id, v]) => JSON.parse(%s)[id] < v).join(' ')`, before, versions))
	if behind != "" {
		t.Errorf("after a crash these matches are behind where they were: %s", behind)
	}
	for _, text := range []string{"The floodlights are out.", "Written without a line."} {
		if n := ann.eval(fmt.Sprintf(`[...scores.open.values()].flatMap((o) => o.news.list).filter((n) => n.data.text === %s).length`, quote(text))); n != "1" {
			t.Errorf("after a crash %q is there %s times", text, n)
		}
	}
}

// What was missed since the last visit is told at the next one.
func TestScoresNextVisit(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "scores")
	ann := g.reading(t, "/scores/?user=ann")
	ann.wait(`document.querySelector('#missed').hidden`)
	ann.open("about:blank")
	g.note("north", "While nobody looked.")
	ann.live(g.url("/scores/?user=ann#north"))
	ann.waitText("#missed", "1 note")
	ann.wait(`document.querySelectorAll('.league').length === 1 && document.querySelectorAll('.missed-item').length > 0`)
	ann.click("#filter button:nth-child(4)") // the cup
	ann.waitText(".league h2", "Cup")
	ann.wait(`document.querySelectorAll('.league').length === 1 && !document.querySelector('#news').textContent.includes('While nobody looked.')`)
}

// An editor sets a score right, and nobody else can.
func TestScoresDesk(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "scores")
	ann, desk := g.reading(t, "/scores/?user=ann"), g.reading(t, "/scores/desk")

	desk.click(".match.on .edit")
	match := desk.eval(`document.querySelector('.match.on').dataset.match`)
	desk.eval(`document.querySelector('#desk-goals-home').value = 42, document.querySelector('#desk-reason').value = 'Counted again.'`)
	desk.click("#correction [type=submit]")
	// A goal may fall just now: then the form says so, and has the match as it is.
	desk.wait(`!document.querySelector('#desk').open || (document.querySelector('#desk-said').textContent.includes('since') &&
		(document.querySelector('#desk-goals-home').value = 42, document.querySelector('#correction').requestSubmit(), false))`)
	ann.waitText(fmt.Sprintf(`[data-match="%s"] .goals`, match), "42 : ")
	ann.waitText("#news", "Counted again.")
	ann.whole("after a correction")

	ask := func(w *window, script string) string {
		w.eval(`window.said = undefined`)
		w.eval(script + `.then(() => { window.said = 'done'; }, (error) => { window.said = error.code; })`)
		w.wait(`window.said !== undefined`)
		return w.eval(`window.said`)
	}
	stale := fmt.Sprintf(`scores.client.call('scores-correct', {league: %s.split('-')[0], match: %[1]s, version: 0, goals: [1, 1]})`, quote(match))
	note := `scores.client.channel('scores:north:news').publish('note', {text: 'me too'})`
	for _, c := range []struct {
		name string
		w    *window
		call string
		want string
	}{
		{"an editor who has seen too little", desk, stale, "conflict"},
		{"a reader who corrects", ann, stale, "forbidden"},
		{"a reader who writes", ann, note, "forbidden"},
		{"an editor who makes up a goal", desk, `scores.client.channel('scores:north:news').publish('goal', {match: 'north-1', version: 1, home: 'a', away: 'b', goals: [1, 0], minute: 1, period: 'first'})`, "forbidden"},
		{"an editor who writes nothing", desk, `scores.client.channel('scores:north:news').publish('note', {text: '  '})`, "invalid_data"},
	} {
		if got := ask(c.w, c.call); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
