//go:build unix

package reactor

import "golang.org/x/sys/unix"

// RaiseFileLimit raises the process's soft limit of open files to its hard one
// and returns the limit that is in force then.
func RaiseFileLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	before := uint64(r.Cur) //nolint:unconvert // it is signed on some systems
	if r.Cur == r.Max {
		return before, nil
	}
	r.Cur = r.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return before, err
	}
	return uint64(r.Cur), nil //nolint:unconvert // as above
}
