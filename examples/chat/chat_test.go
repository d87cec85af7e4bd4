package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ringdown/examples/demo/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "chat-test-key-01234"

type fixture struct {
	t      *testing.T
	dir    string
	chat   *Chat
	mux    *http.ServeMux
	opened []Room
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	f.open()
	t.Cleanup(func() {
		if err := f.chat.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	gate, err := stage.OpenGate(f.dir, testKey)
	if err != nil {
		f.t.Fatal(err)
	}
	f.chat, err = Open(Options{Dir: f.dir, Gate: gate, Opened: func(_ context.Context, r Room) error {
		f.opened = append(f.opened, r)
		return nil
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.mux = http.NewServeMux()
	f.chat.Routes(f.mux)
}

func (f *fixture) send(method, path, kind string, body []byte, signedIn bool) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if signedIn {
		token, err := f.chat.gate.Token("ann")
		if err != nil {
			f.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	f.mux.ServeHTTP(w, r)
	return w
}

func (f *fixture) rooms() (names []string) {
	f.t.Helper()
	var list struct{ Rooms []Room }
	if err := json.Unmarshal(f.send("GET", "/chat/rooms", "", nil, false).Body.Bytes(), &list); err != nil {
		f.t.Fatal(err)
	}
	for _, r := range list.Rooms {
		names = append(names, r.Name)
	}
	return names
}

func TestRooms(t *testing.T) {
	f := newFixture(t)
	tests := []struct {
		body     string
		signedIn bool
		status   int
	}{
		{`{"name":"attic"}`, false, 401},
		{`{"name":"attic"}`, true, 201},
		{`{"name":"attic"}`, true, 200},
		{`{"name":"lobby"}`, true, 200},
		{`{"name":"a:b"}`, true, 400},
		{`{"name":"Attic"}`, true, 400},
		{`{"name":"-"}`, true, 400},
		{`{"name":""}`, true, 400},
		{`{}`, true, 400},
		{`{"name":"` + strings.Repeat("a", 41) + `"}`, true, 400},
		{`{"name":"` + strings.Repeat("a", 2000) + `"}`, true, 413},
	}
	for _, test := range tests {
		w := f.send("POST", "/chat/rooms", "application/json", []byte(test.body), test.signedIn)
		if w.Code != test.status {
			t.Errorf("%.60s answered %d %s, want %d", test.body, w.Code, w.Body, test.status)
		}
	}
	if want := (Room{"attic", "ann"}); len(f.opened) != 1 || f.opened[0] != want {
		t.Errorf("told of %v, want %v once", f.opened, want)
	}
	if err := f.chat.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.open()
	if got := strings.Join(f.rooms(), " "); got != "attic lobby lost-and-found night-shift" {
		t.Errorf("after a restart the rooms are %s", got)
	}
}

func TestRoomsAreLimited(t *testing.T) {
	f := newFixture(t)
	for i := len(f.rooms()); i < MaxRooms; i++ {
		if w := f.send("POST", "/chat/rooms", "application/json", fmt.Appendf(nil, `{"name":"r%d"}`, i), true); w.Code != 201 {
			t.Fatalf("room %d answered %d %s", i, w.Code, w.Body)
		}
	}
	if w := f.send("POST", "/chat/rooms", "application/json", []byte(`{"name":"one-more"}`), true); w.Code != 429 {
		t.Errorf("one more answered %d, want 429", w.Code)
	}
}

// images are the smallest of each kind that is taken.
func images(t *testing.T) map[string][]byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, 2, 2), nil)
	img.Palette = append(img.Palette, color.Black, color.White)
	var p, j, g bytes.Buffer
	for _, err := range []error{png.Encode(&p, img), jpeg.Encode(&j, img, nil), gif.Encode(&g, img, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]byte{
		"image/png": p.Bytes(), "image/jpeg": j.Bytes(), "image/gif": g.Bytes(),
		"image/webp": []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"),
	}
}

func TestUploadAndDownload(t *testing.T) {
	f := newFixture(t)
	for kind, body := range images(t) {
		// What the client calls it does not matter; the bytes do.
		w := f.send("POST", "/chat/uploads", "text/html", body, true)
		var stored Upload
		if err := json.Unmarshal(w.Body.Bytes(), &stored); err != nil || w.Code != 201 || stored.Type != kind || stored.Size != len(body) {
			t.Errorf("%s answered %d %s (%v)", kind, w.Code, w.Body, err)
			continue
		}
		if name := strings.TrimPrefix(stored.URL, "/chat/uploads/"); !imageName.MatchString(name) || w.Header().Get("Location") != stored.URL {
			t.Errorf("%s is at %s", kind, stored.URL)
		}
		got := f.send("GET", stored.URL, "", nil, false)
		if got.Code != 200 || !bytes.Equal(got.Body.Bytes(), body) {
			t.Errorf("%s came back with %d and %d bytes", kind, got.Code, got.Body.Len())
		}
		for name, want := range map[string]string{
			"Content-Type": kind, "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
			"Cache-Control": "private, max-age=31536000, immutable",
		} {
			if h := got.Header().Get(name); h != want {
				t.Errorf("%s: %s is %q, want %q", kind, name, h, want)
			}
		}
	}
}

func TestUploadForm(t *testing.T) {
	f := newFixture(t)
	form := func(file []byte) (string, []byte) {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		m.WriteField("caption", "hello")
		if file != nil {
			part, err := m.CreateFormFile("image", "../../etc/passwd")
			if err != nil {
				t.Fatal(err)
			}
			part.Write(file)
		}
		m.Close()
		return m.FormDataContentType(), b.Bytes()
	}
	kind, body := form(images(t)["image/png"])
	if w := f.send("POST", "/chat/uploads", kind, body, true); w.Code != 201 {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	kind, body = form(nil)
	if w := f.send("POST", "/chat/uploads", kind, body, true); w.Code != 400 {
		t.Errorf("without a file it answered %d %s", w.Code, w.Body)
	}
	kind, body = form(append(images(t)["image/png"], make([]byte, MaxImage)...))
	if w := f.send("POST", "/chat/uploads", kind, body, true); w.Code != 413 {
		t.Errorf("too big a file answered %d %s", w.Code, w.Body)
	}
	if w := f.send("POST", "/chat/uploads", "multipart/form-data", body, true); w.Code != 400 {
		t.Errorf("a form without a boundary answered %d", w.Code)
	}
}

func TestUploadRefuses(t *testing.T) {
	f := newFixture(t)
	picture := images(t)["image/png"]
	exact := append(bytes.Clone(picture), make([]byte, MaxImage-len(picture))...)
	tests := []struct {
		name     string
		body     []byte
		signedIn bool
		status   int
	}{
		{"a stranger", picture, false, 401},
		{"nothing", nil, true, 422},
		{"a page", []byte("<!doctype html><script>alert(1)</script>"), true, 422},
		{"a drawing with a script", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), true, 422},
		{"a bitmap", []byte("BM______________"), true, 422},
		{"as big as can be", exact, true, 201},
		{"one byte more", append(exact, 0), true, 413},
		{"much more", make([]byte, 3*MaxImage), true, 413},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if w := f.send("POST", "/chat/uploads", "image/png", test.body, test.signedIn); w.Code != test.status {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, test.status)
			}
		})
	}
	kept, err := os.ReadDir(filepath.Join(f.dir, "uploads"))
	if err != nil || len(kept) != 1 {
		t.Errorf("%d files are kept (%v), want 1", len(kept), err)
	}
}

func TestUploadsAreLimitedInAll(t *testing.T) {
	f := newFixture(t)
	f.chat.uploads.total = MaxTotal - 10
	if w := f.send("POST", "/chat/uploads", "image/png", images(t)["image/png"], true); w.Code != 429 {
		t.Errorf("answered %d %s, want 429", w.Code, w.Body)
	}
}

func TestOnlyImagesAreServed(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"", "x", "..%2fchat.db", "%2e%2e%2ftoken.secret", strings.Repeat("0", 32), strings.Repeat("0", 32) + ".png", strings.Repeat("0", 32) + ".svg"} {
		if w := f.send("GET", "/chat/uploads/"+name, "", nil, true); w.Code != 404 {
			t.Errorf("%q answered %d", name, w.Code)
		}
	}
}

// Whatever is uploaded is refused or comes back as an image and the same bytes.
func FuzzUpload(f *testing.F) {
	for _, seed := range []string{"\x89PNG\r\n\x1a\n", "GIF89a", "\xff\xd8\xff", "RIFF1234WEBPVP", "<svg>", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := newFixture(t)
		w := c.send("POST", "/chat/uploads", "", body, true)
		if w.Code != 201 {
			if w.Code != 422 && w.Code != 413 {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			return
		}
		got := c.send("GET", w.Header().Get("Location"), "", nil, false)
		if !bytes.Equal(got.Body.Bytes(), body) || !strings.HasPrefix(got.Header().Get("Content-Type"), "image/") {
			t.Errorf("came back as %s", got.Header().Get("Content-Type"))
		}
	})
}
