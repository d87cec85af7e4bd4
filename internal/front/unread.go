package front

import (
	"ringdown/protocol"
)

// owe counts n bytes that a client is to take, until paid. Over the limit of all
// answers together those are given up whose clients take nothing, and if that is
// not enough, so is this one: its client asks again, and by then the others have
// taken theirs or were given up. What is small goes out whatever there is, so that
// a server full of answers that nobody reads still says that it is alive.
func (f *Front) owe(c *Conn, n int) error {
	most := f.policy.Load().Unread
	owed := f.unread.Add(int64(n))
	if owed > most && n > stepSize {
		f.relieve(owed - most + most/16)
		owed = f.unread.Load()
	}
	if owed > most && n > stepSize {
		f.unread.Add(-int64(n))
		e := protocol.Errorf(protocol.CodeUnavailable, "answers of %d bytes wait for clients that do not take them (limits.node.unread_answers), and there is no room for another", owed-int64(n)).WithLimit("limits.node.unread_answers")
		f.note(c.place, e)
		return e
	}
	c.unread.Add(int64(n))
	return nil
}

// Unread returns how many bytes of answers wait for their clients.
func (f *Front) Unread() int64 { return f.unread.Load() }

// paid takes back what owe has counted. What was given up is taken back already.
func (f *Front) paid(c *Conn) { f.unread.Add(-c.unread.Swap(0)) }

// relieve closes connections whose clients take nothing of their answers, until
// these have at least n bytes fewer.
func (f *Front) relieve(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now < f.noneStuckUntil {
		return
	}
	list := f.spares(now, (*Conn).stuck)
	if len(list) == 0 {
		f.noneStuckUntil = now + lookAgainAfter
		return
	}
	i := 0
	for ; i < len(list) && n > 0; i++ {
		n -= list[i].conn.unread.Load()
		list[i].conn.abort()
	}
	f.cut(list[:i], protocol.Errorf(protocol.CodeUnavailable, "a client that took nothing of its answer was given up to make room for those of others (limits.node.unread_answers)").WithLimit("limits.node.unread_answers"))
}
