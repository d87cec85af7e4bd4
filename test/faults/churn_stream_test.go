package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"ringdown/test/history"
)

// visit follows a channel by a stream or by polls for a moment, or until the round
// is over.
func (c *churner) visit(ctx context.Context, r *round, stays bool) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	name := c.some()
	c.mu.Lock()
	c.follows[name] = c.begin(name, true)
	c.mu.Unlock()
	defer c.end(name, history.SubEnd)
	settle := sync.OnceFunc(r.settled.Done)
	if stays {
		defer settle()
		go func() {
			select {
			case <-r.over:
				leave()
			case <-ctx.Done():
			}
		}()
	} else {
		defer time.AfterFunc(time.Duration(c.rng.IntN(60))*time.Millisecond, leave).Stop()
	}
	answered := func() {
		if stays {
			settle()
		}
	}
	if c.by == "sse" {
		c.stream(ctx, name, answered)
	} else {
		c.polls(ctx, name, answered)
	}
	if stays {
		settle()
		<-r.over
	}
}

func (c *churner) get(ctx context.Context, path string, q url.Values) *http.Response {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address()+path+"?"+q.Encode(), nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token(c.name))
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.trouble("%s asked for %s: %v", c.name, path, err)
		}
		return nil
	}
	return resp
}

func (c *churner) stream(ctx context.Context, name string, answered func()) {
	resp := c.get(ctx, "/v1/sse", url.Values{"channel": {name}})
	if resp == nil {
		return
	}
	defer resp.Body.Close()
	c.tally.streamed.Add(1)
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if ctx.Err() == nil {
				c.trouble("%s lost its stream: %v", c.name, err)
			}
			return
		}
		data, ok := strings.CutPrefix(line, "data:")
		if !ok || strings.TrimSpace(data) == "" {
			continue
		}
		var m message
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			c.trouble("%s was sent %q: %v", c.name, data, err)
			return
		}
		c.take(&m)
		if m.Type == "subscribed" {
			answered()
		}
	}
}

func (c *churner) polls(ctx context.Context, name string, answered func()) {
	cursor := ""
	for ctx.Err() == nil {
		q := url.Values{"channel": {name}, "wait": {"25"}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		resp := c.get(ctx, "/v1/poll", q)
		if resp == nil {
			return
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var page struct {
			Messages []message
			Cursor   string
		}
		if err != nil || json.Unmarshal(text, &page) != nil {
			if ctx.Err() == nil {
				c.trouble("%s was sent %q: %v", c.name, text, err)
			}
			return
		}
		c.tally.polled.Add(1)
		for i := range page.Messages {
			c.take(&page.Messages[i])
		}
		cursor = page.Cursor
		answered()
	}
}
