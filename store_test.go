package ringdown_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ringdown"
	"ringdown/internal/store"
	"ringdown/protocol"
)

// TestStoreOutlivesTheServer: a client that comes back after a restart is given
// what it missed, as after any other break.
func TestStoreOutlivesTheServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, ringdown.Options{StoreDir: dir})
	ann := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	ann.send(`{"type":"subscribe","channel":"lab:a","id":1}`)
	epoch := ann.read().Epoch
	for n := range 3 {
		ann.send(fmt.Sprintf(`{"type":"note","channel":"lab:a","id":%d,"data":%d}`, n, n))
	}
	acked := 0
	for acked < 3 {
		if m := ann.read(); m.Type == "ack" {
			acked++
			if m.Offset != uint64(acked) {
				t.Errorf("acknowledged at %d, want %d", m.Offset, acked)
			}
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Verify(t.Context(), store.Options{Dir: dir, Logger: quiet()}, nil); err != nil || len(r.Damage) > 0 || !r.Clean {
		t.Errorf("%+v, %v", r, err)
	}

	s = start(t, ringdown.Options{Config: []byte(conf + "store: {dir: " + dir + "}\n")})
	ben := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	ben.send(fmt.Sprintf(`{"type":"subscribe","channel":"lab:a","id":1,"since":{"epoch":%q,"offset":1}}`, epoch))
	if m := ben.read(); m.Epoch != epoch || !strings.Contains(string(m.Data), `"recovered":true`) {
		t.Errorf("%+v %s", m, m.Data)
	}
	for want := uint64(2); want <= 3; want++ {
		if m := ben.read(); m.Type != "note" || m.Offset != want {
			t.Errorf("%+v, want offset %d", m, want)
		}
	}
	if text := get(t, s, "/metrics"); !strings.Contains(text, "ringdown_store_fsync_seconds_count") {
		t.Error("the metrics do not tell of the store")
	}
	if err := s.Backup(t.Context(), filepath.Join(filepath.Dir(dir), "copy")); err != nil {
		t.Error(err)
	}
}

// TestStoreSetBack: an older copy of the store, put back as it is, is found out
// by the first client that has seen more than it holds. Nobody is given an offset
// twice in one epoch.
func TestStoreSetBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	publish := func(s *ringdown.Server, n int) {
		for range n {
			if _, err := s.Publish(t.Context(), "lab:a", "note", "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	subscribe := func(s *ringdown.Server, since string) (*peer, protocol.Message) {
		p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
		p.send(`{"type":"subscribe","channel":"lab:a","id":1` + since + `}`)
		return p, p.read()
	}
	since := func(epoch string, offset int) string {
		return fmt.Sprintf(`,"since":{"epoch":%q,"offset":%d}`, epoch, offset)
	}
	s := start(t, ringdown.Options{StoreDir: dir})
	publish(s, 3)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir+".copy", os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = start(t, ringdown.Options{StoreDir: dir})
	publish(s, 3)
	_, m := subscribe(s, "")
	epoch := m.Epoch
	if m.Offset != 6 || s.Stop(t.Context()) != nil {
		t.Fatalf("%+v", m)
	}

	var log lines
	s = start(t, ringdown.Options{StoreDir: dir + ".copy", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	there, m := subscribe(s, "")
	if m.Epoch != epoch || m.Offset != 3 {
		t.Fatalf("%+v", m)
	}
	if _, m = subscribe(s, since(epoch, 6)); !strings.Contains(string(m.Data), `"recovered":false`) {
		t.Errorf("who has seen more: %s", m.Data)
	}
	if m = there.read(); m.Type != "gap" || m.Epoch == epoch || m.Epoch == "" || m.Offset != 3 {
		t.Errorf("who is there is told %+v %s", m, m.Data)
	}
	began := m.Epoch
	publish(s, 4)
	for want := uint64(4); want <= 7; want++ {
		if m = there.read(); m.Type != "note" || m.Offset != want {
			t.Errorf("%+v, want offset %d", m, want)
		}
	}
	if _, m = subscribe(s, since(epoch, 6)); m.Epoch != began || !strings.Contains(string(m.Data), `"reason":"epoch"`) {
		t.Errorf("who comes back when the log has grown: %+v %s", m, m.Data)
	}
	if !strings.Contains(log.String(), "was set back") || !strings.Contains(log.String(), "channel=lab:a") {
		t.Errorf("the log says\n%s", log.String())
	}
	// It is no way to have everybody begin anew again and again.
	if _, m = subscribe(s, since(began, 1000)); !strings.Contains(string(m.Data), `"reason":"unknown"`) {
		t.Errorf("a lie: %s", m.Data)
	}
	if _, m = subscribe(s, ""); m.Epoch != began {
		t.Errorf("after a lie: %+v", m)
	}
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func get(t *testing.T, s *ringdown.Server, path string) string {
	t.Helper()
	code, text := fetch(t, s, "GET", path, key, "")
	if code != http.StatusOK {
		t.Fatal(code, string(text))
	}
	return string(text)
}

// TestStoreIsTaken: two servers cannot have one directory.
func TestStoreIsTaken(t *testing.T) {
	o := ringdown.Options{Config: []byte(conf), StoreDir: t.TempDir(), Logger: quiet(), Env: env}
	start(t, o)
	second, err := ringdown.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Error(err)
	}
	if err := second.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := second.Backup(t.Context(), t.TempDir()); err == nil {
		t.Error("a server that was not started was copied")
	}
}
