package attack

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringdown/protocol"
)

// leaver is what a client saw of a server that went away.
type leaver struct {
	asked, closed time.Time
	code          uint16
	acked         int
	err           error
}

// TestDrain (G01): a server that is told to end says so at /readyz, lets nobody
// in, asks all its clients to come back, serves them meanwhile, closes them
// spread over the window, and ends inside its grace period.
func TestDrain(t *testing.T) {
	clients := 1000
	if long() {
		clients = 10_000
	}
	s := serve(t, "epoll", true, generous)
	process, err := os.FindProcess(s.pid)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]leaver, clients)
	var wires []*wire
	for range clients {
		w := s.dial(t, "", false)
		w.subscribe("room:1")
		wires = append(wires, w)
	}
	var wg sync.WaitGroup
	for i, w := range wires {
		wg.Go(func() { all[i].watch(w, i%10 == 0) })
	}
	begun := time.Now()
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "readiness fails", 5*time.Second, func() bool { return s.status(t, "/readyz") == http.StatusServiceUnavailable })
	if _, err := s.tryDial(t, "", false); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a newcomer: %v", err)
	}
	wg.Wait()
	took := time.Since(begun)
	var quarters [4]int
	acked := 0
	for i := range all {
		l := &all[i]
		if l.err != nil || l.code != uint16(protocol.CloseDraining) || l.asked.IsZero() || l.closed.Before(l.asked) {
			t.Fatalf("client %d: closed with %d, asked at %v, closed at %v: %v", i, l.code, l.asked.Sub(begun), l.closed.Sub(begun), l.err)
		}
		acked += l.acked
		quarters[min(3, int(4*l.closed.Sub(begun)/took))]++
	}
	t.Logf("%d clients were gone after %v, by quarters of it %v; %d calls for an answer were answered meanwhile", clients, took.Round(time.Millisecond), quarters, acked)
	for _, n := range quarters[:3] {
		if n < clients/10 {
			t.Errorf("the closes were not spread: %v", quarters)
		}
	}
	if acked == 0 {
		t.Error("nobody was served while the server drained")
	}
	until(t, "the process has ended", 5*time.Second, func() bool { return s.ended() })
}

// watch reads until the end. Who is busy publishes one message after the other
// once it was asked to leave, and each of them has to be answered.
func (l *leaver) watch(w *wire, busy bool) {
	publish := func() error { return w.trySend(`{"type":"e","channel":"live","id":1,"data":1}`) }
	for {
		m, err := w.tryMessage(30 * time.Second)
		var c *closedError
		switch {
		case errors.As(err, &c):
			l.closed, l.code = time.Now(), c.code
			return
		case err != nil:
			l.err = err
			return
		case m.Type == protocol.TypeReconnect:
			l.asked = time.Now()
		case m.Type == protocol.TypeAck:
			l.acked++
		case m.Type == protocol.TypeError:
			l.err = fmt.Errorf("an error: %s", m.Data)
			return
		default:
			continue
		}
		// One that is sent after the server's close frame is nobody's to answer.
		if busy && publish() != nil {
			continue
		}
	}
}

// status is what a GET answers, 0 when it fails.
func (s *server) status(t *testing.T, path string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// ended reports whether the process is gone, or waits to be collected.
func (s *server) ended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
