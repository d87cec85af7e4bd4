package protocol

import (
	"strings"
	"testing"
)

// Every byte there is, at the beginning, inside and at the end of a name.
func TestNamesEveryByte(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for c := range 256 {
		b := string([]byte{byte(c)})
		isType := strings.Contains(letters+"_.-", b)
		isChannel := strings.Contains(letters+"_-.:/@=,~", b)
		for _, s := range []string{b + "x", "x" + b + "x", "x" + b} {
			if got := ValidType(s) == nil; got != isType {
				t.Errorf("type %q: %v", s, got)
			}
			want := isChannel || c == '$' && s[0] == '$'
			if got := ValidChannel(s) == nil; got != want {
				t.Errorf("channel %q: %v", s, got)
			}
			control := c < 0x20 || c == 0x7F
			if got := ValidKey(s) == nil; got != (!control && c < 0x80) {
				t.Errorf("key %q: %v", s, got)
			}
		}
	}
}

// What is refused is refused in a sentence, however big it is.
func TestNamesHuge(t *testing.T) {
	huge := strings.Repeat("a", 1<<20)
	for what, f := range map[string]func(string) error{
		"type": ValidType, "channel": ValidChannel, "key": ValidKey, "dedupe": ValidDedupe, "user": ValidUser,
	} {
		var err error
		bytes, _, _ := measure(func() { err = f(huge) })
		if err == nil || len(err.Error()) > 200 || bytes > 8192 {
			t.Errorf("%s of 1 MiB: error of %d bytes, %d bytes allocated", what, len(err.Error()), bytes)
		}
		if err := f(huge[:10]); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Two spellings of a name that look alike are never two channels: neither is
// taken, composed (NFC) or decomposed (NFD).
func TestNamesTwins(t *testing.T) {
	for _, s := range []string{"caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "A\u030a", "\u0430", "a\u200d", "\uff41", "chat\u00ad", "\u202echat"} {
		if ValidChannel(s) == nil || ValidType(s) == nil {
			t.Errorf("%+q was accepted", s)
		}
	}
}

func TestServerOwned(t *testing.T) {
	for name, want := range map[string]bool{"$sys": true, "$": true, "": false, "sys$": false, "orders": false} {
		if ServerOwned(name) != want {
			t.Errorf("%q", name)
		}
	}
}

func TestReserved(t *testing.T) {
	for typ, want := range map[string]bool{"_skip": true, "_": true, "_message": true, "a_": false, "message": false} {
		if Reserved(typ) != want || Verb(typ) || ValidType(typ) != nil {
			t.Errorf("%q", typ)
		}
	}
	for typ, says := range map[string]string{"message": "", "a_": "", "": "empty", "a b": "may not contain", "subscribe": "is a verb", "pong": "is a verb", "_skip": "begin with _"} {
		err := ValidEvent(typ)
		if (err == nil) != (says == "") || err != nil && (AsError(err).Code != CodeBadRequest || !strings.Contains(err.Error(), says)) {
			t.Errorf("an event named %q: %v", typ, err)
		}
	}
	n := 0
	for _, typ := range strings.Fields("auth subscribe unsubscribe presence history ping welcome subscribed unsubscribed ack error pong state gap reconnect") {
		n++
		if !Reserved(typ) || !Verb(typ) || ValidType(typ) != nil || Reserved(strings.ToUpper(typ)) {
			t.Errorf("%s", typ)
		}
	}
	if n != 15 || Reserved("message") || Reserved("") || Reserved("subscribes") {
		t.Error("too much is reserved, or too little")
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"orders", "chat:42", "$sys", "$", "", "a b", "caf\u00e9", "a\x00", "\xff", "\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidChannel(s) == nil {
			if len(s) == 0 || len(s) > MaxChannel || strings.ContainsAny(s[1:], "$*>+#?&% \r\n\t\x00\"'`\\{}[]()<|") {
				t.Fatalf("channel %q was accepted", s)
			}
			if want := `"` + s + `"`; string(AppendString(nil, s)) != want {
				t.Fatalf("channel %q does not stand in JSON as it is", s)
			}
		}
		if ValidType(s) == nil && ValidChannel(s) != nil {
			t.Fatalf("%q is a type and could not be a channel", s)
		}
		if ValidKey(s) == nil && (len(s) > MaxKey || strings.ContainsAny(s, "\r\n\x00\x7f\u0085") || strings.ToValidUTF8(s, "") != s) {
			t.Fatalf("key %q was accepted", s)
		}
	})
}
