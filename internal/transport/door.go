// Package transport is what the transports over plain HTTP have in common: how a
// request says what it wants to follow and from where, who may make it, and how
// an end is told where there are no close codes.
package transport

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/problem"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// maxLast is the most messages of the past that can be asked for.
const maxLast = 1000

// Asked is a request for channels.
type Asked struct {
	Follow  []session.Follow
	Places  cursor.Cursor
	Resumed bool   // it carried a cursor
	Session string // in which a poll goes on
	Query   url.Values
}

// Door is a transport over plain HTTP: what it refuses it says in one way.
type Door struct {
	Name   string // as refusals have it
	Server *session.Server
}

// Refuse answers a request that is not let in, and notes why.
func (d Door) Refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	d.Note(r, err)
	problem.Write(w, status, protocol.AsError(err))
}

// Note records that a request was not let in.
func (d Door) Note(r *http.Request, err error) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	d.Server.Refusals().Note(refusal.Refusal{Door: d.Name, Err: err, Action: "connect", Address: from.Addr()})
}

// Enter answers what is not a GET or a POST of an allowed page, and lets pages of allowed
// origins read the answer. It reports whether the request may go on.
func (d Door) Enter(w http.ResponseWriter, r *http.Request, origins auth.Origins) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	if r.Header.Get("Origin") != "" {
		if !origins.Allow(r) {
			d.Refuse(w, r, http.StatusForbidden, auth.OriginRefused(r))
			return false
		}
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		if origins.Cookies(r) {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		return d.plainJSON(w, r)
	case http.MethodOptions:
		h.Set("Allow", "GET, POST, OPTIONS")
		if r.Header.Get("Origin") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Cache-Control, Content-Type, Last-Event-ID")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
		return false
	default:
		h.Set("Allow", "GET, POST, OPTIONS")
		d.Refuse(w, r, http.StatusMethodNotAllowed, protocol.Errorf(protocol.CodeBadRequest, "%s is not done here; GET and POST are", r.Method))
		return false
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		// What stood behind the request would be taken for the next one.
		h.Set("Connection", "close")
		d.Refuse(w, r, http.StatusBadRequest, protocol.Errorf(protocol.CodeBadRequest, "a GET has no body; say it in a POST, or in the address"))
		return false
	}
	return true
}

// Read reads what a request asks for: the channels by ?channel=, once for each,
// and ?last= and ?rate= for all of them; or, of a POST, its body. Errors are
// *protocol.Error.
func Read(w http.ResponseWriter, r *http.Request) (*Asked, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the address cannot be read; percent-encode the names of channels")
	}
	if r.Method == http.MethodPost {
		return readBody(w, r, q)
	}
	at := position(r.Header, q)
	from, err := cursor.Parse(at)
	if err != nil {
		return nil, err
	}
	a := &Asked{Resumed: at != "", Query: q, Places: from}
	f := session.Follow{}
	if s := q.Get("last"); s != "" {
		if f.Last, err = strconv.Atoi(s); err != nil || f.Last < 1 || f.Last > maxLast {
			return nil, errLast
		}
	}
	if s := q.Get("rate"); s != "" {
		f.Rate, err = strconv.ParseFloat(s, 64)
		if _, ok := channel.NewPace(f.Rate); err != nil || !ok {
			return nil, errRate
		}
	}
	names := q["channel"]
	if len(names) > cursor.MaxChannels {
		return nil, errMany
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		f.Channel, f.Since = name, from.Find(name)
		a.Follow = append(a.Follow, f)
	}
	return a, nil
}

var (
	errLast = protocol.Errorf(protocol.CodeBadRequest, "last must be from 1 to %d", maxLast)
	errRate = protocol.Errorf(protocol.CodeBadRequest, "rate must be from %v to %v deliveries per second", channel.MinRate, channel.MaxRate)
)

// position returns the text of the cursor with which a client comes back, or "".
// An EventSource that comes back says it in the header, and a polyfill adds it to
// the address, which else stays as it was: so what they say is newer than what
// the address began with.
func position(header http.Header, q url.Values) string {
	if at := header.Get("Last-Event-ID"); at != "" {
		return at
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if spelt := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)); spelt != "lasteventid" && spelt != "evslasteventid" {
			continue
		}
		for _, at := range slices.Backward(q[name]) {
			if at != "" {
				return at
			}
		}
	}
	return q.Get("cursor")
}

// Identify judges who makes a request, and returns how its session is opened.
// Errors are *protocol.Error.
func (d Door) Identify(r *http.Request, a *Asked) (session.Open, error) {
	s := d.Server
	o := session.Open{Transport: d.Name, Header: s.Header(r), Follow: a.Follow, Places: a.Places}
	// Asking the socket would cost a system call. What does not parse stays empty.
	o.RemoteAddr, _ = netip.ParseAddrPort(r.RemoteAddr)
	if err := o.ReadQuery(a.Query); err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Limits().AuthTimeout)
	defer cancel()
	who, found, err := s.Identify(ctx, r)
	switch {
	case err != nil:
		return o, err
	case !found && (o.ExpectUser || !s.Anonymous()):
		return o, protocol.Errorf(protocol.CodeUnauthorized, "present a token: ?token=…, ?ticket=… or Authorization: Bearer …")
	}
	o.Identity = who
	return o, nil
}
