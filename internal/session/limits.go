package session

import (
	"sync/atomic"
	"time"

	"ringdown/internal/channel"
)

// Limits bound what one connection may cost. Zero fields mean the defaults;
// Connections 0 means as many as there are descriptors.
type Limits struct {
	MaxMessage                int           // bytes of one message, decompressed. Default 65,536
	MaxMessageUnauthenticated int           // before the token was accepted. Default 4,096
	MessagesPerSecond         int           // Default 50
	MessagesBurst             int           // Default 100
	UnauthenticatedPerSecond  int           // Default 5
	Subscriptions             int           // per connection. Default 128
	PendingRequests           int           // calls under way per connection. Default 32
	BadMessages               int           // undecodable messages before close 4000. Default 10
	Connections               int           // on this node. Default 0
	ChannelsPerNode           int           // followed or kept on this node. Default 1,000,000
	HandshakesPerSecond       int           // let in on this node; four seconds' worth wait their turn. Default 2,500
	Recoveries                int           // pages read at a time from a store that is not in memory. Default 64
	AuthTimeout               time.Duration // from open to a token. Default 5 s
	Presences                 int           // channels that one connection is a member of. Default 32
	PresenceData              int           // bytes that a member may say of itself. Default 4,096
	RuleSteps                 int           // work of deciding by the rules for one message. Default 400,000
	SchemaSteps               int           // work of judging one message by its schema. Default channel.DefaultSchemaSteps
}

// WithDefaults returns l with its zero fields filled in.
func (l Limits) WithDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.MaxMessage, 65_536)
	def(&l.MaxMessageUnauthenticated, 4_096)
	def(&l.MessagesPerSecond, 50)
	def(&l.MessagesBurst, 100)
	def(&l.UnauthenticatedPerSecond, 5)
	def(&l.Subscriptions, 128)
	def(&l.PendingRequests, 32)
	def(&l.BadMessages, 10)
	def(&l.ChannelsPerNode, 1_000_000)
	def(&l.Recoveries, 64)
	def(&l.HandshakesPerSecond, 2_500)
	def(&l.Presences, 32)
	def(&l.PresenceData, 4_096)
	def(&l.RuleSteps, 400_000)
	def(&l.SchemaSteps, channel.DefaultSchemaSteps)
	if l.AuthTimeout <= 0 {
		l.AuthTimeout = 5 * time.Second
	}
	l.MaxMessageUnauthenticated = min(l.MaxMessageUnauthenticated, l.MaxMessage)
	return l
}

// started is the origin of the clock that limits go by: long ago, so that 0 is
// before everything.
var started = time.Now().Add(-64 * 365 * 24 * time.Hour)

// clock returns how long after started t is, by the monotonic clock: the wall
// clock may be set back, and nobody is to wait for it to come round again.
func clock(t time.Time) time.Duration { return t.Sub(started) }

// turnstile lets so many a second pass, at even distances. Safe for concurrent
// use.
type turnstile struct{ due atomic.Int64 } // nanoseconds of clock

// take gives out the next place in the line, and how long it is until its turn.
// If that is longer than most, no place is taken.
func (s *turnstile) take(now time.Time, perSecond int, most time.Duration) (wait time.Duration, ok bool) {
	every := int64(time.Second) / int64(perSecond)
	for {
		at, due := int64(clock(now)), s.due.Load()
		turn := max(due, at)
		if wait = time.Duration(turn - at); wait > most {
			return wait, false
		}
		if s.due.CompareAndSwap(due, turn+every) {
			return wait, true
		}
	}
}

// giveBack gives a place in the line back that was not used: those who come from
// now on wait for one less.
func (s *turnstile) giveBack(perSecond int) {
	s.due.Add(-int64(time.Second) / int64(perSecond))
}

// meter is a rate limit by GCRA: one time stamp, no tokens to refill. The zero
// value has its whole burst to spend.
type meter struct{ due int64 } // nanoseconds of clock

// take spends one of perSecond with the given burst. If the limit is reached it
// spends nothing and returns how long to wait.
func (m *meter) take(now time.Time, perSecond, burst int) (wait time.Duration, ok bool) {
	at := int64(clock(now))
	every := int64(time.Second) / int64(perSecond)
	due := max(m.due, at)
	if ahead := due + every - at - every*int64(burst); ahead > 0 {
		return time.Duration(ahead), false
	}
	m.due = due + every
	return 0, true
}

// spend takes n of perSecond, also if there are none left: then what comes next
// has to wait so much longer.
func (m *meter) spend(now time.Time, perSecond, n int) {
	m.due = max(m.due, int64(clock(now))) + int64(n)*int64(time.Second)/int64(perSecond)
}
