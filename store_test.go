package ringdown_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ringdown"
	"ringdown/internal/store"
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

func get(t *testing.T, s *ringdown.Server, path string) string {
	t.Helper()
	r, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r.Status, err)
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
