package load

import (
	"os"
	"testing"
	"time"
)

func TestProcessCPUIsWhatTheProcessUses(t *testing.T) {
	p := ProcessOf(os.Getpid())
	before, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	own := ownCPU()
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
	}
	after, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	used, byRusage := after-before, ownCPU()-own
	if used <= 0 || (used-byRusage).Abs() > 20*time.Millisecond {
		t.Errorf("the clock says %v, getrusage %v", used, byRusage)
	}
}

func TestProcessMemory(t *testing.T) {
	bytes, err := ProcessOf(os.Getpid()).Memory()
	if err != nil || bytes < 1<<20 {
		t.Errorf("%d bytes, %v", bytes, err)
	}
}

func TestProcessThatIsNotKnown(t *testing.T) {
	var p Process
	cpu, err1 := p.CPU()
	bytes, err2 := p.Memory()
	if cpu != 0 || bytes != 0 || err1 != nil || err2 != nil {
		t.Errorf("the zero Process knows %v, %d, %v, %v", cpu, bytes, err1, err2)
	}
	gone := ProcessOf(1 << 22) // above the greatest id that Linux gives
	if _, err := gone.CPU(); err == nil {
		t.Error("a process that does not exist has used CPU")
	}
	if _, err := gone.Memory(); err == nil {
		t.Error("a process that does not exist has memory")
	}
}

func TestParseRollup(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"00400000-7ffc [rollup]\nRss:                2048 kB\nPss: 1 kB\n", 2 << 20, true},
		{"Rss: x kB\n", 0, false},
		{"Pss: 1 kB\n", 0, false},
		{"", 0, false},
	} {
		got, err := parseRollup([]byte(c.text))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v", c.text, got, err)
		}
	}
}

func TestTooManyConnectionsAreRefusedBeforehand(t *testing.T) {
	if err := enoughDescriptors(1 << 40); err == nil {
		t.Error("a trillion connections are fine")
	}
	if err := enoughDescriptors(1); err != nil {
		t.Error(err)
	}
}
