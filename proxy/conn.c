/*
 * conn - octets of one peer: a socket, TLS on top of it or not, one deadline.
 */

#include "proxy/conn.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/tls.h"

#define READ_ROOM	65536	/* octets of one read(2) */
#define TLS_RECORD	16384	/* octets of one SSL_write(): one record */
#define HIGH_WATER	262144	/* output above this: conn_is_full() */
#define TLS_READS	4	/* records taken in one turn of the loop */

enum tls_state {
	TLS_NONE,
	TLS_WAITS,		/* for the plain output to be written */
	TLS_HANDSHAKE,
	TLS_UP
};

struct conn {
	unsigned	 magic;
#define CONN_MAGIC	 0xc0221e01
	int		 fd;
	enum tls_state	 tls;
	bool		 paused;	/* conn_pause() */
	bool		 peeking;	/* conn_peek_first() */
	size_t		 peeked;	/* octets that were there last time */
	bool		 write_armed;	/* EPOLLOUT is on */
	bool		 failed;	/* no more I/O; on_end will say */
	bool		 eof;		/* the peer will send no more */
	SSL		*ssl;		/* ours; NULL: plain text */
	struct evbuffer	*in, *out;	/* ours */
	struct event	 readable, writable;
	struct timer	 deadline;
	uint64_t	 octets_in, octets_out;
	char		 detail[80];	/* why it failed */

	const struct conn_owner *owner;	/* borrowed */
	void		*arg;
};

static void on_readable(evutil_socket_t, short, void *);
static void on_writable(evutil_socket_t, short, void *);
static void on_deadline(void *);
static void handshake(struct conn *);

struct conn *
conn_new(struct event_base *base, int fd, const struct conn_owner *owner,
    void *arg)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->magic = CONN_MAGIC;
	c->fd = fd;
	c->owner = owner;
	c->arg = arg;
	c->in = evbuffer_new();
	c->out = evbuffer_new();
	timer_init(&c->deadline, on_deadline, c);
	event_assign(&c->readable, base, fd, EV_READ | EV_PERSIST, on_readable,
	    c);
	event_assign(&c->writable, base, fd, EV_WRITE | EV_PERSIST,
	    on_writable, c);
	event_add(&c->readable, NULL);
	return c;
}

void
conn_free(struct conn **cp)
{
	struct conn *c = *cp;

	if (c == NULL)
		return;
	OBJ_CHECK(c, CONN_MAGIC);
	*cp = NULL;
	timer_stop(&c->deadline);
	event_del(&c->readable);
	event_del(&c->writable);
	SSL_free(c->ssl);
	close(c->fd);
	evbuffer_free(c->in);
	evbuffer_free(c->out);
	c->magic = 0;
	free(c);
}

struct evbuffer *
conn_input(struct conn *c)
{
	return c->in;
}

struct evbuffer *
conn_output(struct conn *c)
{
	return c->out;
}

/* Ends */

/*
 * No more I/O. The owner hears of it from the loop, because we may be deep in
 * a call of his.
 */
static void
fail(struct conn *c, const char *detail)
{
	if (c->failed)
		return;
	c->failed = true;
	snprintf(c->detail, sizeof(c->detail), "%s", detail);
	event_del(&c->writable);
	c->write_armed = false;
	event_active(&c->readable, EV_READ, 0);
}

/* Tell the owner. The conn may be gone afterwards, and before he has read why:
   that is a copy. */
static void
end(struct conn *c, enum conn_end why, const char *detail)
{
	char text[sizeof(c->detail)];

	snprintf(text, sizeof(text), "%s", detail);
	event_del(&c->readable);
	if (why == CONN_EOF)
		c->eof = true;
	else
		c->failed = true;
	c->owner->on_end(c->arg, why, text);
}

static void
on_deadline(void *arg)
{
	struct conn *c;

	OBJ_CAST(c, arg, CONN_MAGIC);
	c->owner->on_end(c->arg, CONN_TIMEOUT, "timed out");
}

void
conn_deadline(struct conn *c, uint64_t ms)
{
	if (ms == 0)
		timer_stop(&c->deadline);
	else
		timer_set(&c->deadline, ms);
}

/* Look once more for input, from the loop: what OpenSSL holds, decrypted or
   as an end, makes no socket readable. */
static void
read_again(struct conn *c)
{
	event_active(&c->readable, EV_READ, 0);
}

static void
fail_tls(struct conn *c)
{
	char text[sizeof(c->detail)];

	fail(c, tls_error(text, sizeof(text)));
}

/* Reading */

enum got { GOT_INPUT, GOT_NOTHING, GOT_EOF, GOT_ERROR };

static enum got
read_plain(struct conn *c)
{
	static char room[READ_ROOM];
	ssize_t n;

	do
		n = recv(c->fd, room, sizeof(room), 0);
	while (n == -1 && errno == EINTR);
	if (n == 0)
		return GOT_EOF;
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return GOT_NOTHING;
	if (n == -1) {
		snprintf(c->detail, sizeof(c->detail), "%s", strerror(errno));
		return GOT_ERROR;
	}
	evbuffer_add(c->in, room, (size_t)n);
	c->octets_in += (uint64_t)n;
	return GOT_INPUT;
}

/* Why SSL_read() gave nothing: n is what it returned. */
static enum got
read_tls_end(struct conn *c, int n)
{
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return GOT_NOTHING;
	case SSL_ERROR_ZERO_RETURN:
		return GOT_EOF;
	case SSL_ERROR_SYSCALL:
		snprintf(c->detail, sizeof(c->detail), "%s",
		    errno ? strerror(errno) : "closed");
		return errno ? GOT_ERROR : GOT_EOF;
	default:
		tls_error(c->detail, sizeof(c->detail));
		return GOT_ERROR;
	}
}

static enum got
read_tls(struct conn *c)
{
	static char room[TLS_RECORD];
	enum got end = GOT_NOTHING;
	bool any = false;
	int i, n;

	for (i = 0; i < TLS_READS; i++) {
		ERR_clear_error();
		errno = 0;
		n = SSL_read(c->ssl, room, sizeof(room));
		if (n <= 0) {
			end = read_tls_end(c, n);
			break;
		}
		evbuffer_add(c->in, room, (size_t)n);
		c->octets_in += (uint64_t)n;
		any = true;
	}
	if (!any)
		return end;
	/* An end behind it is found by the next read, as it will be said
	   again. */
	if (end != GOT_NOTHING || SSL_has_pending(c->ssl))
		read_again(c);
	return GOT_INPUT;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;

	(void)fd, (void)what;
	OBJ_CAST(c, arg, CONN_MAGIC);
	if (c->failed) {
		end(c, CONN_ERROR, c->detail);
		return;
	}
	if (c->tls == TLS_WAITS || c->tls == TLS_HANDSHAKE) {
		handshake(c);
		return;
	}
	if (c->paused)
		return;
	if (c->peeking) {
		c->owner->on_input(c->arg);
		return;
	}
	switch (c->tls == TLS_UP ? read_tls(c) : read_plain(c)) {
	case GOT_INPUT:
		c->owner->on_input(c->arg);
		break;
	case GOT_NOTHING:
		break;
	case GOT_EOF:
		end(c, CONN_EOF, "closed by peer");
		break;
	case GOT_ERROR:
		end(c, CONN_ERROR, c->detail);
		break;
	}
}

void
conn_pause(struct conn *c)
{
	if (c->paused)
		return;
	c->paused = true;
	/* When it has failed, the event is on its way to say so. */
	if (!c->failed && (c->tls == TLS_NONE || c->tls == TLS_UP))
		event_del(&c->readable);
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	if (c->failed || c->eof)
		return;
	event_add(&c->readable, NULL);
	if (c->tls == TLS_UP)
		read_again(c);
}

/* What is only peeked at stays readable: tell of what is new, once. */
static void
watch_input(struct conn *c, short edge)
{
	struct event_base *base = event_get_base(&c->readable);

	event_del(&c->readable);
	event_assign(&c->readable, base, c->fd,
	    (short)(EV_READ | EV_PERSIST | edge), on_readable, c);
	event_add(&c->readable, NULL);
}

void
conn_peek_first(struct conn *c)
{
	c->peeking = true;
	watch_input(c, EV_ET);
}

static bool
has_hung_up(struct conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1;
}

size_t
conn_peek(struct conn *c, char *buf, size_t room)
{
	ssize_t n = recv(c->fd, buf, room, MSG_PEEK);
	bool over = n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);

	if (n > 0 && has_hung_up(c)) {
		over = (size_t)n == c->peeked;
		if (!over)	/* the edge has been seen: come here again */
			read_again(c);
	}
	if (over) {		/* for normal reading to find */
		conn_skip(c, 0);
		read_again(c);
		return 0;
	}
	if (n <= 0)
		return 0;
	c->peeked = (size_t)n;
	return c->peeked;
}

void
conn_skip(struct conn *c, size_t n)
{
	char room[4096];
	ssize_t got;

	while (n > 0) {
		got = recv(c->fd, room, n < sizeof(room) ? n : sizeof(room), 0);
		if (got <= 0)
			break;		/* was peeked: this is no normal end */
		n -= (size_t)got;
	}
	c->peeking = false;
	watch_input(c, 0);
}

/* Writing */

/* Returns false when the peer takes no more now, or the conn has failed. */
static bool
write_plain(struct conn *c)
{
	int n;

	while (evbuffer_get_length(c->out) > 0) {
		n = evbuffer_write(c->out, c->fd);
		if (n > 0) {
			c->octets_out += (uint64_t)n;
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != EAGAIN && errno != EWOULDBLOCK)
			fail(c, strerror(errno));
		return false;
	}
	return true;
}

static bool
write_tls(struct conn *c)
{
	size_t len;
	int n;

	while ((len = evbuffer_get_length(c->out)) > 0) {
		if (len > TLS_RECORD)
			len = TLS_RECORD;
		ERR_clear_error();
		errno = 0;
		n = SSL_write(c->ssl, evbuffer_pullup(c->out, (ssize_t)len),
		    (int)len);
		if (n > 0) {
			evbuffer_drain(c->out, (size_t)n);
			c->octets_out += (uint64_t)n;
			continue;
		}
		switch (SSL_get_error(c->ssl, n)) {
		case SSL_ERROR_WANT_WRITE:
		case SSL_ERROR_WANT_READ:
			break;
		case SSL_ERROR_SYSCALL:
			fail(c, errno ? strerror(errno) : "closed");
			break;
		default:
			fail_tls(c);
		}
		return false;
	}
	return true;
}

void
conn_flush(struct conn *c)
{
	bool done;

	if (c->failed || c->tls == TLS_HANDSHAKE)
		return;
	done = c->tls == TLS_UP ? write_tls(c) : write_plain(c);
	if (!done && !c->failed && !c->write_armed) {
		c->write_armed = true;
		event_add(&c->writable, NULL);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c;

	(void)fd, (void)what;
	OBJ_CAST(c, arg, CONN_MAGIC);
	if (c->tls == TLS_HANDSHAKE) {
		handshake(c);
		return;
	}
	conn_flush(c);
	if (evbuffer_get_length(c->out) > 0 || c->failed)
		return;
	event_del(&c->writable);
	c->write_armed = false;
	if (c->tls == TLS_WAITS)
		handshake(c);
	else
		c->owner->on_drained(c->arg);
}

bool
conn_is_full(const struct conn *c)
{
	return evbuffer_get_length(c->out) > HIGH_WATER;
}

bool
conn_is_drained(const struct conn *c)
{
	return c->failed || evbuffer_get_length(c->out) == 0;
}

void
conn_shutdown(struct conn *c)
{
	if (c->failed)
		return;
	if (c->tls == TLS_UP)
		SSL_shutdown(c->ssl);	/* cannot help it if it fails */
	ERR_clear_error();
	shutdown(c->fd, SHUT_WR);
}

/* TLS */

size_t
conn_start_tls(struct conn *c, SSL *ssl, bool server)
{
	size_t plain = evbuffer_get_length(c->in);

	assert(c->ssl == NULL);
	evbuffer_drain(c->in, plain);
	c->ssl = ssl;
	SSL_set_fd(ssl, c->fd);
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	c->tls = TLS_WAITS;
	conn_flush(c);
	if (c->failed)
		return plain;
	if (!c->eof)
		event_add(&c->readable, NULL);	/* it may be paused */
	if (evbuffer_get_length(c->out) == 0)
		read_again(c);
	return plain;
}

/* One step; from the loop only. */
static void
handshake(struct conn *c)
{
	int n;

	if (evbuffer_get_length(c->out) > 0 && c->tls == TLS_WAITS)
		return;		/* the plain text that goes before */
	c->tls = TLS_HANDSHAKE;
	ERR_clear_error();
	errno = 0;
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		c->tls = TLS_UP;
		if (c->write_armed)
			event_del(&c->writable);
		c->write_armed = false;
		if (c->paused)
			event_del(&c->readable);
		else
			read_again(c);	/* what came with the handshake */
		c->owner->on_tls(c->arg);
		return;
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		if (c->write_armed)
			event_del(&c->writable);
		c->write_armed = false;
		return;
	case SSL_ERROR_WANT_WRITE:
		if (!c->write_armed)
			event_add(&c->writable, NULL);
		c->write_armed = true;
		return;
	case SSL_ERROR_ZERO_RETURN:
	case SSL_ERROR_SYSCALL:
		fail(c, errno ? strerror(errno) : "closed in the handshake");
		return;
	default:
		fail_tls(c);
	}
}

SSL *
conn_tls(const struct conn *c)
{
	return c->tls == TLS_UP ? c->ssl : NULL;
}

bool
conn_is_gone(const struct conn *c)
{
	struct pollfd p = { .fd = c->fd };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

uint64_t
conn_octets_in(const struct conn *c)
{
	return c->octets_in;
}

uint64_t
conn_octets_out(const struct conn *c)
{
	return c->octets_out;
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}
