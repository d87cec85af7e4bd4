//go:build !unix

package cli

import (
	"os"
	"os/signal"
)

// notifyReload does nothing where there is no SIGHUP: restart to reload.
func notifyReload(chan<- os.Signal) {}

func notifyStop(c chan<- os.Signal) { signal.Notify(c, os.Interrupt) }
