package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringdown/protocol"
)

// remote is the flags of commands that speak to a running server.
type remote struct {
	url, token string
}

func (r *remote) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.url, "url", "http://127.0.0.1:8000", "where the server is: an http, https, ws or wss address")
	c.Flags().StringVarP(&r.token, "token", "t", "", "user token or server key (default RINGDOWN_TOKEN, then RINGDOWN_API_KEY)")
	_ = c.RegisterFlagCompletionFunc("url", words("http://127.0.0.1:8000", "https://"))
}

func (r *remote) credential() string {
	for _, v := range []string{r.token, os.Getenv("RINGDOWN_TOKEN"), os.Getenv("RINGDOWN_API_KEY")} {
		if v != "" {
			return v
		}
	}
	return ""
}

// base returns the server's address with the scheme http or https. The address
// of its WebSocket is as good: it is what people have at hand.
func (r *remote) base() (string, error) {
	u, err := url.Parse(r.url)
	if err != nil || u.Host == "" {
		return "", usage("--url is an address such as http://127.0.0.1:8000, not %q", r.url)
	}
	switch u.Scheme {
	case "http", "https":
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	default:
		return "", usage("--url begins with http, https, ws or wss, not %s", u.Scheme)
	}
	u.RawQuery, u.Fragment = "", ""
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1/ws")
	return u.String(), nil
}

func pubCommand(g *global) *cobra.Command {
	var r remote
	var key, dedupe string
	var asText, goOn bool
	c := &cobra.Command{
		Use:   "pub CHANNEL EVENT [DATA]",
		Short: "Publish to a channel of a running server",
		Long: `Publish an event. DATA is JSON, and what is not is refused; with --text it is sent
as a string, whatever it is. With - each line of the standard input is published
as one event; the first line that fails ends it, and is named, or with --continue
is told and passed over.`,
		Example: `  ringdown pub lab:one hello '{"text":"hi"}'
  ringdown pub lab:one hello --text 'plain words'
  ringdown pub orders order-shipped '{"id":7}' --token "$RINGDOWN_API_KEY"
  tail -f prices.jsonl | ringdown pub prices tick - --continue`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: completeFirstChannel,
		RunE: func(c *cobra.Command, args []string) error {
			base, err := r.base()
			if err != nil {
				return err
			}
			p := &publisher{remote: r, base: base, streams: g.streams, channel: args[0], event: args[1], key: key, dedupe: dedupe, text: asText,
				client: &http.Client{Timeout: 10 * time.Second}}
			switch {
			case len(args) == 2:
				return p.publish(c.Context(), nil)
			case args[2] == "-":
				if dedupe != "" {
					return usage("--dedupe is for one event; the lines of the standard input would all be the same")
				}
				return p.publishLines(c.Context(), goOn)
			}
			data, err := p.payload(args[2])
			if err != nil {
				return usage("%w\nPut text in quotes inside the shell's, as in '\"hello\"', or send it with --text", err)
			}
			return p.publish(c.Context(), data)
		},
	}
	r.flags(c)
	c.Flags().StringVar(&key, "key", "", "entity that the event is the latest value of, on a state channel")
	c.Flags().StringVar(&dedupe, "dedupe", "", "idempotency key: repeated within two minutes, the event is stored once")
	c.Flags().BoolVar(&asText, "text", false, "send DATA as a string")
	c.Flags().BoolVar(&goOn, "continue", false, "with -: tell of a line that fails, and go on")
	return c
}

// validData says what is wrong with DATA.
func validData(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	var v any
	err := json.Unmarshal(data, &v)
	return fmt.Errorf("the data is not JSON: %w", err)
}

type publisher struct {
	remote
	base           string
	streams        Streams
	client         *http.Client
	channel, event string
	key, dedupe    string
	text           bool
}

// payload is what is sent of what was written.
func (p *publisher) payload(s string) (json.RawMessage, error) {
	if p.text {
		quoted, err := json.Marshal(s)
		return quoted, err
	}
	if err := validData([]byte(s)); err != nil {
		return nil, err
	}
	return json.RawMessage(s), nil
}

// publishLines publishes what it can, and returns an error that names the lines
// that it could not.
func (p *publisher) publishLines(ctx context.Context, goOn bool) error {
	lines := bufio.NewScanner(p.streams.In)
	lines.Buffer(nil, 1<<20)
	failed, n := 0, 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		data, err := p.payload(line)
		if err == nil {
			err = p.publish(ctx, data)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case !goOn:
			return fmt.Errorf("line %d: %w", n, err)
		default:
			failed++
			fmt.Fprintf(p.streams.Err, "ringdown: line %d: %v\n", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = errors.New("it is longer than 1 MiB")
		}
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	if failed > 0 {
		return fmt.Errorf("%s of %d could not be published", count(failed, "line"), n)
	}
	return nil
}

func (p *publisher) publish(ctx context.Context, data json.RawMessage) error {
	body, err := json.Marshal(struct {
		Type   string          `json:"type"`
		Data   json.RawMessage `json:"data,omitempty"`
		Key    string          `json:"key,omitempty"`
		Dedupe string          `json:"dedupe,omitempty"`
	}{p.event, data, p.key, p.dedupe})
	if err != nil {
		return err
	}
	target := p.base + "/v1/channels/" + url.PathEscape(p.channel) + "/messages"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if t := p.credential(); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w\nIs the server running? Give its address with --url", p.base, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		var problem struct{ Code, Title, Detail string }
		if json.Unmarshal(answer, &problem) == nil && problem.Detail != "" {
			e := fmt.Errorf("refused (%s): %s", problem.Code, problem.Detail)
			if problem.Code == string(protocol.CodeUnauthorized) {
				e = fmt.Errorf("%w\nGive a token or key with --token, RINGDOWN_TOKEN or RINGDOWN_API_KEY", e)
			}
			return e
		}
		return fmt.Errorf("refused with status %s", resp.Status)
	}
	fmt.Fprintf(p.streams.Out, "%s\n", bytes.TrimSpace(answer))
	return nil
}
