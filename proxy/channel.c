/*
 * channel - lines of text between two of our own processes.
 *
 * Not a bufferevent: that writes when the loop runs next, and the last words
 * of a process that leaves its loop would be lost.
 */

#include "proxy/channel.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

/* The longest commands are numbers; the longest answer lists all workers. */
#define LINE_LIMIT	256
#define SAY_LIMIT	16384

struct channel {
	unsigned	 magic;
#define CHANNEL_MAGIC	 0xc4a77e10
	int		 fd;
	struct event	*readable;	/* ours */
	struct evbuffer	*in;		/* ours */
	bool		 paused;
	channel_line_fn	*on_line;
	channel_end_fn	*on_end;
	void		*arg;
};

static void on_readable(evutil_socket_t, short, void *);

struct channel *
channel_new(struct event_base *base, int fd, channel_line_fn *on_line,
    channel_end_fn *on_end, void *arg)
{
	struct channel *c = xcalloc(1, sizeof(*c));

	*c = (struct channel){ .magic = CHANNEL_MAGIC, .fd = fd,
	    .on_line = on_line, .on_end = on_end, .arg = arg };
	evutil_make_socket_nonblocking(fd);
	evutil_make_socket_closeonexec(fd);
	c->in = evbuffer_new();
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	if (c->in == NULL || c->readable == NULL)
		fatal("out of memory");
	event_add(c->readable, NULL);
	return c;
}

void
channel_free(struct channel **cp)
{
	struct channel *c = *cp;

	if (c == NULL)
		return;
	OBJ_CHECK(c, CHANNEL_MAGIC);
	*cp = NULL;
	event_free(c->readable);
	evbuffer_free(c->in);
	close(c->fd);
	c->magic = 0;
	free(c);
}

/* Hand out what is complete. False: the line that comes is too long. */
static bool
deliver(struct channel *c)
{
	char *line;

	while (!c->paused && (line = evbuffer_readln(c->in, NULL,
	    EVBUFFER_EOL_LF)) != NULL) {
		c->on_line(c->arg, line);
		free(line);
	}
	return c->paused || evbuffer_get_length(c->in) <= LINE_LIMIT;
}

static void
end(struct channel *c)
{
	event_del(c->readable);
	c->on_end(c->arg);
	/* The channel may be gone. */
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c;
	int n;

	(void)what;
	OBJ_CAST(c, arg, CHANNEL_MAGIC);
	if (!deliver(c)) {
		end(c);
		return;
	}
	if (c->paused)
		return;
	n = evbuffer_read(c->in, fd, LINE_LIMIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !deliver(c))
		end(c);
}

bool
channel_say(struct channel *c, const char *fmt, ...)
{
	char text[SAY_LIMIT];
	va_list ap;
	int n;

	OBJ_CHECK(c, CHANNEL_MAGIC);
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text) - 1)
		return false;
	text[n++] = '\n';
	return send(c->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
}

void
channel_pause(struct channel *c)
{
	OBJ_CHECK(c, CHANNEL_MAGIC);
	c->paused = true;
	event_del(c->readable);
}

/* The lines that wait are delivered by the loop, not from in here: this may
   be called by on_line, or by its caller's caller. */
void
channel_resume(struct channel *c)
{
	OBJ_CHECK(c, CHANNEL_MAGIC);
	if (!c->paused)
		return;
	c->paused = false;
	event_add(c->readable, NULL);
	event_active(c->readable, EV_READ, 0);
}
