package front

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Close gives up the addresses of Listen. After Stop it does nothing.
func (f *Front) Close() error {
	var errs []error
	for _, l := range f.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// SendAway lets no connection wait for another request: each is closed once its
// request is answered.
func (f *Front) SendAway() {
	if f.server != nil {
		f.server.SetKeepAlivesEnabled(false)
	}
}

// Stop listens no more, hangs up on everybody who is not being answered, and gives
// those who are some time. It returns how many were cut off after that, which is
// no error: nobody can be made to end a request.
func (f *Front) Stop(ctx context.Context) (cut int, err error) {
	err = f.Close()
	if f.server == nil {
		return 0, err
	}
	f.SendAway()
	f.mu.Lock()
	f.stopping = true
	f.mu.Unlock()
	f.hangUp(http.StateNew, http.StateIdle)
	ending, cancel := context.WithTimeout(ctx, f.limits.stop)
	defer cancel()
	if f.server.Shutdown(ending) != nil {
		cut = f.hangUp(http.StateNew, http.StateIdle, http.StateActive)
		_ = f.server.Close() // what it would close is closed
	}
	f.serving.Wait()
	if failed := f.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return cut, err
}

// hangUp closes the connections that are in one of the states.
func (f *Front) hangUp(states ...http.ConnState) int {
	f.mu.Lock()
	var list []*Conn
	for c := range f.speaking {
		for _, s := range states {
			if http.ConnState(c.state.Load()) == s {
				list = append(list, c)
			}
		}
	}
	f.mu.Unlock()
	for _, c := range list {
		_ = c.Close()
	}
	return len(list)
}

// abandoned removes the file of a Unix socket on which nobody listens any more.
func abandoned(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return false
	}
	d := net.Dialer{Timeout: time.Second}
	if nc, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = nc.Close()
		return false
	} else if !errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	return os.Remove(path) == nil
}

// outOfFiles reports that nothing more can be opened, here or on this machine.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
