package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"ringdown/protocol"
)

const pollWait = 25 * time.Second

// poll is the transport of long-poll in a session.
type poll struct{ client *http.Client }

func (*poll) name() string { return "poll" }

type pollLine struct {
	up   *uplink
	life *life

	mu       sync.Mutex
	channels []item // said with every request
}

func (l *pollLine) close() { l.life.cancel() }

// send takes note of what is subscribed to, which joins the cursor and is said with every
// request from now on.
func (l *pollLine) send(m *protocol.Message) {
	l.mu.Lock()
	switch m.Type {
	case protocol.TypeSubscribe:
		for _, s := range m.Channels {
			i := itemOf(s)
			i.Since = nil
			l.channels = append(l.without(s.Channel), i)
		}
	case protocol.TypeUnsubscribe:
		l.channels = l.without(m.Channel)
	}
	l.mu.Unlock()
	l.up.send(m)
}

func (l *pollLine) without(channel string) (rest []item) {
	for _, i := range l.channels {
		if i.Channel != channel {
			rest = append(rest, i)
		}
	}
	return rest
}

func (t *poll) open(ctx context.Context, work *sync.WaitGroup, o *opening, ev events) line {
	life := newLife(ctx, ev)
	l := &pollLine{up: newUplink(t.client, o), life: life}
	for _, c := range o.channels {
		l.channels = append(l.channels, itemOf(c))
	}
	work.Go(func() { l.up.run(life.ctx, ev, life.end) })
	work.Go(func() { life.end(l.run(t, o, life)) })
	return l
}

// page is the answer to a poll.
type page struct {
	Messages []json.RawMessage `json:"messages"`
	Cursor   string            `json:"cursor"`
}

func (l *pollLine) run(t *poll, o *opening, life *life) ending {
	var cursor, session string
	for {
		p, bad := l.ask(t, o, life, cursor, session)
		if bad != nil {
			return *bad
		}
		if cursor == "" {
			life.ev.opened()
		}
		cursor = p.Cursor
		for _, text := range p.Messages {
			m := new(protocol.Message)
			if protocol.DecodeJSON(text, m) != nil {
				continue
			}
			if m.Type == protocol.TypeWelcome {
				g := l.up.welcome(m)
				if session != "" {
					return ending{} // the session was lost, and with it what was entered
				}
				session = g.Session
			}
			if !life.take(m) {
				return ending{}
			}
		}
		life.ev.heard()
	}
}

// ask makes one request.
func (l *pollLine) ask(t *poll, o *opening, life *life, cursor, session string) (*page, *ending) {
	l.mu.Lock()
	body, err := json.Marshal(struct {
		Channels []item `json:"channels"`
		Cursor   string `json:"cursor,omitempty"`
		Session  string `json:"session,omitempty"`
	}{append([]item{}, l.channels...), cursor, session})
	l.mu.Unlock()
	if err != nil {
		return nil, &ending{}
	}
	wait := pollWait
	if cursor == "" {
		wait = 0
	}
	ctx, cancel := context.WithTimeout(life.ctx, wait+readTimeout)
	defer cancel()
	query := url.Values{}
	for k, v := range o.query {
		query[k] = v
	}
	query.Set("wait", strconv.Itoa(int(wait.Seconds())))
	resp, err := request(ctx, t.client, o, http.MethodPost, "/v1/poll?"+query.Encode(), body)
	if err != nil {
		return nil, &ending{}
	}
	if resp.StatusCode != http.StatusOK {
		e := readProblem(resp)
		return nil, &e
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	p := new(page)
	if err != nil || json.Unmarshal(text, p) != nil || p.Cursor == "" && len(p.Messages) == 0 {
		return nil, &ending{}
	}
	return p, nil
}
