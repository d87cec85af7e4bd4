// Package chat is an example: rooms to talk in, on top of the chat:{room}
// channels of examples/demo/ringdown.yaml.
//
// The conversation itself needs no code at all: messages, who is typing, who is
// there and what was said before all come from the channel's declaration. This
// package adds the two things that do not belong in a socket: a list of rooms
// that survives a restart, and the images, which travel by ordinary HTTP.
package chat

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"time"

	bolt "go.etcd.io/bbolt"

	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// MaxRooms is how many rooms the list holds.
const MaxRooms = 200

// A room's name is a level of a channel name and the fragment of an address.
var roomName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

var (
	roomsBucket  = []byte("rooms") // name → who opened it
	firstRooms   = []string{"lobby", "lost-and-found", "night-shift"}
	errRoomCount = protocol.Errorf(protocol.CodeLimitExceeded, "there are %d rooms already: use one of them", MaxRooms)
)

// Config is the configuration of the chat alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

// Room is one entry of the list.
type Room struct {
	Name     string `json:"name"`
	OpenedBy string `json:"opened_by"`
}

// Options say where a chat keeps its rooms and images.
type Options struct {
	Dir  string      // chat.db and uploads/ are kept here
	Gate *stage.Gate // tells callers apart
	// Opened is called after a new room was stored; it should tell everybody.
	Opened func(ctx context.Context, r Room) error
}

// Chat is the list of rooms and the images. Its methods are safe for
// concurrent use.
type Chat struct {
	db      *bolt.DB
	gate    *stage.Gate
	opened  func(ctx context.Context, r Room) error
	uploads *uploads
}

// Open opens or creates the list of rooms and the folder of images.
func Open(o Options) (*Chat, error) {
	if o.Gate == nil || o.Opened == nil {
		return nil, errors.New("chat: Options need a Gate and an Opened")
	}
	kept, err := openUploads(filepath.Join(o.Dir, "uploads"))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, "chat.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("chat: cannot open %s (is another chat running on it?): %w", path, err), kept.close())
	}
	err = db.Update(func(t *bolt.Tx) error {
		b, err := t.CreateBucketIfNotExists(roomsBucket)
		if err != nil {
			return err
		}
		for _, name := range firstRooms {
			if err := b.Put([]byte(name), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close(), kept.close())
	}
	return &Chat{db: db, gate: o.Gate, opened: o.Opened, uploads: kept}, nil
}

// Start does nothing: a chat answers, and does nothing by itself.
func (c *Chat) Start(context.Context) error { return nil }

// Stop closes the list and the folder. Stopping again does nothing.
func (c *Chat) Stop(context.Context) error { return errors.Join(c.db.Close(), c.uploads.close()) }

// Routes adds the page and its HTTP routes to mux, all under /chat/.
func (c *Chat) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /chat/rooms", c.getRooms)
	mux.HandleFunc("POST /chat/rooms", c.postRoom)
	mux.HandleFunc("POST /chat/uploads", c.postUpload)
	mux.HandleFunc("GET /chat/uploads/{name}", c.uploads.get)
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/chat/", http.StripPrefix("/chat", stage.Pages(web)))
}

func (c *Chat) getRooms(w http.ResponseWriter, _ *http.Request) {
	rooms := []Room{}
	err := c.db.View(func(t *bolt.Tx) error {
		return t.Bucket(roomsBucket).ForEach(func(name, by []byte) error {
			rooms = append(rooms, Room{string(name), string(by)})
			return nil
		})
	})
	if err != nil {
		stage.Refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	stage.Reply(w, http.StatusOK, map[string]any{"rooms": rooms})
}

func (c *Chat) postRoom(w http.ResponseWriter, r *http.Request) {
	room, created, err := c.open(w, r)
	if err == nil && created {
		err = c.opened(r.Context(), room)
	}
	if err != nil {
		stage.Refuse(w, err)
		return
	}
	status := http.StatusOK // somebody was faster; the room is there
	if created {
		status = http.StatusCreated
	}
	stage.Reply(w, status, room)
}

func (c *Chat) open(w http.ResponseWriter, r *http.Request) (room Room, created bool, err error) {
	who, err := c.gate.Caller(r)
	if err != nil {
		return Room{}, false, err
	}
	var body struct {
		Name string `json:"name"`
	}
	if err := stage.ReadJSON(w, r, 1<<10, &body); err != nil {
		return Room{}, false, err
	}
	if !roomName.MatchString(body.Name) {
		return Room{}, false, protocol.Errorf(protocol.CodeBadRequest, "a room's name is 1 to 40 lower-case letters, digits and '-'")
	}
	room = Room{Name: body.Name, OpenedBy: who.User}
	err = c.db.Update(func(t *bolt.Tx) error {
		b := t.Bucket(roomsBucket)
		cursor := b.Cursor()
		if name, by := cursor.Seek([]byte(room.Name)); bytes.Equal(name, []byte(room.Name)) {
			room.OpenedBy = string(by)
			return nil
		}
		if b.Stats().KeyN >= MaxRooms {
			return errRoomCount
		}
		created = true
		return b.Put([]byte(room.Name), []byte(who.User))
	})
	return room, created, err
}
