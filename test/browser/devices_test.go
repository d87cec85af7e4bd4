package browser

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// device waits until a page shows a device as it should be.
func (w *window) device(id, state string) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`document.querySelector('#cards [data-key="%s"]').dataset.state === %s`, id, quote(state)))
}

// choose opens the panel of a device.
func (w *window) choose(id string) {
	w.t.Helper()
	w.click(fmt.Sprintf(`#cards [data-key="%s"] button`, id))
	w.wait(fmt.Sprintf(`document.querySelector('#name').textContent === %s`, quote(id)))
}

// told waits until the log of the chosen device is this, the newest first.
func (w *window) told(want ...string) {
	w.t.Helper()
	text, _ := json.Marshal(want)
	w.wait(fmt.Sprintf(`JSON.stringify([...document.querySelectorAll('#log li')].map((li) => li.querySelector('b').textContent + ': ' + li.dataset.fate)) === %s`, quote(string(text))))
}

// watchFates has the page note each end that a command was shown with.
const watchFates = `(window.ends = {}, new MutationObserver(() => { for (const {dataset: {id, fate}} of document.querySelectorAll('#log li'))
	if (!['sending', 'stored'].includes(fate)) (ends[id] ??= new Set()).add(fate); }).observe(document.querySelector('#log'), {subtree: true, childList: true, attributes: true}))`

func (w *window) oneEnd() {
	w.t.Helper()
	if got := w.eval(`Object.values(ends).filter((e) => e.size > 1).length`); got != "0" {
		w.t.Errorf("%s commands were shown with two ends", got)
	}
}

func TestDevicesObey(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "devices")
	ann, ben := g.page(t, "/devices/?user=ann"), g.page(t, "/devices/?user=ben")
	for _, w := range []*window{ann, ben} {
		w.wait(`document.querySelectorAll('#cards li[data-state=online]').length === 12`)
		w.wait(`[...document.querySelectorAll('#cards .degrees')].every((e) => /\d/.test(e.textContent))`)
		w.choose("device-02")
		w.eval(watchFates)
	}
	// Both see the whole life of it.
	ann.click("#open")
	ann.told("Open the valve: done")
	ben.told("Open the valve: done")
	ben.waitText(`#cards [data-key="device-02"] .valve`, "Watering")
	ben.wait(`document.querySelector('#log .by').textContent.includes('ann')`)
	ben.eval(`document.querySelector('#target').value = 99`)
	ben.click("#heat")
	ann.told("Heat to 99 °C: refused", "Open the valve: done")
	ann.waitText("#log .fate", "between 5 and 35")

	ann.shot("devices-obey")
	// The line is cut: what was asked meanwhile is done when it is back, in time and once.
	g.cut()
	ann.lost()
	ann.eval(`document.querySelector('#within').value = '60'`)
	ann.click("#shut")
	ann.waitText("#log .fate", "Waiting for the line")
	g.heal()
	ann.back()
	ben.back()
	all := []string{"Shut the valve: done", "Heat to 99 °C: refused", "Open the valve: done"}
	ann.told(all...)
	ben.told(all...)

	// Asleep, a page has missed something and is right again.
	ben.freeze()
	ann.click("#reboot")
	all = append([]string{"Reboot: done"}, all...)
	ann.told(all...)
	ben.thaw()
	ben.told(all...)
	ben.wait(`document.querySelectorAll('#cards li[data-state=online]').length === 12`)

	// The server dies, and the devices with it: nothing is lost and nothing done again.
	g.restart()
	for _, w := range []*window{ann, ben} {
		w.back()
		w.wait(`document.querySelectorAll('#cards li[data-state=online]').length === 12`)
		w.told(all...)
	}
	ann.eval(`document.querySelector('#within').value = '15'`)
	ann.click("#open")
	all = append([]string{"Open the valve: done"}, all...)
	ann.told(all...)
	ben.told(all...)
	var replies struct{ Messages []json.RawMessage }
	g.call("GET", "/v1/channels/devices:device-02:replies/messages?limit=100", "", 200, &replies)
	if len(replies.Messages) != len(all) {
		t.Errorf("there are %d replies to %d commands", len(replies.Messages), len(all))
	}
	ann.oneEnd()
	ben.oneEnd()
	ann.open(g.url("/devices/?user=ann#device-02"))
	ann.told(all...)
}

func TestDevicesVanish(t *testing.T) {
	t.Parallel()
	g := newGallery(t, "devices")
	ann, ben := g.page(t, "/devices/?user=ann"), g.page(t, "/devices/?user=ben")
	for _, w := range []*window{ann, ben} {
		w.choose("device-03")
		w.eval(watchFates)
	}
	ann.device("device-03", "online")
	ann.click("#plug")
	ann.waitText("#plug-words", "no power")
	ben.waitText("#plug", "Plug it in")
	// Nobody says anything: first it is silent, then the server publishes its will.
	ann.eval(`document.querySelector('#within').value = '5'`)
	ann.click("#open")
	ann.told("Open the valve: stored")
	began := time.Now()
	ben.device("device-03", "silent")
	ann.told("Open the valve: silent")
	ben.told("Open the valve: silent")
	ann.device("device-03", "offline")
	ben.device("device-03", "offline")
	ben.waitText("#story", "Gone without a word")
	ann.shot("devices-vanish")
	ben.wait(`document.querySelector('#cards [data-key="device-03"] button').getAnimations().length === 0`)
	ben.accessible("with a device offline")
	t.Logf("offline %v after the command", time.Since(began))
	ann.click("#filters [data-filter=offline]")
	ann.wait(`[...document.querySelectorAll('#cards li')].filter((li) => !li.hidden).length === 1`)

	// A command in time is kept for it; the one that is over it refuses, and that is no second end.
	ann.eval(`document.querySelector('#within').value = '60'`)
	ann.click("#open")
	ann.told("Open the valve: stored", "Open the valve: silent")
	ben.click("#plug")
	for _, w := range []*window{ann, ben} {
		w.device("device-03", "online")
		w.told("Open the valve: done", "Open the valve: silent")
	}
	ann.waitText("#empty", "No device is offline")
	ben.waitText(`#cards [data-key="device-03"] .valve`, "Watering")
	ann.oneEnd()
	ben.oneEnd()
	// Who comes later reads the same in the logs.
	cleo := g.page(t, "/devices/?user=cleo#device-03")
	cleo.eval(watchFates)
	cleo.told("Open the valve: done", "Open the valve: silent")
	cleo.oneEnd()
}
