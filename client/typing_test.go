package client_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ringdown/client"
)

// Who types is told, once at a time, and forgotten when it says no more.
func TestTyping(t *testing.T) {
	address := serve(t)
	ann := open(t, address, client.WithFixedToken(token(t, "ann", time.Minute)))
	ben := open(t, address, client.WithFixedToken(token(t, "ben", time.Minute)))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	told := make(chan string, 8)
	go func() {
		for users, err := range ben.Channel("chat:typing").Typing().Watch(ctx) {
			if err != nil {
				close(told)
				return
			}
			told <- fmt.Sprint(users)
		}
	}()
	if err := ann.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	typing := ann.Channel("chat:typing").Typing()
	if err := typing.Stop(); err != nil { // nobody typed
		t.Error(err)
	}
	for range 3 { // until ben is there
		if err := typing.Active(); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-told:
			if got != "[ann]" {
				t.Fatalf("%s type", got)
			}
			if err := typing.Stop(); err != nil {
				t.Error(err)
			}
			if got := <-told; got != "[]" {
				t.Errorf("then %s type", got)
			}
			begun := time.Now()
			if err := typing.Active(); err != nil {
				t.Error(err)
			}
			if a, b := <-told, <-told; a != "[ann]" || b != "[]" || time.Since(begun) < 4*time.Second {
				t.Errorf("%s, and %s after %v", a, b, time.Since(begun))
			}
			cancel()
			for range told {
			}
			return
		case <-time.After(time.Second):
			if err := typing.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Fatal("ben was not told")
}
