package session

import (
	"net/http"
	"net/netip"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// Link is what a transport gives a session to speak through. All methods are
// called on the loop of the link.
type Link interface {
	Loop() *reactor.Loop
	// Form is the wire form of shared frames on this link. It never changes.
	Form() channel.Form
	// Offer writes as much of frames as can leave now, keeps nothing of it, and
	// returns the count.
	Offer(frames []byte) int
	// Share queues the rest of a frame, which is immutable and kept by reference.
	Share(rest []byte)
	// Send encodes and queues one event, which is the caller's again afterwards.
	Send(e event.Event)
	// Blocked reports that something is queued because the peer does not read.
	// Session.Drained is called when it no longer is.
	Blocked() bool
	// Close ends the connection, telling the peer why. Session.Closed follows.
	Close(code protocol.CloseCode, reason string)
	PauseRead()
	ResumeRead()
}

// Open is what a transport knows about a new connection.
type Open struct {
	Identity   *auth.Identity // nil: no token came
	AuthError  error          // a token came and was refused
	RemoteAddr netip.AddrPort
	Header     http.Header   // for hooks; see Server.Header
	Transport  string        // such as "websocket"
	Follow     []Follow      // of a Stream: what it subscribes to once it is welcome
	Places     cursor.Cursor // of a Stream: where it was, also in channels that it may subscribe to later
	ExpectUser bool          // the client means to be somebody: it is not welcome without a name
	Client     string        // by what an anonymous client is known again; "" is by nothing
}
