package channel

// Reader is one reader of a log: where it stands, and what it needs next. It only
// decides. Whoever has it looks into the ring, reads the store, writes to the peer,
// and tells the reader what came of that.
type Reader struct {
	Cursor Cursor
	Walk   *Walk // of one that is Catching or Walking
	Phase  Phase
}

// Phase says how a reader is given what it lacks.
type Phase uint8

// The phases.
const (
	Live     Phase = iota // it has everything, and is swept with the others
	Resting               // the same, at a pace of its own
	Lagging               // it goes on in the ring, a run at a time
	Catching              // what it lacks is in the store: a page of the log at a time
	Walking               // the same in a state: the latest of each key that it lacks
	Ahead                 // the store has told it more than the ring has yet
	Held                  // what it asked for is on its way, and comes first
)

// Walk is a reading that takes more than one page.
type Walk struct {
	Reading bool // a page is on its way
	// Of one that is Walking:
	Snapshot bool   // it is given the state from its beginning, as it was at Until
	Begun    bool   // Until is known
	Lost     string // why it begins anew, to be told in a gap before it
	After    uint64 // offset of the item given last
	Until    uint64 // the position that the snapshot is of
}

// Need is what a reader wants to have done.
type Need uint8

// The needs.
const (
	Nothing Need = iota
	Offer        // of the batch that it met
	Pull         // to be served on its own, in its turn
	Paced        // the same, when its pace allows
)

// About how many bytes a page has, of a log and of a state.
const (
	PageBytes  = 64 << 10
	StateBytes = 32 << 10
)

// Ask names a page of a channel's log, or of its state; see broker.Range and
// broker.StateRange.
type Ask struct {
	State         bool
	After, Before uint64
	Last, Limit   int
	Bytes         int
}

// Page is the answer to an Ask.
type Page struct {
	Epoch   string
	Head    uint64 // offset of the newest message
	Floor   uint64 // who stands before it cannot go on: what comes next is gone
	Entries []*Entry
	More    bool
}

// Meet is for a sweep that comes by with a batch.
func (r *Reader) Meet(b *Batch, d *Declaration) Need {
	switch r.Phase {
	case Resting:
		return Paced
	case Ahead:
		return r.arrive(b.To, d)
	case Live:
	case Lagging, Catching, Walking, Held:
		return Nothing
	}
	switch {
	case r.Cursor.Seq >= b.To.Seq:
		return Nothing
	case r.Cursor.Seq < b.From.Seq:
		// It was passed over in the round before, which must not happen; it is given
		// all that it lacks, and not the rest alone.
		r.Phase = Lagging
		return Pull
	}
	return Offer
}

// Overtaken is for a ring that turned over between two sweeps, and stands at head
// now; anew says that this is in another epoch, in which the mark of no reader
// means anything.
func (r *Reader) Overtaken(head Cursor, anew bool, d *Declaration) Need {
	switch r.Phase {
	case Live:
		if r.Cursor.Seq < head.Seq {
			r.Phase = Lagging
			return Pull
		}
	case Resting:
		return Paced
	case Catching, Walking, Ahead:
		if anew {
			r.Cursor.Seq, r.Phase, r.Walk = 0, Lagging, nil
			return Pull
		}
		if r.Phase == Ahead {
			return r.arrive(head, d)
		}
	case Lagging, Held:
	}
	return Nothing
}

// arrive is for a reader that is Ahead: when the ring has come as far, it goes on
// there.
func (r *Reader) arrive(head Cursor, d *Declaration) Need {
	if head.Mark < r.Cursor.Mark {
		return Nothing
	}
	r.seek(r.Cursor.Mark, d)
	return Pull
}

// seek sends the reader on from an offset, in the store if need be.
func (r *Reader) seek(offset uint64, d *Declaration) {
	r.Cursor = Cursor{Mark: offset}
	r.Phase, r.Walk = Catching, &Walk{}
	if d.History == nil {
		r.Phase = Walking
	}
}

// Lost is for a reader that lags further than the ring reaches: gap is what it
// lost, and oldest where the ring begins. It returns why the gap is to be told: for
// no reason yet, if what the store keeps may fill it, or a snapshot comes first.
func (r *Reader) Lost(gap *Gap, oldest Cursor, d *Declaration) (reason string) {
	switch {
	case gap.Epoch && d.State != nil:
		r.Cursor.Seq, r.Phase, r.Walk = 0, Walking, &Walk{Snapshot: true, Lost: "epoch"}
		return ""
	case gap.Epoch:
		if r.Cursor = oldest; oldest.Mark > gap.Origin {
			r.seek(gap.Origin, d) // the ring has moved on since
		}
		return "epoch"
	case d.Kept():
		r.seek(r.Cursor.Mark, d) // the store knows no sequences
		return ""
	}
	r.Cursor = oldest
	return "slow"
}

// Ask returns the page that a reader needs that is Catching or Walking; false is
// that it needs none now: one is on its way, or the ring can go on (held) from at,
// where its mark is found there.
func (r *Reader) Ask(at Cursor, held bool) (Ask, bool) {
	switch {
	case r.Walk.Reading:
		return Ask{}, false
	case r.Walk.Snapshot:
		return Ask{State: true, After: r.Walk.After, Bytes: StateBytes}, true
	case held:
		r.Cursor, r.Phase, r.Walk = at, Lagging, nil
		return Ask{}, false
	case r.Phase == Walking:
		return Ask{State: true, After: r.Cursor.Mark, Bytes: StateBytes}, true
	}
	return Ask{After: r.Cursor.Mark, Bytes: PageBytes}, true
}

// Missed is for a page that is no part of a snapshot. It returns what is gone from
// the store and to be told. A reader of a state begins anew with a snapshot
// instead: keys that it knows may be gone without anybody being able to say which.
func (r *Reader) Missed(p *Page, d *Declaration) *Gap {
	switch {
	case r.Cursor.Mark >= p.Floor:
		return nil
	case d.State != nil:
		r.Phase, r.Walk = Walking, &Walk{Snapshot: true, Lost: "trimmed"}
		return nil
	}
	gap := &Gap{From: r.Cursor.Mark + 1, To: p.Floor}
	r.Cursor = Cursor{Mark: p.Floor}
	return gap
}

// Begin is for a page of a snapshot, before Part. It returns the gap that is told
// before the items, if the reader begins anew with them: it has none of them yet.
func (r *Reader) Begin(p *Page) *Gap {
	w := r.Walk
	if w.Begun {
		return nil
	}
	gap := &Gap{From: r.Cursor.Mark + 1, To: p.Head}
	if w.Lost == "epoch" {
		gap.Epoch, gap.To, gap.Origin = true, max(gap.From, gap.To), p.Head
	}
	w.Begun, w.Until, r.Cursor = true, p.Head, Cursor{Mark: p.Head}
	return gap
}

// Part is for a page of a snapshot. It returns the items that the page has for the
// peer, and whether it was the last: then the reader stands where the snapshot is of,
// with nothing of what was written since.
func (r *Reader) Part(p *Page) (items []*Entry, last bool) {
	w := r.Walk
	items, last = make([]*Entry, 0, len(p.Entries)), !p.More
	for _, e := range p.Entries {
		if e.Offset > w.Until {
			last = true
			break
		}
		if w.After = e.Offset; !e.Deleted {
			items = append(items, e)
		}
	}
	if last = last || w.After == w.Until; last {
		r.Walk = &Walk{}
	}
	return items, last
}

// Continue is for a reader that has all that the store had up to an offset: it goes
// on in the ring, where at is found for it (held); or, where the ring has not come
// as far as head says, when it has; or, if the ring has moved past it meanwhile, in
// the store again.
func (r *Reader) Continue(offset uint64, at Cursor, held bool, head Cursor) Need {
	r.Cursor = Cursor{Mark: offset}
	switch {
	case held:
		r.Cursor, r.Phase, r.Walk = at, Lagging, nil
	case head.Mark < offset:
		r.Phase, r.Walk = Ahead, nil
		return Nothing
	}
	return Pull
}
