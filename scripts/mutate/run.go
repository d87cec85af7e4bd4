package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// listed is what go list says of a package.
type listed struct {
	Dir, Name, ImportPath string
	GoFiles               []string
}

// subject is a package with its changes.
type subject struct {
	options
	pkg    listed
	dir    string // for what is made
	src    map[string][]byte
	all    []*point       // in the order in which they are chosen
	chosen map[int]*point // by number, from 1
	binary string
	parts  []part
}

// part is some of the tests, which are run together.
type part struct {
	flag    string
	limit   time.Duration
	reached map[int]bool // the changes that are come by
}

func (o options) mutate(ctx context.Context, pkg string) (*report, error) {
	begun := time.Now()
	reasons, err := readReasons(o.survivors)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := &subject{options: o, dir: dir, src: make(map[string][]byte), chosen: make(map[int]*point)}
	if err := s.load(pkg); err != nil {
		return nil, err
	}
	if err := s.build(); err != nil {
		return nil, err
	}
	if err := s.baseline(ctx); err != nil {
		return nil, err
	}
	r := &report{pkg: s.pkg.ImportPath, reasons: reasons, how: make(map[*point]outcome)}
	s.runAll(ctx, r)
	r.took = time.Since(begun)
	return r, ctx.Err()
}

// load reads the package, and puts its points in an order that the seed gives.
func (s *subject) load(pkg string) error {
	out, err := exec.Command("go", "list", "-json=Dir,Name,ImportPath,GoFiles", pkg).Output()
	if err != nil {
		return fmt.Errorf("go list %s: %w", pkg, err)
	}
	if err := json.Unmarshal(out, &s.pkg); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	for _, name := range s.pkg.GoFiles {
		path := filepath.Join(s.pkg.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s.src[path] = src
		points, err := pointsOf(path, src)
		if err != nil {
			return err
		}
		for _, p := range points {
			if rel, err := filepath.Rel(here, path); err == nil {
				p.file = rel
			}
			if strings.Contains(name, s.only) {
				s.all = append(s.all, p)
			}
		}
	}
	choice := rand.New(rand.NewPCG(s.seed, 0))
	choice.Shuffle(len(s.all), func(i, j int) { s.all[i], s.all[j] = s.all[j], s.all[i] })
	return nil
}

var badLine = regexp.MustCompile(`(?m)^([^\s:]+\.go):(\d+):`)

// build compiles the first n points that do compile into one test binary.
func (s *subject) build() error {
	next := 0
	for attempt := 0; attempt < 40; attempt++ {
		for ; len(s.chosen) < s.n && next < len(s.all); next++ {
			s.chosen[next+1] = s.all[next]
		}
		output, err := s.compile()
		if err == nil {
			return nil
		}
		bad := make(map[string]bool)
		for _, m := range badLine.FindAllStringSubmatch(output, -1) {
			bad[filepath.Base(m[1])+":"+m[2]] = true
		}
		dropped := false
		for n, p := range s.chosen {
			for line := p.line; line <= p.line+bytes.Count(s.src[s.path(p)][p.start:p.end], []byte("\n")); line++ {
				if bad[filepath.Base(p.file)+":"+strconv.Itoa(line)] {
					delete(s.chosen, n)
					dropped = true
				}
			}
		}
		if !dropped {
			return fmt.Errorf("%s does not compile:\n%s", s.pkg.ImportPath, output)
		}
	}
	return fmt.Errorf("%s does not compile with any choice", s.pkg.ImportPath)
}

func (s *subject) path(p *point) string { return filepath.Join(s.pkg.Dir, filepath.Base(p.file)) }

// compile makes the test binary, through an overlay of the files that are changed.
func (s *subject) compile() (output string, err error) {
	replace := make(map[string]string)
	byFile := make(map[string]map[int]*point)
	for n, p := range s.chosen {
		if byFile[s.path(p)] == nil {
			byFile[s.path(p)] = make(map[int]*point)
		}
		byFile[s.path(p)][n] = p
	}
	write := func(path string, text []byte) error {
		replace[path] = filepath.Join(s.dir, filepath.Base(path))
		return os.WriteFile(replace[path], text, 0o600)
	}
	for path, points := range byFile {
		if err := write(path, weave(s.src[path], points)); err != nil {
			return "", err
		}
	}
	if err := write(filepath.Join(s.pkg.Dir, "mutant_helper.go"), fmt.Appendf(nil, helper, s.pkg.Name)); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	s.binary = filepath.Join(s.dir, "tests")
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", file, "-o", s.binary, s.pkg.ImportPath)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// baseline runs the tests with all changes asleep. It finds the slow ones, which
// are left for what the others do not notice, and what is come by.
func (s *subject) baseline(ctx context.Context) error {
	all := part{flag: "-test.run=" + s.run}
	output, err := s.rehearse(ctx, &all)
	if err != nil {
		return err
	}
	s.parts = []part{all}
	if slow := slowTests(output); slow != "" && s.run == "" {
		s.parts = []part{{flag: "-test.skip=" + slow}, {flag: "-test.run=" + slow}}
		for i := range s.parts {
			if _, err := s.rehearse(ctx, &s.parts[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// rehearse runs a part of the tests with all changes asleep, to find how long it
// may take and which of the changes it comes by.
func (s *subject) rehearse(ctx context.Context, p *part) (output string, err error) {
	notes := filepath.Join(s.dir, "notes")
	p.limit = 10 * time.Minute
	begun := time.Now()
	how, output := s.test(ctx, *p, "MUTANT_NOTES="+notes)
	if how != survived {
		return "", fmt.Errorf("the tests of %s fail without any change:\n%s", s.pkg.ImportPath, output[max(0, len(output)-4000):])
	}
	p.limit = min(5*time.Since(begun)+10*time.Second, s.slowest)
	text, err := os.ReadFile(notes)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	p.reached = make(map[int]bool)
	for _, word := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(word); err == nil {
			p.reached[n] = true
		}
	}
	if err := os.Remove(notes); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return output, nil
}

var slowTest = regexp.MustCompile(`(?m)^ *--- PASS: (\w+)\S* \([1-9]\d*\.\d+s\)$`)

// slowTests returns a pattern of the tests that took a second or more, or a part
// of which did: a test does not count the time of its parallel parts.
func slowTests(output string) string {
	var names []string
	for _, m := range slowTest.FindAllStringSubmatch(output, -1) {
		names = append(names, m[1])
	}
	if names == nil {
		return ""
	}
	return "^(" + strings.Join(slices.Compact(names), "|") + ")$"
}

// test runs a part of the tests once. A change that makes them fail is killed.
func (s *subject) test(ctx context.Context, p part, environment string) (outcome, string) {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	// Tests that wait for something else do not wait for each other.
	cmd := exec.CommandContext(ctx, s.binary, "-test.short", "-test.failfast", "-test.v", "-test.parallel=8", p.flag)
	cmd.Dir = s.pkg.Dir
	cmd.Env = append(os.Environ(), environment)
	// What the tests started ends with them, also when they panic.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	output, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = cmd.Cancel()
	}
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return timedOut, ""
	case err == nil:
		return survived, string(output)
	case errors.As(err, &failed) || errors.Is(err, exec.ErrWaitDelay):
		return killed, string(output)
	}
	return killed, err.Error()
}

// judge wakes a change, and runs the tests that come by it until some notice.
func (s *subject) judge(ctx context.Context, n int) outcome {
	how := unreached
	for _, p := range s.parts {
		if !p.reached[n] {
			continue
		}
		if how, _ = s.test(ctx, p, "MUTANT="+strconv.Itoa(n)); how != survived {
			break
		}
	}
	return how
}

// runAll wakes one change after the other.
func (s *subject) runAll(ctx context.Context, r *report) {
	numbers := make(chan int)
	var (
		mu   sync.Mutex
		work sync.WaitGroup
		done int
	)
	for range max(1, s.parallel) {
		work.Go(func() {
			for n := range numbers {
				how := s.judge(ctx, n)
				mu.Lock()
				r.count[how]++
				r.how[s.chosen[n]] = how
				if how == survived || how == unreached {
					r.alive = append(r.alive, s.chosen[n])
					fmt.Fprintf(s.progress, "\r%s:%d: %s\n", s.chosen[n].file, s.chosen[n].line, s.chosen[n].what)
				}
				done++
				fmt.Fprintf(s.progress, "\r%s %s %d of %d, %d alive ", s.pkg.ImportPath, bar(done, len(s.chosen)), done, len(s.chosen), len(r.alive))
				mu.Unlock()
			}
		})
	}
	for n := range s.chosen {
		if ctx.Err() == nil {
			numbers <- n
		}
	}
	close(numbers)
	work.Wait()
	fmt.Fprintln(s.progress)
	slices.SortFunc(r.alive, func(a, b *point) int {
		return strings.Compare(a.file+fmt.Sprintf("%6d", a.line), b.file+fmt.Sprintf("%6d", b.line))
	})
}

func bar(done, all int) string {
	const width = 30
	full := width * done / max(1, all)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}
