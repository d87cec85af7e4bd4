package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/spf13/cobra"
)

func subCommand(g *global) *cobra.Command {
	var r remote
	var last, count int
	var rate float64
	var once bool
	c := &cobra.Command{
		Use:   "sub CHANNEL...",
		Short: "Print what channels of a running server carry",
		Long: `Subscribe to channels and print every message as one line of JSON. When the
line is lost it comes back by itself and asks for what it missed.`,
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
			s := &subscriber{remote: r, base: base, global: g, channels: args, last: last, rate: rate, left: count, once: once,
				positions: map[string]position{}}
			return s.run(c.Context())
		},
	}
	r.flags(c)
	c.Flags().IntVar(&last, "last", 0, "begin with the last so many messages")
	c.Flags().Float64Var(&rate, "rate", 0, "at most so many deliveries a second")
	c.Flags().IntVarP(&count, "count", "n", 0, "end after so many messages (0: never)")
	c.Flags().BoolVar(&once, "once", false, "do not come back when the line is lost")
	return c
}

type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

type subscriber struct {
	remote
	*global
	base      string
	channels  []string
	last      int
	rate      float64
	left      int
	once      bool
	positions map[string]position
	answered  int
}

var errEnough = errors.New("enough")

// fatalError is one that connecting again would not fix.
type fatalError struct{ error }

func (s *subscriber) run(ctx context.Context) error {
	delay := time.Second
	for {
		begun := time.Now()
		err := s.follow(ctx)
		var fatal *fatalError
		switch {
		case errors.Is(err, errEnough) || ctx.Err() != nil:
			return nil
		case s.once || errors.As(err, &fatal):
			return err
		}
		if time.Since(begun) > time.Minute {
			delay = time.Second
		}
		wait := time.Duration(rand.Int64N(int64(delay)) + int64(delay)/4)
		fmt.Fprintf(s.streams.Err, "ringdown: the line is lost (%v); trying again in %.1f s\n", err, wait.Seconds())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		delay = min(2*delay, 20*time.Second)
	}
}

// follow is one connection's life.
func (s *subscriber) follow(ctx context.Context) error {
	header := http.Header{}
	if t := s.credential(); t != "" {
		header.Set("Authorization", "Bearer "+t)
	}
	target := "ws" + strings.TrimPrefix(s.base, "http") + "/v1/ws"
	dialing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(dialing, target, //nolint:bodyclose // the library closes it, as Dial says
		&websocket.DialOptions{
			HTTPHeader: header, Subprotocols: []string{"ringdown.v1.json"}, CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	if err := conn.Write(ctx, websocket.MessageText, s.request()); err != nil {
		return err
	}
	s.answered = 0
	for {
		kind, text, err := conn.Read(ctx)
		if err != nil {
			if code := websocket.CloseStatus(err); code >= 4000 && code < 4100 {
				return &fatalError{err}
			}
			return err
		}
		if err := s.take(kind, text); err != nil {
			if errors.Is(err, errEnough) {
				_ = conn.Close(websocket.StatusNormalClosure, "")
			}
			return err
		}
	}
}

// request asks for all channels, from where each was left.
func (s *subscriber) request() []byte {
	type item struct {
		Channel string    `json:"channel"`
		Since   *position `json:"since,omitempty"`
		Data    any       `json:"data,omitempty"`
	}
	var items []item
	for _, name := range s.channels {
		it := item{Channel: name}
		data := map[string]any{}
		if p, ok := s.positions[name]; ok && p.Epoch != "" {
			it.Since = &p
		} else if s.last > 0 {
			data["last"] = s.last
		}
		if s.rate > 0 {
			data["rate"] = s.rate
		}
		if len(data) > 0 {
			it.Data = data
		}
		items = append(items, it)
	}
	out, _ := json.Marshal(map[string]any{"type": "subscribe", "id": 1, "channels": items}) // plain values always encode
	return out
}

func (s *subscriber) take(kind websocket.MessageType, text []byte) error {
	var m struct {
		Type, Channel, Epoch string
		Offset               uint64
		Data                 json.RawMessage
	}
	head, _, _ := strings.Cut(string(text), "\n")
	if err := json.Unmarshal([]byte(head), &m); err != nil {
		return fmt.Errorf("the server sent what is no message: %w", err)
	}
	switch m.Type {
	case "welcome":
		return nil
	case "subscribed":
		s.positions[m.Channel] = position{m.Epoch, m.Offset}
		s.answered++
		fmt.Fprintf(s.streams.Err, "ringdown: subscribed to %s\n", m.Channel)
		return nil
	case "error":
		var e struct{ Code, Message string }
		_ = json.Unmarshal(m.Data, &e) // what does not decode is shown as empty
		fmt.Fprintf(s.streams.Err, "ringdown: %s %s: %s\n", m.Channel, e.Code, e.Message)
		s.answered++
		if s.answered == len(s.channels) && len(s.positions) == 0 {
			return &fatalError{errors.New("no channel could be subscribed to")}
		}
		return nil
	}
	if m.Offset > 0 {
		p := s.positions[m.Channel]
		p.Offset = m.Offset
		s.positions[m.Channel] = p
	}
	if kind == websocket.MessageBinary {
		fmt.Fprintf(s.streams.Out, "%s\n", head)
	} else {
		fmt.Fprintf(s.streams.Out, "%s\n", text)
	}
	if s.left > 0 {
		if s.left--; s.left == 0 {
			return errEnough
		}
	}
	return nil
}
