package browser

import (
	"encoding/json"
	"os"
	"testing"
)

// TestTransports: the page shows every way that was measured, and none without deliveries.
func TestTransports(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/transports/web/run.json")
	if err != nil {
		t.Fatal(err)
	}
	var run struct {
		Users  int
		Rounds int
		Ways   []struct {
			Name     string
			Computed bool
			Tally    *struct{ Published, Delivered, Missing int }
		}
	}
	if err := json.Unmarshal(text, &run); err != nil {
		t.Fatal(err)
	}
	if run.Users != 1000 || run.Rounds < 3 || len(run.Ways) != 6 {
		t.Fatalf("it is a run of %d users, %d rounds, %d ways", run.Users, run.Rounds, len(run.Ways))
	}
	w := newGallery(t, "transports").page(t, "/transports/?user=ann")
	w.wait(`document.querySelectorAll('#charts .chart').length === 4 && document.querySelectorAll('#rows tr').length === 6`)
	for _, way := range run.Ways {
		w.waitText("#charts li", way.Name)
		w.waitText("#rows td", way.Name)
		if !way.Computed && (way.Tally == nil || way.Tally.Missing > 0 || way.Tally.Delivered < run.Users*run.Rounds) {
			t.Errorf("%s delivered %+v", way.Name, way.Tally)
		}
	}
}
