package devices

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"ringdown"
	"ringdown/protocol"
)

// maxPatience is how far ahead the deadline of a command may be. So a device need not
// remember what it has done for longer.
const maxPatience = 5 * time.Minute

const devicePrefix = "device-"

// guard is asked about every publication of a client, for what rules cannot see: keys and
// data. A will is asked about when it is given.
func guard(_ context.Context, c *ringdown.Connection, m *ringdown.Message) error {
	switch {
	case m.Channel == telemetryChannel, m.Channel == statusChannel:
		if m.Key != c.User {
			return protocol.Errorf(protocol.CodeForbidden, "a device writes under its own name: the key must be %s", c.User)
		}
	case strings.HasPrefix(m.Channel, "devices:") && strings.HasSuffix(m.Channel, ":commands"):
		var command Command
		if err := json.Unmarshal(m.Data, &command); err != nil {
			return protocol.Errorf(protocol.CodeInvalidData, "this is not a command: %v", err)
		}
		// That it is over is for the device to say: a command that was sent, stored and sent
		// again because its ack was lost must not be refused the second time.
		if time.Until(time.UnixMilli(command.Deadline)) > maxPatience {
			return protocol.Errorf(protocol.CodeInvalidData, "the deadline may be %v ahead at most: is the clock right?", maxPatience)
		}
	}
	return nil
}
