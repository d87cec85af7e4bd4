package ringdown

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"ringdown/internal/auth"
	"ringdown/internal/config"
	"ringdown/internal/devpage"
	"ringdown/internal/problem"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// devRoutes puts the page of dev mode before the server's own routes, and keeps
// those out who come by another name than this machine's: a page of another
// site may let its own name point here afterwards, and would then be of the same
// origin.
func (s *Server) devRoutes(next http.Handler) (http.Handler, error) {
	page := devpage.Handler()
	var files *devpage.Files
	if s.opts.DevFiles != "" {
		var err error
		if files, err = devpage.OpenFiles(s.opts.DevFiles); err != nil {
			return nil, fmt.Errorf("the folder of pages: %w", err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !auth.LoopbackHost(r.Host):
			err := protocol.Errorf(protocol.CodeForbidden, "this server runs with --dev and answers under localhost, 127.0.0.1 and [::1] only").WithReason("host")
			s.refusals.Note(refusal.Refusal{Door: refusal.REST, Action: r.URL.Path, Err: err})
			problem.Write(w, http.StatusForbidden, err)
		case devpage.Owns(r):
			page.ServeHTTP(w, r)
		case files != nil && files.Has(r):
			files.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	}), nil
}

// openToAll reports whether nothing is declared that could tell callers apart: then
// who presents nothing may do everything.
func (s *Server) openToAll(conf *config.Config) bool {
	return conf.Dev && len(conf.Auth.JWT) == 0 && len(conf.Auth.Keys) == 0
}

// loopbackOnly keeps a server that lets everybody in away from the network.
func (s *Server) loopbackOnly(addr string) error {
	if !s.opts.Dev || strings.HasPrefix(addr, "unix:") {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listening on %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("dev mode lets everybody do everything, so it listens on loopback only and not on %q; use 127.0.0.1 or leave --dev out", addr)
}
