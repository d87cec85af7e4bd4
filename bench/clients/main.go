// Command clients is the program for Go: clients LIBRARY. It says of each step
// "ok STEP" or "FAIL STEP: why". BASE, CONTROL, TOKEN and API_KEY come by the
// environment. It is here, and run by test/clients, so that these libraries are not
// among the dependencies of the server.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	base, control, token, key = os.Getenv("BASE"), os.Getenv("CONTROL"), os.Getenv("TOKEN"), os.Getenv("API_KEY")
	channel                   string
	failed                    bool
)

func main() {
	library := os.Args[1]
	channel = "lab:" + library
	if open := sockets[library]; open != nil {
		socketSteps(open)
	} else {
		streamSteps(streams[library])
	}
	if failed {
		os.Exit(1)
	}
}

func step(name string, work func() error) {
	if err := work(); err != nil {
		failed = true
		fmt.Printf("FAIL %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("ok", name)
}

// text is the data of the message of that number.
func text(i int) string {
	if i == 10 {
		return strings.Repeat("x", 40_000)
	}
	return fmt.Sprintf("nº %d ✓ 日本語 🚀 \"\\\n\u2028", i)
}

type message struct {
	Type   string
	ID     any
	Epoch  string
	Offset int
	Data   struct {
		User, Connection, Secret, Text, Code string
		I                                    int
		Recovered                            bool
	}
}

// inbox is what came.
type inbox struct {
	mu      sync.Mutex
	all     []message
	empty   int
	trouble []error
	code    int // the last end
	ends    int
}

// take takes a message; nothing is an event without data.
func (b *inbox) take(data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(data) == 0 {
		b.empty++
		return
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		b.trouble = append(b.trouble, err)
	}
	b.all = append(b.all, m)
}

func (b *inbox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble = append(b.trouble, err)
}

func (b *inbox) end(code int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.code = code
	b.ends++
}

func (b *inbox) of(kind string) (list []message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.all {
		if m.Type == kind {
			list = append(list, m)
		}
	}
	return list
}

func (b *inbox) until(what string, done func() bool) error {
	for end := time.Now().Add(15 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited for %s in vain, after %d messages; %v", what, len(b.all), b.trouble)
		}
	}
	return nil
}

// untilSo waits for so many messages of a kind.
func (b *inbox) untilSo(kind string, n int) error {
	return b.until(fmt.Sprint(n, " of ", kind), func() bool { return len(b.of(kind)) >= n })
}

func (b *inbox) ended() (int, error) {
	err := b.until("the end", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.ends > 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.code, err
}

// sameMessages holds what was published against what came.
func (b *inbox) sameMessages() error {
	list := b.of("n")
	if len(list) != 20 {
		return fmt.Errorf("%d messages", len(list))
	}
	for i, m := range list {
		if m.Data.I != i || m.Data.Text != text(i) {
			return fmt.Errorf("message %d is %.100q", i, m.Data.Text)
		}
	}
	return nil
}

func ask(method, address string, body []byte, header ...string) error {
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, address, resp.Status)
	}
	return nil
}

func cut() error { return ask("POST", control+"/cut?n=3&channel="+channel, nil) }

func drain() error { return ask("POST", control+"/drain", nil) }
