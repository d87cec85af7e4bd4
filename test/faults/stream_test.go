package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// get asks for a stream or a page of all channels. The request ends with ctx,
// and when alive was not called for too long.
func (s *subscriber) get(ctx context.Context, path string, q url.Values, header string) (resp *http.Response, alive func(), end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	watch := time.AfterFunc(silence, cancel)
	end = func() { watch.Stop(); cancel() }
	q["channel"] = s.channels
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address()+path+"?"+q.Encode(), nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token(s.name))
	if header != "" {
		req.Header.Set("Last-Event-ID", header)
	}
	resp, err = (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	return resp, func() { watch.Reset(silence) }, end, nil
}

// stream follows by Server-Sent Events, from the id of the last whole event.
func (s *subscriber) stream(ctx context.Context) {
	resp, alive, end, err := s.get(ctx, "/v1/sse", url.Values{}, s.cursor)
	if err != nil {
		return
	}
	defer end()
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return
	}
	s.mu.Lock()
	clear(s.answer)
	s.mu.Unlock()
	defer s.away(ctx)
	var data, id string
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // an event that is cut counts for nothing
		}
		alive()
		switch name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); name {
		case "data":
			data += strings.TrimPrefix(value, " ")
		case "id":
			id = strings.TrimPrefix(value, " ")
		case "":
			if data == "" || line[0] == ':' {
				continue
			}
			var m message
			if json.Unmarshal(lean([]byte(data)), &m) != nil || !s.take(&m) {
				return
			}
			if id != "" {
				s.cursor = id
			}
			data, id = "", ""
		}
	}
}

// poll asks for page after page. It is not away in between: whatever answer is
// lost, the next request asks from the same place.
func (s *subscriber) poll(ctx context.Context) {
	q := url.Values{"wait": {"2"}}
	if s.cursor != "" {
		q.Set("cursor", s.cursor)
	}
	resp, _, end, err := s.get(ctx, "/v1/poll", q, "")
	if err != nil {
		return
	}
	defer end()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var page struct {
		Messages []message
		Cursor   string
	}
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(lean(text), &page) != nil {
		return
	}
	for i := range page.Messages {
		s.take(&page.Messages[i]) // an error is of one channel, and asked about again
	}
	s.cursor = page.Cursor
}
