// floor: the least that a WebSocket fan-out can cost on one thread. It upgrades,
// puts connections into rooms, and for each batch of publications that one read
// brought writes the ready frames to every subscriber of their room, one write()
// each. No limits, no masking of errors, no UTF-8 check, no TLS, no fairness: it is
// a yardstick and not a server.
//
// usage: floor ADDRESS:PORT   (prints "listening ADDRESS:PORT")

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MAX_FD = 65536,
	READ_BYTES = 256 << 10,
	MAX_PARTIAL = 64 << 10,
	EVENTS = 256,
	BUCKETS = 8192,
	NAME_BYTES = 64,
	MAX_BACKLOG = 16 << 20,
};

struct bytes {
	uint8_t *p;
	size_t len, cap;
};

struct room {
	struct room *next;   // in its hash bucket
	struct room *dirty;  // in the list of rooms with pending frames
	int is_dirty;
	int *members;        // descriptors
	int len, cap;
	struct bytes pending;
	char name[NAME_BYTES];
};

struct conn {
	struct room *room;
	int place;           // in room->members
	int upgraded;
	struct bytes in;     // an incomplete request or frame
	struct bytes out;    // what the socket has not taken
};

static struct conn *conns[MAX_FD];
static struct room *rooms[BUCKETS];
static struct room *dirty;
static uint8_t buffer[READ_BYTES + MAX_PARTIAL];
static int ep, listener;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void append(struct bytes *b, const void *p, size_t n) {
	if (b->len + n > b->cap) {
		b->cap = (b->len + n) * 2;
		b->p = realloc(b->p, b->cap);
		if (!b->p) die("realloc");
	}
	memcpy(b->p + b->len, p, n);
	b->len += n;
}

static void release(struct bytes *b) {
	free(b->p);
	memset(b, 0, sizeof *b);
}

// ---- SHA-1 and base64, for Sec-WebSocket-Accept (RFC 6455 section 4.2.2) ----

static uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const uint8_t *msg, size_t len, uint8_t digest[20]) {
	uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
	uint8_t block[128] = {0};
	size_t total = len < 56 ? 64 : 128;  // a key and the GUID are 60 bytes
	memcpy(block, msg, len);
	block[len] = 0x80;
	for (int i = 0; i < 8; i++) block[total - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
	for (size_t at = 0; at < total; at += 64) {
		uint32_t w[80];
		for (int i = 0; i < 16; i++) {
			uint8_t *q = block + at + i * 4;
			w[i] = (uint32_t)q[0] << 24 | q[1] << 16 | q[2] << 8 | q[3];
		}
		for (int i = 16; i < 80; i++) w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
		uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
		for (int i = 0; i < 80; i++) {
			uint32_t f, k;
			if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
			else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
			else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
			else f = b ^ c ^ d, k = 0xCA62C1D6;
			uint32_t t = rol(a, 5) + f + e + k + w[i];
			e = d, d = c, c = rol(b, 30), b = a, a = t;
		}
		h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
	}
	for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *p, size_t n, char *out) {
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = 0;
}

// ---- connections ----

static void interest(int fd, uint32_t events) {
	struct epoll_event ev = {.events = events, .data.fd = fd};
	epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
}

static void leave(int fd) {
	struct conn *c = conns[fd];
	if (!c->room) return;
	struct room *r = c->room;
	int last = r->members[--r->len];
	r->members[c->place] = last;
	conns[last]->place = c->place;
	c->room = NULL;
}

static void drop(int fd) {
	leave(fd);
	release(&conns[fd]->in);
	release(&conns[fd]->out);
	free(conns[fd]);
	conns[fd] = NULL;
	close(fd);
}

// emit is the yardstick's one hot line. What does not fit waits for EPOLLOUT; a
// reader that is 16 MiB behind is dropped, by its next event.
static void emit(int fd, const uint8_t *p, size_t n) {
	struct conn *c = conns[fd];
	ssize_t sent = 0;
	if (c->out.len == 0) {
		sent = write(fd, p, n);
		if (sent == (ssize_t)n) return;
		if (sent < 0) sent = 0;
		interest(fd, EPOLLIN | EPOLLOUT);
	}
	if (c->out.len + n > MAX_BACKLOG) {
		shutdown(fd, SHUT_RDWR);
		return;
	}
	append(&c->out, p + sent, n - (size_t)sent);
}

static void drain(int fd) {
	struct conn *c = conns[fd];
	ssize_t sent = write(fd, c->out.p, c->out.len);
	if (sent <= 0) return;
	memmove(c->out.p, c->out.p + sent, c->out.len - (size_t)sent);
	c->out.len -= (size_t)sent;
	if (c->out.len == 0) {
		release(&c->out);
		interest(fd, EPOLLIN);
	}
}

static size_t header(uint8_t *h, uint8_t op, size_t n) {
	h[0] = 0x80 | op;
	if (n < 126) {
		h[1] = (uint8_t)n;
		return 2;
	}
	h[1] = 126;  // nothing longer than 64 KiB is read
	h[2] = (uint8_t)(n >> 8);
	h[3] = (uint8_t)n;
	return 4;
}

// ---- rooms ----

static struct room *room_named(const char *name, size_t n) {
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < n; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	struct room **slot = &rooms[hash % BUCKETS];
	for (struct room *r = *slot; r; r = r->next)
		if (strncmp(r->name, name, n) == 0 && r->name[n] == 0) return r;
	struct room *r = calloc(1, sizeof *r);
	if (!r) die("calloc");
	memcpy(r->name, name, n);
	r->next = *slot;
	return *slot = r;
}

static void join(int fd, struct room *r) {
	leave(fd);
	if (r->len == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->members = realloc(r->members, sizeof(int) * (size_t)r->cap);
		if (!r->members) die("realloc");
	}
	conns[fd]->room = r;
	conns[fd]->place = r->len;
	r->members[r->len++] = fd;
}

static void sweep(void) {
	for (struct room *r = dirty; r; r = r->dirty) {
		r->is_dirty = 0;
		for (int i = 0; i < r->len; i++) emit(r->members[i], r->pending.p, r->pending.len);
		r->pending.len = 0;
	}
	dirty = NULL;
}

// ---- protocol ----

static void message(int fd, const char *p, size_t n) {
	static const char key[] = "\"channel\":\"", subscribe[] = "{\"type\":\"subscribe\"";
	char *at = memmem(p, n, key, sizeof key - 1);
	if (!at) return;
	const char *name = at + sizeof key - 1;
	const char *quote = memchr(name, '"', n - (size_t)(name - p));
	if (!quote || quote - name >= NAME_BYTES) return;
	struct room *r = room_named(name, (size_t)(quote - name));
	uint8_t head[4];
	if (n >= sizeof subscribe - 1 && memcmp(p, subscribe, sizeof subscribe - 1) == 0) {
		char answer[128];
		int length = snprintf(answer + 4, sizeof answer - 4, "{\"type\":\"subscribed\",\"channel\":\"%s\"}", r->name);
		size_t h = header(head, 1, (size_t)length);
		memcpy(answer + 4 - h, head, h);
		join(fd, r);
		emit(fd, (uint8_t *)answer + 4 - h, h + (size_t)length);
		return;
	}
	append(&r->pending, head, header(head, 1, n));
	append(&r->pending, p, n);
	if (!r->is_dirty) {
		r->is_dirty = 1;
		r->dirty = dirty;
		dirty = r;
	}
}

// frames takes whole frames and returns how many bytes they were, or -1 when the
// connection is over.
static ssize_t frames(int fd, uint8_t *p, size_t n) {
	size_t used = 0;
	for (;;) {
		uint8_t *f = p + used;
		size_t left = n - used, head = 6;
		if (left < 2) return (ssize_t)used;
		size_t length = f[1] & 0x7F;
		if (!(f[1] & 0x80) || length == 127) return -1;
		if (length == 126) {
			if (left < 4) return (ssize_t)used;
			length = (size_t)f[2] << 8 | f[3];
			head = 8;
		}
		if (left < head + length) return (ssize_t)used;
		uint8_t *mask = f + head - 4, *payload = f + head;
		for (size_t i = 0; i < length; i++) payload[i] ^= mask[i & 3];
		uint8_t op = f[0] & 0x0F;
		if (op == 1) message(fd, (char *)payload, length);
		if (op == 8) return -1;
		if (op == 9 && length < 126) {
			uint8_t pong[4 + 125];
			size_t h = header(pong, 10, length);
			memcpy(pong + h, payload, length);
			emit(fd, pong, h + length);
		}
		used += head + length;
	}
}

// upgrade answers a whole request head and returns its length, 0 if there is more
// to come, -1 if it was no upgrade: then it has been answered 204, which is how the
// load client's request to settle, of which there is nothing to do here, ends.
static ssize_t upgrade(int fd, char *p, size_t n) {
	static const char name[] = "Sec-WebSocket-Key: ", guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char *end = memmem(p, n, "\r\n\r\n", 4);
	if (!end) return 0;
	char *key = memmem(p, (size_t)(end - p) + 2, name, sizeof name - 1);
	if (!key) {
		static const char none[] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
		if (write(fd, none, sizeof none - 1) < 0) return -1;
		return -1;
	}
	key += sizeof name - 1;
	uint8_t text[60], digest[20];
	if (end - key < 24) return -1;
	memcpy(text, key, 24);
	memcpy(text + 24, guid, 36);
	sha1(text, sizeof text, digest);
	char accept[32], answer[256];
	base64(digest, sizeof digest, accept);
	int length = snprintf(answer, sizeof answer,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
	conns[fd]->upgraded = 1;
	emit(fd, (uint8_t *)answer, (size_t)length);
	return end + 4 - p;
}

static void readable(int fd) {
	struct conn *c = conns[fd];
	size_t kept = c->in.len;
	if (kept) memcpy(buffer, c->in.p, kept);
	ssize_t got = read(fd, buffer + kept, READ_BYTES);
	if (got < 0 && errno == EAGAIN) return;
	if (got <= 0) {
		drop(fd);
		return;
	}
	size_t n = kept + (size_t)got;
	ssize_t used = 0;
	if (!c->upgraded) {
		used = upgrade(fd, (char *)buffer, n);
		if (used < 0) {
			drop(fd);
			return;
		}
	}
	if (c->upgraded) {
		ssize_t more = frames(fd, buffer + used, n - (size_t)used);
		sweep();
		if (more < 0) {
			drop(fd);
			return;
		}
		used += more;
	}
	release(&c->in);
	if (n - (size_t)used > MAX_PARTIAL) {
		drop(fd);
		return;
	}
	if (n > (size_t)used) append(&c->in, buffer + used, n - (size_t)used);
}

static void accept_all(void) {
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) return;
		if (fd >= MAX_FD) {
			close(fd);
			continue;
		}
		int one = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		conns[fd] = calloc(1, sizeof *conns[fd]);
		if (!conns[fd]) die("calloc");
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev)) die("epoll_ctl");
	}
}

static void listen_on(char *address) {
	char *colon = strrchr(address, ':');
	if (!colon) {
		fprintf(stderr, "usage: floor ADDRESS:PORT\n");
		exit(2);
	}
	*colon = 0;
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1) die("address");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&sa, sizeof sa)) die("bind");
	if (listen(listener, 4096)) die("listen");
	socklen_t size = sizeof sa;
	getsockname(listener, (struct sockaddr *)&sa, &size);
	printf("listening %s:%d\n", address, ntohs(sa.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv) {
	if (argc != 2) {
		fprintf(stderr, "usage: floor ADDRESS:PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	ep = epoll_create1(EPOLL_CLOEXEC);
	listen_on(argv[1]);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
	if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev)) die("epoll_ctl");
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				accept_all();
				continue;
			}
			if (conns[fd] && events[i].events & EPOLLOUT && conns[fd]->out.len) drain(fd);
			if (conns[fd] && events[i].events & ~(uint32_t)EPOLLOUT) readable(fd);
		}
	}
}
