// Package client speaks to a Ringdown server: over WebSocket, and where that is
// blocked over Server-Sent Events and long-poll. It comes back by itself, with a fresh
// token and with what was missed, each message once.
//
//	c, err := client.New("http://127.0.0.1:8000", client.WithToken(fetchToken))
//	defer c.Close()
//	chat := c.Channel("chat:42")
//	ack, err := chat.Publish(ctx, "message", Text{"hello"})
//	for m, err := range chat.Messages(ctx, client.Last(20)) { … }
//
// docs/writing-a-client.md says what a client does about what happens; the cases of
// spec/client try it. All methods may be called from several goroutines, unless they say
// otherwise. The files in the order in which to read them: client.go, connection.go (the
// states of the line), subscription.go (one channel on the wire), outbox.go, channel.go
// (what a program sees of it), and the three transports.
package client
