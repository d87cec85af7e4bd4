package load_test

import (
	"context"
	"fmt"
	"os"

	"ringdown/internal/load"
)

// All scenarios against a server that listens on port 8000 of this machine.
func Example() {
	target := load.Target{Name: "ringdown", Addr: "127.0.0.1:8000", PID: 4711}
	var results []*load.Result
	for _, scenario := range load.Presets(1000) {
		result, err := load.Run(context.Background(), scenario, target, func(p load.Progress) {
			fmt.Fprintf(os.Stderr, "\r%s: %s %.0f %%", scenario.Name, p.Phase, 100*p.Done)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		results = append(results, result)
	}
	_ = load.Summary(results).WriteText(os.Stdout)
}
