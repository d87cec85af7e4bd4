package session

import (
	"net/url"

	"ringdown/protocol"
)

// The length of the text by which an anonymous client names itself: what 128
// random bits take at least, in base64.
const (
	minClient = 22
	maxClient = 64
)

// ReadQuery reads what the address of a request says of the client, besides its
// credential. Errors are *protocol.Error.
func (o *Open) ReadQuery(q url.Values) error {
	switch expect := q.Get("expect"); expect {
	case "":
	case "user":
		o.ExpectUser = true
	default:
		return protocol.Errorf(protocol.CodeBadRequest, "expect is user, or is left out, and not %.64q", expect)
	}
	if o.Client = q.Get("client"); o.Client == "" {
		return nil
	}
	if n := len(o.Client); n < minClient || n > maxClient {
		return protocol.Errorf(protocol.CodeBadRequest, "client is a random text of 128 bits or more, %d to %d letters, digits, - and _, not %d", minClient, maxClient, n)
	}
	for i := range len(o.Client) {
		c := o.Client[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return protocol.Errorf(protocol.CodeBadRequest, "client has letters, digits, - and _, and nothing else")
		}
	}
	return nil
}
