// Package proxy proves the transports behind real proxies: nginx and HAProxy
// with TLS, round robin over two nodes that share a Redis, and no stickiness. The
// configurations, that of the nodes among them, are those of docs/transports.md. Its files are tests.
package proxy
