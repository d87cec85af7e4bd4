package load

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ringdown is the protocol of docs/protocol.md, JSON form. Publications carry no
// id, so the server acknowledges none of them, as none of the rivals does.
type ringdown struct{}

func (ringdown) path() string                  { return "/v1/ws" }
func (ringdown) greets() bool                  { return true }
func (ringdown) batches() bool                 { return false }
func (ringdown) appendHello(dst []byte) []byte { return dst }

func (ringdown) appendSubscribe(dst []byte, channel string, since []byte) []byte {
	dst = append(dst, `{"type":"subscribe","channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, '"')
	dst = append(dst, since...)
	return append(dst, `,"id":1}`...)
}

func (ringdown) position(p []byte) []byte {
	var m struct {
		Epoch  string
		Offset uint64
	}
	if json.Unmarshal(p, &m) != nil || m.Epoch == "" {
		return nil
	}
	return fmt.Appendf(nil, `,"since":{"epoch":%q,"offset":%d}`, m.Epoch, m.Offset)
}

func (ringdown) appendPublish(dst []byte, channel string, data []byte, _ uint32) []byte {
	return appendEvent(dst, channel, data)
}

func (ringdown) control(p []byte) (meaning, []byte) {
	switch {
	case bytes.HasPrefix(p, []byte(`{"type":"welcome"`)):
		return welcome, nil
	case bytes.HasPrefix(p, []byte(`{"type":"subscribed"`)):
		return subscribed, nil
	case bytes.HasPrefix(p, []byte(`{"type":"error"`)):
		return refused, nil
	}
	return nothing, nil
}

// appendEvent appends the message that ringdown and the raw servers take as a
// publication, and that the raw ones send on unchanged.
func appendEvent(dst []byte, channel string, data []byte) []byte {
	dst = append(dst, `{"type":"publish","channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, `","data":`...)
	dst = append(dst, data...)
	return append(dst, '}')
}
