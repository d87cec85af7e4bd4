package reactor

import (
	"fmt"
	"io"
	"net"
	"testing"
)

const audience = 64

// BenchmarkShare is a fan-out: one frame shared to each of many connections, in
// steps of a job. BenchmarkShareFloor is what there is to compare it with: the
// same frames written by a goroutine that does nothing else.
func BenchmarkShare(b *testing.B) {
	for _, name := range names() {
		for _, burst := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/burst-%d", name, burst), func(b *testing.B) {
				e := start(b, Options{Engine: name, Loops: 1})
				frame := make([]byte, 132*burst)
				conns := make([]added, audience)
				for i := range conns {
					client, server := pair(b)
					conns[i] = add(b, e, server, newHooks(), "")
					go io.Copy(io.Discard, client)
				}
				done := make(chan struct{})
				left := b.N
				b.ReportAllocs()
				b.ResetTimer()
				e.Loops()[0].Post(TaskFunc(func(l *Loop) {
					l.AddJob(stepper(func() bool {
						for _, c := range conns {
							if !c.Blocked() {
								c.Share(frame)
								left -= burst
							}
						}
						if left <= 0 {
							close(done)
						}
						return left > 0
					}))
				}))
				<-done
			})
		}
	}
}

func BenchmarkShareFloor(b *testing.B) {
	for _, burst := range []int{1, 16} {
		b.Run(fmt.Sprintf("burst-%d", burst), func(b *testing.B) {
			frame := make([]byte, 132*burst)
			var conns [audience]net.Conn
			for i := range conns {
				client, server := pair(b)
				defer server.Close()
				conns[i] = server
				go io.Copy(io.Discard, client)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				for _, c := range conns {
					if _, err := c.Write(frame); err != nil {
						b.Fatal(err)
					}
					left -= burst
				}
			}
		})
	}
}

// BenchmarkEcho is one connection that asks and waits.
func BenchmarkEcho(b *testing.B) {
	for _, name := range names() {
		b.Run(name, func(b *testing.B) {
			e := start(b, Options{Engine: name, Loops: 1})
			client, server := pair(b)
			h := newHooks()
			h.data = func(c *Conn, p []byte) { c.Send(p) }
			add(b, e, server, h, "")
			p := make([]byte, 132)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type nothing struct{}

func (nothing) Run(*Loop) {}

// BenchmarkPost is many goroutines that post to one loop.
func BenchmarkPost(b *testing.B) {
	for _, name := range names() {
		b.Run(name, func(b *testing.B) {
			e := start(b, Options{Engine: name, Loops: 1})
			l := e.Loops()[0]
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Post(nothing{})
				}
			})
			on(b, l, func() {})
		})
	}
}

type stepper func() bool

func (s stepper) Step(*Loop) bool { return s() }
