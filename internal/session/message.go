package session

import (
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/protocol"
)

// Message takes one decoded message from the client. m and what it points to
// are the caller's again afterwards.
func (x *Session) Message(m *protocol.Message) {
	if x.closed || x.ending {
		return
	}
	x.hub.server.metrics.Received.Add(1)
	if err := x.allowed(); !x.ending {
		x.take(m, err)
	}
}

// take answers a message in its turn: now, or when what the session waits for
// has come. With an error it was refused already. From a peer that takes nothing
// out nothing more is taken in: whatever a message asks for, its answer is made
// when those before it have left.
func (x *Session) take(m *protocol.Message, err error) {
	if x.suspended == nil && x.link.Blocked() {
		x.pause()
	}
	if x.suspended != nil {
		x.deferMessage(m, err)
		return
	}
	x.handle(m, err)
}

func (x *Session) handle(m *protocol.Message, err error) {
	if err != nil {
		x.deny(actionOf(m), m.ID, m.Channel, err)
		return
	}
	x.dispatch(m)
}

// actionOf says what a message asks for, in the words of refusal.Refusal. No text
// of the client's is in it.
func actionOf(m *protocol.Message) string {
	switch m.Type {
	case protocol.TypeAuth, protocol.TypeSubscribe, protocol.TypeUnsubscribe, protocol.TypePresence, protocol.TypeHistory:
		return m.Type
	case "":
		return "message" // it could not be read as far as that
	}
	if m.Channel == "" {
		return "call"
	}
	return "publish"
}

// messageRate is how many messages the connection may send a second, and at once.
func (x *Session) messageRate() (perSecond, burst int) {
	l := &x.hub.server.policy.Load().Limits
	if !x.welcomed {
		return l.UnauthenticatedPerSecond, l.UnauthenticatedPerSecond
	}
	return l.MessagesPerSecond, l.MessagesBurst
}

// allowed spends one message of the connection's rate.
func (x *Session) allowed() error {
	perSecond, burst := x.messageRate()
	wait, ok := x.rate.take(x.hub.loop.Now(), perSecond, burst)
	if ok {
		x.refused = 0
		return nil
	}
	// The refusals of one burst are answered; whoever goes on regardless is
	// only costing us the answers.
	e := overRate(perSecond, wait)
	if x.refused++; int(x.refused) > 2*burst {
		x.cutOff(protocol.CloseRateLimited, e)
	}
	return e
}

// spend takes one message off the rate for what a message asked for besides.
func (x *Session) spend() {
	perSecond, _ := x.messageRate()
	x.rate.spend(x.hub.loop.Now(), perSecond, 1)
}

// BadMessage answers a message that could not be decoded. m holds its id and
// channel as far as they could be read.
func (x *Session) BadMessage(m *protocol.Message, err error) {
	if x.closed || x.ending {
		return
	}
	x.take(m, err)
	x.have().bad++
	if x.extra.bad > x.hub.server.Limits().BadMessages {
		x.cutOff(protocol.CloseProtocol, protocol.Errorf(protocol.CodeBadRequest, "too many messages that could not be read").WithLimit("limits.connection.bad_messages"))
	}
}

// stepsPerMessage is how much work of judging counts as one more message: about
// half a millisecond.
const stepsPerMessage = 10_000

// judgeAnew gives the next message a budget of its own, and lets what was spent
// on the one before count against the connection's rate.
func (x *Session) judgeAnew() {
	l := &x.hub.server.policy.Load().Limits
	if extra := x.judging.Spent() / stepsPerMessage; extra > 0 {
		x.rate.spend(x.hub.loop.Now(), l.MessagesPerSecond, extra)
	}
	x.judging = channel.NewBudget(l.RuleSteps)
}

func (x *Session) dispatch(m *protocol.Message) {
	x.judgeAnew()
	if !x.welcomed && m.Type != protocol.TypeAuth {
		x.deny(actionOf(m), m.ID, m.Channel, protocol.Errorf(protocol.CodeUnauthorized, "send {\"type\":\"auth\",\"token\":…} before anything else"))
		return
	}
	switch m.Type {
	case protocol.TypeAuth:
		x.auth(m)
	case protocol.TypeSubscribe:
		x.subscribe(m)
	case protocol.TypeUnsubscribe:
		x.unsubscribe(m)
	case protocol.TypePing:
		x.link.Send(&event.Pong{ID: m.ID, Time: time.Now()})
	case protocol.TypePong:
		// It answers Ping. That something was heard is for the transport to know.
	case protocol.TypeHistory:
		x.history(m)
	case protocol.TypePresence:
		x.presence(m)
	default:
		switch err := protocol.ValidEvent(m.Type); {
		case err != nil:
			x.deny(actionOf(m), m.ID, m.Channel, err)
		case m.Channel != "":
			x.publish(m)
		default:
			x.call(m)
		}
	}
}

// Ping asks the client for a sign of life by a message, for those who never see
// frames: browsers. It answers with pong.
func (x *Session) Ping() {
	if !x.closed && !x.ending {
		x.link.Send(&event.Ping{})
	}
}

// auth judges a token that came in a message: the first, or a refresh.
func (x *Session) auth(m *protocol.Message) {
	if m.Token == "" {
		x.deny(actionOf(m), m.ID, "", protocol.Errorf(protocol.CodeBadRequest, "auth needs the field token"))
		return
	}
	s := x.hub.server
	m = m.Clone()
	var who *auth.Identity
	x.await(func() (err error) { who, err = s.Authenticate(s.ctx, m.Token); return err }, func(err error) {
		switch {
		case err != nil && x.welcomed && x.identity != nil:
			// The token in force stays in force until it expires.
			x.deny(actionOf(m), m.ID, "", err)
		case err != nil:
			x.refuse(err)
		case x.identity == nil:
			x.arrive(who, m.ID)
		case x.identity.User != who.User:
			x.deny(actionOf(m), m.ID, "", protocol.Errorf(protocol.CodeConflict, "this connection is %q and cannot become somebody else; open another", x.identity.User))
		default:
			x.become(who)
			x.recheck()
			x.ackAuth(m.ID)
		}
	})
}

func (x *Session) ackAuth(id []byte) {
	if id == nil || x.closed {
		return
	}
	x.link.Send(&event.Ack{ID: id, Expires: x.identity.Expires})
}
