package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"ringdown/protocol"
)

// handshake is what a client asked for and is given.
type handshake struct {
	accept      string // Sec-WebSocket-Accept
	subprotocol string // empty: none was offered
	protobuf    bool
	deflate     bool
	extension   string // what is answered for it
	window      int    // bits that the client can take; 15 unless it asked for fewer
	spoken      bool   // the heartbeat is to be a message
}

// rejection is a handshake that is not accepted.
type rejection struct {
	status int
	err    *protocol.Error
}

func reject(status int, format string, args ...any) *rejection {
	return &rejection{status, protocol.Errorf(protocol.CodeBadRequest, format, args...).WithReason("handshake")}
}

// readHandshake checks a request by RFC 6455 §4.2.1, strictly: whatever is not
// exactly a WebSocket handshake must not become a tunnel.
func readHandshake(r *http.Request, compression bool) (*handshake, *rejection) {
	switch {
	case r.Method != http.MethodGet:
		return nil, reject(http.StatusMethodNotAllowed, "a WebSocket begins with GET and not %s", r.Method)
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return nil, reject(http.StatusBadRequest, "a WebSocket begins over HTTP/1.1")
	case !hasToken(r.Header["Upgrade"], "websocket") || len(r.Header["Upgrade"]) != 1 || strings.Contains(r.Header.Get("Upgrade"), ","):
		return nil, reject(http.StatusUpgradeRequired, "this is a WebSocket address: connect with new WebSocket(…)")
	case !hasToken(r.Header["Connection"], "upgrade"):
		return nil, reject(http.StatusBadRequest, "the header Connection must name Upgrade; a proxy in between may have dropped it")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return nil, reject(http.StatusBadRequest, "a WebSocket handshake has no body")
	}
	if v := r.Header["Sec-Websocket-Version"]; len(v) != 1 || v[0] != "13" {
		return nil, reject(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 || !validKey(keys[0]) {
		return nil, reject(http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
	}
	h := &handshake{accept: acceptKey(keys[0]), window: 15}
	if bad := h.chooseSubprotocol(r.Header["Sec-Websocket-Protocol"]); bad != nil {
		return nil, bad
	}
	if bad := h.chooseHeartbeat(r); bad != nil {
		return nil, bad
	}
	if compression {
		h.chooseExtension(r.Header["Sec-Websocket-Extensions"])
	}
	return h, nil
}

func validKey(key string) bool {
	raw, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(raw) == 16
}

// acceptKey is RFC 6455 §4.2.2, 5.4.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hasToken looks for a token in comma-separated header lines, whatever its case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// bearer begins the item that carries a token among the subprotocols, because a
// browser can set no other header. It is never echoed.
const bearer = "bearer."

// chooseSubprotocol takes the first that we speak. A client that offers none
// speaks JSON. One that offers only others is refused, and so is one that offers
// nothing but a token: a browser gives up a connection none of whose offers was
// taken, and all that its program would hear of it is that it failed.
func (h *handshake) chooseSubprotocol(lines []string) *rejection {
	offered, tokens := "", false
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.TrimSpace(item)
			switch {
			case item == "":
			case strings.HasPrefix(item, bearer):
				tokens = true
			case h.subprotocol != "":
			case item == protocol.SubprotocolJSON:
				h.subprotocol = item
			case item == protocol.SubprotocolProtobuf:
				h.subprotocol, h.protobuf = item, true
			case offered == "":
				offered = item
			}
		}
	}
	var said *rejection
	switch {
	case h.subprotocol != "":
		return nil
	case offered != "":
		said = reject(http.StatusBadRequest, "the subprotocol %.64q is not spoken here: there are %s and %s; offer one of them, or none at all", offered, protocol.SubprotocolJSON, protocol.SubprotocolProtobuf)
	case tokens:
		said = reject(http.StatusBadRequest, "a token among the subprotocols goes beside the name of one, since a browser fails a connection whose offers are answered by none: new WebSocket(url, ['%s', 'bearer.' + token])", protocol.SubprotocolJSON)
	default:
		return nil
	}
	said.err.Reason = "subprotocol"
	return said
}

// chooseHeartbeat reads whether the address asks for a heartbeat that programs
// see.
func (h *handshake) chooseHeartbeat(r *http.Request) *rejection {
	if !strings.Contains(r.URL.RawQuery, "heartbeat=") {
		return nil
	}
	switch how := r.URL.Query().Get("heartbeat"); how {
	case "message":
		h.spoken = true
	case "":
	default:
		return reject(http.StatusBadRequest, "heartbeat may be message, and not %.64q", how)
	}
	return nil
}

// chooseExtension accepts the first offer of permessage-deflate that is well
// formed (RFC 7692 §7.1). Neither side takes its context over: so no connection
// owns a window, and one compressed frame serves them all.
func (h *handshake) chooseExtension(lines []string) {
	for _, line := range lines {
		for offer := range strings.SplitSeq(line, ",") {
			name, params, more := strings.Cut(offer, ";")
			if strings.TrimSpace(name) != "permessage-deflate" {
				continue
			}
			if window, ok := deflateOffer(params, more); ok {
				h.deflate, h.window = true, window
				h.extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
				if window < 15 {
					h.extension += "; server_max_window_bits=" + strconv.Itoa(window)
				}
				return
			}
		}
	}
}

// deflateOffer reads the parameters of one offer. The window is what the server
// may use at most.
func deflateOffer(params string, any bool) (window int, ok bool) {
	window = 15
	if !any {
		return window, true
	}
	seen := map[string]bool{}
	for p := range strings.SplitSeq(params, ";") {
		p = strings.TrimSpace(p)
		name, value, hasValue := strings.Cut(p, "=")
		name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
		if seen[name] {
			return 0, false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if hasValue {
				return 0, false
			}
		case "server_max_window_bits":
			if !windowBits(value) {
				return 0, false
			}
			window, _ = strconv.Atoi(value) // checked above
		case "client_max_window_bits":
			if hasValue && !windowBits(value) {
				return 0, false
			}
		default:
			return 0, false
		}
	}
	return window, true
}

// unquote takes the quotes off a quoted-string (RFC 6455 §9.1 allows a value to
// be one as long as what it quotes is a token).
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func windowBits(s string) bool {
	switch s {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}
