/*
 * peers - the servers that one filter asks.
 */

#include "filters/peers.h"

#include <sys/un.h>
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

#define ADDRS_MAX	8	/* of one name */
#define AGAIN_MS	20	/* until a full queue is tried again */

struct peer {
	struct sockaddr_storage	 ss;
	socklen_t		 len;
	const char		*text;		/* as written; borrowed */
	bool			 down;
	uint64_t		 retry_ms;	/* clock_ms(); when down */
};

struct peers {
	unsigned		 magic;
#define PEERS_MAGIC		 0x9ee45001
	const struct peers_settings *settings;	/* borrowed */
	const char		*name;		/* of the filter; borrowed */
	struct event_base	*base;		/* borrowed */
	struct where		*wheres;	/* ours */
	size_t			 nwheres;
	struct peer		*v;		/* ours */
	int			 n;
	int			 reached;	/* by the last dial */
	bool			 must_greet;
};

struct dial {
	unsigned		 magic;
#define DIAL_MAGIC		 0xd1a10001
	struct peers		*peers;
	int			 peer;		/* being tried; -1: none */
	int			 fd;		/* ours; -1: none */
	struct event		*event;		/* ours: fd is connected */
	struct timer		 timer;		/* connect-timeout; the loop */
	uint64_t		 until;		/* when that is over */
	char			 why[200];	/* the last failure */
	dial_fn			*fn;
	void			*arg;
};

static void on_timer(void *arg);

/* Addresses */

static int
add_where(struct peers *p, const char *text, char **why)
{
	const char *reason = NULL;
	struct where w;

	if (where_parse(&w, text, &reason) == -1) {
		*why = xasprintf("address: \"%s\": %s", text, reason);
		return -1;
	}
	if (w.lmtp || (w.kind != WHERE_TCP && w.kind != WHERE_UNIX))
		reason = "must be HOST:PORT or unix:PATH";
	else if (w.kind == WHERE_UNIX && strlen(w.path) >=
	    sizeof(((struct sockaddr_un *)0)->sun_path))
		reason = "is too long for a socket";
	if (reason != NULL) {
		*why = xasprintf("address: \"%s\" %s", text, reason);
		where_fini(&w);
		return -1;
	}
	p->wheres = xrealloc(p->wheres, (p->nwheres + 1) *
	    sizeof(p->wheres[0]));
	p->wheres[p->nwheres++] = w;
	return 0;
}

struct peers *
peers_new(const struct peers_settings *s, const char *name, const char *unset,
    char **why)
{
	struct peers *p = xcalloc(1, sizeof(*p));
	size_t i;
	int rc = 0;

	p->magic = PEERS_MAGIC;
	p->settings = s;
	p->name = name;
	for (i = 0; i < s->address.n && rc == 0; i++)
		rc = add_where(p, s->address.v[i], why);
	if (s->address.n == 0)
		rc = add_where(p, unset, why);
	if (rc == -1)
		peers_free(&p);
	return p;
}

void
peers_free(struct peers **pp)
{
	struct peers *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	while (p->nwheres > 0)
		where_fini(&p->wheres[--p->nwheres]);
	free(p->wheres);
	free(p->v);
	p->magic = 0;
	free(p);
}

static struct peer *
add_peer(struct peers *p, const struct where *w)
{
	p->v = xrealloc(p->v, (size_t)(p->n + 1) * sizeof(p->v[0]));
	p->v[p->n] = (struct peer){ .text = w->text };
	return &p->v[p->n++];
}

static void
add_unix(struct peers *p, const struct where *w)
{
	struct peer *peer = add_peer(p, w);
	struct sockaddr_un *un = (struct sockaddr_un *)&peer->ss;

	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, w->path, strlen(w->path) + 1);
	peer->len = sizeof(*un);
}

static void
add_host(struct peers *p, const struct where *w)
{
	struct netaddr addrs[ADDRS_MAX];
	const char *why = "no address";
	struct peer *peer;
	int n = where_resolve(w, addrs, ADDRS_MAX, &why), i;

	if (n <= 0)
		log_error(0, "filter=%s server=\"%s\" unusable=\"%s\"",
		    p->name, w->text, why);
	for (i = 0; i < n; i++) {
		peer = add_peer(p, w);
		peer->len = netaddr_to_sockaddr(&addrs[i], &peer->ss);
	}
}

void
peers_start(struct peers *p, struct event_base *base)
{
	size_t i;

	OBJ_CHECK(p, PEERS_MAGIC);
	p->base = base;
	for (i = 0; i < p->nwheres && p->n < 1000; i++)
		if (p->wheres[i].kind == WHERE_UNIX)
			add_unix(p, &p->wheres[i]);
		else
			add_host(p, &p->wheres[i]);
}

struct event_base *
peers_base(const struct peers *p)
{
	return p->base;
}

/* Health */

int
peers_pick(struct peers *p)
{
	uint64_t now = clock_ms();
	int i;

	OBJ_CHECK(p, PEERS_MAGIC);
	for (i = 0; i < p->n; i++) {
		if (!p->v[i].down)
			return i;
		if (now < p->v[i].retry_ms)
			continue;
		/* The caller tries for all of us. */
		p->v[i].retry_ms = now + p->settings->retry_after;
		return i;
	}
	return -1;
}

void
peers_worked(struct peers *p, int i)
{
	if (p->v[i].down)
		log_info(0, "filter=%s server=\"%s\" back", p->name,
		    p->v[i].text);
	p->v[i].down = false;
}

void
peers_failed(struct peers *p, int i, const char *why)
{
	if (!p->v[i].down)
		log_warn(0, "filter=%s server=\"%s\" unreachable=\"%s\"",
		    p->name, p->v[i].text, why);
	p->v[i].down = true;
	p->v[i].retry_ms = clock_ms() + p->settings->retry_after;
}

void
peers_must_greet(struct peers *p)
{
	p->must_greet = true;
}

int
peers_reached(const struct peers *p)
{
	return p->reached;
}

const struct sockaddr *
peers_address(const struct peers *p, int i, socklen_t *len)
{
	*len = p->v[i].len;
	return (const struct sockaddr *)&p->v[i].ss;
}

/* Connecting */

static void
hang_up(struct dial *d)
{
	timer_stop(&d->timer);
	if (d->event != NULL)
		event_free(d->event);
	d->event = NULL;
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
}

void
dial_cancel(struct dial **dp)
{
	struct dial *d = *dp;

	if (d == NULL)
		return;
	OBJ_CHECK(d, DIAL_MAGIC);
	*dp = NULL;
	hang_up(d);
	d->magic = 0;
	free(d);
}

/* The last thing that happens to it. */
static void
finish(struct dial *d, int fd)
{
	dial_fn *fn = d->fn;
	void *arg = d->arg;
	char why[sizeof(d->why)];

	memcpy(why, d->why, sizeof(why));
	dial_cancel(&d);
	fn(arg, fd, fd != -1 ? NULL : why);
}

static void try_next(struct dial *d);

static void
peer_failed(struct dial *d, const char *why)
{
	snprintf(d->why, sizeof(d->why), "%.80s: %.80s",
	    d->peers->v[d->peer].text, why);
	peers_failed(d->peers, d->peer, why);
	hang_up(d);
	try_next(d);
}

static void
connected(struct dial *d)
{
	const struct peer *peer = &d->peers->v[d->peer];
	int fd = d->fd, on = 1;

	if (!d->peers->must_greet)
		peers_worked(d->peers, d->peer);
	d->peers->reached = d->peer;
	/* Small frames must not wait. */
	if (peer->ss.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	d->fd = -1;
	finish(d, fd);
}

static void
on_connected(evutil_socket_t fd, short what, void *arg)
{
	socklen_t len = sizeof(int);
	struct dial *d;
	int error = 0;

	(void)what;
	OBJ_CAST(d, arg, DIAL_MAGIC);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0)
		peer_failed(d, strerror(error));
	else
		connected(d);
}

/* The queue of a UNIX socket is full, which a burst of sessions can do to one
   that is in order. The kernel does not tell when it is not. */
static int
come_again(struct dial *d)
{
	close(d->fd);
	d->fd = -1;
	if (clock_ms() >= d->until) {
		errno = ETIMEDOUT;
		return -1;
	}
	timer_set(&d->timer, AGAIN_MS);
	return 0;
}

/* -1 with errno. A UNIX socket is connected at once, and then it is over. */
static int
start_connecting(struct dial *d)
{
	const struct peer *peer = &d->peers->v[d->peer];

	d->fd = socket(peer->ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd == -1)
		return -1;
	if (connect(d->fd, (const struct sockaddr *)&peer->ss, peer->len) ==
	    0) {
		connected(d);
		return 0;
	}
	if (errno == EAGAIN)
		return come_again(d);
	if (errno != EINPROGRESS)
		return -1;
	d->event = event_new(d->peers->base, d->fd, EV_WRITE, on_connected, d);
	event_add(d->event, NULL);
	timer_set(&d->timer, d->peers->settings->connect_timeout);
	return 0;
}

/* From the loop only: it may be over after this. */
static void
try_next(struct dial *d)
{
	d->peer = peers_pick(d->peers);
	if (d->peer == -1) {
		if (d->why[0] == '\0')
			snprintf(d->why, sizeof(d->why), "%s", d->peers->n == 0
			    ? "there is no server" : "it was not there a "
			    "moment ago");
		finish(d, -1);
	} else {
		d->until = clock_ms() + d->peers->settings->connect_timeout;
		if (start_connecting(d) == -1)
			peer_failed(d, strerror(errno));
	}
}

static void
on_timer(void *arg)
{
	struct dial *d;

	OBJ_CAST(d, arg, DIAL_MAGIC);
	if (d->peer == -1)
		try_next(d);
	else if (d->fd != -1)
		peer_failed(d, "no connection in time");
	else if (start_connecting(d) == -1)
		peer_failed(d, strerror(errno));
}

struct dial *
peers_dial(struct peers *p, dial_fn *fn, void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	OBJ_CHECK(p, PEERS_MAGIC);
	d->magic = DIAL_MAGIC;
	d->peers = p;
	d->peer = -1;
	d->fd = -1;
	d->fn = fn;
	d->arg = arg;
	timer_init(&d->timer, on_timer, d);
	timer_soon(&d->timer);
	return d;
}
