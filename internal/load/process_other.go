//go:build !linux

package load

import "time"

// CPU is not known here.
func (p Process) CPU() (time.Duration, error) { return 0, nil }

// Memory is not known here.
func (p Process) Memory() (int64, error) { return 0, nil }

func ownCPU() time.Duration { return 0 }

func enoughDescriptors(int) error { return nil }
