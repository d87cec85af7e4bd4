package session

import (
	"time"

	"ringdown/internal/cursor"
)

// Stream is a link whose peer keeps no positions of its own (Server-Sent Events,
// long-poll): with each message it can be told where it stands in all of its
// channels, and it comes back with that. Its frames are channel.FormLine.
type Stream interface {
	Link
	// Attach names the session, before it says anything.
	Attach(x *Session)
	// AppendEvent appends a message, whose JSON text stands on one line, in the
	// form in which the peer is given it. What Session.AppendPosition says during
	// the call is where the peer stands once it has the message.
	AppendEvent(dst, line []byte) []byte
	// Settled tells that the peer was given all that there is for now.
	Settled()
	// Heartbeat is after how much silence the link says something, which the
	// welcome tells. 0: it has no heartbeat.
	Heartbeat() time.Duration
}

// Follow is a channel that a stream begins with.
type Follow struct {
	Channel string
	Since   *cursor.Place // nil: from now on
	Last    int           // begin with so many messages of the past; not with Since
	Rate    float64       // deliveries a second; 0: all
}

// keepStream prepares a session to follow what it was opened with.
func (x *Session) keepStream(l Stream, o *Open) {
	begin := make([]request, len(o.Follow))
	names := make([]string, len(o.Follow))
	for i, f := range o.Follow {
		begin[i] = request{channel: f.Channel, rate: f.Rate, track: int16(i + 1)}
		begin[i].want.Last = f.Last
		begin[i].goOn(f.Since)
		names[i] = f.Channel
		if f.Since != nil {
			if o.Places == nil {
				o.Places = cursor.Cursor{}
			}
			o.Places[cursor.KeyOf(f.Channel)] = *f.Since
		}
	}
	x.have().stream, x.have().begin = l, begin
	x.out.KeepPositions(names, o.Places, x.hub.loop.Now())
	l.Attach(x)
}

// goOn makes a subscription go on from a place, if there is one.
func (r *request) goOn(at *cursor.Place) {
	if at == nil {
		return
	}
	r.want.Since, r.want.Last = &at.Position, 0
	if at.Within {
		r.want.Given = &at.Given
	}
}

// claim lets a subscription of a stream that does not say where it begins go on
// where the peer's cursor has it.
func (x *Session) claim(r *request) {
	if r.track == 0 && r.want.Since == nil && r.want.Last == 0 {
		r.goOn(x.out.Place(r.channel))
	}
}

// start subscribes to what the stream was opened for.
func (x *Session) start() {
	if list := x.has().begin; list != nil {
		x.extra.begin = nil
		x.subscribeAll(list)
	}
}

// AppendPosition appends a cursor that says where the peer of a Stream stands; see
// delivery.Subscriber.
func (x *Session) AppendPosition(dst []byte) []byte { return x.out.AppendPosition(dst) }

// AppendPositionWith is AppendPosition with one more place, if that has an epoch.
func (x *Session) AppendPositionWith(dst []byte, k cursor.Key, more cursor.Place) []byte {
	return x.out.AppendPositionWith(dst, k, more)
}

// User returns whose session it is; "" is nobody signed in.
func (x *Session) User() string { return x.user() }

// Follows reports whether the session is subscribed to a channel.
func (x *Session) Follows(channel string) bool { return x.out.Find(channel) >= 0 }

// Busy reports that the session is not done with what there is: it waits for an
// answer, or a subscription lacks messages.
func (x *Session) Busy() bool { return x.suspended != nil || x.out.Busy() }

// settled tells a Stream that there is nothing more for now, if that is so.
func (x *Session) settled() {
	if st := x.has().stream; st != nil && x.welcomed && !x.closed && !x.Busy() {
		st.Settled()
	}
}
