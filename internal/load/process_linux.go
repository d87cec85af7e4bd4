package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the user and system time of all threads of the process so far, those
// that have ended included, to the nanosecond. /proc/<pid>/stat has the same
// figure rounded to 10 ms, which is 1 µs per connection when 10,000 connect.
func (p Process) CPU() (time.Duration, error) {
	if p.pid == 0 {
		return 0, nil
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(cpuClock(p.pid), &ts); err != nil {
		return 0, fmt.Errorf("load: CPU time of process %d: %w", p.pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuClock is what clock_getcpuclockid(3) returns: the id, inverted, over three
// bits that say "the whole process" and "precise run time".
func cpuClock(pid int) int32 { return ^int32(pid)<<3 | 2 }

// Memory is the resident memory of the process in bytes. smaps_rollup counts
// pages; the cheaper files may be off by some hundred kilobytes.
func (p Process) Memory() (int64, error) {
	if p.pid == 0 {
		return 0, nil
	}
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
	if err != nil {
		return 0, fmt.Errorf("load: memory of the server: %w", err)
	}
	return parseRollup(rollup)
}

func parseRollup(rollup []byte) (int64, error) {
	for line := range bytes.Lines(rollup) {
		value, ok := bytes.CutPrefix(line, []byte("Rss:"))
		if !ok {
			continue
		}
		value = bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("load: smaps_rollup: %w", err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("load: smaps_rollup has no Rss")
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spareDescriptors are left to everything else in the process.
const spareDescriptors = 64

// enoughDescriptors says no before the kernel does. The Go runtime has already
// raised the soft limit to the hard one.
func enoughDescriptors(connections int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil // then the kernel will say so
	}
	if uint64(connections)+spareDescriptors > limit.Cur {
		return fmt.Errorf("load: %d connections need more than the %d descriptors this process may open", connections, limit.Cur)
	}
	return nil
}
