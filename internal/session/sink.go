package session

import (
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/protocol"
)

// sink is a session as its deliveries see it.
type sink Session

// Form implements delivery.Sink.
func (s *sink) Form() channel.Form { return s.link.Form() }

// Offer implements delivery.Sink.
func (s *sink) Offer(frames []byte) int { return s.link.Offer(frames) }

// Share implements delivery.Sink.
func (s *sink) Share(rest []byte) { s.link.Share(rest) }

// Send implements delivery.Sink.
func (s *sink) Send(e event.Event) { s.link.Send(e) }

// Blocked implements delivery.Sink.
func (s *sink) Blocked() bool { return s.link.Blocked() }

// Failed implements delivery.Sink.
func (s *sink) Failed(cause any) {
	x := (*Session)(s)
	x.hub.server.metrics.Panics.Add(1)
	x.hub.server.log.Error("delivering panicked; the connection is closed", "panic", cause, "stack", stack())
	x.end(protocol.CloseInternal)
}

// AppendEvent implements delivery.Sink.
func (s *sink) AppendEvent(dst, line []byte) []byte { return s.extra.stream.AppendEvent(dst, line) }

// Settled implements delivery.Sink.
func (s *sink) Settled() { (*Session)(s).settled() }
