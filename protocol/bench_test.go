package protocol

import (
	"encoding/json"
	"strings"
	"testing"
)

var publish = &Message{Type: "message", Channel: "chat:1", ID: []byte("7"), Data: []byte(`{"text":"hello, how are you today?","mentions":["ann","bob"],"reply":{"to":41,"quote":"fine"}}`)}

func BenchmarkDecode(b *testing.B) {
	binary := *publish
	binary.Binary = true
	for _, codec := range codecs {
		m := publish
		if codec.name == "Binary" {
			m = &binary
		}
		wire := codec.append(nil, m)
		b.Run(codec.name, func(b *testing.B) {
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			var m Message
			for b.Loop() {
				if err := codec.decode(wire, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	wire := AppendJSON(nil, publish)
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(wire)))
		b.ReportAllocs()
		for b.Loop() {
			var m struct {
				Type, Channel string
				ID, Data      json.RawMessage
			}
			if err := json.Unmarshal(wire, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, codec := range codecs {
		b.Run(codec.name, func(b *testing.B) {
			var p []byte
			for b.Loop() {
				p = codec.append(p[:0], publish)
			}
			b.SetBytes(int64(len(p)))
		})
	}
	b.Run("encoding-json", func(b *testing.B) {
		type message struct {
			Type    string          `json:"type"`
			Channel string          `json:"channel"`
			ID      json.RawMessage `json:"id"`
			Data    json.RawMessage `json:"data"`
		}
		m := &message{publish.Type, publish.Channel, publish.ID, publish.Data}
		for b.Loop() {
			if _, err := json.Marshal(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	for name, p := range map[string][]byte{"message": publish.Data, "1000 names": []byte(members(1000)), "text": AppendString(nil, strings.Repeat("The quick brown fox jumps over the lazy dog. ", 100))} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if err := ValidJSON(p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+" json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				json.Valid(p)
			}
		})
	}
}
