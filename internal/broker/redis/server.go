package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// server is the connection to whoever is the primary now.
type server struct {
	current atomic.Pointer[primary]
	down    atomic.Bool   // it did not answer lately
	changed chan struct{} // current is another one
	poke    chan struct{} // look now whether it is still the primary
	closing sync.WaitGroup

	primaries []string // of a Cluster, as last seen by the watch
}

// primary is a server that said it was one, or a cluster.
type primary struct {
	client  rueidis.Client
	address string
	lineage atomic.Pointer[string] // its replication id
}

func (b *Broker) client() rueidis.Client {
	if p := b.server.current.Load(); p != nil {
		return p.client
	}
	return nil
}

// lineage is the replication id of the primary as it was last seen. A cluster
// has many and none is told.
func (b *Broker) lineage() string {
	if p := b.server.current.Load(); p != nil {
		if l := p.lineage.Load(); l != nil {
			return *l
		}
	}
	return ""
}

func (s *server) close() {
	if p := s.current.Swap(nil); p != nil {
		p.client.Close()
	}
	s.closing.Wait()
}

// doubt says that the primary behaved strangely.
func (b *Broker) doubt(error) {
	select {
	case b.server.poke <- struct{}{}:
	default:
	}
}

// option is how every connection is made.
func (b *Broker) option(addresses ...string) rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress: addresses, Username: b.opts.Username, Password: b.opts.Password, TLSConfig: b.opts.TLS,
		ClientName: "ringdown", DisableCache: true, DisableRetry: true,
		// One connection carries all: the publications of a channel stay in order.
		PipelineMultiplex: -1, AlwaysPipelining: true,
		Dialer:            net.Dialer{Timeout: b.opts.Timeout, KeepAlive: time.Second},
		ConnWriteTimeout:  b.opts.Timeout,
		BlockingPoolSize:  16,
		ForceSingleClient: !b.opts.Cluster,
	}
}

// connect finds the primary and makes it the current one.
func (b *Broker) connect(ctx context.Context) error {
	if b.opts.Cluster {
		c, err := rueidis.NewClient(b.option(b.opts.Addresses...))
		if err != nil {
			return fmt.Errorf("redis: connecting to the cluster: %w", b.reason(err))
		}
		if c.Mode() != rueidis.ClientModeCluster {
			b.server.closing.Go(c.Close)
			return fmt.Errorf("redis: %s is no Redis Cluster; remove cluster: true", strings.Join(b.opts.Addresses, ", "))
		}
		if b.modern(ctx, c) && !b.opts.old {
			b.follows.sharded, b.publish = true, "SPUBLISH"
		}
		b.use(&primary{client: c})
		return nil
	}
	list := b.opts.Addresses
	if b.opts.Master != "" {
		address, err := b.askSentinels(ctx)
		if err != nil {
			return err
		}
		list = []string{address}
	}
	var errs []error
	for _, address := range list {
		p, err := b.dial(ctx, address)
		if err == nil {
			b.use(p)
			return nil
		}
		errs = append(errs, fmt.Errorf("redis: %s: %w", address, b.reason(err)))
	}
	return errors.Join(errs...)
}

var errNoPrimary = errors.New("it is not a primary")

// dial connects to a server that must be a primary.
func (b *Broker) dial(ctx context.Context, address string) (*primary, error) {
	c, err := rueidis.NewClient(b.option(address))
	if err != nil {
		if c != nil {
			b.server.closing.Go(c.Close)
		}
		return nil, err
	}
	p := &primary{client: c, address: address}
	lineage, err := ask(ctx, c)
	if err != nil {
		b.server.closing.Go(c.Close)
		return nil, err
	}
	p.lineage.Store(&lineage)
	return p, nil
}

// ask returns the replication id of a server, which must be a primary.
func ask(ctx context.Context, c rueidis.CoreClient) (lineage string, err error) {
	info, err := c.Do(ctx, c.B().Info().Section("replication").Build()).ToString()
	if err != nil {
		return "", err
	}
	role := ""
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "role":
			role = value
		case "master_replid":
			lineage = value
		}
	}
	if role != "master" {
		return "", errNoPrimary
	}
	return lineage, nil
}

// use makes p the current primary.
func (b *Broker) use(p *primary) {
	old := b.server.current.Swap(p)
	b.server.down.Store(false)
	if old != nil {
		b.server.closing.Go(old.client.Close)
		select {
		case b.server.changed <- struct{}{}:
		default:
		}
	}
}

// askSentinels returns the address of the primary, by the first Sentinel that
// knows it.
func (b *Broker) askSentinels(ctx context.Context) (string, error) {
	var errs []error
	for _, address := range b.opts.Addresses {
		o := b.option(address)
		o.Username, o.Password = b.opts.SentinelUsername, b.opts.SentinelPassword
		o.Dialer.Timeout = min(o.Dialer.Timeout, time.Second)
		c, err := rueidis.NewClient(o)
		if err == nil {
			var at []string
			at, err = c.Do(ctx, c.B().SentinelGetMasterAddrByName().Master(b.opts.Master).Build()).AsStrSlice()
			if err == nil && len(at) == 2 {
				c.Close()
				return net.JoinHostPort(at[0], at[1]), nil
			}
		}
		if c != nil {
			b.server.closing.Go(c.Close)
		}
		errs = append(errs, fmt.Errorf("redis: Sentinel %s: %w", address, b.reason(err)))
	}
	return "", errors.Join(errs...)
}

// probe asks whether the primary takes writes, and for its replication id.
func (b *Broker) probe(ctx context.Context) (lineage string, err error) {
	p := b.server.current.Load()
	if p == nil {
		return "", errDown
	}
	return ask(ctx, p.client)
}

// usable returns nil when Redis takes writes.
func (b *Broker) usable(ctx context.Context) error {
	if !b.opts.Cluster {
		_, err := b.probe(ctx)
		return err
	}
	s, err := b.survey(ctx)
	if err == nil && !s.usable {
		err = errCluster
	}
	return err
}

// watch keeps the connection to whoever is the primary.
func (b *Broker) watch() {
	interval := min(b.opts.Check, time.Second)
	look := b.look
	if b.opts.Cluster {
		look = b.lookAtCluster
		look() // nothing is heard before
	}
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-t.C:
		case <-b.server.poke:
			if !b.doze(interval / 16) { // so that a broken server is not asked without end
				return
			}
		}
		look()
	}
}

// lookAtCluster goes by what the servers say; the client finds them by itself.
func (b *Broker) lookAtCluster() {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout/2)
	defer cancel()
	s, err := b.survey(ctx)
	if b.ctx.Err() != nil {
		return
	}
	if err == nil {
		b.surveyed(s)
		if !s.usable {
			err = errCluster
		}
	}
	if err != nil {
		b.lost(err)
	} else if b.server.down.Swap(false) {
		b.opts.Logger.Info("Redis is usable again")
	}
}

// lost notes that Redis is not usable.
func (b *Broker) lost(err error) {
	if !b.server.down.Swap(true) {
		b.opts.Logger.Warn("Redis is not usable; publications fail until it is", "error", err)
	}
}

func (b *Broker) look() {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout/2)
	defer cancel()
	lineage, err := b.probe(ctx)
	if err == nil && b.opts.Master != "" {
		// An old primary that is cut off from its Sentinels goes on as if nothing
		// had happened: they know who it is now.
		address, unknown := b.askSentinels(ctx)
		if p := b.server.current.Load(); unknown == nil && address != p.address {
			err = fmt.Errorf("redis: the Sentinels have made %s the primary", address)
		}
	}
	if err == nil {
		b.server.down.Store(false)
		if old := b.server.current.Load().lineage.Swap(&lineage); old != nil && *old != lineage {
			// The same address, and another history of writes: it was restarted, or
			// something else stands there now.
			b.verifySoon()
		}
		return
	}
	if b.ctx.Err() != nil {
		return
	}
	b.lost(err)
	ctx, cancel = context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	if err := b.connect(ctx); err != nil {
		return // the next look tries again
	}
	b.opts.Logger.Info("Redis is usable again", "address", b.server.current.Load().address)
	b.verifySoon()
}
