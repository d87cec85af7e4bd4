package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"
)

// follow follows a stream, comes back by itself as the library does, and puts
// into the inbox what comes.
type follow func(ctx context.Context, address string, b *inbox)

var streams = map[string]follow{"r3labs": followR3labs, "tmaxmax": followTmaxmax}

func followR3labs(ctx context.Context, address string, b *inbox) {
	c := r3labs.NewClient(address)
	c.ReconnectStrategy = backoff.NewConstantBackOff(50 * time.Millisecond)
	c.ResponseValidator = func(_ *r3labs.Client, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			b.fail(errors.New(resp.Status))
			return errors.New(resp.Status)
		}
		return nil
	}
	_ = c.SubscribeRawWithContext(ctx, func(e *r3labs.Event) { b.take(e.Data) })
}

func followTmaxmax(ctx context.Context, address string, b *inbox) {
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		b.fail(err)
		return
	}
	client := tmaxmax.Client{Backoff: tmaxmax.Backoff{InitialInterval: 50 * time.Millisecond}, ResponseValidator: func(resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			b.fail(errors.New(resp.Status))
			return errors.New(resp.Status)
		}
		return nil
	}}
	c := client.NewConnection(req)
	c.SubscribeToAll(func(e tmaxmax.Event) { b.take([]byte(e.Data)) })
	_ = c.Connect()
}

func (f follow) begin(token string) (*inbox, context.CancelFunc) {
	b := &inbox{}
	ctx, stop := context.WithCancel(context.Background())
	go f(ctx, base+"/v1/sse?channel="+channel+"&token="+token, b)
	return b, stop
}

func streamSteps(f follow) {
	b, stop := f.begin(token)
	step("order", func() error {
		if err := b.untilSo("subscribed", 1); err != nil {
			return err
		}
		me := b.of("welcome")[0].Data
		if me.User != "ann" {
			return fmt.Errorf("welcome to %q", me.User)
		}
		for i := range 20 {
			p, err := json.Marshal(map[string]any{"type": "n", "channel": channel, "id": i, "data": map[string]any{"i": i, "text": text(i)}})
			if err == nil {
				err = ask("POST", base+"/v1/connections/"+me.Connection+"/messages", p, "Ringdown-Stream", me.Secret)
			}
			if err != nil {
				return err
			}
		}
		if err := errors.Join(b.untilSo("n", 20), b.untilSo("ack", 20)); err != nil {
			return err
		}
		return b.sameMessages()
	})
	step("quiet", func() error {
		time.Sleep(1500 * time.Millisecond)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.empty > 0 || len(b.trouble) > 0 {
			return fmt.Errorf("%d empty events, %v", b.empty, b.trouble)
		}
		return nil
	})
	step("resume", func() error {
		if err := errors.Join(cut(), b.untilSo("missed", 3)); err != nil {
			return err
		}
		missed, again := b.of("missed"), b.of("subscribed")
		if len(missed) != 3 || missed[2].Data.I != 2 || len(b.of("n")) != 20 || !again[len(again)-1].Data.Recovered {
			return fmt.Errorf("%d missed, %d again", len(missed), len(b.of("n")))
		}
		return nil
	})
	step("401", func() error {
		bad, stop := f.begin("a.bad.token")
		defer stop()
		return bad.until("the status", func() bool {
			bad.mu.Lock()
			defer bad.mu.Unlock()
			return slices.ContainsFunc(bad.trouble, func(err error) bool { return strings.Contains(err.Error(), "401") })
		})
	})
	step("end", func() error {
		defer stop()
		return errors.Join(drain(), b.untilSo("reconnect", 1))
	})
}
