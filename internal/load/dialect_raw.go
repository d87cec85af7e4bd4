package load

import "bytes"

// raw is what a server built by hand on a WebSocket library speaks: a subscribe
// message, answered by subscribed, and publications that it passes on byte for
// byte to the subscribers of their channel.
type raw struct{}

func (raw) path() string                  { return "/" }
func (raw) greets() bool                  { return false }
func (raw) batches() bool                 { return false }
func (raw) appendHello(dst []byte) []byte { return dst }

func (raw) position([]byte) []byte { return nil }

func (raw) appendSubscribe(dst []byte, channel string, _ []byte) []byte {
	dst = append(dst, `{"type":"subscribe","channel":"`...)
	dst = append(dst, channel...)
	return append(dst, `"}`...)
}

func (raw) appendPublish(dst []byte, channel string, data []byte, _ uint32) []byte {
	return appendEvent(dst, channel, data)
}

func (raw) control(p []byte) (meaning, []byte) {
	if bytes.HasPrefix(p, []byte(`{"type":"subscribed"`)) {
		return subscribed, nil
	}
	return nothing, nil
}
