package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// remote is the flags of commands that speak to a running server.
type remote struct {
	url, token string
}

func (r *remote) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.url, "url", "http://127.0.0.1:8000", "where the server is")
	c.Flags().StringVarP(&r.token, "token", "t", "", "user token or server key (default RINGDOWN_TOKEN, then RINGDOWN_API_KEY)")
}

func (r *remote) credential() string {
	for _, v := range []string{r.token, os.Getenv("RINGDOWN_TOKEN"), os.Getenv("RINGDOWN_API_KEY")} {
		if v != "" {
			return v
		}
	}
	return ""
}

func pubCommand(g *global) *cobra.Command {
	var r remote
	var key, dedupe string
	c := &cobra.Command{
		Use:   "pub CHANNEL EVENT [DATA]",
		Short: "Publish to a channel of a running server",
		Long: `Publish an event. DATA is JSON; text that is not is sent as a string. With -
each line of the standard input is published as one event.`,
		Example: `  ringdown pub lab:one hello '{"text":"hi"}'
  ringdown pub orders order-shipped '{"id":7}' --token "$RINGDOWN_API_KEY"
  tail -f prices.jsonl | ringdown pub prices tick -`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			p := &publisher{remote: r, out: g.streams.Out, channel: args[0], event: args[1], key: key, dedupe: dedupe,
				client: &http.Client{Timeout: 10 * time.Second}}
			switch {
			case len(args) == 2:
				return p.publish(c.Context(), nil)
			case args[2] == "-":
				return p.publishLines(c.Context(), g.streams.In)
			}
			return p.publish(c.Context(), asJSON(args[2]))
		},
	}
	r.flags(c)
	c.Flags().StringVar(&key, "key", "", "entity that the event is the latest value of, on a state channel")
	c.Flags().StringVar(&dedupe, "dedupe", "", "idempotency key: repeated within two minutes, the event is stored once")
	return c
}

// asJSON takes what is not JSON for a string.
func asJSON(s string) json.RawMessage {
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	quoted, _ := json.Marshal(s) // a string always encodes
	return quoted
}

type publisher struct {
	remote
	out            io.Writer
	client         *http.Client
	channel, event string
	key, dedupe    string
}

func (p *publisher) publishLines(ctx context.Context, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			if err := p.publish(ctx, asJSON(line)); err != nil {
				return err
			}
		}
	}
	return lines.Err()
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
	target := strings.TrimSuffix(p.url, "/") + "/v1/channels/" + url.PathEscape(p.channel) + "/messages"
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
		return fmt.Errorf("no answer from %s: %w\nIs the server running? Give its address with --url", p.url, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		var problem struct{ Code, Title, Detail string }
		if json.Unmarshal(answer, &problem) == nil && problem.Detail != "" {
			return fmt.Errorf("refused (%s): %s", problem.Code, problem.Detail)
		}
		return fmt.Errorf("refused with status %s", resp.Status)
	}
	fmt.Fprintf(p.out, "%s\n", bytes.TrimSpace(answer))
	return nil
}
