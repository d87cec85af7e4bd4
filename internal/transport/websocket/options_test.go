package websocket

import (
	"reflect"
	"testing"
)

// Every option has a default, but for those whose zero value is one.
func TestOptions(t *testing.T) {
	zero := map[string]bool{"Paths": true, "Compression": true, "DeflateAlways": true, "Origins": true}
	v := reflect.ValueOf(Options{}.WithDefaults())
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() != zero[name] {
			t.Errorf("%s is %v by default", name, v.Field(i))
		}
	}
	o := Options{PingInterval: 1, PongTimeout: 2, CloseTimeout: 6, MessageTimeout: 3, StalledTimeout: 4, ControlPerSecond: 5, Logger: silent}
	if got := o.WithDefaults(); !reflect.DeepEqual(got, o) {
		t.Errorf("%+v became %+v", o, got)
	}
	if got := (Options{ControlPerSecond: 1 << 40}).WithDefaults().ControlPerSecond; got != mostControl {
		t.Errorf("%d control frames a second", got)
	}
}
