package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"

	"ringdown/protocol"
)

// Ack says where a publication is. Both are zero where the message is not kept.
type Ack struct {
	Epoch  string
	Offset uint64
}

// publication waits for its acknowledgement.
type publication struct {
	message   *protocol.Message
	firstSent time.Time
	failures  int
	due       time.Time // not to be sent before
	id        int64     // under which it is on the line; 0: it is not
	late      timer     // it was not sent in time
	again     timer     // it is to be looked at
	settled   bool
	done      chan outcome // of one
}

type outcome struct {
	ack Ack
	err *Error
}

// outbox keeps publications until they are acknowledged. The connection's lock guards it.
type outbox struct {
	c        *connection
	channels map[string][]*publication
	sent     map[int64]*publication
	count    int
	bytes    int
	up       bool
	send     func(m *protocol.Message) int64 // answers with the id that it was given
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// add takes a publication; timeout is how long it may wait to be sent.
func (o *outbox) add(m *protocol.Message, timeout time.Duration) (*publication, *Error) {
	if o.count >= o.c.outboxMessages || o.bytes+len(m.Data) > o.c.outboxBytes {
		e := failed(protocol.CodeLimitExceeded, m.Channel, "%d publications with %d bytes wait for an acknowledgement, and there is room for no more", o.count, o.bytes)
		e.Limit, e.Retryable = "outbox", true
		return nil, e
	}
	if m.Dedupe == "" {
		m.Dedupe = randomID()
	}
	p := &publication{message: m, done: make(chan outcome, 1)}
	p.late.c, p.again.c = o.c, o.c
	p.late.start(timeout, func() {
		if p.firstSent.IsZero() {
			e := failed(protocol.CodeTimeout, m.Channel, "it was not sent in time, and will not be")
			e.Retryable = true
			o.settle(p, outcome{err: e})
		}
	})
	o.channels[m.Channel] = append(o.channels[m.Channel], p)
	o.count++
	o.bytes += len(m.Data)
	o.flush(m.Channel)
	return p, nil
}

// settle ends a publication.
func (o *outbox) settle(p *publication, out outcome) {
	if p.settled {
		return
	}
	p.settled = true
	p.late.stop()
	p.again.stop()
	p.done <- out
	channel := p.message.Channel
	list := slices.DeleteFunc(o.channels[channel], func(other *publication) bool { return other == p })
	delete(o.sent, p.id)
	o.count--
	o.bytes -= len(p.message.Data)
	if len(list) == 0 {
		delete(o.channels, channel)
		return
	}
	o.channels[channel] = list
	o.flush(channel)
}

// start is called when a line is there.
func (o *outbox) start() {
	o.up = true
	for channel := range o.channels {
		o.flush(channel)
	}
}

// stop is called when the line is gone: what was under way is sent again on the next.
func (o *outbox) stop() {
	o.up = false
	for _, p := range o.sent {
		p.id = 0
	}
	clear(o.sent)
}

// clear ends all that waits.
func (o *outbox) clear(why *Error) {
	o.stop()
	for _, list := range o.channels {
		for _, p := range slices.Clone(list) {
			if p.firstSent.IsZero() {
				o.settle(p, outcome{err: why})
			} else {
				o.settle(p, outcome{err: ErrUnknown})
			}
		}
	}
}

// answer takes an answer; false if it is not one to a publication.
func (o *outbox) answer(id int64, m *protocol.Message, err *Error) bool {
	p := o.sent[id]
	if p == nil {
		return false
	}
	delete(o.sent, id)
	p.id = 0
	switch {
	case err == nil:
		o.settle(p, outcome{ack: Ack{m.Epoch, m.Offset}})
	case !err.Retryable:
		o.settle(p, outcome{err: err})
	default:
		wait := max(err.RetryAfter, o.c.delay(p.failures))
		p.failures++
		p.due = o.c.now().Add(wait)
		p.again.start(wait, func() { o.flush(p.message.Channel) })
	}
	return true
}

// flush sends of a channel what may be sent, in its order.
func (o *outbox) flush(channel string) {
	if !o.up {
		return
	}
	now := o.c.now()
	for i, p := range o.channels[channel] {
		switch {
		case i >= o.c.pipeline || now.Before(p.due):
			return
		case p.id != 0:
			continue
		case !p.firstSent.IsZero() && now.Sub(p.firstSent) > milliseconds(o.c.welcome.DedupeWindow)-5*time.Second:
			o.settle(p, outcome{err: ErrUnknown}) // which flushes the rest
			return
		case p.firstSent.IsZero():
			p.firstSent = now
		}
		id := o.send(p.message)
		p.id = id
		o.sent[id] = p
		p.again.start(o.c.ackTimeout, func() { o.overdue(p, id) })
	}
}

// overdue looks whether anybody is there who could answer; if so, it is sent again.
func (o *outbox) overdue(p *publication, id int64) {
	if p.id != id {
		return
	}
	o.c.test(bySilence)
	p.again.start(o.c.probeTimeout, func() {
		if p.id == id {
			delete(o.sent, id)
			p.id = 0
			o.flush(p.message.Channel)
		}
	})
}

// await waits for the end of a publication, or takes it back when ctx is over.
func (o *outbox) await(ctx context.Context, p *publication) (Ack, error) {
	select {
	case out := <-p.done:
		return out.result()
	case <-ctx.Done():
	}
	o.c.mu.Lock()
	if p.firstSent.IsZero() {
		o.settle(p, outcome{})
		o.c.mu.Unlock()
		if out := <-p.done; out.err != nil {
			return out.result()
		}
		return Ack{}, gaveUp(ctx)
	}
	o.settle(p, outcome{err: ErrUnknown})
	o.c.mu.Unlock()
	return (<-p.done).result()
}

func (out outcome) result() (Ack, error) {
	if out.err != nil {
		return Ack{}, out.err
	}
	return out.ack, nil
}
