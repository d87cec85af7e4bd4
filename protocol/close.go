package protocol

// CloseCode is the code of a WebSocket close frame. Those of Ringdown tell the
// client what to do next: after 40xx do not come back without changing
// something, after 41xx come back with growing delays, after 42xx at once.
type CloseCode uint16

// Codes of Ringdown.
const (
	CloseProtocol       CloseCode = 4000 // too many messages that could not be understood
	CloseInvalidToken   CloseCode = 4001
	CloseNoAuth         CloseCode = 4002 // no token in time
	CloseForbidden      CloseCode = 4003
	CloseTokenExpired   CloseCode = 4004 // fetch a new one
	CloseByOperator     CloseCode = 4005
	CloseRateLimited    CloseCode = 4100 // over a limit of rate or of connections
	CloseTooSlow        CloseCode = 4101
	CloseBackendRefused CloseCode = 4102 // the application refused, for now
	CloseDraining       CloseCode = 4200 // this node goes away
	CloseHeartbeat      CloseCode = 4201 // nothing was heard from the client
)

// Codes of RFC 6455 §7.4.1 and the IANA registry that Ringdown sends.
const (
	CloseNormal         CloseCode = 1000
	CloseGoingAway      CloseCode = 1001
	CloseProtocolError  CloseCode = 1002 // the frames break RFC 6455
	CloseInvalidPayload CloseCode = 1007 // text that is not UTF-8
	ClosePolicy         CloseCode = 1008
	CloseTooBig         CloseCode = 1009
	CloseInternal       CloseCode = 1011
	CloseRestart        CloseCode = 1012
	CloseTryLater       CloseCode = 1013
)

// Reason returns the standard sentence for c, to be sent in the close frame, and
// "" for a code that Ringdown does not send. It is at most 123 bytes.
func (c CloseCode) Reason() string {
	switch c {
	case CloseProtocol:
		return "Too many messages that could not be understood"
	case CloseInvalidToken:
		return "Invalid token"
	case CloseNoAuth:
		return "No token in time"
	case CloseForbidden:
		return "Forbidden"
	case CloseTokenExpired:
		return "Token expired"
	case CloseByOperator:
		return "Disconnected by the operator"
	case CloseRateLimited:
		return "Over a rate or connection limit"
	case CloseTooSlow:
		return "Too slow"
	case CloseBackendRefused:
		return "Refused by the application for now"
	case CloseDraining:
		return "This node is draining"
	case CloseHeartbeat:
		return "Heartbeat lost"
	case CloseNormal:
		return "Done"
	case CloseGoingAway:
		return "Going away"
	case CloseProtocolError:
		return "WebSocket protocol error"
	case CloseInvalidPayload:
		return "Payload is not valid for its type"
	case ClosePolicy:
		return "Policy violation"
	case CloseTooBig:
		return "Message too big"
	case CloseInternal:
		return "Internal error"
	case CloseRestart:
		return "Restarting"
	case CloseTryLater:
		return "Try again later"
	}
	return ""
}
