package protocol

import "strings"

// example is what somebody is shown whose frame is no message.
const example = `{"type":"subscribe","channel":"orders","id":1}`

// noObject says what to send in place of a frame that is not a JSON object.
func noObject(frame []byte, at int) *Error {
	if socketIO(frame) {
		return foreign("Socket.IO")
	}
	if marked(frame) {
		return errMarked()
	}
	return Errorf(CodeBadRequest, "expected a message, which is a JSON object such as %s, at byte %d", example, at)
}

// noType says what to send in place of a JSON object that has no type. Most of
// them come from a client of another server that was pointed at this one.
func noType(object []byte) *Error {
	said := Errorf(CodeBadRequest, "the field type is missing; a message looks like %s", example)
	// The object is valid, so going through it fails only with what it is given.
	if found := each(object, knownFor); found != nil {
		return found
	}
	return said
}

// knownFor recognises an object by one member that others have in place of type.
func knownFor(name string, value []byte) *Error {
	switch name {
	case "event":
		if value[0] == '"' && strings.HasPrefix(string(text(value)), "pusher:") {
			return foreign("Pusher")
		}
		return Errorf(CodeBadRequest, "the field type is missing, which here is what others call event; a message looks like %s", example)
	case "connect", "subscribe", "publish":
		if value[0] == '{' {
			return foreign("Centrifugo")
		}
	}
	if name != "type" && strings.EqualFold(name, "type") {
		return Errorf(CodeBadRequest, "the field is called type and not %s: names are compared to the letter; a message looks like %s", name, example)
	}
	return nil
}

func foreign(whose string) *Error {
	return Errorf(CodeBadRequest, "this is a frame of a %s client, which is not understood here; send plain messages such as %s over a plain WebSocket", whose, example)
}

// socketIO knows the frames of Socket.IO and of Engine.IO beneath it: the digit of
// a packet's kind, and then nothing, another digit, a namespace, JSON or "probe".
func socketIO(frame []byte) bool {
	if len(frame) == 0 || frame[0] < '0' || frame[0] > '6' {
		return false
	}
	rest := strings.TrimLeft(string(frame[1:min(len(frame), 16)]), "0123456789")
	return rest == "" || strings.HasPrefix(rest, "probe") || strings.ContainsRune(`/[{-"`, rune(rest[0]))
}
