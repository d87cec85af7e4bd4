package protocol

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of ringdown.proto. The tests hold them against it.
const (
	pbType     = 1
	pbChannel  = 2
	pbID       = 3
	pbPayload  = 4
	pbBinary   = 5
	pbKey      = 6
	pbDedupe   = 7
	pbOffset   = 8
	pbPrev     = 9
	pbTime     = 10
	pbFrom     = 11
	pbEpoch    = 12
	pbToken    = 13
	pbSince    = 14
	pbChannels = 15
	pbExclude  = 16
	pbTrace    = 17

	pbPositionEpoch  = 1
	pbPositionOffset = 2

	pbSubscriptionChannel = 1
	pbSubscriptionSince   = 2
	pbSubscriptionPayload = 3
)

// AppendProtobuf appends m as one Envelope of ringdown.proto. What DecodeProtobuf
// reads back is m again, if m is sound in the sense of AppendJSON.
func AppendProtobuf(dst []byte, m *Message) []byte {
	dst = appendText(dst, pbType, m.Type)
	dst = appendText(dst, pbChannel, m.Channel)
	dst = appendBytes(dst, pbID, m.ID)
	dst = appendBytes(dst, pbPayload, m.Data)
	if m.Binary {
		dst = appendUint(dst, pbBinary, 1)
	}
	dst = appendText(dst, pbKey, m.Key)
	dst = appendText(dst, pbDedupe, m.Dedupe)
	if m.Kept {
		dst = appendUint(dst, pbOffset, m.Offset)
	}
	if m.sendsPrev() {
		dst = appendUint(dst, pbPrev, m.Prev)
	}
	if m.Time != 0 {
		dst = appendUint(dst, pbTime, uint64(m.Time))
	}
	dst = appendText(dst, pbFrom, m.From)
	dst = appendText(dst, pbEpoch, m.Epoch)
	dst = appendText(dst, pbToken, m.Token)
	if m.Since != nil {
		dst = appendPosition(dst, pbSince, m.Since)
	}
	for i := range m.Channels {
		dst = appendSubscription(dst, &m.Channels[i])
	}
	dst = appendText(dst, pbExclude, m.Exclude)
	return appendText(dst, pbTrace, m.Trace)
}

func appendUint(dst []byte, field protowire.Number, v uint64) []byte {
	dst = protowire.AppendTag(dst, field, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendBytes(dst []byte, field protowire.Number, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendBytes(dst, p)
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func appendPosition(dst []byte, field protowire.Number, p *Position) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(sizePosition(p)))
	dst = appendText(dst, pbPositionEpoch, p.Epoch)
	if p.Offset != 0 {
		dst = appendUint(dst, pbPositionOffset, p.Offset)
	}
	return dst
}

// sizePosition is the length of what appendPosition puts inside. As all field
// numbers of inner messages are below 16, their tags take one byte.
func sizePosition(p *Position) (n int) {
	if p.Epoch != "" {
		n += 1 + protowire.SizeBytes(len(p.Epoch))
	}
	if p.Offset != 0 {
		n += 1 + protowire.SizeVarint(p.Offset)
	}
	return n
}

func appendSubscription(dst []byte, s *Subscription) []byte {
	n := 0
	if s.Channel != "" {
		n += 1 + protowire.SizeBytes(len(s.Channel))
	}
	if s.Since != nil {
		n += 1 + protowire.SizeBytes(sizePosition(s.Since))
	}
	if len(s.Data) > 0 {
		n += 1 + protowire.SizeBytes(len(s.Data))
	}
	dst = protowire.AppendTag(dst, pbChannels, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(n))
	dst = appendText(dst, pbSubscriptionChannel, s.Channel)
	if s.Since != nil {
		dst = appendPosition(dst, pbSubscriptionSince, s.Since)
	}
	return appendBytes(dst, pbSubscriptionPayload, s.Data)
}
