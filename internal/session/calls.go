package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/protocol"
)

// call takes an event without a channel: a request to the application.
func (x *Session) call(m *protocol.Message) {
	s := x.hub.server
	declared, calls := (*channel.Call)(nil), s.policy.Load().Calls
	if calls != nil {
		if declared = calls[m.Type]; declared == nil {
			x.deny("call", m.ID, "", protocol.Errorf(protocol.CodeNotFound, "no call %q is declared; if it was meant as an event, name its channel", m.Type))
			return
		}
	}
	fn := s.registry.handler(m.Type)
	if fn == nil {
		x.deny("call", m.ID, "", protocol.Errorf(protocol.CodeNoBackend, "nothing answers the call %q; if it was meant as an event, name its channel", m.Type))
		return
	}
	if m.Binary {
		x.deny("call", m.ID, "", protocol.Errorf(protocol.CodeInvalidData, "a call takes JSON and not bytes"))
		return
	}
	if limit := s.Limits().PendingRequests; x.has().pending >= limit {
		x.deny("call", m.ID, "", &protocol.Error{Code: protocol.CodeLimitExceeded, Retryable: true, Limit: "limits.connection.pending_calls",
			Message: "too many calls of this connection wait for their answer (limits.connection.pending_calls)"})
		return
	}
	x.have().pending++
	m = m.Clone()
	c := &Call{Client: *x.client(), Event: m.Type, Data: m.Data}
	var result []byte
	var steps int
	s.background(x.hub.loop, func(ctx context.Context) (err error) {
		if steps, err = judgeCall(declared, c.Data); err != nil {
			return err
		}
		if result, err = fn(ctx, c); err == nil {
			err = judgeResult(declared, result)
		}
		return err
	}, func(err error) {
		x.extra.pending--
		x.spendSteps(steps)
		if !x.closed {
			x.orClose(err, func(err error) { x.answerCall(m, result, err) })
		}
	})
}

func (x *Session) answerCall(m *protocol.Message, result []byte, err error) {
	if err != nil {
		var e *protocol.Error
		if !errors.As(err, &e) {
			x.hub.server.log.Warn("a call failed", "event", m.Type, "error", err)
			e = protocol.Errorf(protocol.CodeBackendFailed, "the application failed to answer %q", m.Type)
		}
		x.deny("call", m.ID, "", e)
		return
	}
	if m.ID == nil {
		return
	}
	x.link.Send(&event.Ack{ID: m.ID, Result: result})
}

// judgeCall judges the data of a call by its declaration; c is nil if it has none.
func judgeCall(c *channel.Call, data []byte) (steps int, err error) {
	if c == nil || c.Data == nil {
		return 0, nil
	}
	steps, err = judgeValue(c.Data, data, c.DataSteps)
	switch {
	case err == nil:
		return steps, nil
	case errors.Is(err, channel.ErrBudget):
		return steps, protocol.Errorf(protocol.CodeInvalidData, "data of the call %q takes more work to judge by its schema than one message may (limits.connection.schema_steps); send less at once", c.Name).WithLimit("limits.connection.schema_steps")
	}
	return steps, protocol.Errorf(protocol.CodeInvalidData, "data of the call %q does not fit its schema: %v", c.Name, err).WithReason("schema")
}

// judgeResult judges what the application answered. An error is for the log: to the
// client the application has failed.
func judgeResult(c *channel.Call, result []byte) error {
	if c == nil || c.Result == nil {
		return nil
	}
	if _, err := judgeValue(c.Result, result, c.ResultSteps); err != nil {
		return fmt.Errorf("the result does not fit its schema: %w", err)
	}
	return nil
}

func judgeValue(v channel.Validator, data []byte, most int) (steps int, err error) {
	if data == nil {
		data = []byte("null")
	}
	b := channel.NewBudget(cmp.Or(most, channel.DefaultSchemaSteps))
	err = v.Validate(data, &b)
	return b.Spent(), err
}
