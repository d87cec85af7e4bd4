package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// centrifuge is the JSON protocol of Centrifugo and of the centrifuge library:
// numbered commands and replies, pushes without a number, several of them in one
// message if they leave together, divided by newlines. An empty object is the
// server's ping and wants an empty object back.
type centrifuge struct{}

func (centrifuge) path() string  { return "/connection/websocket" }
func (centrifuge) greets() bool  { return true }
func (centrifuge) batches() bool { return true }

func (centrifuge) appendHello(dst []byte) []byte {
	return append(dst, `{"id":1,"connect":{}}`...)
}

func (centrifuge) appendSubscribe(dst []byte, channel string, since []byte) []byte {
	dst = append(dst, `{"id":2,"subscribe":{"channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, '"')
	dst = append(dst, since...)
	return append(dst, `}}`...)
}

func (centrifuge) position(p []byte) []byte {
	var m struct {
		Subscribe struct {
			Recoverable bool
			Epoch       string
			Offset      uint64
		}
	}
	if json.Unmarshal(p, &m) != nil || !m.Subscribe.Recoverable {
		return nil
	}
	return fmt.Appendf(nil, `,"recover":true,"epoch":%q,"offset":%d`, m.Subscribe.Epoch, m.Subscribe.Offset)
}

func (centrifuge) appendPublish(dst []byte, channel string, data []byte, n uint32) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, uint64(n)+3, 10) // 1 and 2 are connect and subscribe
	dst = append(dst, `,"publish":{"channel":"`...)
	dst = append(dst, channel...)
	dst = append(dst, `","data":`...)
	dst = append(dst, data...)
	return append(dst, `}}`...)
}

func (centrifuge) control(p []byte) (meaning, []byte) {
	switch {
	case bytes.Equal(p, []byte(`{}`)):
		return nothing, []byte(`{}`)
	case bytes.Contains(p, []byte(`"error":`)):
		return refused, nil
	case bytes.HasPrefix(p, []byte(`{"id":1,"connect"`)):
		return welcome, nil
	case bytes.HasPrefix(p, []byte(`{"id":2,"subscribe"`)):
		return subscribed, nil
	}
	return nothing, nil
}
