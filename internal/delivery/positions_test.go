package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/protocol"
)

// keeping is a peer whose positions are kept: of names, from a cursor on.
func (r *rig) keeping(loop int, names []string, text string) *peer {
	r.t.Helper()
	places, err := cursor.Parse(text)
	if err != nil {
		r.t.Fatal(err)
	}
	p := r.peer(loop)
	p.do(func() { p.sub.KeepPositions(names, places, p.loop.Now()) })
	return p
}

// resume subscribes to name from where its place says, as the track-th of its names.
func (p *peer) resume(name string, track int16) {
	o := &Opening{Channel: name, Track: track}
	p.do(func() {
		if at := p.sub.Place(name); at != nil {
			if o.Want.Since = &at.Position; at.Within {
				o.Want.Given = &at.Given
			}
		}
	})
	p.subscribe(o)
}

// TestPositions: with each message and event comes the position behind it.
func TestPositions(t *testing.T) {
	stores(t, func(t *testing.T, s *store) {
		r := newRig(t, s, nil)
		r.publish("log", span(1, 20)...)
		data := `"` + strings.Repeat("x", channel.StateBytes*2/3) + `"`
		r.publish("board", "a="+data, "b="+data, "c="+data)
		p := r.keeping(0, []string{"log", "board", "live"}, "")
		p.resume("log", 1)
		p.wants("subscribed@20@20")
		p.resume("live", 3)
		p.wants("subscribed")
		p.resume("board", 2)
		p.wants("subscribed@3 state(a=%s..@3/1 state(b=%s..@3/2 state(c=%s)@3", data, data, data)
		p.do(func() { r.publish("log", "21", "22"); r.publish("live", "1"); r.publish("board", "d=1", "a=2", "d=3") })
		p.wants("21@21 22@22 1 d=1@4 a=2@5 d=3@6")
		p.read(3)
		p.do(func() { r.publish("log", span(23, 29)...); r.publish("board", "d=4", "a=3") })
		r.idle()
		p.read(-1)
		var got []string
		r.until("all came", func() (yes bool) { p.do(func() { got = append(got, p.heard()...); yes = len(got) == 9 }); return yes })
		for _, word := range got {
			of, at, _ := strings.Cut(word, "@")
			if key, _, isKeyed := strings.Cut(of, "="); isKeyed && at != map[string]string{"d": "7", "a": "8"}[key] || !isKeyed && at != of {
				t.Errorf("%s is told behind %s", at, of)
			}
		}
		epoch := ""
		p.do(func() { s.renew(t); epoch = r.publish("log", "1").Epoch; r.publish("board", "e=1") })
		p.wants("epoch(30-30)@0 1@1 epoch(9-9) state(e=1)@1") // who is cut off behind the gap has nothing of the state
		p.do(func() {
			c, err := cursor.Parse(string(p.sub.AppendPosition(nil)))
			if at := c.Find("log"); err != nil || at == nil || at.Epoch != epoch {
				t.Errorf("%+v, %v", c, err)
			}
		})
	})
}

// TestPositionsResume: a peer that is cut at any byte, and comes back with the last
// position that it was told whole, is given everything once and in order.
func TestPositionsResume(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			r := newRig(t, newStore(seed%2 == 0), nil)
			names := []string{"wide", "board"}
			text, log, board := "", 0, map[string]string{}
			truth := map[string]string{}
			number := 0
			write := func() {
				for range rng.IntN(9) {
					number++
					r.publish("wide", fmt.Sprint(number))
					key, data := fmt.Sprint("k", rng.IntN(12)), fmt.Sprint(number)
					if truth[key] = data; rng.IntN(4) == 0 {
						data = "null"
						delete(truth, key)
					}
					r.publish("board", key+"="+data)
				}
			}
			for round := range 40 {
				if round > 0 {
					write()
				}
				p := r.keeping(int(seed)%2, names, text)
				room := rng.IntN(900)
				last := round == 39
				if last {
					room = -1
				}
				p.do(func() { p.room = room })
				for i, name := range names {
					p.resume(name, int16(i+1))
				}
				write()
				r.idle()
				if last {
					r.until("it has all", func() (yes bool) {
						p.do(func() { yes = len(p.sub.subs) == 2 && !p.sub.Busy() && p.settled > 0 })
						return yes
					})
					r.idle()
				}
				p.do(func() { p.sub.Close() })
				text, log = p.replay(text, log, board)
			}
			if log != number {
				t.Errorf("it came to %d of %d", log, number)
			}
			if fmt.Sprint(board) != fmt.Sprint(truth) {
				t.Errorf("it knows %v of %v", board, truth)
			}
		})
	}
}

// replay does what the peer's client does with what has come whole, and returns how
// far it has come: the position told last, the number in the log and the state.
func (p *peer) replay(text string, log int, board map[string]string) (string, int) {
	dec := json.NewDecoder(strings.NewReader(string(p.out)))
	var before *heard
	for {
		var m heard
		if dec.Decode(&m) != nil {
			return text, log
		}
		if m.Cursor == nil {
			before = &m
			continue
		}
		text = *m.Cursor
		switch m := before; {
		case strings.HasPrefix(m.Told, "subscribed") && m.Channel == "board" && strings.Contains(m.Told, "("):
			clear(board)
		case strings.HasPrefix(m.Told, "subscribed"), m.Told == "":
		case strings.HasPrefix(m.Told, "state("):
			for _, item := range strings.FieldsFunc(m.Told[6:], func(r rune) bool { return strings.ContainsRune(" ).", r) }) {
				key, data, _ := strings.Cut(item, "=")
				board[key] = data
			}
		default:
			p.r.t.Errorf("it is told %s", m.Told)
		}
		if m := before; m.Told != "" || m.Offset == 0 {
			continue
		} else if m.Channel == "wide" {
			if log++; string(m.Data) != fmt.Sprint(log) {
				p.r.t.Errorf("%s comes behind %d", m.Data, log-1)
			}
		} else if board[m.Key] = string(m.Data); string(m.Data) == "null" {
			delete(board, m.Key)
		}
	}
}

// TestPlaces: the places that a peer comes with are kept until it subscribes, those
// that it did not name for a while only.
func TestPlaces(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	at := r.publish("log", span(1, 9)...)
	r.publish("trim", span(1, 9)...)
	var w cursor.Writer
	w.Begin()
	place := func(offset uint64) cursor.Place {
		return cursor.Place{Position: protocol.Position{Epoch: at.Epoch, Offset: offset}}
	}
	w.Add(cursor.KeyOf("log"), place(3))
	w.Add(cursor.KeyOf("trim"), place(4))
	w.Add(cursor.KeyOf("wide"), place(0))
	p := r.keeping(0, []string{"wide", "log"}, string(w.Append(nil)))
	said := func() (s string) {
		p.do(func() {
			c, err := cursor.Parse(string(p.sub.AppendPosition(nil)))
			if err != nil {
				t.Error(err)
			}
			for _, name := range []string{"log", "trim", "wide"} {
				if at := c.Find(name); at != nil {
					s += fmt.Sprintf("%s@%d ", name, at.Offset)
				}
			}
		})
		return strings.TrimSpace(s)
	}
	if got := said(); got != "log@3 trim@4 wide@0" {
		t.Error(got)
	}
	p.do(func() { p.sub.positions.begun = p.loop.Now().Add(-claimTime - time.Minute) })
	if got := said(); got != "log@3 wide@0" {
		t.Error(got)
	}
	p.do(func() { p.sub.positions.begun = p.loop.Now() })
	p.resume("trim", 0)
	p.wants("subscribed@4@4 5@5 6@6 7@7 8@8 9@9")
	p.do(func() {
		if p.sub.Place("trim") != nil || p.sub.Place("board") != nil {
			t.Error("there is a place of what is subscribed to, or was never said")
		}
	})
	p.resume("log", 2)
	p.wants("subscribed@3@3 4@4 5@5 6@6 7@7 8@8 9@9")
	p.do(func() {
		p.sub.Unsubscribe(p.sub.Find("log"))
		c, _ := cursor.Parse(string(p.sub.AppendPositionWith(nil, cursor.KeyOf("log"), place(8))))
		if len(c) != 3 || c.Find("log").Offset != 8 || c.Find("trim").Offset != 9 {
			t.Errorf("%+v", c)
		}
	})
	var none Subscriber
	if none.Place("log") != nil || none.AppendPosition(nil) != nil {
		t.Error("who keeps no positions has some")
	}
	q := r.keeping(0, nil, "")
	q.do(func() {
		if text := q.sub.AppendPosition(nil); text != nil {
			t.Errorf("it stands nowhere, at %s", text)
		}
	})
}

// TestManyPositions: a cursor holds so many. For one more, what was unsubscribed from
// makes room, or else a place that nobody came for.
func TestManyPositions(t *testing.T) {
	r := newRig(t, newStore(false), nil)
	var w cursor.Writer
	w.Begin()
	w.Add(cursor.KeyOf("unclaimed"), cursor.Place{Position: protocol.Position{Epoch: "E", Offset: 7}})
	p := r.keeping(0, nil, string(w.Append(nil)))
	tell := func(n int) {
		p.subscribe(&Opening{Channel: fmt.Sprintf("spare%d", n)})
	}
	for n := range cursor.MaxChannels - 1 {
		tell(n)
	}
	r.idle()
	p.do(func() {
		if p.heard(); p.sub.Place("unclaimed") == nil {
			t.Error("there was room for all")
		}
		p.sub.Unsubscribe(p.sub.Find("spare5"))
	})
	tell(200) // has the slot of spare5
	p.do(func() {
		if p.sub.Place("unclaimed") == nil {
			t.Error("a place was given up for nothing")
		}
		p.sub.Unsubscribe(p.sub.Find("spare9"))
	})
	tell(9) // has its own again
	p.do(func() {
		if p.heard(); p.sub.Place("unclaimed") == nil {
			t.Error("a place was given up for nothing")
		}
	})
	tell(201)
	p.do(func() {
		if p.heard(); p.sub.Place("unclaimed") != nil {
			t.Error("there is one too many")
		}
		seen := map[int16]string{}
		for i, sub := range p.sub.subs {
			track := sub.member().track
			if other, twice := seen[track]; twice || track < 1 || int(track) > cursor.MaxChannels {
				t.Errorf("%s and %s have the track %d", other, p.sub.Channel(i), track)
			}
			seen[track] = p.sub.Channel(i)
		}
	})
	r.publish("spare201", "1")
	p.wants("1@1")
	r.publish("spare9", "1")
	p.wants("1@1")
}

// TestPositionsOfManySmall: messages that are small beside the positions told with
// them come in as many writes as they take, and none is left for later.
func TestPositionsOfManySmall(t *testing.T) {
	const many = 600 // of one run, and more than one write
	for _, late := range []bool{false, true} {
		r := newRig(t, newStore(late), nil)
		p := r.peer(0)
		p.do(func() { p.sub.KeepPositions(nil, nil, p.loop.Now()) })
		p.subscribe(&Opening{Channel: "wide"})
		p.wants("subscribed@0@0")
		p.do(func() { r.publish("wide", span(1, many)...) })
		heard := 0
		r.until("all are heard", func() bool {
			p.do(func() { heard += len(p.heard()) })
			return heard >= many
		})
		if p.settled == 0 {
			t.Error("nobody told that it has everything")
		}
	}
}
