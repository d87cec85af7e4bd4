package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringdown/internal/load"
)

func TestTransportsAreTold(t *testing.T) {
	report := &load.WaysReport{Users: 7, Ways: []load.Row{load.Fold([]*load.Followed{{Following: load.Following{Way: load.SSE}}})}}
	page := filepath.Join(t.TempDir(), "page.html")
	var out bytes.Buffer
	b := &transportsBench{streams: Streams{Out: &out}, html: page}
	if err := b.tell(report); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "Server-Sent Events  measured") {
		t.Errorf("the table is %q", &out)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "7 users follow") {
		t.Errorf("the page is %.200q, %v", text, err)
	}
	out.Reset()
	b.json, b.html = true, ""
	if err := b.tell(report); err != nil {
		t.Fatal(err)
	}
	var back load.WaysReport
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Users != 7 || back.Ways[0].Way != load.SSE {
		t.Errorf("the JSON is %s, %v", &out, err)
	}
	b.html = filepath.Join(t.TempDir(), "nowhere", "page.html")
	if err := b.tell(report); err == nil {
		t.Error("a page that cannot be written is no error")
	}
}

func TestThisMachine(t *testing.T) {
	if m := thisMachine(); m.Cores < 1 || m.Processor == "" || m.System == "" || m.Go == "" {
		t.Errorf("machine %+v", m)
	}
}
