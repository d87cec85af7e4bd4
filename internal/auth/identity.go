package auth

import (
	"encoding/json"
	"time"
)

// Identity is who a token says somebody is. It is immutable.
type Identity struct {
	User    string          // valid by protocol.ValidUser
	Claims  json.RawMessage // the payload of the token, a JSON object
	Expires time.Time       // exp, without the leeway; zero for never
	Caps    Capabilities    // from the claim "ringdown", nil without it
}
