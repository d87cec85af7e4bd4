//go:build !unix

package cli

import "os"

// notifyReload does nothing where there is no SIGHUP: restart to reload.
func notifyReload(chan<- os.Signal) {}
