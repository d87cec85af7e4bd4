package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

func testOffsets(t *testing.T, b *bench) {
	var last broker.Receipt
	for n := range 20 {
		r := b.accept(t, publication(kept, "c", n))
		if r.Position.Offset <= last.Position.Offset {
			t.Fatalf("offset %d after %d", r.Position.Offset, last.Position.Offset)
		}
		if r.Position.Epoch == "" || n > 0 && r.Position.Epoch != last.Position.Epoch {
			t.Fatalf("epoch %q after %q", r.Position.Epoch, last.Position.Epoch)
		}
		if r.Duplicate {
			t.Fatal("a first publication is no duplicate")
		}
		last = r
	}
}

func testFeedOrder(t *testing.T, b *bench) {
	b.follow(t, "c", kept)
	var want []uint64
	for n := range 20 {
		want = append(want, b.accept(t, publication(kept, "c", n)).Position.Offset)
	}
	prev := uint64(0)
	for n, f := range b.await(t, "c", 20) {
		e := f.entry
		if e.Offset != want[n] || e.Prev != prev {
			t.Fatalf("entry %d has offset %d and prev %d, want %d and %d", n, e.Offset, e.Prev, want[n], prev)
		}
		if got, want := data(t, e), fmt.Sprintf(`{"n":%d}`, n); got != want {
			t.Fatalf("entry %d carries %s, want %s", n, got, want)
		}
		if e.Time != b.clock.Now().UnixMilli() {
			t.Fatalf("entry %d has time %d", n, e.Time)
		}
		prev = e.Offset
	}
}

func testFeedIsFollowed(t *testing.T, b *bench) {
	b.accept(t, publication(kept, "c", 0))
	b.follow(t, "c", kept)
	b.accept(t, publication(kept, "other", 1))
	b.accept(t, publication(kept, "c", 2))
	if got := data(t, b.await(t, "c", 1)[0].entry); got != `{"n":2}` {
		t.Fatalf("the feed began with %s", got)
	}
	b.unfollow("c")
	b.accept(t, publication(kept, "c", 3))
	b.follow(t, "c", kept)
	b.accept(t, publication(kept, "c", 4))
	got := b.await(t, "c", 2)
	if len(got) != 2 || data(t, got[1].entry) != `{"n":4}` {
		t.Fatalf("fed %d entries, the last of them %s", len(got), data(t, got[len(got)-1].entry))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.fed["other"]) != 0 {
		t.Fatal("a channel that nobody follows was fed")
	}
}

// testTwoFollowers: each is given everything, from where it began, until it ends
// itself; who ends has no say in what others are given.
func testTwoFollowers(t *testing.T, b *bench) {
	for _, d := range []*channel.Declaration{kept, unkept} {
		t.Run(d.Name, func(t *testing.T) {
			c := d.Name
			_, first := b.subscribe(t, c, c+" first", d)
			b.accept(t, publication(d, c, 0))
			b.await(t, c+" first", 1)
			_, second := b.subscribe(t, c, c+" second", d)
			b.accept(t, publication(d, c, 1))
			b.await(t, c+" first", 2)
			b.await(t, c+" second", 1)
			first.Close()
			first.Close() // once more does nothing
			b.accept(t, publication(d, c, 2))
			b.await(t, c+" second", 2)
			_, third := b.subscribe(t, c, c+" third", d)
			second.Close()
			b.accept(t, publication(d, c, 3))
			if got := b.await(t, c+" third", 1); data(t, got[0].entry) != `{"n":3}` {
				t.Fatalf("the third began with %s", data(t, got[0].entry))
			}
			third.Close()
			b.mu.Lock()
			defer b.mu.Unlock()
			if n, m := len(b.fed[c+" first"]), len(b.fed[c+" second"]); n != 2 || m != 2 {
				t.Fatalf("who had ended was given %d and %d, want 2 and 2", n, m)
			}
		})
	}
}

// testFollowChurn: a log is followed and left again and again, by several at a
// time, some of whom leave before they have begun. Who stays is given everything.
func testFollowChurn(t *testing.T, b *bench) {
	const rounds, beside = 60, 4
	var wg sync.WaitGroup
	for n := range beside {
		wg.Go(func() {
			for range rounds {
				f := &follower{b, fmt.Sprint("beside ", n), make(chan begun, 1)}
				sub := b.broker.Open("c", kept).Follow(f)
				if n%2 == 0 {
					if a := <-f.begun; a.err != nil {
						t.Error(a.err)
					}
				}
				sub.Close()
			}
		})
	}
	for n := range rounds {
		at, sub := b.subscribe(t, "c", fmt.Sprint("stays ", n), kept)
		r := b.accept(t, publication(kept, "c", n))
		got := b.await(t, fmt.Sprint("stays ", n), 1)
		if e := got[0].entry; e.Offset != r.Position.Offset || e.Prev != at.Offset {
			t.Fatalf("round %d: began after %d and was given %d, which follows %d; published %d", n, at.Offset, e.Offset, e.Prev, r.Position.Offset)
		}
		sub.Close()
	}
	wg.Wait()
}

// testRedeclare: what is kept follows the newest declaration, for who follows too.
func testRedeclare(t *testing.T, b *bench) {
	l := b.broker.Open("c", keptShort)
	f := &follower{b, "c", make(chan begun, 1)}
	sub := l.Follow(f)
	defer sub.Close()
	if a := <-f.begun; a.err != nil {
		t.Fatal(a.err)
	}
	put := func(n int) {
		d := make(done, 1)
		l.Append(&publication(keptShort, "c", n).Publication, d)
		if o := <-d; o.err != nil {
			t.Fatal(o.err)
		}
	}
	for n := range 10 {
		put(n)
	}
	l.Redeclare(kept)
	for n := range 10 {
		put(n)
	}
	page, err := l.Read(t.Context(), broker.Range{})
	if err != nil || len(page.Entries) < 15 {
		t.Fatalf("%d entries are kept, want 15: %v", len(page.Entries), err)
	}
	l.Redeclare(keptShort)
	if page, err = l.Read(t.Context(), broker.Range{}); err != nil || len(page.Entries) != 5 {
		t.Fatalf("%d entries are kept, want 5: %v", len(page.Entries), err)
	}
}

// testAcceptedBefore: what Done has accepted is in the log.
func testAcceptedBefore(t *testing.T, b *bench) {
	for n := range 50 {
		r := b.accept(t, publication(kept, "c", n))
		page := b.read(t, "c", kept, broker.Range{After: r.Position.Offset - 1})
		if len(page.Entries) != 1 || page.Entries[0].Offset != r.Position.Offset {
			t.Fatalf("accepted at %d, but the log has %v after it", r.Position.Offset, offsets(page.Entries))
		}
	}
}

// testConcurrentOrder: many publishers, one order; what each publisher was told
// is accepted stands before what it sent next.
func testConcurrentOrder(t *testing.T, b *bench) {
	const publishers, each = 8, 10
	b.follow(t, "c", kept)
	var wg sync.WaitGroup
	sent := make([][]uint64, publishers)
	for p := range publishers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range each {
				d := make(done, 1)
				b.append(publication(kept, "c", p*each+n), d)
				o := <-d
				if o.err != nil {
					t.Error(o.err)
					return
				}
				sent[p] = append(sent[p], o.receipt.Position.Offset)
			}
		}()
	}
	wg.Wait()
	fed := b.await(t, "c", publishers*each)
	at := map[uint64]int{}
	prev := uint64(0)
	for n, f := range fed {
		if f.entry.Prev != prev || f.entry.Offset <= prev {
			t.Fatalf("offset %d with prev %d comes after %d", f.entry.Offset, f.entry.Prev, prev)
		}
		prev = f.entry.Offset
		at[f.entry.Offset] = n
	}
	for p := range publishers {
		if !slices.IsSorted(sent[p]) {
			t.Fatalf("publisher %d was given %v", p, sent[p])
		}
		for n, o := range sent[p] {
			if got, want := data(t, fed[at[o]].entry), fmt.Sprintf(`{"n":%d}`, p*each+n); got != want {
				t.Fatalf("offset %d carries %s, acknowledged for %s", o, got, want)
			}
		}
	}
}

func testEphemeral(t *testing.T, b *bench) {
	b.follow(t, "c", kept)
	first := b.accept(t, publication(kept, "c", 0))
	p := publication(kept, "c", 1)
	p.Ephemeral = true
	if r := b.accept(t, p); r.Position != (protocol.Position{}) {
		t.Fatalf("an ephemeral message stands at %v", r.Position)
	}
	second := b.accept(t, publication(kept, "c", 2))
	fed := b.await(t, "c", 3)
	if e := fed[1].entry; !e.Ephemeral || e.Offset != 0 {
		t.Fatalf("ephemeral: %v, offset %d", e.Ephemeral, e.Offset)
	}
	if e := fed[2].entry; e.Prev != first.Position.Offset {
		t.Fatalf("prev is %d, want %d", e.Prev, first.Position.Offset)
	}
	page := b.read(t, "c", kept, broker.Range{})
	if want := []uint64{first.Position.Offset, second.Position.Offset}; !slices.Equal(offsets(page.Entries), want) {
		t.Fatalf("the log has %v, want %v", offsets(page.Entries), want)
	}
}

func testUnkept(t *testing.T, b *bench) {
	b.follow(t, "c", unkept)
	if r := b.accept(t, publication(unkept, "c", 0)); r.Position.Offset != 0 {
		t.Fatalf("offset %d on a channel that keeps nothing", r.Position.Offset)
	}
	if e := b.await(t, "c", 1)[0].entry; e.Offset != 0 || e.Ephemeral {
		t.Fatalf("offset %d, ephemeral %v", e.Offset, e.Ephemeral)
	}
	if page := b.read(t, "c", unkept, broker.Range{}); len(page.Entries) != 0 {
		t.Fatalf("%d messages were kept", len(page.Entries))
	}
}

// testOwnsItsMemory: the caller may overwrite the message once Append has returned.
func testOwnsItsMemory(t *testing.T, b *bench) {
	b.follow(t, "c", kept)
	frame := []byte(`{"type":"e","channel":"c","data":{"n":7}}`)
	var m protocol.Message
	if err := protocol.DecodeJSON(frame, &m); err != nil {
		t.Fatal(err)
	}
	d := make(done, 1)
	b.broker.Open("c", kept).Append(&broker.Publication{Dedupe: string(frame[9:10]), Message: m}, d)
	for i := range frame {
		frame[i] = 'x'
	}
	if o := <-d; o.err != nil {
		t.Fatal(o.err)
	}
	if got := data(t, b.await(t, "c", 1)[0].entry); got != `{"n":7}` {
		t.Fatalf("the entry now carries %s", got)
	}
	if page := b.read(t, "c", kept, broker.Range{}); len(page.Entries) != 1 || data(t, page.Entries[0]) != `{"n":7}` {
		t.Fatal("the log kept the caller's memory")
	}
}

func testDedupe(t *testing.T, b *bench) {
	b.follow(t, "c", kept)
	keyed := func(name, key string, n int) broker.Receipt {
		p := publication(kept, name, n)
		p.Dedupe = key
		return b.accept(t, p)
	}
	first := keyed("c", "a", 0)
	b.accept(t, publication(kept, "c", 1))
	again := keyed("c", "a", 0)
	if !again.Duplicate || again.Position != first.Position {
		t.Fatalf("repeated: %+v, first: %+v", again, first)
	}
	if r := keyed("c", "b", 3); r.Duplicate {
		t.Fatal("another key is no duplicate")
	}
	if r := keyed("d", "a", 4); r.Duplicate {
		t.Fatal("the same key on another channel is no duplicate")
	}
	if got := b.await(t, "c", 3); len(got) != 3 {
		t.Fatalf("%d entries were fed, want 3", len(got))
	}
}

// testDedupeReused: a key that comes again with something else is refused, so that
// nobody takes the receipt of one message for that of another.
func testDedupeReused(t *testing.T, b *bench) {
	for _, d := range []*channel.Declaration{kept, board, unkept} {
		say := func(change func(m *protocol.Message)) outcome {
			p := publication(d, d.Name, 0)
			p.Dedupe = "a"
			if change != nil {
				change(&p.Message)
			}
			return b.publish(t, p)
		}
		first := say(nil)
		if first.err != nil {
			t.Fatal(first.err)
		}
		for what, change := range map[string]func(m *protocol.Message){
			"data":  func(m *protocol.Message) { m.Data = []byte(`{"n":"other"}`) },
			"type":  func(m *protocol.Message) { m.Type = "other" },
			"bytes": func(m *protocol.Message) { m.Binary = true },
		} {
			if got := say(change); !errors.Is(got.err, broker.ErrReused) {
				t.Errorf("%s: the key came again with other %s: %+v", d.Name, what, got)
			}
		}
		if got := say(nil); got.err != nil || !got.receipt.Duplicate || got.receipt.Position != first.receipt.Position {
			t.Errorf("%s: repeated as it was: %+v, first %+v", d.Name, got, first)
		}
		b.clock.Advance(broker.DedupeWindow + time.Second)
		if got := say(func(m *protocol.Message) { m.Type = "other" }); got.err != nil || got.receipt.Duplicate {
			t.Errorf("%s: past the window: %+v", d.Name, got)
		}
	}
}

func testDedupeExpires(t *testing.T, b *bench) {
	p := publication(kept, "c", 0)
	p.Dedupe = "a"
	first := b.accept(t, p)
	b.clock.Advance(broker.DedupeWindow - time.Second)
	p = publication(kept, "c", 0)
	p.Dedupe = "a"
	if r := b.accept(t, p); !r.Duplicate {
		t.Fatal("the key was forgotten inside its window")
	}
	b.clock.Advance(2 * time.Second)
	p = publication(kept, "c", 2)
	p.Dedupe = "a"
	if r := b.accept(t, p); r.Duplicate || r.Position == first.Position {
		t.Fatal("the key was remembered past its window")
	}
}

func testDedupeConcurrent(t *testing.T, b *bench) {
	const tries = 16
	positions := make(chan broker.Receipt, tries)
	for range tries {
		go func() {
			p := publication(kept, "c", 0)
			p.Dedupe = "same"
			d := make(done, 1)
			b.append(p, d)
			positions <- (<-d).receipt
		}()
	}
	first := <-positions
	originals := 0
	for r, n := first, 0; ; r = <-positions {
		if r.Position != first.Position {
			t.Fatalf("one key, two positions: %v and %v", r.Position, first.Position)
		}
		if !r.Duplicate {
			originals++
		}
		if n++; n == tries {
			break
		}
	}
	if originals != 1 {
		t.Fatalf("%d of %d receipts say they were the first", originals, tries)
	}
}

func testRead(t *testing.T, b *bench) {
	if page := b.read(t, "nobody", kept, broker.Range{}); len(page.Entries) != 0 || page.Head != 0 || page.More {
		t.Fatalf("a channel nobody published to: %+v", page)
	}
	var all []uint64
	for n := range 10 {
		all = append(all, b.accept(t, publication(kept, "c", n)).Position.Offset)
	}
	page := b.read(t, "c", kept, broker.Range{After: all[2], Limit: 3})
	if !slices.Equal(offsets(page.Entries), all[3:6]) || !page.More || page.Head != all[9] || page.Oldest != 0 {
		t.Fatalf("read %v, more %v, head %d, oldest %d", offsets(page.Entries), page.More, page.Head, page.Oldest)
	}
	// Pages joined give everything once.
	var got []uint64
	for after := uint64(0); ; {
		page := b.read(t, "c", kept, broker.Range{After: after, Limit: 4})
		got = append(got, offsets(page.Entries)...)
		if !page.More {
			break
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, all) {
		t.Fatalf("pages joined: %v, want %v", got, all)
	}
	if page := b.read(t, "c", kept, broker.Range{Bytes: 1}); len(page.Entries) != 1 {
		t.Fatalf("a page of one byte has %d messages, want one", len(page.Entries))
	}
	if page := b.read(t, "c", kept, broker.Range{After: all[9]}); len(page.Entries) != 0 || page.More {
		t.Fatalf("after the head: %+v", page)
	}
}

func testReadLast(t *testing.T, b *bench) {
	var all []uint64
	for n := range 10 {
		all = append(all, b.accept(t, publication(kept, "c", n)).Position.Offset)
	}
	if page := b.read(t, "c", kept, broker.Range{Last: 3}); !slices.Equal(offsets(page.Entries), all[7:]) || page.More {
		t.Fatalf("last 3: %v, more %v", offsets(page.Entries), page.More)
	}
	if page := b.read(t, "c", kept, broker.Range{Last: 50}); !slices.Equal(offsets(page.Entries), all) {
		t.Fatalf("last 50: %v", offsets(page.Entries))
	}
}

// testReadBefore: pages backwards from anywhere, each told oldest first.
func testReadBefore(t *testing.T, b *bench) {
	const end = protocol.MaxOffset + 1
	if page := b.read(t, "nobody", kept, broker.Range{Before: end}); len(page.Entries) != 0 || page.More {
		t.Fatalf("a channel nobody published to: %+v", page)
	}
	var all []uint64
	for n := range 10 {
		all = append(all, b.accept(t, publication(kept, "c", n)).Position.Offset)
	}
	for _, c := range []struct {
		name string
		r    broker.Range
		want []uint64
		more bool
	}{
		{"the newest", broker.Range{Before: end, Limit: 3}, all[7:], true},
		{"before one that is kept", broker.Range{Before: all[5], Limit: 3}, all[2:5], true},
		{"as many as there are", broker.Range{Before: all[3], Limit: 3}, all[:3], false},
		{"more than there are", broker.Range{Before: all[2], Limit: 3}, all[:2], false},
		{"before the oldest", broker.Range{Before: all[0]}, nil, false},
		{"past the head", broker.Range{Before: all[9] + 100, Limit: 2}, all[8:], true},
		{"after one, the newest", broker.Range{After: all[2], Before: all[8], Limit: 3}, all[5:8], true},
		{"after one, all", broker.Range{After: all[4], Before: all[8], Limit: 3}, all[5:8], false},
		{"after what it is before", broker.Range{After: all[8], Before: all[3]}, nil, false},
		{"one byte", broker.Range{Before: end, Bytes: 1}, all[9:], true},
	} {
		page := b.read(t, "c", kept, c.r)
		if !slices.Equal(offsets(page.Entries), c.want) || page.More != c.more || page.Head != all[9] || page.Oldest != 0 {
			t.Errorf("%s: read %v, more %v, head %d, oldest %d; want %v, more %v", c.name, offsets(page.Entries), page.More, page.Head, page.Oldest, c.want, c.more)
		}
	}
	// Pages joined give everything once, however wide they are.
	for limit := 1; limit <= 11; limit++ {
		var got []uint64
		for before := uint64(end); ; {
			page := b.read(t, "c", kept, broker.Range{Before: before, Limit: limit})
			got = append(offsets(page.Entries), got...)
			if !page.More {
				break
			}
			before = got[0]
		}
		if !slices.Equal(got, all) {
			t.Fatalf("pages of %d joined: %v, want %v", limit, got, all)
		}
	}
}

func testTrimByCount(t *testing.T, b *bench) {
	var all []uint64
	for n := range 12 {
		all = append(all, b.accept(t, publication(keptShort, "c", n)).Position.Offset)
	}
	page := b.read(t, "c", keptShort, broker.Range{})
	if !slices.Equal(offsets(page.Entries), all[7:]) || page.Oldest != all[6] || page.Head != all[11] {
		t.Fatalf("kept %v after %d, head %d; want %v after %d", offsets(page.Entries), page.Oldest, page.Head, all[7:], all[6])
	}
}

func testTrimByAge(t *testing.T, b *bench) {
	b.accept(t, publication(keptBrief, "c", 0))
	b.clock.Advance(40 * time.Second)
	second := b.accept(t, publication(keptBrief, "c", 1))
	b.clock.Advance(40 * time.Second)
	if page := b.read(t, "c", keptBrief, broker.Range{}); !slices.Equal(offsets(page.Entries), []uint64{second.Position.Offset}) {
		t.Fatalf("after 80 s: %v", offsets(page.Entries))
	}
	b.clock.Advance(time.Hour)
	page := b.read(t, "c", keptBrief, broker.Range{})
	if len(page.Entries) != 0 || page.Oldest != page.Head || page.Head != second.Position.Offset {
		t.Fatalf("after an hour: %v, oldest %d, head %d", offsets(page.Entries), page.Oldest, page.Head)
	}
	// Offsets go on, and so does the epoch.
	if r := b.accept(t, publication(keptBrief, "c", 2)); r.Position.Offset <= second.Position.Offset || r.Position.Epoch != second.Position.Epoch {
		t.Fatalf("after all was trimmed: %v, before: %v", r.Position, second.Position)
	}
}

func testTrimByBytes(t *testing.T, b *bench) {
	for n := range 200 {
		b.accept(t, publication(keptSmall, "c", n))
	}
	page := b.read(t, "c", keptSmall, broker.Range{Limit: 1000})
	if n := len(page.Entries); n == 0 || n > 100 {
		t.Fatalf("4 KiB keep %d messages", n)
	}
	if last := page.Entries[len(page.Entries)-1]; last.Offset != page.Head {
		t.Fatalf("the newest kept is %d, the head %d", last.Offset, page.Head)
	}
}

func (b *bench) set(t *testing.T, key, data string) uint64 {
	t.Helper()
	p := publication(board, "c", 0)
	p.Message.Key, p.Message.Data = key, []byte(data)
	return b.accept(t, p).Position.Offset
}

func (b *bench) wantState(t *testing.T, head uint64, want ...string) {
	t.Helper()
	s, err := b.broker.Open("c", board).State(t.Context(), broker.StateRange{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range s.Entries {
		if !e.Deleted {
			got = append(got, e.Key+"="+data(t, e))
		}
	}
	if !slices.Equal(got, want) || s.Head != head {
		t.Fatalf("the state is %v at %d, want %v at %d", got, s.Head, want, head)
	}
}

// testState: the newest of each key, however much was written since.
func testState(t *testing.T, b *bench) {
	b.wantState(t, 0)
	b.set(t, "a", "1")
	b.set(t, "b", "2")
	for n := range 20 {
		b.set(t, "c", fmt.Sprint(n))
	}
	b.wantState(t, b.set(t, "a", "3"), "b=2", "c=19", "a=3")
	b.wantState(t, b.set(t, "b", "null"), "c=19", "a=3")
	b.wantState(t, b.set(t, "", "5"), "c=19", "a=3")
	b.wantState(t, b.set(t, "b", "6"), "c=19", "a=3", "b=6")
}

func testStateExpires(t *testing.T, b *bench) {
	b.set(t, "a", "1")
	b.clock.Advance(40 * time.Second)
	head := b.set(t, "b", "2")
	b.wantState(t, head, "a=1", "b=2")
	b.clock.Advance(40 * time.Second)
	b.wantState(t, head, "b=2")
}

// testFollowPosition: what follows the position is fed, and only that counts.
func testFollowPosition(t *testing.T, b *bench) {
	r := b.accept(t, publication(kept, "c", 0))
	if p := b.follow(t, "c", kept); p != r.Position {
		t.Fatalf("following begins after %v, want %v", p, r.Position)
	}
	b.accept(t, publication(kept, "c", 1))
	if e := b.await(t, "c", 1)[0]; e.entry.Prev != r.Position.Offset || e.epoch != r.Position.Epoch {
		t.Fatalf("the first entry follows %d of %q, want %v", e.entry.Prev, e.epoch, r.Position)
	}
}

func testStopTwice(t *testing.T, b *bench) {
	for range 2 {
		if err := b.broker.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// Benchmark measures appends with a follower, one channel and many.
func Benchmark(b *testing.B, fresh New) {
	for _, channels := range []int{1, 1000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			be := start(b, fresh)
			logs := make([]broker.Log, channels)
			names := make([]string, channels)
			for n := range channels {
				names[n] = fmt.Sprintf("c:%d", n)
				be.follow(b, names[n], keptShort)
				logs[n] = be.broker.Open(names[n], keptShort)
			}
			outcomes := newOutcomes(b.N)
			p := publication(keptShort, "", 1)
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				p.Message.Channel = names[n%channels]
				logs[n%channels].Append(&p.Publication, outcomes)
			}
			for range b.N {
				if o := <-outcomes; o.err != nil {
					b.Fatal(o.err)
				}
			}
		})
	}
}

// newOutcomes makes room for n outcomes; the name make is taken above.
func newOutcomes(n int) done { return make(done, n) }
