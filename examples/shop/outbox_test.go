package shop

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"ringdown/examples/outbox"
	"ringdown/protocol"
)

func TestEventsComeAfterTheyAreStored(t *testing.T) {
	s, a := newShop(t)
	seen := make(chan error, 10)
	a.failWith(func(e outbox.Event) error {
		if e.Channel == "orders" {
			_, err := s.Order(staff, 1)
			seen <- err
		}
		return nil
	})
	mustPlace(t, s, ann, one("bird-swing", 1))
	if err := <-seen; err != nil {
		t.Errorf("the event was out before the order was there: %v", err)
	}
}

func TestEventsKeepTheirOrder(t *testing.T) {
	s, a := newShop(t)
	o := mustPlace(t, s, ann, one("bird-swing", 1))
	for _, next := range []Status{Paid, Packed, Shipped} {
		if _, err := s.Update(staff, o.ID, status(next)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"order-created", "order-updated", "order-updated", "order-shipped"} {
		if e := a.next(t, "orders"); e.Type != want {
			t.Errorf("heard %s, want %s", e.Type, want)
		}
	}
}

func TestUnpublishedEventsOutliveTheProcess(t *testing.T) {
	dir, a := t.TempDir(), &audience{heard: make(chan outbox.Event, 100)}
	s := openShop(t, dir, a)
	mustPlace(t, s, ann, one("bird-swing", 1)) // never started: nothing is published
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = openShop(t, dir, a)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	if e := a.next(t, "orders"); e.Type != "order-created" || e.Dedupe == "" {
		t.Errorf("heard %+v", e)
	}
}

func TestRetriesUseTheSameDedupe(t *testing.T) {
	s, a := newShop(t)
	var tries []string
	done := make(chan struct{})
	a.failWith(func(e outbox.Event) error {
		if e.Channel != "orders" {
			return nil
		}
		if tries = append(tries, e.Dedupe); len(tries) < 3 {
			return &protocol.Error{Code: protocol.CodeUnavailable, Message: "not now", Retryable: true}
		}
		close(done)
		return nil
	})
	mustPlace(t, s, ann, one("bird-swing", 1))
	<-done
	if tries[0] == "" || tries[0] != tries[1] || tries[1] != tries[2] {
		t.Errorf("tried as %q, want the same three times", tries)
	}
}

func TestARefusedEventDoesNotHoldUpTheRest(t *testing.T) {
	s, a := newShop(t)
	a.failWith(func(e outbox.Event) error {
		if e.Type == "order-created" {
			return errors.New("the schema says no")
		}
		return nil
	})
	o := mustPlace(t, s, ann, one("bird-swing", 1))
	if _, err := s.Ship(staff, o.ID); err != nil {
		t.Fatal(err)
	}
	if e := a.next(t, "orders"); e.Type != "order-shipped" {
		t.Errorf("heard %s, want order-shipped", e.Type)
	}
}

// Stopping does not wait for an audience that does not answer.
func TestStopCutsARetryShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audience{heard: make(chan outbox.Event, 100)}
		tried := make(chan struct{}, 100)
		a.failWith(func(outbox.Event) error {
			tried <- struct{}{}
			return &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true}
		})
		s := openShop(t, t.TempDir(), a)
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-tried
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
