package presence

import "encoding/json"

// Member is somebody who is present in a channel: one per connection.
type Member struct {
	ID         string          `json:"id"`                   // what others know it by; good for nothing else
	Connection string          `json:"connection,omitempty"` // for the operator alone: not told to clients
	User       string          `json:"user,omitempty"`       // empty: not signed in
	Data       json.RawMessage `json:"data,omitempty"`       // what the member says of itself; valid JSON
}
