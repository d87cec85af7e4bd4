//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }

func notifyStop(c chan<- os.Signal) { signal.Notify(c, syscall.SIGTERM, os.Interrupt) }
