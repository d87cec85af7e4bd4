package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"SECRET": "a-secret-of-at-least-thirty-two-bytes!",
		"KEY":    "a-key-of-at-least-sixteen-bytes",
		"SHORT":  "short",
		"EMPTY":  "",
		"BREAK":  "a-secret-of-at-least-thirty-two-bytes!\n",
		"BLANK":  strings.Repeat(" ", 40),
		"SPACED": "a secret of at least thirty two bytes",
		"UNSET":  "${SOMEBODY_FORGOT_TO_PUT_A_VALUE_IN}",
	}[name]
	return v, ok
}

// TestBad: every file in testdata/bad is refused, with exactly the text of the
// .golden file beside it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := Load(file, LoadOptions{Env: testEnv})
			if err == nil {
				t.Fatal("it was taken")
			}
			if _, ok := err.(*Errors); !ok {
				t.Errorf("the error is a %T", err)
			}
			// Files are named as they were named to Load, which differs by system.
			got := strings.ReplaceAll(err.Error(), file, filepath.Base(file)) + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestGood: every file in testdata/good is taken.
func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(file, LoadOptions{Env: testEnv})
			if err != nil {
				t.Fatal(err)
			}
			if c.Table() == nil || len(c.Table().Declarations()) != len(c.Channels) {
				t.Error("the table is not that of the channels")
			}
		})
	}
}
