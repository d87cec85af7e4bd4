package examples

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ringdown/test/program"
)

// refusedOnPurpose are the commands of docs/apps that show a refusal: a part of each, and
// the code that it is refused with.
var refusedOnPurpose = map[string]string{
	"game:scores/state/cleo":       "forbidden", // nobody sets a score but the world
	"state/ben%2F0123456789abcdef": "forbidden", // of somebody else
	`"match":"north-2"`:            "not_found", // nobody has looked, so there are no matches
	`"me too"`:                     "forbidden", // ann is no editor
}

// TestAppsFromAShell: each curl of docs/apps is answered by the demo as its page says.
func TestAppsFromAShell(t *testing.T) {
	addr := program.FreeAddress(t)
	var log program.Output
	p, err := program.Start(&log, []string{"RINGDOWN_API_KEY=" + apiKey}, "demo", "--listen", addr, "--data", t.TempDir(), "--trucks", "5")
	if err == nil {
		err = p.Await("http://" + addr + "/livez")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Tail())
	}
	t.Cleanup(p.Kill)
	files, err := filepath.Glob("../../docs/apps/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v: %v", files, err)
	}
	began := regexp.MustCompile(`^(curl |[A-Z]+=)`)
	count := 0
	for _, file := range files {
		variables := ""
		for _, command := range commands(t, file) {
			if !began.MatchString(command) || strings.HasSuffix(command, "|") {
				continue // another program's
			}
			command = strings.NewReplacer("http://127.0.0.1:8000", "http://"+addr, "127.0.0.1:8000", addr, "curl ", "curl -sS ").Replace(command)
			if !strings.HasPrefix(command, "curl ") {
				variables += command + "\n"
				continue
			}
			count++
			cmd := exec.Command("bash", "-c", variables+command+" -w '\n%{http_code}'")
			cmd.Env = append(os.Environ(), "RINGDOWN_API_KEY="+apiKey)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s\n%v\n%s", filepath.Base(file), command, err, out)
				continue
			}
			want := ""
			for part, code := range refusedOnPurpose {
				if strings.Contains(command, part) {
					want = code
				}
			}
			status := string(out[len(out)-3:])
			if ok := status[0] == '2'; ok == (want != "") || !strings.Contains(string(out), want) {
				t.Errorf("%s: %s\nis answered %s\n%s", filepath.Base(file), command, status, out)
			}
		}
	}
	if count < 12 {
		t.Errorf("only %d commands were found", count)
	}
	http.DefaultClient.CloseIdleConnections()
}

// commands are the commands of a document that stand indented, each in one line.
func commands(t *testing.T, file string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	goesOn := false
	for line := range strings.Lines(string(text)) {
		command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !ok {
			goesOn = false
			continue
		}
		rest, more := strings.CutSuffix(strings.TrimSpace(command), `\`)
		if goesOn {
			list[len(list)-1] += " " + rest
		} else {
			list = append(list, rest)
		}
		goesOn = more
	}
	return list
}
