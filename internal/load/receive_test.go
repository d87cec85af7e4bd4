package load

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringdown/internal/wsframe"
)

// fakeWire records what is written and closed; bytes arrive by calling the crowd.
type fakeWire struct {
	written map[int][]byte
	cut     []int
}

func (w *fakeWire) open(int, bool) error               { return nil }
func (w *fakeWire) write(i int, p []byte)              { w.written[i] = append(w.written[i], p...) }
func (w *fakeWire) close(i int)                        { w.cut = append(w.cut, i) }
func (w *fakeWire) poll(time.Duration, receiver) error { return nil }
func (w *fakeWire) stop()                              {}

const upgradeAnswer = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + acceptKey + "\r\n\r\n"

// newTestCrowd has a publisher and n members of one channel, none connected.
func newTestCrowd(d dialect, n int) (*crowd, *fakeWire) {
	w := &fakeWire{written: make(map[int][]byte)}
	c := &crowd{
		wire: w, dialect: d, start: time.Now(), upgrade: []byte("GET"),
		members:  []member{{channel: -1}},
		channels: []channel{{name: "c", members: n, tally: &tally{}}},
	}
	for range n {
		c.members = append(c.members, member{channel: 0})
	}
	return c, w
}

// join takes member i all the way.
func join(c *crowd, i int) {
	c.opened(i)
	c.data(i, []byte(upgradeAnswer))
	if c.dialect.greets() {
		c.data(i, serverFrame(wsframe.Text, `{"type":"welcome"}`))
	}
	if i == publisher {
		return
	}
	c.askSubscription(i)
	c.data(i, serverFrame(wsframe.Text, `{"type":"subscribed","channel":"c"}`))
}

func serverFrame(op wsframe.Opcode, payload string) []byte {
	return append(wsframe.AppendHeader(nil, wsframe.Header{Fin: true, Op: op, Length: int64(len(payload))}), payload...)
}

func eventFrame(seq uint32) []byte {
	return serverFrame(wsframe.Text, string(appendEvent(nil, "c", appendStamp(nil, 0, seq))))
}

// clientFrames unmasks what the client wrote.
func clientFrames(t *testing.T, p []byte) (out []string) {
	t.Helper()
	for len(p) > 0 {
		h, n, err := wsframe.ParseHeader(p)
		if err != nil || n == 0 || !h.Masked {
			t.Fatalf("the client wrote %q: %v", p, err)
		}
		payload := bytes.Clone(p[n : n+int(h.Length)])
		wsframe.Mask(payload, h.Key, 0)
		out = append(out, fmt.Sprintf("%d %s", h.Op, payload))
		p = p[n+int(h.Length):]
	}
	return out
}

func TestDeliveriesAreCountedHoweverTheBytesAreCut(t *testing.T) {
	var stream []byte
	for seq := range uint32(20) {
		stream = append(stream, eventFrame(seq)...)
	}
	for _, size := range []int{1, 2, 3, 7, 130, 131, 200, 1000, len(stream)} {
		c, _ := newTestCrowd(raw{}, 1)
		join(c, 1)
		for range 20 {
			c.publish(&c.channels[0], 0)
		}
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			c.data(1, bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		if got := c.channels[0].tally.deliveries; got != 20 || c.owed() != 0 || c.busy != 0 || c.missing != 0 || c.disordered != 0 {
			t.Errorf("pieces of %d bytes: %d deliveries, %d owed, %d busy, %d missing, %d disordered",
				size, got, c.owed(), c.busy, c.missing, c.disordered)
		}
	}
}

func TestUpgradeGreetingAndFirstMessageInOneRead(t *testing.T) {
	c, w := newTestCrowd(ringdown{}, 1)
	c.eager = true
	c.opened(1)
	c.data(1, append([]byte(upgradeAnswer), serverFrame(wsframe.Text, `{"type":"welcome","data":{}}`)...))
	if got := c.members[1].state; got != subscribing {
		t.Fatalf("state %s", got)
	}
	frames := clientFrames(t, w.written[1][len("GET"):])
	if want := `1 {"type":"subscribe","channel":"c","id":1}`; len(frames) != 1 || frames[0] != want {
		t.Errorf("the client asked %q, want %q", frames, want)
	}
	if c.reached[ready] != 1 || c.reached[present] != 0 {
		t.Errorf("reached %v", c.reached)
	}
}

func TestLossAndDisorderAreCounted(t *testing.T) {
	c, _ := newTestCrowd(raw{}, 2)
	join(c, 1)
	join(c, 2)
	for range 6 {
		c.publish(&c.channels[0], 0)
	}
	for _, seq := range []uint32{0, 1, 4, 1, 4, 5} { // 2 and 3 never come, 1 and 4 come again
		c.data(1, eventFrame(seq))
	}
	if c.missing != 2 || c.disordered != 2 || c.owed() != 6 || c.busy != 1 {
		t.Errorf("%d missing, %d disordered, %d owed, %d busy", c.missing, c.disordered, c.owed(), c.busy)
	}
	c.data(2, eventFrame(0))
	c.forgive()
	if c.missing != 2+5 || c.owed() != 0 || c.busy != 0 {
		t.Errorf("forgiven: %d missing, %d owed, %d busy", c.missing, c.owed(), c.busy)
	}
	c.data(2, eventFrame(3)) // comes after it was given up
	if c.disordered != 3 || c.owed() != 0 {
		t.Errorf("late: %d disordered, %d owed", c.disordered, c.owed())
	}
}

func TestSeveralPublicationsInOneMessage(t *testing.T) {
	c, _ := newTestCrowd(centrifuge{}, 1)
	c.opened(1)
	c.data(1, []byte(upgradeAnswer))
	c.data(1, serverFrame(wsframe.Text, `{"id":1,"connect":{"client":"x"}}`))
	c.askSubscription(1)
	c.data(1, serverFrame(wsframe.Text, `{"id":2,"subscribe":{}}`))
	for range 3 {
		c.publish(&c.channels[0], 0)
	}
	push := func(seq uint32) string {
		return `{"push":{"channel":"c","pub":{"data":` + string(appendStamp(nil, 0, seq)) + `}}}`
	}
	c.data(1, serverFrame(wsframe.Text, push(0)+"\n"+push(1)+"\n"+push(2)))
	if got := c.channels[0].tally.deliveries; got != 3 || c.owed() != 0 {
		t.Errorf("%d deliveries, %d owed", got, c.owed())
	}
}

func TestPingsAreAnswered(t *testing.T) {
	c, w := newTestCrowd(raw{}, 1)
	join(c, 1)
	w.written[1] = nil
	c.data(1, serverFrame(wsframe.Ping, "beat"))
	if got := clientFrames(t, w.written[1]); len(got) != 1 || got[0] != "10 beat" {
		t.Errorf("answered %q", got)
	}
	c, w = newTestCrowd(centrifuge{}, 1)
	c.opened(1)
	c.data(1, []byte(upgradeAnswer))
	w.written[1] = nil
	c.data(1, serverFrame(wsframe.Text, "{}"))
	if got := clientFrames(t, w.written[1]); len(got) != 1 || got[0] != "1 {}" {
		t.Errorf("centrifuge: answered %q", got)
	}
}

func TestWhatEndsARun(t *testing.T) {
	cases := []struct {
		name string
		do   func(c *crowd)
		want string
	}{
		{"refused upgrade", func(c *crowd) { c.opened(1); c.data(1, []byte("HTTP/1.1 503 Busy\r\n\r\n")) }, "503 Busy"},
		{"wrong accept key", func(c *crowd) {
			c.opened(1)
			c.data(1, []byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n"))
		}, "refused the upgrade"},
		{"no connection", func(c *crowd) { c.moveTo(1, dialing); c.closed(1, errors.New("nobody there")) }, "nobody there"},
		{"refused subscription", func(c *crowd) {
			c.opened(1)
			c.data(1, []byte(upgradeAnswer))
			c.data(1, serverFrame(wsframe.Text, `{"type":"error","data":{"code":"forbidden"}}`))
		}, "forbidden"},
		{"refused publication", func(c *crowd) {
			join(c, publisher)
			c.data(publisher, serverFrame(wsframe.Text, `{"type":"error","data":{"code":"rate_limited"}}`))
		}, "rate_limited"},
		{"publisher closed", func(c *crowd) {
			join(c, publisher)
			c.data(publisher, serverFrame(wsframe.Close, "\x0f\xa0Protocol error"))
		}, "4000 Protocol error"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := newTestCrowd(ringdown{}, 1)
			tc.do(c)
			if c.fault == nil || !strings.Contains(c.fault.Error(), tc.want) {
				t.Errorf("fault %v, want one with %q", c.fault, tc.want)
			}
		})
	}
}

func TestALostSubscriberEndsNothing(t *testing.T) {
	cases := map[string]func(c *crowd){
		"in order":    func(c *crowd) { c.closed(1, errCut) },
		"close frame": func(c *crowd) { c.data(1, serverFrame(wsframe.Close, "\x10\x05Too slow")) },
		"nonsense":    func(c *crowd) { c.data(1, []byte{0x83, 0}) },
		"masked":      func(c *crowd) { c.data(1, []byte{0x81, 0x80, 0, 0, 0, 0}) },
		"compressed":  func(c *crowd) { c.data(1, []byte{0xC1, 0}) },
		"endless":     func(c *crowd) { c.data(1, []byte{0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0}) },
	}
	for name, lose := range cases {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCrowd(raw{}, 2)
			join(c, 1)
			join(c, 2)
			c.publish(&c.channels[0], 0)
			lose(c)
			if c.fault != nil || c.lost != 1 || c.lostCause == nil || c.missing != 1 || c.owed() != 1 {
				t.Fatalf("fault %v, lost %d (%v), missing %d, owed %d", c.fault, c.lost, c.lostCause, c.missing, c.owed())
			}
			c.data(2, eventFrame(0))
			if c.owed() != 0 || c.busy != 0 || c.members[1].state != absent {
				t.Errorf("owed %d, busy %d, member 1 is %s", c.owed(), c.busy, c.members[1].state)
			}
			c.publish(&c.channels[0], 0)
			if c.owed() != 1 {
				t.Errorf("the next publication is owed %d times", c.owed())
			}
		})
	}
}

func TestDeliveriesAllocateNothing(t *testing.T) {
	c, _ := newTestCrowd(raw{}, 1)
	join(c, 1)
	var seq uint32
	frame := eventFrame(0)
	body := frame[len(frame)-1-PayloadBytes:]
	got := testing.AllocsPerRun(1000, func() {
		c.publish(&c.channels[0], 0)
		c.queued = c.queued[:0]
		appendStamp(body[:0], 0, seq)
		seq++
		c.data(1, frame)
	})
	if got != 0 || c.owed() != 0 {
		t.Errorf("%g allocations per delivery, %d owed", got, c.owed())
	}
}

// FuzzReceive feeds a member bytes as no server should send them, in two pieces.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(upgradeAnswer), 10)
	f.Add(append([]byte(upgradeAnswer), eventFrame(0)...), 40)
	f.Add(append([]byte(upgradeAnswer), 0x88, 2, 3, 0xE8), 90)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		for _, d := range dialects {
			c, _ := newTestCrowd(d, 1)
			c.eager = true
			c.opened(1)
			at = min(max(at, 0), len(p))
			c.data(1, bytes.Clone(p[:at]))
			if c.members[1].state != absent {
				c.data(1, bytes.Clone(p[at:]))
			}
			for s := range c.reached {
				if c.reached[s] < 0 || c.reached[s] > 1 {
					t.Fatalf("reached %v", c.reached)
				}
			}
		}
	})
}
