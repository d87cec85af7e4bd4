package protocol

import (
	"strings"
	"testing"
)

// Whoever comes with another server's client is told so, and shown a message.
func TestForeignFrames(t *testing.T) {
	for _, c := range []struct{ frame, want string }{
		{`{"event":"pusher:subscribe","data":{"channel":"orders"}}`, "a Pusher client"},
		{`{"data":{"channel":"orders"},"event":"pusher:subscribe"}`, "a Pusher client"},
		{`{"event":"pusher:ping","data":{}}`, "a Pusher client"},
		{`{"event":"message","channel":"chat:1","data":"hi"}`, "what others call event"},
		{`42["chat message","hello"]`, "a Socket.IO client"},
		{`420["chat message","hello"]`, "a Socket.IO client"},
		{`42/admin,["chat message"]`, "a Socket.IO client"},
		{`451-["file",{"_placeholder":true,"num":0}]`, "a Socket.IO client"},
		{`40`, "a Socket.IO client"},
		{`40{"token":"x"}`, "a Socket.IO client"},
		{`2`, "a Socket.IO client"},
		{`2probe`, "a Socket.IO client"},
		{`{"id":1,"connect":{}}`, "a Centrifugo client"},
		{`{"connect":{"token":"x"},"id":1}`, "a Centrifugo client"},
		{`{"subscribe":{"channel":"x"},"id":2}`, "a Centrifugo client"},
		{`{"publish":{"channel":"x","data":{}},"id":3}`, "a Centrifugo client"},
		{`{"Type":"subscribe","channel":"orders"}`, "called type and not Type"},
		{`{"action":"subscribe","channel":"orders"}`, "the field type is missing"},
		{`{"connect":true}`, "the field type is missing"},
		{` {}`, "the field type is missing"},
		{`["1","1","room:1","phx_join",{}]`, "expected a message, which is a JSON object"},
		{`7up`, "expected a message, which is a JSON object"},
		{`4:x`, "expected a message, which is a JSON object"},
		{`subscribe orders`, "expected a message, which is a JSON object"},
		{``, "expected a message, which is a JSON object"},
	} {
		var m Message
		err := AsError(DecodeJSON([]byte(c.frame), &m))
		if err == nil || err.Code != CodeBadRequest || !strings.Contains(err.Message, c.want) || !strings.Contains(err.Message, example) {
			t.Errorf("%s: %v", c.frame, err)
		}
	}
	var m Message
	if err := DecodeJSON([]byte(example), &m); err != nil || m.Type != TypeSubscribe || m.Channel == "" {
		t.Errorf("the example is no message: %v", err)
	}
}

// A frame that only looks like another server's is a message like any other.
func TestNotForeign(t *testing.T) {
	for _, frame := range []string{
		`{"type":"a","event":"pusher:subscribe"}`,
		`{"type":"a","connect":{},"id":1}`,
		`{"type":"a","Type":"b"}`,
	} {
		var m Message
		if err := DecodeJSON([]byte(frame), &m); err != nil || m.Type != "a" {
			t.Errorf("%s: %v", frame, err)
		}
	}
}
