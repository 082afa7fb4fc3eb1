/*
 * milter_conn - reading and writing at once.
 *
 * The loop is asked about writing only while something is left over. An error
 * in writing is not told to the one who writes, who may be deep in something:
 * the loop comes with it, as if it were one in reading.
 */

#include "filters/milter_conn.h"

#include <sys/socket.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/mem.h"
#include "base/obj.h"

#define LOW	((size_t)64 << 10)	/* waiting: as good as written */
#define ROOM	65536			/* for one read */

struct milter_conn {
	unsigned		 magic;
#define MILTER_CONN_MAGIC	 0x311e7003
	int			 fd;		/* ours */
	struct event		*readable, *writable;	/* ours */
	struct evbuffer		*in, *out;	/* ours */
	const struct milter_conn_calls *calls;
	void			*arg;
	int			 error;		/* of a write, for the loop */
};

static bool
try_again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* What came before an error is read first. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	static char room[ROOM];
	struct milter_conn *c;
	ssize_t n;

	(void)what;
	OBJ_CAST(c, arg, MILTER_CONN_MAGIC);
	n = recv(fd, room, sizeof(room), MSG_DONTWAIT);
	if (n > 0) {
		evbuffer_add(c->in, room, (size_t)n);
		c->calls->input(c->arg);
	} else if (n == 0) {
		event_del(c->readable);
		c->calls->end(c->arg, "it closed the connection");
	} else if (!try_again() || c->error != 0) {
		event_del(c->readable);
		c->calls->end(c->arg, strerror(c->error != 0 ? c->error :
		    errno));
	}
}

void
milter_conn_flush(struct milter_conn *c)
{
	OBJ_CHECK(c, MILTER_CONN_MAGIC);
	while (c->error == 0 && evbuffer_get_length(c->out) > 0) {
		if (evbuffer_write(c->out, c->fd) > 0)
			continue;
		if (try_again())
			break;
		c->error = errno;
		event_active(c->readable, EV_READ, 0);
	}
	if (c->error != 0 || evbuffer_get_length(c->out) == 0)
		event_del(c->writable);
	else
		event_add(c->writable, NULL);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct milter_conn *c;

	(void)fd, (void)what;
	OBJ_CAST(c, arg, MILTER_CONN_MAGIC);
	milter_conn_flush(c);
	if (evbuffer_get_length(c->out) <= LOW)
		c->calls->written(c->arg);
}

void
milter_conn_flush_soon(struct milter_conn *c)
{
	OBJ_CHECK(c, MILTER_CONN_MAGIC);
	event_active(c->writable, EV_WRITE, 0);
}

struct milter_conn *
milter_conn_new(struct event_base *base, int fd,
    const struct milter_conn_calls *calls, void *arg)
{
	struct milter_conn *c = xcalloc(1, sizeof(*c));

	c->magic = MILTER_CONN_MAGIC;
	c->fd = fd;
	c->calls = calls;
	c->arg = arg;
	c->in = evbuffer_new();
	c->out = evbuffer_new();
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable,
	    c);
	event_add(c->readable, NULL);
	return c;
}

void
milter_conn_free(struct milter_conn **cp)
{
	struct milter_conn *c = *cp;

	if (c == NULL)
		return;
	OBJ_CHECK(c, MILTER_CONN_MAGIC);
	*cp = NULL;
	event_free(c->readable);
	event_free(c->writable);
	evbuffer_free(c->in);
	evbuffer_free(c->out);
	close(c->fd);
	c->magic = 0;
	free(c);
}

struct evbuffer *
milter_conn_in(struct milter_conn *c)
{
	OBJ_CHECK(c, MILTER_CONN_MAGIC);
	return c->in;
}

struct evbuffer *
milter_conn_out(struct milter_conn *c)
{
	OBJ_CHECK(c, MILTER_CONN_MAGIC);
	return c->out;
}
