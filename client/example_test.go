package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"ringdown"
	"ringdown/client"
)

// text is the data of a message.
type text struct {
	Text string `json:"text"`
}

// A server in this program, so that the examples can be run.
func exampleServer() (address string, stop func()) {
	s, err := ringdown.New(ringdown.Options{Config: []byte(declared)})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return "http://" + s.Addr().String(), func() {
		if err := s.Stop(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
}

func Example() {
	address, stop := exampleServer()
	defer stop()
	ctx := context.Background()

	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	chat := c.Channel("chat:42")
	ack, err := chat.Publish(ctx, "message", text{"hello"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored at", ack.Offset)
	for m, err := range chat.Messages(ctx, client.Last(20)) {
		if err != nil {
			log.Fatal(err)
		}
		var said text
		if err := m.Decode(&said); err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Type, m.Offset, said.Text)
		break
	}
	// Output:
	// stored at 1
	// message 1 hello
}

// What happens to a subscription is told in its place among the messages.
func ExampleChannel_Subscribe() {
	address, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Channel("chat:42").Publish(ctx, "message", text{"hello"}); err != nil {
		log.Fatal(err)
	}

	s := c.Channel("chat:42").Subscribe(
		client.Last(1),
		client.OnRecovered(func(count int) { fmt.Println(count, "came late") }),
		client.OnGap(func(g client.Gap) { fmt.Println("load it anew:", g.Reason) }),
	)
	defer s.Close()
	m, err := s.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Type)
	// Output: message
}

// The latest value of each key.
func ExampleChannel_State() {
	address, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	trucks := c.Channel("trucks:eu")
	if _, err := trucks.Publish(ctx, "position", [2]float64{52.5, 13.4}, client.Key("truck-17")); err != nil {
		log.Fatal(err)
	}

	state, err := trucks.State(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer state.Close()
	for key, value := range state.All() {
		fmt.Println(key, string(value))
	}
	// Output: truck-17 [52.5,13.4]
}

// Errors have a code, and errors.Is finds it.
func ExampleError() {
	address, stop := exampleServer()
	defer stop()
	c, err := client.New(address)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.Channel("mine").Publish(context.Background(), "note", "hello")
	var e *client.Error
	if errors.As(err, &e) {
		fmt.Println(errors.Is(err, client.ErrForbidden), e.Code, e.Rule, e.Href())
	}
	// Output: true forbidden mine.allow.publish /v1/errors/forbidden
}
