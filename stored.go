package ringdown

import (
	"time"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Stored is a message as its channel keeps it.
type Stored struct {
	Message
	Offset uint64
	Time   time.Time // when it was accepted
	From   string    // the user who published it, where the channel shows that
}

// stored decodes an entry into memory of its own.
func stored(e *channel.Entry) (Stored, error) {
	var m protocol.Message
	if err := e.Message(&m); err != nil {
		return Stored{}, err
	}
	return storedMessage(&m), nil
}

// storedMessage copies a message of a channel.
func storedMessage(m *protocol.Message) Stored {
	m = m.Clone()
	return Stored{Message: Message{Channel: m.Channel, Event: m.Type, Key: m.Key, Data: m.Data, Binary: m.Binary},
		Offset: m.Offset, Time: time.UnixMilli(m.Time), From: m.From}
}
