package rule

import (
	"errors"
	"fmt"
	"testing"

	"ringdown/internal/channel"
)

func BenchmarkRooms(b *testing.B) {
	for _, src := range []string{"claims.rooms.exists(r, r == params.room)", "params.room in claims.rooms"} {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s %d", src, n), func(b *testing.B) {
				r := mustCompile(b, src)
				rooms := make([]any, n)
				for i := range rooms {
					rooms[i] = fmt.Sprintf("room-%d", i)
				}
				m := map[string]any{"rooms": rooms}
				req := &channel.Request{User: "7", Claims: func() map[string]any { return m }, Params: map[string]string{"room": "x"}}
				b.ReportAllocs()
				for b.Loop() {
					r.Allow(req)
				}
			})
		}
	}
}

// TestMembership: exists(r, r == x) is read as x in list, and says the same.
func TestMembership(t *testing.T) {
	rooms := []string{`{"rooms":["1","7"]}`, `{"rooms":[]}`, `{"rooms":[7]}`, `{"rooms":[7.0,null,true]}`, `{"rooms":"7"}`, `{"rooms":null}`, `{"rooms":{"7":1}}`, `{"rooms":{"a":"7"}}`, `{"rooms":[["7"],{"7":"7"}]}`, `{}`, ``}
	for _, c := range []struct{ quick, slow string }{
		{"claims.rooms.exists(r, r == params.room)", "claims.rooms.exists(r, r == params.room && true)"},
		{"claims.rooms.exists(r, params.room == r)", "claims.rooms.exists(r, true && params.room == r)"},
		{"claims.rooms.exists(r, r == '7') || user == 'x'", "claims.rooms.exists(r, r == '7' && true) || user == 'x'"},
		{"!claims.rooms.exists(r, r == user)", "!claims.rooms.exists(r, r == user && true)"},
		{"claims.rooms.exists(r, r == 7)", "claims.rooms.exists(r, r == 7 && true)"},
		{"claims.rooms.exists(user, user == channel)", "claims.rooms.exists(user, user == channel && true)"},
		{"[1, 2].exists(x, claims.rooms.exists(r, r == '7'))", "[1, 2].exists(x, claims.rooms.exists(r, r == '7' && true))"},
		{"params.room in claims.rooms", "claims.rooms.exists(r, r == params.room && true)"},
		{"claims.rooms.exists(r, r == r)", "claims.rooms.exists(r, r == r && true)"},
		{"'chat:7'.split(':').exists(r, r == params.room)", "'chat:7'.split(':').exists(r, r == params.room && true)"},
		{"claims.rooms.all(r, r == params.room)", "claims.rooms.all(r, r == params.room && true)"},
		{"claims.rooms.exists_one(r, r == params.room)", "claims.rooms.exists_one(r, r == params.room && true)"},
	} {
		quick, slow := mustCompile(t, c.quick), mustCompile(t, c.slow)
		for _, text := range rooms {
			q := &channel.Request{User: "7", Channel: "7", Claims: claims(text), Params: map[string]string{"room": "7"}}
			got, err := quick.Allow(q)
			want, wantErr := slow.Allow(q)
			if got != want || (err == nil) != (wantErr == nil) {
				t.Errorf("%s with %s: %v %v, want %v %v", c.quick, text, got, err, want, wantErr)
			}
		}
	}
}

// TestBudget: what the decisions of one message cost is taken from its budget,
// and when that is spent there is no decision.
func TestBudget(t *testing.T) {
	rooms := make([]any, 1000)
	for i := range rooms {
		rooms[i] = "room"
	}
	spent := func(src string) int {
		b := channel.NewBudget(1_000_000)
		q := &channel.Request{Claims: func() map[string]any { return map[string]any{"rooms": rooms} }, Params: map[string]string{"room": "7"}, Budget: &b}
		if _, err := mustCompile(t, src).Allow(q); err != nil {
			t.Fatal(err)
		}
		return b.Spent()
	}
	quick, slow := spent("claims.rooms.exists(r, r == params.room)"), spent("claims.rooms.exists(r, r + 'x' == params.room)")
	if quick > 1_000 || slow < 20_000 {
		t.Errorf("looking for a text in 1,000 took %d steps, and making a text of each %d", quick, slow)
	}
	b := channel.NewBudget(30_000)
	q := &channel.Request{Claims: func() map[string]any { return map[string]any{"rooms": rooms} }, Params: map[string]string{"room": "7"}, Budget: &b}
	r := mustCompile(t, "claims.rooms.exists(r, r + 'x' == params.room)")
	refused := 0
	for range 10 {
		if ok, err := r.Allow(q); ok || errors.Is(err, channel.ErrBudget) {
			refused++
		}
	}
	if refused < 8 {
		t.Errorf("%d of 10 decisions were refused", refused)
	}
}
