package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
)

// diary is a receiver that writes down what happens.
type diary struct {
	open   []int
	bytes  map[int][]byte
	order  []int // whose data came, in order
	ends   map[int]error
	onData func(i int)
}

func newDiary() *diary { return &diary{bytes: make(map[int][]byte), ends: make(map[int]error)} }

func (d *diary) opened(i int) { d.open = append(d.open, i) }
func (d *diary) data(i int, p []byte) {
	d.bytes[i] = append(d.bytes[i], p...)
	d.order = append(d.order, i)
	if d.onData != nil {
		d.onData(i)
	}
}
func (d *diary) closed(i int, err error) { d.ends[i] = err }

// eachWireOn makes a wire to a listener of the test and passes what is accepted.
func eachWireOn(t *testing.T, slots int, test func(t *testing.T, w wire, accepted <-chan net.Conn)) {
	eachWire(t, func(t *testing.T, plain bool) {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		accepted := make(chan net.Conn, slots)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				accepted <- conn
			}
		}()
		w, err := newWire(netip.MustParseAddrPort(listener.Addr().String()), slots, plain)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			w.stop()
			listener.Close()
			<-done
		}()
		test(t, w, accepted)
	})
}

// pollUntil polls until a condition holds, which has to be soon.
func pollUntil(t *testing.T, w wire, r receiver, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
		if err := w.poll(10*time.Millisecond, r); err != nil {
			t.Fatal(err)
		}
	}
}

func openSlot(t *testing.T, w wire, d *diary, i int, urgent bool, accepted <-chan net.Conn) net.Conn {
	t.Helper()
	if err := w.open(i, urgent); err != nil {
		t.Fatal(err)
	}
	pollUntil(t, w, d, func() bool { return slices.Contains(d.open, i) })
	return <-accepted
}

func TestWireKeepsWhatTheSocketDoesNotTake(t *testing.T) {
	eachWireOn(t, 1, func(t *testing.T, w wire, accepted <-chan net.Conn) {
		d := newDiary()
		conn := openSlot(t, w, d, 0, false, accepted)
		defer conn.Close()
		var want []byte
		for k := range 200 {
			chunk := bytes.Repeat([]byte{byte(k)}, 64<<10) // 12.8 MB, more than any socket buffer
			w.write(0, chunk)
			want = append(want, chunk...)
			clear(chunk) // the wire must not have kept it
		}
		got := make(chan []byte)
		go func() {
			p := make([]byte, len(want))
			_, _ = io.ReadFull(conn, p)
			_, _ = conn.Write([]byte("all"))
			got <- p
		}()
		pollUntil(t, w, d, func() bool { return string(d.bytes[0]) == "all" })
		if !bytes.Equal(<-got, want) {
			t.Error("the bytes arrived changed")
		}
	})
}

func TestWireTellsHowAConnectionEnds(t *testing.T) {
	eachWireOn(t, 2, func(t *testing.T, w wire, accepted <-chan net.Conn) {
		d := newDiary()
		orderly := openSlot(t, w, d, 0, false, accepted)
		brutal := openSlot(t, w, d, 1, false, accepted)
		orderly.Close()
		_ = brutal.(*net.TCPConn).SetLinger(0)
		brutal.Close()
		pollUntil(t, w, d, func() bool { return len(d.ends) == 2 })
		if !errors.Is(d.ends[0], errCut) {
			t.Errorf("closed in order: %v", d.ends[0])
		}
		if d.ends[1] == nil || errors.Is(d.ends[1], errCut) {
			t.Errorf("reset: %v", d.ends[1])
		}
		w.write(0, []byte("x")) // swallowed
		w.close(0)
	})
}

func TestWireCutsAndOpensAgain(t *testing.T) {
	eachWireOn(t, 1, func(t *testing.T, w wire, accepted <-chan net.Conn) {
		d := newDiary()
		first := openSlot(t, w, d, 0, false, accepted)
		w.close(0)
		if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the server saw %v, not a reset", err)
		}
		first.Close()
		d.open = nil
		second := openSlot(t, w, d, 0, false, accepted)
		defer second.Close()
		_, _ = second.Write([]byte("again"))
		pollUntil(t, w, d, func() bool { return string(d.bytes[0]) == "again" })
		if len(d.ends) != 0 {
			t.Errorf("a connection that was cut from here is reported: %v", d.ends)
		}
	})
}

func TestWireReadsUrgentConnectionsFirst(t *testing.T) {
	const crowdSize = 100
	eachWireOn(t, crowdSize+1, func(t *testing.T, w wire, accepted <-chan net.Conn) {
		d := newDiary()
		var conns []net.Conn
		for i := range crowdSize {
			conns = append(conns, openSlot(t, w, d, i, false, accepted))
		}
		urgent := openSlot(t, w, d, crowdSize, true, accepted)
		conns = append(conns, urgent)
		for _, conn := range conns {
			defer conn.Close()
		}
		for _, conn := range conns[:crowdSize] {
			_, _ = conn.Write([]byte("x"))
		}
		// From within the first delivery, while most of the others wait, one urgent
		// message; the poll after this one has to begin with it.
		d.onData = func(int) {
			d.onData = nil
			_, _ = urgent.Write([]byte("!"))
			if p, ok := w.(*plainWire); ok {
				for len(p.urgent) == 0 {
					runtime.Gosched() // its reader has to have seen it
				}
			}
		}
		pollUntil(t, w, d, func() bool { return len(d.order) == crowdSize+1 })
		if place := slices.Index(d.order, crowdSize); place > crowdSize-10 {
			t.Errorf("the urgent message was read as number %d of %d", place+1, len(d.order))
		}
	})
}

func TestWireWaitsNoLongerThanAsked(t *testing.T) {
	eachWireOn(t, 1, func(t *testing.T, w wire, accepted <-chan net.Conn) {
		d := newDiary()
		conn := openSlot(t, w, d, 0, false, accepted)
		defer conn.Close()
		begin := time.Now()
		if err := w.poll(2*time.Millisecond, d); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 2*time.Millisecond || took > time.Second {
			t.Errorf("waited %v", took)
		}
	})
}
