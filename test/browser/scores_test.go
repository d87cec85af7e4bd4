package browser

import (
	"fmt"
	"net/http"
	"testing"
)

// TestScores: an editor and a reader see the same scores and the same news, once,
// whatever happens to the reader.
func TestScores(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "scores")
	desk, reader := g.page(t, "/scores/?user=staff"), g.page(t, "/scores/?user=ann")
	for _, w := range []*window{desk, reader} {
		w.wait(`document.querySelectorAll('#matches > li').length === 4`)
	}
	right := func(home, away int) {
		t.Helper()
		desk.eval(fmt.Sprintf(`(() => { const [h, a] = document.querySelectorAll('[data-key="tugrovers-anchortown"] input'); h.value = %d; a.value = %d; })()`, home, away))
		desk.click(`[data-key="tugrovers-anchortown"] button`)
	}
	told := func(text string) {
		t.Helper()
		g.call("POST", "/v1/channels/scores:harbour:news/messages", `{"type":"news","data":{"kind":"goal","text":`+quote(text)+`}}`, http.StatusCreated, nil)
	}
	score := `[...document.querySelectorAll('[data-key="tugrovers-anchortown"] .goals')].map((e) => e.textContent)`
	right(70, 40)
	reader.wait(score + `[0] >= 70 && ` + score + `[1] >= 40`)
	reader.waitText("#news", "Put right: Tug Rovers 7")
	desk.typeIn("#text", "the desk <b>says</b> so\r")
	reader.waitText("#news", "the desk <b>says</b> so")
	reader.waitText("#news small", "staff")

	g.cut()
	reader.lost()
	desk.lost()
	told("in the dark")
	g.heal()
	reader.back()
	desk.back()
	reader.waitText("#news", "in the dark")
	reader.waitText(".toast", "while you were away")

	reader.freeze()
	told("in the ice")
	desk.waitText("#news", "in the ice")
	g.restart()
	desk.back()
	right(80, 50)
	desk.wait(score + `[0] >= 80`)
	reader.thaw()
	reader.back()
	reader.waitText("#news", "in the ice")
	reader.wait(score + `[0] >= 80 && ` + score + `[1] >= 50`) // as the program that was killed had it, and after
	for _, text := range []string{"the desk", "in the dark", "in the ice"} {
		if n := reader.eval(`[...document.querySelectorAll('#news > li')].filter((e) => e.textContent.includes(` + quote(text) + `)).length`); n != "1" {
			t.Errorf("%q is there %s times", text, n)
		}
	}
	reader.shot("scores")

	// Another league, and back.
	reader.click(`#leagues [value=hills]`)
	reader.waitText("#matches", "Upper Farm")
	reader.wait(`!document.querySelector('#news').textContent.includes('in the ice')`)
	reader.click(`#leagues [value=harbour]`)
	reader.waitText("#matches", "Tug Rovers")
	reader.waitText("#news", "in the ice")
}
