/*
 * conn - octets of one peer: a socket, TLS on top of it or not, one deadline.
 *
 * Input is in conn_input(); whoever owns the conn takes it out with the
 * evbuffer calls. Output is collected in conn_output() and leaves with
 * conn_flush(), once for all the replies or commands of a turn of the loop.
 *
 * Why not a bufferevent: it asks for the number of waiting octets (FIONREAD)
 * before each read and arms EPOLLOUT, waits, and disarms it again for each
 * write, 3 to 4 extra system calls for each reply of a dialogue of short lines.
 * Here a read is one recv(2), a write is one writev(2) at once, and
 * EPOLLOUT is armed only when the kernel takes no more. TLS is SSL_read() and
 * SSL_write() on the same events, with its buffers released while idle.
 *
 * The deadline is one timer of base/clock, set by the owner for what it waits
 * for now. No callback is called from inside conn_*(): they come from the
 * loop only.
 */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct conn;
struct evbuffer;
struct event_base;

enum conn_end {
	CONN_EOF,		/* the peer closed */
	CONN_ERROR,		/* reset, or a TLS alert: detail says */
	CONN_TIMEOUT		/* the deadline passed */
};

/* The owner's callbacks. After any of them the conn may be gone. */
struct conn_owner {
	/* There is new input. */
	void	(*on_input)(void *arg);
	/* The output has been written after conn_is_full() or conn_drain(). */
	void	(*on_drained)(void *arg);
	/* The handshake started by conn_start_tls() is complete. */
	void	(*on_tls)(void *arg);
	/*
	 * CONN_EOF: nothing more will come, but the peer may still read.
	 * CONN_ERROR: it is over, perhaps after a CONN_EOF; nothing will be
	 * written any more. CONN_TIMEOUT changes nothing. The conn is still
	 * there; conn_free() calls nothing. detail is good until the call
	 * returns, whatever becomes of the conn.
	 */
	void	(*on_end)(void *arg, enum conn_end why, const char *detail);
};

/* fd: connected or connecting, non-blocking, ours from now on. Reading is
   on. The owner is borrowed, arg is handed to its callbacks. */
struct conn *conn_new(struct event_base *base, int fd,
    const struct conn_owner *owner, void *arg);
/* Closes the socket and leaves NULL; NULL is fine. From any depth. */
void conn_free(struct conn **c);

struct evbuffer *conn_input(struct conn *c);
struct evbuffer *conn_output(struct conn *c);

/*
 * Before any input: call on_input when there is something to read, but leave it
 * in the socket, for a PROXY header in front of a TLS handshake. conn_peek()
 * looks at it: the octets now in buf, 0 if none. conn_skip() takes n octets of
 * them away, perhaps none, and goes back to normal reading. So does
 * conn_peek() when the peer has closed, to let it be heard of.
 */
void conn_peek_first(struct conn *c);
size_t conn_peek(struct conn *c, char *buf, size_t room);
void conn_skip(struct conn *c, size_t n);

/*
 * Write what is in the output, as far as the peer takes it now. The rest goes
 * when it can; on_drained is called then. An error is reported by on_end,
 * later.
 */
void conn_flush(struct conn *c);
/* More than the high-water mark waits for the peer: stop producing. */
bool conn_is_full(const struct conn *c);
/* Nothing waits to be written. */
bool conn_is_drained(const struct conn *c);

/* Back-pressure: do not read from the socket. Both may be called at any
   time. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Call on_end(CONN_TIMEOUT) after ms unless it is moved; 0: no deadline. */
void conn_deadline(struct conn *c, uint64_t ms);

/*
 * Say that nothing will follow, TLS close_notify included, and keep reading:
 * a close(2) with unread input is a reset, and a reset can overtake the last
 * reply.
 */
void conn_shutdown(struct conn *c);

/*
 * Hand the connection to ssl (ours from now on) after the output is written.
 * Input that is already here came in plain text and is thrown away: returns
 * how many octets that were, so that the caller can refuse to go on.
 * server: we accept the handshake; else we start it.
 */
size_t conn_start_tls(struct conn *c, SSL *ssl, bool server);
/* The TLS of this connection, or NULL. */
SSL *conn_tls(const struct conn *c);

/* After CONN_EOF: the peer does not read any more, either, as far as that is
   known. A TCP peer that has closed may look like one that still reads. */
bool conn_is_gone(const struct conn *c);

/* Octets read and written so far, TLS taken off. */
uint64_t conn_octets_in(const struct conn *c);
uint64_t conn_octets_out(const struct conn *c);
/* The socket, for logs and options; do not read or write. */
int conn_fd(const struct conn *c);

#endif
