package chat

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// Limits of what is kept.
const (
	MaxImage = 5 << 20   // bytes of one image
	MaxTotal = 512 << 20 // bytes of all of them
)

// The types that are taken, as the bytes show them, and nothing else: an SVG or
// an HTML page could carry a script.
var extensions = map[string]string{
	"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp",
}

var errNoImage = protocol.Errorf(protocol.CodeNotFound, "there is no such image")

var imageName = regexp.MustCompile(`^[0-9a-f]{32}\.(png|jpg|gif|webp)$`)

// uploads is a folder of images. Each is written once under a random name and
// never changed, so nobody can guess, list or overwrite them.
type uploads struct {
	root *os.Root

	mu    sync.Mutex
	total int64 // bytes kept, and promised to uploads in progress
}

func openUploads(dir string) (*uploads, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("chat: the folder for images: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("chat: the folder for images: %w", err)
	}
	u := &uploads{root: root}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			u.total += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return u, nil
}

func (u *uploads) close() error { return u.root.Close() }

// Upload is the answer to a stored image.
type Upload struct {
	URL  string `json:"url"`
	Type string `json:"type"`
	Size int    `json:"size"` // bytes
}

func (c *Chat) postUpload(w http.ResponseWriter, r *http.Request) {
	if _, err := c.gate.Caller(r); err != nil {
		stage.Refuse(w, err)
		return
	}
	stored, err := c.uploads.take(w, r)
	if err != nil {
		stage.Refuse(w, err)
		return
	}
	w.Header().Set("Location", stored.URL)
	stage.Reply(w, http.StatusCreated, stored)
}

// take reads one image from the body of r, which is the image itself or a form
// with a file in it, and keeps it.
func (u *uploads) take(w http.ResponseWriter, r *http.Request) (Upload, error) {
	body, err := imageBody(w, r)
	if err != nil {
		return Upload{}, err
	}
	// One byte more than allowed tells "just fits" from "too big".
	image, err := io.ReadAll(io.LimitReader(body, MaxImage+1))
	if _, tooBig := errors.AsType[*http.MaxBytesError](err); tooBig || len(image) > MaxImage {
		return Upload{}, protocol.Errorf(protocol.CodeTooLarge, "an image may be %d MB at most", MaxImage>>20)
	}
	if err != nil {
		return Upload{}, protocol.Errorf(protocol.CodeBadRequest, "the image did not arrive whole")
	}
	kind := http.DetectContentType(image)
	extension, known := extensions[kind]
	if !known {
		return Upload{}, protocol.Errorf(protocol.CodeInvalidData, "this is not a PNG, JPEG, GIF or WebP image")
	}
	name := fmt.Sprintf("%x.%s", randomName(), extension)
	if err := u.keep(name, image); err != nil {
		return Upload{}, err
	}
	return Upload{URL: "/chat/uploads/" + name, Type: kind, Size: len(image)}, nil
}

func randomName() [16]byte {
	var name [16]byte
	rand.Read(name[:]) // never fails: see crypto/rand
	return name
}

func imageBody(w http.ResponseWriter, r *http.Request) (io.Reader, error) {
	const formOverhead = 64 << 10
	limited := http.MaxBytesReader(w, r.Body, MaxImage+formOverhead)
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "multipart/form-data" {
		return limited, nil
	}
	r.Body = limited
	form, err := r.MultipartReader()
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the form cannot be read")
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "the form has no file in it")
		}
		if part.FileName() != "" {
			return part, nil
		}
	}
}

func (u *uploads) keep(name string, image []byte) error {
	size := int64(len(image))
	u.mu.Lock()
	full := u.total+size > MaxTotal
	if !full {
		u.total += size
	}
	u.mu.Unlock()
	if full {
		return protocol.Errorf(protocol.CodeLimitExceeded, "there is no room for more images here")
	}
	err := u.root.WriteFile(name, image, 0o600)
	if err != nil {
		u.mu.Lock()
		u.total -= size
		u.mu.Unlock()
		return errors.Join(fmt.Errorf("chat: keeping an image: %w", err), u.root.Remove(name))
	}
	return nil
}

// get serves an image. Its name is its secret and its version: whoever has it
// may see it, and it never changes.
func (u *uploads) get(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if !imageName.MatchString(name) {
		stage.Refuse(w, errNoImage)
		return
	}
	image, err := u.root.ReadFile(name)
	if err != nil {
		stage.Refuse(w, errNoImage)
		return
	}
	h := w.Header()
	h.Set("Content-Type", http.DetectContentType(image))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Disposition", "inline")
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
}
