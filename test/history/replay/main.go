// Command replay judges a history that a failed run left behind, and says what
// happened in it.
//
//	go run ./test/history/replay FILE
//	go run ./test/history/replay -client s3 -channel orders FILE
//
// With -client or -channel it also prints the events of that client or channel,
// in order, to find out how it came to a violation. It exits with 1 when there
// is one.
package main

import (
	"flag"
	"fmt"
	"os"

	"ringdown/test/history"
)

func main() {
	client := flag.String("client", "", "print the events of this client")
	channel := flag.String("channel", "", "print the events of this channel")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: replay [-client NAME] [-channel NAME] FILE")
		os.Exit(2)
	}
	violations, err := replay(flag.Arg(0), *client, *channel)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if violations > 0 {
		os.Exit(1)
	}
}

func replay(name, client, channel string) (violations int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	events, policy, seed, err := history.Read(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if client != "" || channel != "" {
		for i := range events {
			e := &events[i]
			// What was done to a server or a line belongs to everybody's story.
			if e.Kind == history.Fault || e.Kind == history.Heal || (client == "" || e.Client == client) && (channel == "" || e.Channel == channel) {
				fmt.Println(e)
			}
		}
	}
	fmt.Printf("seed %d, store %s\n%s\n", seed, policy.Store, history.Summarize(events, policy))
	found := history.Check(events, policy)
	for _, v := range found {
		fmt.Println(v)
	}
	fmt.Printf("violations: %d\n", len(found))
	return len(found), nil
}
