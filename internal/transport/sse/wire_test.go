package sse

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// raw opens a stream by hand over HTTP/1.1 or 1.0, and returns what comes.
func (h *house) raw(version string) *bufio.Reader {
	h.t.Helper()
	c, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET /?channel=c HTTP/"+version+"\r\nHost: x\r\n\r\n"); err != nil {
		h.t.Fatal(err)
	}
	return bufio.NewReader(c)
}

// disconnect ends the only session, in order.
func (h *house) disconnect() {
	h.t.Helper()
	list, _, err := h.server.Connections(h.t.Context(), "", 10)
	if err == nil && len(list) == 1 {
		err = h.server.Disconnect(h.t.Context(), list[0].ID)
	}
	if err != nil || len(list) != 1 {
		h.t.Fatal(list, err)
	}
}

// TestEnds: over HTTP/1.1 a client can tell an end that was meant, a last chunk,
// from one that was not. Over HTTP/1.0 there are no chunks, and the end of the
// connection is that of the stream.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		version string
		meant   bool
	}{
		{"1.1", true},
		{"1.1", false},
		{"1.0", true},
	} {
		t.Run(c.version, func(t *testing.T) {
			h := newHouse(t, false, Options{})
			in := h.raw(c.version)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if chunked := len(resp.TransferEncoding) == 1; chunked != (c.version == "1.1") || !resp.Close {
				t.Errorf("%v, close is %v", resp.TransferEncoding, resp.Close)
			}
			body := bufio.NewReader(resp.Body)
			block(t, body)
			block(t, body)
			if c.meant {
				h.disconnect()
			} else {
				h.crash()
			}
			rest, err := io.ReadAll(body)
			if c.meant && err != nil || !c.meant && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after %q: %v", rest, err)
			}
			if more, err := io.ReadAll(in); err != nil || len(more) != 0 {
				t.Errorf("behind the end: %q %v", more, err)
			}
		})
	}
}

// crash ends the engine as a server that dies does: nothing more is said.
func (h *house) crash() {
	h.t.Helper()
	if err := h.engine.Stop(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// TestNothingBetween: what comes between two events is none for whoever takes an
// empty line for the end of one, whatever stood before it.
func TestNothingBetween(t *testing.T) {
	h := newHouse(t, false, Options{Heartbeat: 20 * time.Millisecond})
	in := bufio.NewReader(h.get("GET", "channel=c").Body)
	for n := range 3 {
		if n == 2 {
			for range 3 {
				if line, err := in.ReadString('\n'); line != ":\n" {
					t.Fatalf("not a heartbeat: %q %v", line, err)
				}
			}
			h.publish("1")
		}
		text := strings.TrimLeft(block(t, in), ":\n")
		if strings.Count(text, "data: ") != 1 || n == 0 != strings.HasPrefix(text, "retry: ") {
			t.Errorf("event %d: %q", n, text)
		}
	}
}

// TestGoodbye: who is to come back later is given a whole event too.
func TestGoodbye(t *testing.T) {
	h := newHouse(t, false, Options{})
	h.server.Refuse()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/?channel=c", nil)
	r.Header.Set("Accept", "text/event-stream")
	h.handler.ServeHTTP(w, r)
	in := bufio.NewReader(w.Body)
	if text := block(t, in); !strings.HasPrefix(text, "retry: 1000\ndata: {") {
		t.Errorf("%q", text)
	}
}

// TestDefaultHeartbeat: OkHttp gives a line up that was silent for 10 seconds.
func TestDefaultHeartbeat(t *testing.T) {
	if d := (Options{}).WithDefaults().Heartbeat; d != 8*time.Second {
		t.Error(d)
	}
}

// TestLastEventID: an EventSource says it in a header, polyfills and other
// servers' clients in the address, each in its own spelling.
func TestLastEventID(t *testing.T) {
	h := newHouse(t, false, Options{})
	in := bufio.NewReader(h.get("GET", "channel=c").Body)
	block(t, in)
	id, _, _ := strings.Cut(strings.TrimPrefix(block(t, in), "id: "), "\n")
	h.publish("1")
	later, _, _ := strings.Cut(strings.TrimPrefix(block(t, in), "id: "), "\n")
	h.publish("2")
	for _, c := range []struct {
		query, header, want string
	}{
		{"cursor=" + id, "", "1"},
		{"lastEventId=" + id, "", "1"},
		{"lastEventID=" + id, "", "1"},
		{"Last-Event-ID=" + id, "", "1"},
		{"last-event-id=" + id, "", "1"},
		{"last_event_id=" + id, "", "1"},
		{"evs_last_event_id=" + id, "", "1"},
		{"", id, "1"},
		// An address that began with a position stays as it was, and what came
		// later is told beside it.
		{"cursor=" + id, later, "2"},
		{"lastEventId=" + id, later, "2"},
		{"lastEventId=" + later + "&cursor=" + id, "", "2"},
		{"lastEventId=" + id + "&lastEventId=" + later, "", "2"},
		{"lastEventId=&cursor=" + id, "", "1"},
	} {
		header := []string{}
		if c.header != "" {
			header = []string{"Last-Event-ID", c.header}
		}
		in := bufio.NewReader(h.get("GET", "channel=c&"+c.query, header...).Body)
		block(t, in)
		if text := block(t, in); !strings.Contains(text, `"recovered":true`) {
			t.Fatalf("%s: %q", c.query, text)
		}
		if text := block(t, in); !strings.Contains(text, `"data":`+c.want+"}") {
			t.Errorf("%s: %q", c.query, text)
		}
	}
	if resp := h.get("GET", "channel=c&evs_last_event_id=nonsense"); resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
}

// TestPost: a body says what an address does, and more. A client that comes back
// by itself sends the same body again, and where it was in the header.
func TestPost(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		h := newHouse(t, http2, Options{})
		in := bufio.NewReader(h.get("GET", "channel=c").Body)
		block(t, in)
		subscribed := block(t, in)
		_, epoch, _ := strings.Cut(subscribed, `"epoch":"`)
		epoch, _, _ = strings.Cut(epoch, `"`)
		h.publish("1")
		id, _, _ := strings.Cut(strings.TrimPrefix(block(t, in), "id: "), "\n")
		h.publish("2")
		for since, want := range map[string]string{"": "1", id: "2"} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", h.web.URL, strings.NewReader(`{"channels":[{"channel":"c","since":{"epoch":"`+epoch+`","offset":0}}]}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Last-Event-ID", since)
			resp, err := h.web.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = resp.Body.Close() })
			in := bufio.NewReader(resp.Body)
			block(t, in)
			if text := block(t, in); !strings.Contains(text, `"recovered":true`) {
				t.Fatal(text)
			}
			if text := block(t, in); !strings.Contains(text, `"data":`+want+"}") {
				t.Errorf("%q: %s", since, text)
			}
		}
	})
}
