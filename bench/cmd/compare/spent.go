package main

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ringdown/internal/load"
)

// spent is how much CPU time the whole machine has used, and how much of it is
// the server's and this process's own.
type spent struct {
	at           time.Time
	machine, own time.Duration
}

func readSpent(server load.Process) spent {
	s := spent{at: time.Now()}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		s.machine = parseMachine(stat)
	}
	if cpu, err := server.CPU(); err == nil {
		s.own = cpu
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err == nil {
		s.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return s
}

// othersSince is what the rest of the machine used, in percent of one core.
func (s spent) othersSince(before spent) float64 {
	others := (s.machine - before.machine) - (s.own - before.own)
	return max(0, 100*others.Seconds()/s.at.Sub(before.at).Seconds())
}

// parseMachine adds up the first line of proc_stat(5) without idle, iowait and the
// guest columns, which user and nice contain already.
func parseMachine(stat []byte) time.Duration {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	var ticks int64
	for i, field := range bytes.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
