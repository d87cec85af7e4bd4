package config

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strconv"
	"strings"

	"ringdown/internal/broker/redis"
)

// broker reads what the nodes share. Without the key there is one node.
func (f fields) broker() *redis.Options {
	b, ok := f.mapping("broker")
	if !ok {
		return nil
	}
	r, ok := b.mapping("redis")
	if !ok {
		if b.node.child("redis") == nil {
			f.fail(f.node.child("broker").place, "write broker: {redis: {addresses: 'localhost:6379'}}, or remove it", "broker names none")
		}
		return nil
	}
	o := &redis.Options{
		Addresses: r.addresses("addresses"),
		Cluster:   r.boolean("cluster"),
		Username:  r.text("username"),
		Password:  r.secretText("password"),
		Prefix:    r.text("prefix"),
		Timeout:   r.duration("timeout"),
		TLS:       r.tls(),
	}
	if s, ok := r.mapping("sentinel"); ok {
		o.Master, o.SentinelUsername, o.SentinelPassword = s.text("master"), s.text("username"), s.secretText("password")
		if s.node.child("master") == nil {
			f.fail(s.node.place, "give the name that sentinel monitor has in the Sentinels' own configuration", "sentinel has no master")
		}
		if o.Cluster {
			f.fail(s.node.place, "remove one of them", "a cluster has no Sentinels")
		}
	}
	if r.node.child("addresses") == nil {
		f.fail(r.node.place, "write addresses: localhost:6379", "redis has no addresses")
	}
	if n := r.node.child("prefix"); n != nil && strings.ContainsAny(o.Prefix, "{} \n") {
		f.fail(n.place, "write it as in rd:", "the prefix of keys has no braces and no spaces: %q", clip(o.Prefix))
	}
	return o
}

// addresses reads a list of host:port.
func (f fields) addresses(name string) (list []string) {
	for _, n := range f.texts(name) {
		list = append(list, f.address(n)...)
	}
	return list
}

func (f fields) address(n *node) []string {
	if scheme, rest, ok := strings.Cut(n.text, "://"); ok {
		rest = rest[strings.LastIndexByte(rest, '@')+1:]
		remedy := "write " + strings.TrimSuffix(rest, "/")
		if scheme == "rediss" {
			remedy += ", and tls: true"
		}
		f.fail(n.place, remedy, "an address is host:port, not a URL; user and password have keys of their own")
		return nil
	}
	host, port, err := net.SplitHostPort(n.text)
	if p, bad := strconv.Atoi(port); err != nil || bad != nil || host == "" || p < 1 || p > 65535 {
		f.fail(n.place, "write host:port, as in localhost:6379 or '[::1]:6379'", "%q is no address", clip(n.text))
		return nil
	}
	return []string{n.text}
}

// secretText reads a secret that may be missing.
func (f fields) secretText(name string) string {
	_, n := f.get(name)
	if n == nil || !f.isText(name, n) {
		return ""
	}
	v, _ := f.secret(name, n, true)
	return string(v)
}

// tls reads whether the connections are encrypted, and whom they trust.
func (f fields) tls() *tls.Config {
	on := f.boolean("tls")
	_, n := f.get("ca")
	if n == nil || !f.isText("ca", n) {
		if on {
			return &tls.Config{MinVersion: tls.VersionTLS12}
		}
		return nil
	}
	if !on {
		f.fail(n.place, "add tls: true", "ca has no meaning without tls")
		return nil
	}
	pem, ok := f.value("ca", n)
	pool := x509.NewCertPool()
	if ok && !pool.AppendCertsFromPEM(pem) {
		f.fail(n.place, "give certificates in PEM, as in file:ca.pem", "ca has no certificate in it")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}
