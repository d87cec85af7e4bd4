package attack

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deaf is a client that sends commands and reads no answer.
type deaf interface {
	// tell sends a command, and reports whether the server will hear no more.
	tell(t *testing.T, text string) (enough bool)
	close()
}

type deafSocket struct{ *wire }

func (d deafSocket) tell(t *testing.T, text string) bool {
	_ = d.conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	err := d.trySend(text)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	return err != nil
}

func (d deafSocket) close() { d.conn.Close() }

type deafStream struct {
	conn         net.Conn
	path, secret string
}

// deafStream opens a stream of Server-Sent Events and reads its welcome.
func (s *server) deafStream(t *testing.T) deaf {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(ctl, err)
	}}
	conn, err := d.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /v1/sse?channel=hall HTTP/1.1\r\nHost: %s\r\n\r\n", s.addr)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for r := bufio.NewReaderSize(conn, 512); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok {
			continue
		}
		var welcome struct {
			Data struct{ Connection, Secret string }
		}
		if err := json.Unmarshal([]byte(text), &welcome); err != nil || welcome.Data.Secret == "" {
			t.Fatalf("%s: %v", text, err)
		}
		return &deafStream{conn, "http://" + s.addr + "/v1/connections/" + welcome.Data.Connection + "/messages", welcome.Data.Secret}
	}
}

func (d *deafStream) tell(t *testing.T, text string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Ringdown-Stream", d.secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	switch resp.StatusCode {
	case http.StatusAccepted:
		return false
	case http.StatusTooManyRequests:
		if resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "not_reading") {
			t.Fatalf("refused with %v %s", resp.Header, body)
		}
		return true
	}
	t.Fatalf("%d %s", resp.StatusCode, body)
	return true
}

func (d *deafStream) close() { d.conn.Close() }

// TestAnswersNobodyReads: whoever asks for much and reads nothing of it makes the
// server hold one answer, over a socket and by POST for a stream.
func TestAnswersNobodyReads(t *testing.T) {
	clients, times := 6, 100
	engines(t, func(t *testing.T, engine string) {
		s := serve(t, engine, true, generous)
		for range 70 {
			w := s.dial(t, "", false)
			w.send(`{"type":"subscribe","channel":"hall"}`)
			w.send(`{"type":"presence","channel":"hall","data":{"action":"enter","data":"` + strings.Repeat("x", 4000) + `"}}`)
			go func() { _, _ = io.Copy(io.Discard, w.conn) }()
		}
		pub := s.dial(t, "", false)
		for n := range 100 {
			pub.send(fmt.Sprintf(`{"type":"e","channel":"hall","id":%d,"data":"%s"}`, n, strings.Repeat("x", 9000)))
			pub.message()
		}
		list := strings.Repeat(`"nowhere:to-be-found",`, 999) + `"nowhere"`
		for name, command := range map[string]string{
			"members": `{"type":"presence","channel":"hall","data":{"action":"get"}}`,
			"history": `{"type":"history","channel":"hall","data":{"limit":100}}`,
			"errors":  `{"type":"subscribe","channels":[` + list + `]}`,
		} {
			for way, open := range map[string]func() deaf{
				"websocket": func() deaf { return deafSocket{s.dial(t, "", true)} },
				"sse":       func() deaf { return s.deafStream(t) },
			} {
				before := s.rss()
				told := 0
				var all []deaf
				for range clients {
					d := open()
					all = append(all, d)
					n := 0
					for n < times && !d.tell(t, command) {
						n++
					}
					if told += n; way == "sse" && n >= times {
						t.Errorf("%s: a stream that is not read took %d commands", name, n)
					}
				}
				grown := s.rss() - before
				t.Logf("%s by %s: %d clients told %d commands and read nothing: the server grew by %d KiB", name, way, clients, told, grown>>10)
				if grown > int64(clients)*1<<20+24<<20 {
					t.Errorf("%s by %s: the server grew by %d KiB", name, way, grown>>10)
				}
				for _, d := range all {
					d.close()
				}
			}
		}
	})
}
