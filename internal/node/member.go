package node

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"ringdown/internal/broker"
)

// memberBytes is the length of a member's id, of which the last few say to the
// node that made it, and to nobody else, that it did.
const (
	memberBytes = 16
	memberMark  = 4
)

// members makes the ids of this node's members. A connection's own id does not
// do: everybody who sees the members would have it.
type members struct{ key [32]byte }

func newMembers() (m members) {
	rand.Read(m.key[:]) // never fails (crypto/rand)
	return m
}

func (m *members) sum(purpose byte, of []byte) []byte {
	h := hmac.New(sha256.New, m.key[:])
	h.Write([]byte{purpose})
	h.Write(of)
	return h.Sum(nil)
}

// MemberID returns what others know a connection of this node by that is a
// member of a channel. It is the same in all channels, says nothing, and is good
// for nothing but telling members apart.
func (n *Node) MemberID(connection string) string {
	id := n.members.sum('m', []byte(connection))[:memberBytes-memberMark]
	id = append(id, n.members.sum('o', id)[:memberMark]...)
	return base64.RawURLEncoding.EncodeToString(id)
}

// Member returns what a member of this node last said of itself, if it is here.
func (n *Node) Member(name, id string) (m broker.Member, here bool) {
	r := n.attendance.find(name, false)
	if r == nil {
		return m, false
	}
	defer n.attendance.release(r)
	return r.Here(id)
}

// Rename tells that a member of this node is of another user now. done is called
// as Enter's is; there is no error when there is no such member.
func (n *Node) Rename(name, id, user string, done func(err error)) {
	m, here := n.Member(name, id)
	if !here {
		done(nil)
		return
	}
	m.User = user
	n.attendance.enter(name, m, done)
}

// ownMember reports whether this node has made the id.
func (n *Node) ownMember(id string) bool {
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) != memberBytes {
		return false
	}
	const at = memberBytes - memberMark
	return hmac.Equal(n.members.sum('o', b[:at])[:memberMark], b[at:])
}
