package channel

import "ringdown/protocol"

// Want is where a subscriber wants to begin.
type Want struct {
	Since  *protocol.Position // where it was; nil: it does not say
	Given  *uint64            // with Since: of the state that the channel had then, what was written up to here was given
	Last   int                // so many messages of the past, at most; not with Since
	Oldest int64              // Unix milliseconds: what is older is not its to have; 0: all is
}

// View is what a ring says to a Want.
type View struct {
	Epoch string
	Head  Cursor
	At    Cursor // where the subscriber was, if the ring can go on from there
	Held  bool   // it can
	Next  int64  // Unix milliseconds: of what comes after At; 0: nothing does
}

// Placement is where a subscription begins, or what has to happen before that can
// be said.
type Placement struct {
	Step     PlaceStep
	Ask      Ask    // Reading
	Claimed  bool   // the client says it was where the log has not come
	Lost     string // why it cannot go on where it was
	Reader   Reader
	Position protocol.Position // what it is told that it begins at
	Head     uint64            // offset of the newest message
	Given    bool              // the page that was read is the first that it is given
}

// PlaceStep says how far a placement is.
type PlaceStep uint8

// The steps.
const (
	Placed  PlaceStep = iota
	Reading           // Ask is to be read, and Place called again with the page
	Waiting           // the ring has not heard of the store's epoch yet: it is to begin anew in a moment
)

// Place finds where a subscription begins: where the client was, if all that came
// since can be given, and else at the head of the log, or with a snapshot of the
// state. before and page are nil at first, and then the placement that asked for a
// page, and the page.
func Place(w *Want, d *Declaration, v View, before *Placement, page *Page) Placement {
	switch {
	case page == nil:
		return placeInRing(w, d, v)
	case !before.Ask.State:
		return placeInLog(w, d, v, before.Ask, page)
	case before.Lost != "" || w.Since == nil:
		p := snapshot(page.Epoch, Walk{Until: page.Head}, page)
		p.Lost = before.Lost
		return p
	}
	return placeInState(w, page)
}

// placeInRing looks no further than the ring.
func placeInRing(w *Want, d *Declaration, v View) Placement {
	held := v.Held && (d.History == nil || w.Oldest == 0 || v.Next == 0 || v.Next >= w.Oldest)
	here := Placement{Reader: Reader{Cursor: v.Head}, Position: v.position(v.Head.Mark), Head: v.Head.Mark}
	switch {
	case w.Since == nil && d.State != nil:
		return anew("")
	case w.Since == nil && w.Last > 0 && d.History != nil:
		return ask(Ask{Last: w.Last, Limit: w.Last, Bytes: PageBytes})
	case w.Since == nil:
		return here
	case d.State == nil && w.Given != nil:
		here.Lost = "epoch" // it had begun with a state that the channel has no more
		return here
	case !d.Kept():
		here.Lost = "unknown"
		return here
	case w.Since.Epoch != v.Epoch && d.State != nil:
		return anew("epoch")
	case w.Given != nil:
		return ask(Ask{State: true, After: *w.Given, Bytes: StateBytes})
	case w.Since.Epoch == v.Epoch && held:
		return Placement{Reader: Reader{Cursor: v.At, Phase: Lagging}, Position: *w.Since, Head: v.Head.Mark}
	case d.History == nil:
		return ask(Ask{State: true, After: w.Since.Offset, Bytes: StateBytes})
	}
	// Before what the ring holds; or not come here yet, as perhaps the client's epoch.
	return ask(Ask{After: w.Since.Offset, Bytes: PageBytes})
}

// placeInLog begins where a page of the log says.
func placeInLog(w *Want, d *Declaration, v View, asked Ask, page *Page) Placement {
	p := Placement{Reader: Reader{Cursor: v.Head}, Position: v.position(v.Head.Mark), Head: page.Head}
	switch {
	case page.Epoch != v.Epoch && d.State == nil:
		return Placement{Step: Waiting}
	case page.Epoch == v.Epoch && page.Head > v.Head.Mark:
		// The client may have been further than the ring has come by now.
		p.Reader, p.Position = Reader{Cursor: Cursor{Mark: page.Head}, Phase: Ahead}, v.position(page.Head)
	}
	from := asked.After
	switch {
	case asked.Last > 0 && len(page.Entries) == 0:
		return p
	case asked.Last > 0:
		from = page.Entries[0].Prev
	case page.Epoch != v.Epoch || page.Epoch != w.Since.Epoch:
		p.Lost = "epoch"
	case from > page.Head:
		p.Lost, p.Claimed = "unknown", true
	case from < page.Floor:
		p.Lost = "trimmed"
	case len(page.Entries) > 0 && page.Entries[0].Time < w.Oldest:
		p.Lost = "forbidden"
	}
	switch {
	case p.Lost == "":
		p.Reader = Reader{Cursor: Cursor{Mark: from}, Phase: Catching, Walk: &Walk{}}
		p.Position, p.Given = v.position(from), true
	case d.State != nil:
		claimed := p.Claimed
		p = anew(p.Lost)
		p.Claimed = claimed
	}
	return p
}

// placeInState begins where a page of the state says.
func placeInState(w *Want, page *Page) Placement {
	since := w.Since.Offset
	switch {
	case page.Epoch != w.Since.Epoch:
		return anew("epoch")
	case since > page.Head:
		p := anew("unknown")
		p.Claimed = true
		return p
	case since < page.Floor:
		return anew("trimmed")
	case w.Given != nil:
		// The rest of it, and then what was written since it began. That is whole as
		// long as it is known what was deleted since.
		return snapshot(page.Epoch, Walk{Until: since, After: *w.Given}, page)
	}
	return Placement{Reader: Reader{Cursor: Cursor{Mark: since}, Phase: Walking, Walk: &Walk{}},
		Position: *w.Since, Head: page.Head, Given: true}
}

// snapshot begins with the state, or the rest of one, whose next page is read.
func snapshot(epoch string, w Walk, page *Page) Placement {
	w.Snapshot, w.Begun = true, true
	return Placement{Reader: Reader{Cursor: Cursor{Mark: w.Until}, Phase: Walking, Walk: &w},
		Position: protocol.Position{Epoch: epoch, Offset: w.Until}, Head: page.Head, Given: true}
}

// anew asks for the beginning of a snapshot.
func anew(lost string) Placement {
	p := ask(Ask{State: true, Bytes: StateBytes})
	p.Lost = lost
	return p
}

func ask(a Ask) Placement { return Placement{Step: Reading, Ask: a} }

func (v *View) position(offset uint64) protocol.Position {
	return protocol.Position{Epoch: v.Epoch, Offset: offset}
}
