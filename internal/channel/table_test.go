package channel

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

func table(t testing.TB, names ...string) *Table {
	t.Helper()
	var ds []*Declaration
	for _, n := range names {
		ds = append(ds, &Declaration{Name: n})
	}
	tb, err := NewTable(ds)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func TestMatch(t *testing.T) {
	tb := table(t, "orders", "chat:{room}", "user:{user}:inbox", "v{major}.{minor}", "x:{a}-{b}:end", "late")
	for _, c := range []struct {
		name, pattern string
		params        map[string]string
	}{
		{"orders", "orders", nil},
		{"late", "late", nil},
		{"order", "", nil},
		{"orders2", "", nil},
		{"chat:42", "chat:{room}", map[string]string{"room": "42"}},
		{"chat:", "", nil},
		{"chat:a:b", "", nil},
		{"xchat:a", "", nil},
		{"user:ann:inbox", "user:{user}:inbox", map[string]string{"user": "ann"}},
		{"user::inbox", "", nil},
		{"user:ann:inbox:x", "", nil},
		{"user:a:b:inbox", "", nil},
		{"v1.2", "v{major}.{minor}", map[string]string{"major": "1", "minor": "2"}},
		{"v1.2.3", "v{major}.{minor}", map[string]string{"major": "1", "minor": "2.3"}},
		{"v..", "", nil},
		{"v...", "v{major}.{minor}", map[string]string{"major": ".", "minor": "."}},
		{"x:p-q-r:end", "x:{a}-{b}:end", map[string]string{"a": "p", "b": "q-r"}},
		{"x:p:end", "", nil},
		{"", "", nil},
	} {
		d, ok := tb.Match(c.name)
		var params map[string]string
		if ok {
			params = d.Params(c.name)
		}
		if ok != (c.pattern != "") || ok && d.Name != c.pattern || !maps.Equal(params, c.params) || c.params == nil && params != nil {
			t.Errorf("%q matches %v with %v, want %q with %v", c.name, d, params, c.pattern, c.params)
		}
	}
}

func TestMatchFirstWins(t *testing.T) {
	tb := table(t, "chat:lobby", "chat:{room}", "*")
	for name, want := range map[string]string{"chat:lobby": "chat:lobby", "chat:x": "chat:{room}", "any:thing:at:all": "*"} {
		if d, _ := tb.Match(name); d == nil || d.Name != want {
			t.Errorf("%q matches %v, want %q", name, d, want)
		}
	}
}

func TestBadTables(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{""}, "channel"},
		{[]string{"a b"}, "a b"},
		{[]string{"chat:{room"}, "not closed"},
		{[]string{"chat:room}"}, "no opening"},
		{[]string{"chat:{room}}"}, "no opening"},
		{[]string{"chat:{Room}"}, "{Room}"},
		{[]string{"chat:{}"}, "{}"},
		{[]string{"{a}{b}"}, "parted"},
		{[]string{"{a}:{a}"}, "twice"},
		{[]string{"$sys"}, "belong to the server"},
		{[]string{"chat:*"}, "chat:*"},
		{[]string{"a", "a"}, "declared twice"},
		{[]string{"chat:{room}", "chat:lobby"}, "never be reached"},
		{[]string{"chat:{room}", "chat:{id}"}, "never be reached"},
		{[]string{"*", "a"}, "never be reached"},
		{[]string{strings.Repeat("a", 201)}, "200"},
	} {
		var ds []*Declaration
		for _, n := range c.names {
			ds = append(ds, &Declaration{Name: n})
		}
		_, err := NewTable(ds)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want something with %q", c.names, err, c.want)
		}
	}
	_, err := NewTable([]*Declaration{{Name: "a"}, {Name: "a"}})
	var hidden *HiddenError
	if !errors.As(err, &hidden) || hidden.By != "a" {
		t.Errorf("%v", err)
	}
}

func TestDefaults(t *testing.T) {
	tb := table(t, "a")
	d := tb.Declarations()[0]
	for op, want := range map[Op]Rule{OpSubscribe: None, OpPublish: None, OpPresence: None, OpHistory: None} {
		if d.Rule(op) != want {
			t.Errorf("%s: %v", op, d.Rule(op))
		}
	}
	e := &Declaration{Name: "b", Allow: Allow{Subscribe: SignedIn}, Resume: time.Minute}
	if _, err := NewTable([]*Declaration{e}); err != nil || e.Rule(OpHistory) != SignedIn {
		t.Errorf("history is %v, want subscribe's rule (%v)", e.Rule(OpHistory), err)
	}
	if d.Resume != DefaultResume || e.Resume != time.Minute {
		t.Errorf("resume %v and %v", d.Resume, e.Resume)
	}
	if d.Buffer != (Buffer{DefaultBufferMessages, DefaultBufferBytes}) {
		t.Errorf("buffer %+v", d.Buffer)
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		user string
		want bool
	}{{Anyone, "", true}, {Anyone, "ann", true}, {SignedIn, "", false}, {SignedIn, "ann", true}, {None, "ann", false}} {
		if got, err := c.rule.Allow(&Request{User: c.user}); got != c.want || err != nil {
			t.Errorf("%s for %q: %v %v", c.rule, c.user, got, err)
		}
	}
}

// FuzzPattern: a pattern that is accepted matches what is put together from it,
// and gives the parts back.
func FuzzPattern(f *testing.F) {
	f.Add("user:{user}:inbox", "ann")
	f.Add("v{major}.{minor}", "1")
	f.Add("*", "x")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		p, err := parsePattern(pattern)
		if err != nil {
			return
		}
		p.matches(value)
		if p.all || !namePart(value) {
			return
		}
		var name strings.Builder
		name.WriteString(p.literals[0])
		for i := range p.params {
			name.WriteString(value)
			name.WriteString(p.literals[i+1])
		}
		params, ok := p.values(name.String()), p.matches(name.String())
		if !ok {
			// The value may hold the literal that parts two parameters.
			for _, l := range p.literals[1:] {
				if l != "" && strings.Contains(value, l) {
					return
				}
			}
			t.Fatalf("%q does not match %q", pattern, name.String())
		}
		if len(params) != len(p.params) {
			t.Fatalf("%q: %v", pattern, params)
		}
	})
}

func namePart(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

func TestPace(t *testing.T) {
	for _, bad := range []float64{0, -1, 0.001, 51, nan()} {
		if _, ok := NewPace(bad); ok {
			t.Errorf("rate %v is accepted", bad)
		}
	}
	p, _ := NewPace(2)
	now := time.Unix(1000, 0)
	if wait, ok := p.Take(now); !ok {
		t.Fatalf("the first delivery waits %v", wait)
	}
	if wait, ok := p.Take(now.Add(200 * time.Millisecond)); ok || wait != 300*time.Millisecond {
		t.Fatalf("after 200 ms: %v %v", wait, ok)
	}
	if _, ok := p.Take(now.Add(500 * time.Millisecond)); !ok {
		t.Fatal("after 500 ms the next may leave")
	}
	// A quiet time is not saved up.
	taken := 0
	for i := range 10 {
		if _, ok := p.Take(now.Add(time.Hour + time.Duration(i)*100*time.Millisecond)); ok {
			taken++
		}
	}
	if taken != 2 {
		t.Fatalf("%d deliveries in 900 ms at 2 a second", taken)
	}
}

func nan() float64 { var zero float64; return zero / zero }
