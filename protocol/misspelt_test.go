package protocol

import "testing"

func TestMisspelt(t *testing.T) {
	for typ, want := range map[string]string{
		"subscrbe": TypeSubscribe, "subscribee": TypeSubscribe, "Subscribe": TypeSubscribe, "subcsribe": TypeSubscribe, "ubscribe": TypeSubscribe, "subscrib": TypeSubscribe,
		"unsubscibe": TypeUnsubscribe, "unsubscribes": TypeUnsubscribe, "presense": TypePresence, "presences": TypePresence, "histroy": TypeHistory, "istory": TypeHistory,
		"subscribe": "", "history": "", "": "", "s": "", "subscription": "", "susbcrieb": "", "yrotsih": "", "message": "", "historical": "", "subscribed": TypeSubscribe,
	} {
		if got := Misspelt(typ); got != want {
			t.Errorf("%q: %q, want %q", typ, got, want)
		}
	}
}
