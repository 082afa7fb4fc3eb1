/*
 * control - the master's ear for the administrator.
 */

#include "proxy/control.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/channel.h"
#include "proxy/sockets.h"

#define CLIENTS_MAX	32
#define ANSWER_LIMIT	8192

struct client {
	unsigned	 magic;
#define CLIENT_MAGIC	 0xc0c11e47
	struct control	*control;	/* borrowed */
	struct client	*next;
	struct channel	*channel;	/* ours; paused while command is set */
	char		*command;	/* not answered yet; ours */
};

struct control {
	unsigned	 magic;
#define CONTROL_MAGIC	 0xc0417012
	struct event_base *base;	/* borrowed */
	char		*path;		/* ours */
	int		 fd;
	struct stat	 st;		/* of the file, to know it again */
	struct event	*readable;	/* ours */
	struct client	*clients;	/* ours; oldest first */
	struct client	*current;	/* whose command is being run */
	bool		 running;	/* in next_command() */
	control_fn	*run;
	void		*arg;
};

static void on_connection(evutil_socket_t, short, void *);

struct control *
control_open(struct event_base *base, const char *path, bool replace,
    control_fn *run, void *arg, char **why)
{
	struct control *c;
	int fd = sockets_unix(path, 0600, replace, why);

	if (fd < 0)
		return NULL;
	if (listen(fd, SOMAXCONN) != 0) {
		*why = xasprintf("cannot listen at %s: %s", path,
		    strerror(errno));
		close(fd);
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct control){ .magic = CONTROL_MAGIC, .base = base,
	    .path = xstrdup(path), .fd = fd, .run = run, .arg = arg };
	if (lstat(path, &c->st) != 0)
		memset(&c->st, 0, sizeof(c->st));
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_connection,
	    c);
	if (c->readable == NULL)
		fatal("out of memory");
	event_add(c->readable, NULL);
	return c;
}

static void
client_free(struct client *cl)
{
	struct client **p;

	for (p = &cl->control->clients; *p != cl; p = &(*p)->next)
		;
	*p = cl->next;
	channel_free(&cl->channel);
	free(cl->command);
	cl->magic = 0;
	free(cl);
}

void
control_free(struct control **cp)
{
	struct control *c = *cp;

	if (c == NULL)
		return;
	OBJ_CHECK(c, CONTROL_MAGIC);
	*cp = NULL;
	while (c->clients != NULL)
		client_free(c->clients);
	event_free(c->readable);
	close(c->fd);
	free(c->path);
	c->magic = 0;
	free(c);
}

void
control_unlink(struct control *c)
{
	struct stat st;

	OBJ_CHECK(c, CONTROL_MAGIC);
	if (lstat(c->path, &st) == 0 && st.st_dev == c->st.st_dev &&
	    st.st_ino == c->st.st_ino)
		unlink(c->path);
}

/* Run commands until one of them is not answered at once, or none is left.
   A loop and not a recursion, since run() may come back here. */
static void
next_command(struct control *c)
{
	struct client *cl;

	if (c->running)
		return;
	c->running = true;
	while (c->current == NULL) {
		for (cl = c->clients; cl != NULL; cl = cl->next)
			if (cl->command != NULL)
				break;
		if (cl == NULL)
			break;
		c->current = cl;
		c->run(c->arg, cl->command);
	}
	c->running = false;
}

static void
on_line(void *arg, const char *line)
{
	struct client *cl;

	OBJ_CAST(cl, arg, CLIENT_MAGIC);
	channel_pause(cl->channel);
	cl->command = xstrdup(line);
	next_command(cl->control);
}

/* Not while its command waits: a paused channel hears nothing. */
static void
on_end(void *arg)
{
	struct client *cl;

	OBJ_CAST(cl, arg, CLIENT_MAGIC);
	assert(cl->command == NULL);
	client_free(cl);
}

static void
on_connection(evutil_socket_t lfd, short what, void *arg)
{
	struct client *cl, **end;
	struct control *c;
	int fd, n = 0;

	(void)what;
	OBJ_CAST(c, arg, CONTROL_MAGIC);
	fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	for (end = &c->clients; *end != NULL; end = &(*end)->next)
		n++;
	if (n >= CLIENTS_MAX) {
		close(fd);
		return;
	}
	cl = xcalloc(1, sizeof(*cl));
	*cl = (struct client){ .magic = CLIENT_MAGIC, .control = c };
	cl->channel = channel_new(c->base, fd, on_line, on_end, cl);
	*end = cl;
}

void
control_answer(struct control *c, const char *fmt, ...)
{
	char text[ANSWER_LIMIT];
	struct client *cl;
	va_list ap;

	if (c == NULL || (cl = c->current) == NULL)
		return;
	OBJ_CHECK(c, CONTROL_MAGIC);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A client that does not listen has lost its answer. */
	channel_say(cl->channel, "%s", text);
	c->current = NULL;
	free(cl->command);
	cl->command = NULL;
	channel_resume(cl->channel);
	next_command(c);
}
