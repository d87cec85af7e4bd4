package ringdown_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/internal/broker/redis/redistest"
)

var update = flag.Bool("update", false, "write the reference of docs/metrics.md anew")

const (
	metricsPage  = "docs/metrics.md"
	beginMetrics = "<!-- reference: written by go test . -run TestMetricsPage -update -->\n"
	endMetrics   = "<!-- end of the reference -->\n"
)

// TestMetricsPage: docs/metrics.md has every metric that servers show, with its
// type, its labels and what it says of itself, and no other.
func TestMetricsPage(t *testing.T) {
	shown := map[string]string{}
	t.Run("a store", func(t *testing.T) {
		maps.Copy(shown, metricsOf(t, ringdown.Options{Config: []byte(conf), StoreDir: t.TempDir()}))
	})
	redis := false // it may not be installed
	t.Run("Redis", func(t *testing.T) {
		r := redistest.Start(t)
		redis = true
		maps.Copy(shown, metricsOf(t, ringdown.Options{Config: []byte(fmt.Sprintf("broker: {redis: {addresses: ['%s']}}\n", r.Address) + conf)}))
		if shown["ringdown_redis_holes_total"] == "" {
			t.Error("no metrics of Redis")
		}
	})
	text, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), beginMetrics)
	table, after, ok2 := strings.Cut(rest, endMetrics)
	if !ok || !ok2 {
		t.Fatal("the marks of the reference are gone")
	}
	if *update && redis {
		var b strings.Builder
		b.WriteString("\n| metric | type | labels | |\n|---|---|---|---|\n")
		for _, name := range slices.Sorted(maps.Keys(shown)) {
			b.WriteString(shown[name])
		}
		if err := os.WriteFile(metricsPage, []byte(before+beginMetrics+b.String()+"\n"+endMetrics+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, row := range shown {
		if !strings.Contains(table, row) {
			t.Errorf("the page does not have the row %s", row)
		}
		delete(shown, name)
		table = strings.Replace(table, row, "", 1)
	}
	for _, m := range regexp.MustCompile("`(ringdown_[a-z_]+)`").FindAllStringSubmatch(table, -1) {
		if !strings.HasPrefix(m[1], "ringdown_redis_") || redis {
			t.Errorf("%s is on the page, and no server shows it", m[1])
		}
	}
	// What other pages say of metrics, and the page itself above the table, is true too.
	pages, err := os.ReadDir("docs")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if !strings.HasSuffix(p.Name(), ".md") {
			continue
		}
		words, err := os.ReadFile("docs/" + p.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bringdown_[a-z_]+[a-z]`).FindAllString(string(words), -1) {
			name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_sum"), "_count")
			if !bytes.Contains(text, []byte("| `"+name+"` |")) {
				t.Errorf("docs/%s speaks of %s, which is no metric", p.Name(), m)
			}
		}
	}
}

// metricsOf starts a server on which something of everything happens, and returns
// the row of each metric that it shows.
func metricsOf(t *testing.T, o ringdown.Options) map[string]string {
	t.Helper()
	s := start(t, o)
	base := "http://" + s.Addr().String()
	ask := func(path, credential string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+credential)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	ask("/v1/channels", "nobody")
	ws, resp, err := websocket.Dial(t.Context(), base+"/v1/ws", nil)
	if err != nil {
		t.Fatal(resp, err)
	}
	defer ws.CloseNow()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"subscribe","channel":"nowhere","id":1}`)); err != nil {
		t.Fatal(err)
	}
	for told := ""; !strings.Contains(told, "not_found"); {
		_, text, err := ws.Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		told = string(text)
	}
	return metricRows(t, ask("/metrics", key))
}

// metricRows reads what Prometheus would.
func metricRows(t *testing.T, text string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# HELP (ringdown_\w+) (.*)\n# TYPE \w+ (\w+)\n(.*)$`).FindAllStringSubmatch(text, -1) {
		var labels []string
		for _, l := range regexp.MustCompile(`[{,](\w+)="`).FindAllStringSubmatch(m[4], -1) {
			if l[1] != "le" {
				labels = append(labels, "`"+l[1]+"`")
			}
		}
		rows[m[1]] = fmt.Sprintf("| `%s` | %s | %s | %s |\n", m[1], m[3], strings.Join(labels, ", "), m[2])
	}
	if len(rows) == 0 {
		t.Fatalf("no metrics in %s", text)
	}
	return rows
}
