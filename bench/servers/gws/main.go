// Command gws is a rival: a small broadcast server on github.com/lxzan/gws, a
// goroutine per connection. It is written as the library's README shows: default
// buffers, its upgrader on net/http, one Broadcaster per publication, so that a
// frame is built once and written to every subscriber by gws's own queues.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/lxzan/gws"

	"ringdown/bench/internal/host"
)

func main() {
	hub := &hub{rooms: make(map[string]*room)}
	upgrader := gws.NewUpgrader(hub, &gws.ServerOption{})
	err := host.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop() // not here: the request's memory would stay with the connection
	}))
	if err != nil {
		fmt.Fprintln(os.Stderr, "gws:", err)
		os.Exit(1)
	}
}

// hub is the gws event handler and knows the rooms.
type hub struct {
	gws.BuiltinEventHandler
	mu    sync.RWMutex
	rooms map[string]*room
}

// room is the subscribers of one channel. Its lock is held for reading while a
// publication is handed to their queues, which does not wait for the sockets.
type room struct {
	mu      sync.RWMutex
	members []*gws.Conn // a slice, because going through a map of 10,000 shows in the figures
	places  map[*gws.Conn]int
}

type message struct {
	Type    string `json:"type"`
	Channel string `json:"channel"`
}

const roomKey = "room" // in a connection's session storage

func (h *hub) OnMessage(socket *gws.Conn, frame *gws.Message) {
	defer frame.Close()
	var m message
	if err := json.Unmarshal(frame.Bytes(), &m); err != nil {
		socket.WriteClose(1007, nil)
		return
	}
	if m.Type == "subscribe" {
		h.join(socket, m.Channel)
		return
	}
	r := h.room(m.Channel, false)
	if r == nil {
		return
	}
	// A copy, because the frame's buffer goes back to gws's pool when this returns
	// and the queues may still be at it.
	b := gws.NewBroadcaster(gws.OpcodeText, bytes.Clone(frame.Bytes()))
	r.mu.RLock()
	for _, member := range r.members {
		_ = b.Broadcast(member)
	}
	r.mu.RUnlock()
	_ = b.Close()
}

func (h *hub) OnClose(socket *gws.Conn, _ error) {
	v, ok := socket.Session().Load(roomKey)
	if !ok {
		return
	}
	r := v.(*room)
	r.mu.Lock()
	defer r.mu.Unlock()
	place, last := r.places[socket], r.members[len(r.members)-1]
	r.members[place] = last
	r.places[last] = place
	delete(r.places, socket)
	r.members = slices.Delete(r.members, len(r.members)-1, len(r.members))
}

func (h *hub) join(socket *gws.Conn, channel string) {
	r := h.room(channel, true)
	r.mu.Lock()
	r.places[socket] = len(r.members)
	r.members = append(r.members, socket)
	r.mu.Unlock()
	socket.Session().Store(roomKey, r)
	_ = socket.WriteString(`{"type":"subscribed","channel":"` + channel + `"}`)
}

func (h *hub) room(channel string, create bool) *room {
	h.mu.RLock()
	r := h.rooms[channel]
	h.mu.RUnlock()
	if r != nil || !create {
		return r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r = h.rooms[channel]; r == nil {
		r = &room{places: make(map[*gws.Conn]int)}
		h.rooms[channel] = r
	}
	return r
}
