/*
 * listener - accept client connections on one socket of this worker.
 *
 * At the session limit the listener goes deaf until worker_session_ended()
 * wakes it up. Out of file descriptors it also tries again by itself, because
 * those may be held by something that is no session, and then no session ends.
 */

#include "proxy/listener.h"

#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/obj.h"
#include "proxy/conf.h"
#include "proxy/session.h"
#include "proxy/worker.h"

/* Sessions that are there wait while we accept: not more than this in a row. */
#define ACCEPT_BURST	16
#define RETRY_MS	100
#define QUIET_MS	10000

struct listener {
	unsigned		 magic;
#define LISTENER_MAGIC		 0x115e7e50
	struct worker		*worker;	/* borrowed */
	const struct conf_listener *conf;	/* borrowed */
	int			 fd;
	struct event		*readable;	/* ours */
	struct timer		 retry;
	bool			 deaf;
	uint64_t		 quiet_until;	/* we have just complained */
	struct netaddr		 local;		/* family 0: ask each time */
};

static void on_connection(evutil_socket_t, short, void *);
static void on_retry(void *);

/* The local end of each connection is the address we are bound to, unless
   that is the wildcard address. */
static void
learn_address(struct listener *l)
{
	static const uint8_t any[16];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (l->conf->where.kind == WHERE_UNIX) {
		l->local.family = AF_UNIX;
		return;
	}
	if (getsockname(l->fd, (struct sockaddr *)&ss, &len) != 0)
		return;
	netaddr_from_sockaddr(&l->local, (struct sockaddr *)&ss);
	if (memcmp(l->local.ip, any, sizeof(any)) == 0)
		l->local.family = 0;
}

struct listener *
listener_new(struct worker *w, const struct conf_listener *c, int fd)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int on = 1;

	*l = (struct listener){ .magic = LISTENER_MAGIC, .worker = w,
	    .conf = c, .fd = fd };
	learn_address(l);
	/* Inherited by what we accept; systemd may not have set it. */
	if (c->where.kind == WHERE_TCP)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	timer_init(&l->retry, on_retry, l);
	l->readable = event_new(w->base, fd, EV_READ | EV_PERSIST,
	    on_connection, l);
	if (l->readable == NULL)
		fatal("out of memory");
	event_add(l->readable, NULL);
	return l;
}

void
listener_free(struct listener **lp)
{
	struct listener *l = *lp;

	if (l == NULL)
		return;
	OBJ_CHECK(l, LISTENER_MAGIC);
	*lp = NULL;
	timer_stop(&l->retry);
	/* Before the close: the master's descriptor keeps the socket alive,
	   and so would it stay in our epoll set. */
	event_free(l->readable);
	close(l->fd);
	l->magic = 0;
	free(l);
}

static void
go_deaf(struct listener *l)
{
	l->deaf = true;
	event_del(l->readable);
}

void
listener_resume(struct listener *l)
{
	OBJ_CHECK(l, LISTENER_MAGIC);
	if (!l->deaf)
		return;
	l->deaf = false;
	timer_stop(&l->retry);
	event_add(l->readable, NULL);
}

static void
on_retry(void *arg)
{
	struct listener *l;

	OBJ_CAST(l, arg, LISTENER_MAGIC);
	listener_resume(l);
}

static void
starved(struct listener *l, int error)
{
	uint64_t now = clock_ms();

	go_deaf(l);
	timer_set(&l->retry, RETRY_MS);
	if (now < l->quiet_until)
		return;
	l->quiet_until = now + QUIET_MS;
	log_warn(0, "accept-paused listen=%s problem=\"%s\" sessions=%zu",
	    l->conf->where.text, strerror(error), l->worker->nsessions);
}

/* accept(2) also reports what happened to a connection before we took it:
   those errors say nothing about the next one. */
static void
accept_failed(struct listener *l, int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		starved(l, error);
		break;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		fatal("accept on %s: %s", l->conf->where.text,
		    strerror(error));
	}
}

static void
start_session(struct listener *l, int fd, const struct sockaddr *sa)
{
	struct netaddr peer, local = l->local;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	/* An unnamed unix peer has an address of no octets but the family. */
	if (local.family == AF_UNIX)
		peer = local;
	else
		netaddr_from_sockaddr(&peer, sa);
	if (local.family == 0) {
		if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
			close(fd);
			return;
		}
		netaddr_from_sockaddr(&local, (struct sockaddr *)&ss);
	}
	session_new(l->worker, l->conf, fd, &peer, &local);
}

static void
on_connection(evutil_socket_t lfd, short what, void *arg)
{
	struct sockaddr_storage ss;
	struct listener *l;
	socklen_t len;
	int fd, i;

	(void)what;
	OBJ_CAST(l, arg, LISTENER_MAGIC);
	for (i = 0; i < ACCEPT_BURST; i++) {
		if (worker_is_full(l->worker)) {
			go_deaf(l);
			return;
		}
		len = sizeof(ss);
		fd = accept4(lfd, (struct sockaddr *)&ss, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			accept_failed(l, errno);
		if (l->deaf)
			return;
		if (fd >= 0)
			start_session(l, fd, (struct sockaddr *)&ss);
	}
}
