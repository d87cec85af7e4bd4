package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"ringdown/client"
	"ringdown/protocol"
)

func subCommand(g *global) *cobra.Command {
	var r remote
	s := subscriber{global: g}
	c := &cobra.Command{
		Use:   "sub CHANNEL...",
		Short: "Print what channels of a running server carry",
		Long: `Subscribe to channels and print every message as one line of JSON, and of a
state channel first all that it keeps. When the line is lost it comes back by
itself and asks for what it missed; where a network lets no WebSocket through it
goes by Server-Sent Events or long-poll.`,
		Example: `  ringdown sub orders
  ringdown sub lab:one chat:lobby --last 20
  ringdown sub prices --rate 1 | jq .data`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeChannelsOnly,
		RunE: func(c *cobra.Command, args []string) error {
			base, err := r.base()
			if err != nil {
				return err
			}
			return s.run(c.Context(), base, r.credential(), args)
		},
	}
	r.flags(c)
	c.Flags().IntVar(&s.last, "last", 0, "begin with the last so many messages")
	c.Flags().Float64Var(&s.rate, "rate", 0, "at most so many deliveries a second")
	c.Flags().IntVarP(&s.left, "count", "n", 0, "end after so many messages (0: never)")
	c.Flags().BoolVar(&s.once, "once", false, "do not come back when the line is lost")
	return c
}

// subscriber prints what channels carry.
type subscriber struct {
	*global
	last int
	rate float64
	once bool

	mu   sync.Mutex // of what is printed, and of left
	left int        // messages; 0: without end
}

// errEnough ends a run that has printed what was asked for.
var errEnough = errors.New("enough")

func (s *subscriber) run(ctx context.Context, base, token string, channels []string) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	options := []client.Option{client.WithStateHandler(func(e client.StateChange) { s.changed(e, end) })}
	if token != "" {
		options = append(options, client.WithFixedToken(token))
	}
	c, err := client.New(base, options...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it has nothing to say
	var follows sync.WaitGroup
	for _, name := range channels {
		follows.Go(func() { s.follow(ctx, c.Channel(name), end) })
	}
	follows.Wait() // each ends with ctx, or where it is not let in
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return errors.New("no channel could be subscribed to")
	case errors.Is(cause, errEnough) || errors.Is(cause, context.Canceled):
		return nil
	default:
		return cause
	}
}

// changed tells of the line.
func (s *subscriber) changed(e client.StateChange, end context.CancelCauseFunc) {
	switch e.State {
	case client.Waiting:
		why := string(e.Reason)
		if e.Err != nil {
			why = e.Err.Error()
		}
		if s.once {
			end(fmt.Errorf("the line is lost (%s)", why))
			return
		}
		s.say("the line is lost (%s); trying again in %.1f s", why, e.RetryIn.Seconds())
	case client.Closed:
		if e.Err != nil {
			end(e.Err)
		}
	case client.Idle, client.Opening, client.Authenticating, client.Live, client.Probing:
	}
}

func (s *subscriber) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.streams.Err, "ringdown: "+format+"\n", args...)
}

// follow prints what one channel carries, until ctx ends or it is refused for good.
func (s *subscriber) follow(ctx context.Context, ch *client.Channel, end context.CancelCauseFunc) {
	name := ch.Name()
	options := []client.SubscribeOption{
		client.OnSubscribed(func(bool, string) { s.say("subscribed to %s", name) }),
		client.OnFailed(func(err *client.Error) { s.say("%s %s: %s", name, err.Code, err.Message) }),
		client.OnGap(func(g client.Gap) { s.say("%s: messages are missing (%s)", name, g.Reason) }),
		client.OnState(func(items []*client.Message) {
			for _, m := range items {
				s.print(m, end)
			}
		}),
	}
	if s.last > 0 {
		options = append(options, client.Last(s.last))
	}
	if s.rate > 0 {
		options = append(options, client.Rate(s.rate))
	}
	for m, err := range ch.Messages(ctx, options...) {
		if err != nil {
			return // OnFailed has told why
		}
		s.print(m, end)
	}
}

// print prints a message, in the form that it has on the wire.
func (s *subscriber) print(m *client.Message, end context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left < 0 {
		return
	}
	w := protocol.Message{Type: m.Type, Channel: m.Channel, Key: m.Key, From: m.From, Trace: m.Trace, Data: m.Data, Binary: m.Binary, Kept: m.Kept, Offset: m.Offset, Prev: max(m.Offset, 1) - 1}
	if !m.Time.IsZero() {
		w.Time = m.Time.UnixMilli()
	}
	_, _ = s.streams.Out.Write(append(protocol.AppendJSON(nil, &w), '\n'))
	if s.left > 0 {
		if s.left--; s.left == 0 {
			s.left = -1
			end(errEnough)
		}
	}
}
