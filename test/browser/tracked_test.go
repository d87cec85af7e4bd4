package browser

import "net"

// tracking is a listener whose connections can be broken, also those that were taken
// over by an upgrade.
type tracking struct {
	net.Listener
	site *site
}

func (l *tracking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tracked{c, l.site}
	l.site.mu.Lock()
	l.site.lines[t] = true
	l.site.mu.Unlock()
	return t, nil
}

type tracked struct {
	net.Conn
	site *site
}

func (c *tracked) Close() error {
	c.site.mu.Lock()
	delete(c.site.lines, c)
	c.site.mu.Unlock()
	return c.Conn.Close()
}
