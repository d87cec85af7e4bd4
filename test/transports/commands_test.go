package transports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// step is a message that a client sends, and how many messages come of it beside
// the answer. "$since:c" in it stands for the position at which c was begun with.
type step struct {
	say  string
	more int
}

// commands are all that a client can say, each in every way that it ends (C10).
var commands = []step{
	{`{"type":"ping"}`, 0},
	{`{"type":"subscribe","channel":"room:1"}`, 0},
	{`{"type":"presence","channel":"room:1","data":{"action":"update"}}`, 0}, // a conflict
	{`{"type":"presence","channel":"room:1","data":{"action":"enter","data":{"mood":"fine"}}}`, 1},
	{`{"type":"presence","channel":"room:1","data":{"action":"update","data":[1]}}`, 1},
	{`{"type":"presence","channel":"room:1","data":{"action":"get"}}`, 0},
	{`{"type":"presence","channel":"room:1","data":{"action":"leave"}}`, 1},
	{`{"type":"presence","channel":"room:1","data":{"action":"get","limit":0}}`, 0},
	{`{"type":"presence","channel":"room:1","data":{"action":"dance"}}`, 0},
	{`{"type":"presence","channel":"short","data":{"action":"enter"}}`, 0},

	{`{"type":"e","channel":"short","data":{"ä":" "}}`, 0}, // not followed yet
	{`{"type":"subscribe","channel":"short","data":{"last":5}}`, 1},
	{`{"type":"e","channel":"short","dedupe":"one","data":1}`, 1},
	{`{"type":"e","channel":"short","dedupe":"one","data":1}`, 0}, // was stored before
	{`{"type":"e","channel":"short","data64":"AAECDQr/"}`, 1},
	{`{"type":"history","channel":"short","data":{"limit":2}}`, 0},
	{`{"type":"history","channel":"secret","data":{"limit":2}}`, 0},
	{`{"type":"e","channel":"orders","data":7}`, 0}, // forbidden
	{`{"type":"e","channel":"$sys","data":7}`, 0},
	{`{"type":"e","channel":"nowhere","data":7}`, 0},
	{`{"type":"ack","channel":"short","data":7}`, 0},

	{`{"type":"subscribe","channels":["plain","secret",{"channel":"board"}]}`, 3},
	{`{"type":"e","channel":"plain","data":null}`, 1},
	{`{"type":"e","channel":"board","key":"k","data":1}`, 1},
	{`{"type":"e","channel":"board","key":"k","data":null}`, 1},
	{`{"type":"subscribe","channel":"board"}`, 0}, // twice
	{`{"type":"unsubscribe","channel":"short"}`, 0},
	{`{"type":"unsubscribe","channel":"short"}`, 0}, // not subscribed any more
	{`{"type":"e","channel":"short","data":"missed"}`, 0},
	{`{"type":"subscribe","channel":"short","since":$since:short}`, 4},
	{`{"type":"subscribe","channel":"second","since":{"epoch":"another","offset":1}}`, 0},
	{`{"type":"unsubscribe","channel":"orders"}`, 0}, // what it came with

	{`{"type":"double","data":21}`, 0},
	{`{"type":"double","data":"x"}`, 0},
	{`{"type":"unknown","data":1}`, 0},
	{`{"type":"auth","token":"$token"}`, 0},
	{`{"type":"auth","token":"nonsense"}`, 0},
	{`{"type":"ping"}`, 0},
}

// TestCommands: every command has the same answers and the same effects, given
// over a WebSocket and on behalf of a stream.
func TestCommands(t *testing.T) {
	histories := map[string][]string{}
	for _, kind := range []string{"websocket", "sse", "session"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			c := newClient(t, w, kind, follow{channels: []string{"orders"}})
			c.until(count("subscribed", 1))
			since := map[string]message{}
			for i, s := range commands {
				text := strings.Replace(s.say, "$token", token(t, time.Hour), 1)
				if _, name, ok := strings.Cut(text, "$since:"); ok {
					name = strings.TrimSuffix(name, "}")
					at, _ := json.Marshal(since[name])
					text = strings.Replace(text, "$since:"+name, string(at), 1)
				}
				c.say(fmt.Sprintf(`{"id":%d,%s`, i, text[1:]))
				// The answer may come before or behind what it sets off.
				answered, left := false, s.more
				h := c.until(func(m message) bool {
					if m["id"] == float64(i) && !answered {
						answered = true
					} else {
						left--
					}
					return answered && left <= 0
				})
				answer := fmt.Sprintf(`"id":%d,`, i)
				slices.SortStableFunc(h, func(a, b string) int { return before(a, answer) - before(b, answer) })
				histories[kind] = append(histories[kind], "→ "+s.say)
				histories[kind] = append(histories[kind], h...)
				if since["short"] == nil {
					if at := c.position("short"); at != nil {
						at["offset"] = 0
						since["short"] = at
					}
				}
			}
		})
	}
	same(t, histories, "websocket", "sse", "session")
	// What the same is: one line of each kind of outcome.
	all := strings.Join(histories["websocket"], "\n")
	for _, want := range []string{`"code":"conflict"`, `"code":"forbidden"`, `"code":"not_found"`, `"code":"bad_request"`, `"code":"no_backend"`, `"code":"backend_failed"`,
		`"code":"unauthorized"`, `"data":42`, `"action":"leave"`, `"total":1`, `"total":0`, `"data64":"AAECDQr/"`, `"reason":"epoch"`, `"items":[]`, `"type":"unsubscribed"`, `"type":"pong"`} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %s in\n%s", want, all)
		}
	}
	if n := strings.Count(all, "\n"+`{"channel":"short","data":1,"offset":2`); n != 2 { // delivered once, and once more for since
		t.Errorf("the message that was sent twice came %d times in\n%s", n, all)
	}
}

// before orders answers before the rest.
func before(line, answer string) int {
	if strings.Contains(line, answer) {
		return 0
	}
	return 1
}

// TestOthers: what others do is seen alike, whatever carries it: presence, keys,
// a message that is sent twice, and what is kept nowhere.
func TestOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world, kind string) []string {
		actor := newClient(t, w, "websocket", follow{channels: []string{"room:1"}, token: tokenOf(t, "bob", time.Hour)})
		actor.until(count("subscribed", 1))
		c := newClient(t, w, kind, follow{channels: []string{"short", "board", "plain", "room:1"}})
		h := byChannel(c.until(count("state", 1)))
		waits := "" // the poll that does
		for _, s := range []step{
			{`{"type":"e","channel":"short","dedupe":"one","data":1}`, 1},
			{`{"type":"e","channel":"short","dedupe":"one","data":1}`, 0},
			{`{"type":"e","channel":"short","data64":"AAECDQr/"}`, 1},
			{`{"type":"e","channel":"board","key":"k","data":{"a":[1]}}`, 1},
			{`{"type":"e","channel":"board","key":"k","data":null}`, 1},
			{`{"type":"e","channel":"plain","data":"live"}`, 1},
			{`{"type":"presence","channel":"room:1","data":{"action":"enter","data":7}}`, 1},
			{`{"type":"presence","channel":"room:1","data":{"action":"update"}}`, 1},
			{`{"type":"presence","channel":"room:1","data":{"action":"leave"}}`, 1},
		} {
			if kind == "poll" && s.more > 0 {
				waits = w.another("poll", waits)
			}
			w.followed("room:1", 2) // by poll: its next request waits already
			actor.say(`{"id":1,` + s.say[1:])
			actor.until(func(m message) bool { return m["id"] != nil })
			if s.more == 0 {
				continue
			}
			h = append(h, c.until(func(message) bool { s.more--; return s.more == 0 })...)
		}
		return h
	})
}
