package reactor

import "sync"

// mailbox is how other goroutines speak to a loop. It is unbounded: whoever
// posts has bounded what it posts.
type mailbox struct {
	mu       sync.Mutex
	in       []Task
	sleeping bool // the loop waits and has to be woken
	closed   bool

	spare []Task // the loop's: empty, to be the next in
}

// keptTasks is how much room for tasks a mailbox keeps after a flood.
const keptTasks = 4096

// put adds a task and reports whether it was taken, and whether the loop has to
// be woken for it.
func (m *mailbox) put(t Task) (ok, wake bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, false
	}
	m.in = append(m.in, t)
	wake = m.sleeping
	m.sleeping = false // one wake is enough
	return true, wake
}

// take returns all tasks, in order. They are the loop's until giveBack.
func (m *mailbox) take() []Task {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.in) == 0 {
		return nil
	}
	tasks := m.in
	m.in, m.spare = m.spare, nil
	return tasks
}

// giveBack returns the memory of what take returned, all nil by now.
func (m *mailbox) giveBack(tasks []Task) {
	if tasks != nil && cap(tasks) <= keptTasks {
		m.spare = tasks[:0]
	}
}

// sleep announces that the loop is about to wait, unless there is mail.
func (m *mailbox) sleep() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sleeping = len(m.in) == 0
	return m.sleeping
}

// awake takes the announcement back.
func (m *mailbox) awake() {
	m.mu.Lock()
	m.sleeping = false
	m.mu.Unlock()
}

func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
}
