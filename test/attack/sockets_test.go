package attack

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// few is as many open files as these servers may have, and crowd is more sockets
// than that.
const few, crowd = 256, 300

// stored has a store on the disk, which needs files too.
func stored(t *testing.T) string {
	return fmt.Sprintf("\nstore: {dir: %q}\n", filepath.Join(t.TempDir(), "data"))
}

// crowded starts a server with few files and a client, and returns what that one
// must always be able to do: have messages stored, and be answered to requests.
func crowded(t *testing.T, more string) (s *server, served func()) {
	t.Helper()
	s = serveWithin(t, few, "epoll", true, stored(t)+more)
	w := s.dial(t, "", false)
	w.message()
	n := 0
	return s, func() {
		t.Helper()
		for range 20 {
			n++
			w.send(fmt.Sprintf(`{"type":"e","channel":"kept","id":%d,"data":"%s"}`, n, strings.Repeat("x", 2000)))
			if m := w.message(); m.Type != "ack" {
				t.Fatalf("a publication was answered with %s %s", m.Type, m.Data)
			}
		}
		for range 3 {
			s.asks(t, "/livez")
		}
	}
}

// asks makes a request on a connection of its own.
func (s *server) asks(t *testing.T, path string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.addr + path)
	if err != nil {
		t.Fatalf("a newcomer is not served: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("a newcomer is answered with %s", resp.Status)
	}
}

// open opens a socket that reads as little as it can.
func (s *server) open(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	return c.(*net.TCPConn)
}

// lets waits until somebody new is served, which is soon.
func (s *server) lets(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	until(t, "somebody new is served", 4*time.Second, func() bool {
		resp, err := client.Get("http://" + s.addr + "/livez")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// free waits until the server has about as many files open as at the beginning.
func (s *server) free(t *testing.T, before int) {
	t.Helper()
	until(t, "the descriptors are free again", 30*time.Second, func() bool { return s.descriptors() <= before+8 })
}

// TestPoliteCrowd: more clients than there are files ask once, are answered, and
// stay for their next request. They keep nobody out, and nothing from the store.
func TestPoliteCrowd(t *testing.T) {
	s, served := crowded(t, "")
	before := s.descriptors()
	var conns []net.Conn
	for range crowd {
		c := s.open(t)
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("a newcomer: %v %v", resp, err)
		}
		resp.Body.Close()
	}
	served()
	if s.metric("ringdown_sockets_closed_for_room_total") == 0 {
		t.Error("all had room: this tested nothing")
	}
	if !strings.Contains(s.log.String(), "reason=room") {
		t.Error("the log does not say that room was made")
	}
	if n := strings.Count(s.log.String(), "reason=room"); n > 50 {
		t.Errorf("%d lines in the log", n)
	}
	for _, c := range conns {
		c.Close()
	}
	s.free(t, before)
}

// TestUnreadAnswers: more clients than there are files ask again and again and
// take no answer, without any credential.
func TestUnreadAnswers(t *testing.T) {
	s, served := crowded(t, "documents: public\n")
	before := s.descriptors()
	many := []byte(strings.Repeat("GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 200))
	var conns []net.Conn
	for range crowd {
		c := s.open(t)
		conns = append(conns, c)
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(many)
	}
	// Those who take nothing are told from slow ones after a second.
	s.lets(t)
	served()
	for _, c := range conns {
		c.Close()
	}
	s.free(t, before)
}

// TestMemoryOfUnreadAnswers: many clients ask for as much as one answer can have, and
// take nothing of it. All that together is bounded, and who does read is given it.
func TestMemoryOfUnreadAnswers(t *testing.T) {
	s := serve(t, "epoll", true, strings.Replace(generous, "limits: {", "limits: {node: {unread_answers: 16MiB}, ", 1))
	w := s.dial(t, "", false)
	w.message()
	for i := range 20 {
		w.send(fmt.Sprintf(`{"type":"e","channel":"kept","id":%d,"data":"%s"}`, i, strings.Repeat("x", 50_000)))
		if m := w.message(); m.Type != "ack" {
			t.Fatalf("a publication was answered with %s %s", m.Type, m.Data)
		}
	}
	const path = "/v1/poll?channel=kept&last=1000"
	if n := len(s.get(path)); n < 500_000 {
		t.Fatalf("an answer has only %d bytes", n)
	}
	before, most := s.rss(), int64(0)
	const clients = 2 * crowd
	for range clients {
		_, _ = io.WriteString(s.open(t), "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		most = max(most, s.rss())
		time.Sleep(5 * time.Millisecond) // what is being made is not counted
	}
	for range 10 {
		time.Sleep(200 * time.Millisecond)
		most = max(most, s.rss())
	}
	t.Logf("%d unread answers took %d MiB", clients, (most-before)>>20)
	// Most of it is garbage of those that were given up. All of them held at a time
	// would be more than 500 MiB.
	if most-before > 300<<20 {
		t.Error("that is as much as if there were no limit")
	}
	if n := len(s.get(path)); n < 500_000 {
		t.Errorf("who reads was given only %d bytes", n)
	}
	s.lets(t)
	if !strings.Contains(s.log.String(), "limit=limits.node.unread_answers") {
		t.Error("the log does not say it")
	}
}

// TestHalfRequests: the same with requests that do not come to their end, in the
// header and in the body.
func TestHalfRequests(t *testing.T) {
	s, served := crowded(t, "")
	before := s.descriptors()
	var conns []net.Conn
	for n := range crowd {
		c := s.open(t)
		conns = append(conns, c)
		half := "GET /livez HTTP/1.1\r\nHost: x\r\n"
		if n%2 == 0 {
			half = "POST /v1/channels/kept/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
		}
		_, _ = io.WriteString(c, half)
	}
	s.lets(t)
	served()
	for _, c := range conns {
		c.Close()
	}
	s.free(t, before)
}

// TestFullOfStreams: more WebSockets than there is room for. Some are told to come
// back, nobody waits in vain, and requests are answered all the same.
func TestFullOfStreams(t *testing.T) {
	s, served := crowded(t, "")
	before := s.descriptors()
	in, refused := 0, 0
	var conns []net.Conn
	for range crowd {
		c := s.open(t)
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		line, err := bufio.NewReader(c).ReadString('\n')
		switch {
		case strings.Contains(line, " 101 "):
			in++
		case strings.Contains(line, " 503 "):
			refused++
		default:
			t.Fatalf("answered with %q %v", line, err)
		}
	}
	t.Logf("%d in, %d told to come back", in, refused)
	if in < few/4 || refused == 0 {
		t.Errorf("%d in, %d told to come back", in, refused)
	}
	served()
	if got := s.metric(`ringdown_sockets{kind="stream"}`); got != float64(in+1) {
		t.Errorf("%v streams are counted, and there are %d", got, in+1)
	}
	for _, c := range conns {
		c.Close()
	}
	s.free(t, before)
}
