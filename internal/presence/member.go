package presence

import "encoding/json"

// Member is somebody who is present in a channel: one per connection.
type Member struct {
	ID         string          `json:"id"`                   // what others know it by; good for nothing else
	Connection string          `json:"connection,omitempty"` // for the operator alone: not told to clients
	User       string          `json:"user,omitempty"`       // empty: not signed in
	Data       json.RawMessage `json:"data,omitempty"`       // what the member says of itself; valid JSON
	Will       *Will           `json:"will,omitempty"`       // told to nobody; not changed once it is set
}

// Will is the message that is published in the channel when a member is gone
// without having said so.
type Will struct {
	Type string          `json:"type"`
	Key  string          `json:"key,omitempty"`  // of a state channel
	Data json.RawMessage `json:"data,omitempty"` // valid JSON
}
