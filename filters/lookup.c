/*
 * lookup - look something up in a table, and wait if that takes time.
 *
 * A connection on which a look-up gave up is closed, because its answer may
 * still come and would be taken for that of the next question. A server that
 * closed an idle connection is asked once more on a new one: both protocols
 * only ask, so asking twice is harmless.
 */

#include "filters/lookup.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"
#include "base/obj.h"
#include "rules/ask.h"
#include "rules/remote.h"
#include "rules/table_impl.h"

#define LINKS_MAX	4	/* connections to one server */
#define QUEUE_MAX	1000	/* look-ups that wait for one of them */
#define ADDRS_MAX	8
#define SPEC_MAX	200	/* octets of it in the log */
#define QUESTION_MAX	(3 * VALUE_MAX + 1024)	/* %XX for each octet */

struct link {
	unsigned		 magic;
#define LINK_MAGIC		 0x11a4c001
	LIST_ENTRY(link)	 links;
	struct server		*server;
	struct bufferevent	*bev;		/* ours */
	struct lookup		*busy;		/* borrowed; NULL: idle */
	struct remote_reply	 reply;		/* to it */
	int			 addr;		/* of the server's, in use */
	bool			 used;		/* it has answered before */
};

struct server {
	LIST_ENTRY(server)	 servers;
	struct lookup_client	*client;
	const struct remote	*remote;	/* the table's */
	struct sockaddr_storage	 addrs[ADDRS_MAX];
	socklen_t		 lens[ADDRS_MAX];
	int			 naddrs;
	LIST_HEAD(, link)	 links;		/* ours */
	int			 nlinks;
	TAILQ_HEAD(queue, lookup) queue;
	int			 nqueue;
	struct timer		 resume;	/* dispatch() */
	bool			 down;		/* said in the log already */
};

struct lookup_client {
	unsigned		 magic;
#define LOOKUP_CLIENT_MAGIC	 0x11a4c002
	struct event_base	*base;		/* borrowed */
	struct table		*table;		/* borrowed */
	LIST_HEAD(, server)	 servers;	/* ours */
	LIST_HEAD(, lookup)	 all;		/* ours */
};

struct lookup {
	unsigned		 magic;
#define LOOKUP_MAGIC		 0x11a4c003
	LIST_ENTRY(lookup)	 all;
	TAILQ_ENTRY(lookup)	 queue;
	struct lookup_client	*client;
	struct server		*queued;	/* at; NULL: at none */
	struct link		*link;		/* that asks for it, or NULL */
	bool			 again;		/* asked for the second time */
	struct timer		 start, deadline;
	struct ask		 ask;
	lookup_fn		*done;
	void			*arg;
};

static void on_link_read(struct bufferevent *, void *);
static void on_link_event(struct bufferevent *, short, void *);
static void on_resume(void *);
static void dispatch(struct server *);
static void advance(struct lookup *);

/* Servers */

static void
add_unix(struct server *s, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&s->addrs[0];

	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	s->lens[0] = sizeof(*un);
	s->naddrs = 1;
}

static int
add_host(struct server *s, const struct remote *r, const char **why)
{
	struct where w = { .kind = WHERE_TCP, .host = r->host,
	    .port = r->port };
	struct netaddr addrs[ADDRS_MAX];
	int i;

	s->naddrs = where_resolve(&w, addrs, ADDRS_MAX, why);
	for (i = 0; i < s->naddrs; i++)
		s->lens[i] = netaddr_to_sockaddr(&addrs[i], &s->addrs[i]);
	return s->naddrs > 0 ? 0 : -1;
}

static int
server_add(struct lookup_client *c, const struct remote *r, char **why)
{
	struct server *s = xcalloc(1, sizeof(*s));
	const char *reason = "no address";

	s->client = c;
	s->remote = r;
	LIST_INIT(&s->links);
	TAILQ_INIT(&s->queue);
	timer_init(&s->resume, on_resume, s);
	LIST_INSERT_HEAD(&c->servers, s, servers);
	if (r->path == NULL && add_host(s, r, &reason) == -1) {
		*why = xasprintf("%s: %s", r->host, reason);
		return -1;
	}
	if (r->path == NULL)
		return 0;
	if (strlen(r->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		*why = xasprintf("%s: too long for a socket", r->path);
		return -1;
	}
	add_unix(s, r->path);
	return 0;
}

/* One server for each remote table there is in this one. */
static int
add_servers(struct lookup_client *c, const struct table *t, char **why)
{
	const struct remote *r = table_remote(t);
	struct table *member;
	size_t i;

	if (r != NULL && server_add(c, r, why) == -1)
		return -1;
	for (i = 0; (member = table_member(t, i)) != NULL; i++)
		if (add_servers(c, member, why) == -1)
			return -1;
	return 0;
}

static struct server *
server_of(struct lookup_client *c, const struct remote *r)
{
	struct server *s;

	LIST_FOREACH(s, &c->servers, servers)
		if (s->remote == r)
			break;
	assert(s != NULL);
	return s;
}

/* Once when it goes down, once when it is back. */
static void
note(struct server *s, bool down, const char *what)
{
	const char *spec = table_spec(s->client->table);
	char quoted[4 * SPEC_MAX + 6];

	if (s->down == down)
		return;
	s->down = down;
	log_quote(quoted, sizeof(quoted), spec, strlen(spec), SPEC_MAX);
	if (down)
		log_warn(0, "table spec=%s server=failed reason=\"%s\"",
		    quoted, what);
	else
		log_info(0, "table spec=%s server=back", quoted);
}

static void
note_failure(struct server *s, const char *what)
{
	note(s, true, what);
}

static void
note_success(struct server *s)
{
	note(s, false, NULL);
}

/* Connections */

/* Frees the link; the look-up it was busy with has no link then. */
static void
link_close(struct link *k)
{
	if (k->busy != NULL)
		k->busy->link = NULL;
	LIST_REMOVE(k, links);
	k->server->nlinks--;
	if (k->bev != NULL)
		bufferevent_free(k->bev);
	remote_reply_fini(&k->reply);
	k->magic = 0;
	free(k);
}

/* The question, and room for the answer. */
static void
link_ask(struct link *k)
{
	struct slice key = ask_key(&k->busy->ask);
	struct buf b;

	remote_reply_fini(&k->reply);
	remote_reply_init(&k->reply, k->server->remote->kind);
	buf_init(&b, QUESTION_MAX);
	remote_request(k->server->remote, key.p, key.len, &b);
	bufferevent_write(k->bev, b.p, b.len);
	buf_fini(&b);
}

/* A socket on its way to the link's address, or the next that does not refuse
   at once. -1 with errno. */
static int
open_socket(struct link *k)
{
	struct server *s = k->server;
	int fd, on = 1, error = EINVAL;

	for (; k->addr < s->naddrs; k->addr++) {
		fd = socket(s->addrs[k->addr].ss_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd == -1)
			return -1;
		/* A question is one write; on a UNIX socket this fails. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (connect(fd, (struct sockaddr *)&s->addrs[k->addr],
		    s->lens[k->addr]) == 0 || errno == EINPROGRESS)
			return fd;
		error = errno;
		close(fd);
	}
	errno = error;
	return -1;
}

/* Connect, and ask as soon as that has worked. -1 with errno. */
static int
link_connect(struct link *k)
{
	int fd = open_socket(k);

	if (fd == -1)
		return -1;
	if (k->bev != NULL)
		bufferevent_free(k->bev);
	k->bev = bufferevent_socket_new(k->server->client->base, fd,
	    BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(k->bev, on_link_read, NULL, on_link_event, k);
	bufferevent_enable(k->bev, EV_READ | EV_WRITE);
	link_ask(k);
	return 0;
}

static void
enqueue(struct lookup *l, struct server *s)
{
	l->queued = s;
	s->nqueue++;
	if (l->again)
		TAILQ_INSERT_HEAD(&s->queue, l, queue);
	else
		TAILQ_INSERT_TAIL(&s->queue, l, queue);
}

static void
dequeue(struct lookup *l)
{
	TAILQ_REMOVE(&l->queued->queue, l, queue);
	l->queued->nqueue--;
	l->queued = NULL;
}

/* The link has no answer for its look-up. Both may be gone after this. */
static void
link_failed(struct link *k, const char *what)
{
	bool silent = k->reply.octets.len == 0 && !k->reply.counted;
	struct server *s = k->server;
	struct lookup *l = k->busy;

	if (!k->used && silent && ++k->addr < s->naddrs &&
	    link_connect(k) == 0)
		return;
	if (k->used && silent && !l->again) {
		l->again = true;
		enqueue(l, s);
		link_close(k);
	} else {
		link_close(k);
		note_failure(s, what);
		ask_answer(&l->ask, TABLE_FAILED, NULL, 0);
		advance(l);
	}
	dispatch(s);
}

static void
link_answered(struct link *k)
{
	struct server *s = k->server;
	struct lookup *l = k->busy;
	struct remote_reply *r = &k->reply;

	k->busy = NULL;
	k->used = true;
	l->link = NULL;
	l->again = false;
	if (r->result == TABLE_FAILED)
		note_failure(s, "its own error");
	else
		note_success(s);
	ask_answer(&l->ask, r->result, r->text.p, r->text.len);
	/* Octets behind the reply answer nothing that was asked. */
	if (evbuffer_get_length(bufferevent_get_input(k->bev)) > 0)
		link_close(k);
	advance(l);
	dispatch(s);
}

static void
on_link_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct evbuffer_iovec v;
	enum remote_status status;
	struct link *k;
	size_t used;

	OBJ_CAST(k, arg, LINK_MAGIC);
	if (k->busy == NULL) {
		link_close(k);
		return;
	}
	while (evbuffer_peek(in, -1, NULL, &v, 1) > 0) {
		status = remote_reply_feed(&k->reply, v.iov_base, v.iov_len,
		    &used);
		evbuffer_drain(in, used);
		if (status == REMOTE_MORE)
			continue;
		if (status == REMOTE_DONE)
			link_answered(k);
		else
			link_failed(k, "a reply that makes no sense");
		return;
	}
}

static void
on_link_event(struct bufferevent *bev, short what, void *arg)
{
	int error = EVUTIL_SOCKET_ERROR();
	struct link *k;

	(void)bev;
	OBJ_CAST(k, arg, LINK_MAGIC);
	if (k->busy == NULL)
		link_close(k);
	else if (what & BEV_EVENT_EOF)
		link_failed(k, "it closed the connection");
	else
		link_failed(k, strerror(error));
}

static struct link *
link_new(struct server *s)
{
	struct link *k = xcalloc(1, sizeof(*k));

	k->magic = LINK_MAGIC;
	k->server = s;
	remote_reply_init(&k->reply, s->remote->kind);
	LIST_INSERT_HEAD(&s->links, k, links);
	s->nlinks++;
	return k;
}

/* A link that is idle, or a new one, or NULL. */
static struct link *
link_for(struct server *s, const struct lookup *l)
{
	struct link *k, *next;

	for (k = LIST_FIRST(&s->links); k != NULL; k = next) {
		next = LIST_NEXT(k, links);
		if (k->busy != NULL)
			continue;
		if (!l->again)
			return k;
		link_close(k);	/* as stale as the one that was closed */
	}
	return s->nlinks < LINKS_MAX ? link_new(s) : NULL;
}

/* Let the look-ups that wait for this server go on, as far as there are links.
   Each turn looks at the queue afresh: callbacks may have changed it. */
static void
dispatch(struct server *s)
{
	struct lookup *l;
	struct link *k;

	while ((l = TAILQ_FIRST(&s->queue)) != NULL &&
	    (k = link_for(s, l)) != NULL) {
		dequeue(l);
		k->busy = l;
		l->link = k;
		if (k->bev != NULL) {
			link_ask(k);
		} else if (link_connect(k) == -1) {
			note_failure(s, strerror(errno));
			link_close(k);
			ask_answer(&l->ask, TABLE_FAILED, NULL, 0);
			advance(l);
		}
	}
}

static void
on_resume(void *arg)
{
	dispatch(arg);
}

/* Look-ups */

/* It is neither in a queue nor on a link any more, and no timer runs. */
static void
detach(struct lookup *l)
{
	if (l->queued != NULL)
		dequeue(l);
	if (l->link != NULL)
		link_close(l->link);
	timer_stop(&l->start);
	timer_stop(&l->deadline);
	LIST_REMOVE(l, all);
}

static void
release(struct lookup *l)
{
	ask_fini(&l->ask);
	l->magic = 0;
	free(l);
}

static void
finish(struct lookup *l, enum table_result r, const char *value)
{
	detach(l);
	l->done(l->arg, r, r == TABLE_FOUND ? value : "");
	release(l);
}

/* Go on until there is a result or a server must be waited for. The look-up may
   be gone after this. */
static void
advance(struct lookup *l)
{
	enum table_result r;
	const char *value;
	struct server *s;

	while (!ask_run(&l->ask)) {
		s = server_of(l->client, ask_remote(&l->ask));
		if (s->nqueue < QUEUE_MAX) {
			enqueue(l, s);
			dispatch(s);
			return;
		}
		note_failure(s, "too many questions wait for it");
		ask_answer(&l->ask, TABLE_FAILED, NULL, 0);
	}
	r = ask_result(&l->ask, &value);
	finish(l, r, value);
}

static void
on_start(void *arg)
{
	struct lookup *l;

	OBJ_CAST(l, arg, LOOKUP_MAGIC);
	advance(l);
}

static void
on_deadline(void *arg)
{
	struct server *s = NULL;
	struct lookup *l;

	OBJ_CAST(l, arg, LOOKUP_MAGIC);
	if (l->link != NULL)
		s = l->link->server;
	else if (l->queued != NULL)
		s = l->queued;
	if (s != NULL)
		note_failure(s, "no answer in time");
	finish(l, TABLE_FAILED, "");
	if (s != NULL)
		dispatch(s);
}

struct lookup *
lookup(struct lookup_client *c, const struct keys *k, uint64_t timeout_ms,
    lookup_fn *done, void *arg)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	OBJ_CHECK(c, LOOKUP_CLIENT_MAGIC);
	l->magic = LOOKUP_MAGIC;
	l->client = c;
	l->done = done;
	l->arg = arg;
	ask_start(&l->ask, c->table, k);
	timer_init(&l->start, on_start, l);
	timer_init(&l->deadline, on_deadline, l);
	timer_set(&l->start, 0);
	timer_set(&l->deadline, timeout_ms);
	LIST_INSERT_HEAD(&c->all, l, all);
	return l;
}

void
lookup_cancel(struct lookup **lp)
{
	struct server *s = NULL;
	struct lookup *l = *lp;

	if (l == NULL)
		return;
	OBJ_CHECK(l, LOOKUP_MAGIC);
	if (l->link != NULL)
		s = l->link->server;
	detach(l);
	release(l);
	*lp = NULL;
	/* Others wait for the link that is free now. */
	if (s != NULL)
		timer_set(&s->resume, 0);
}

/* Clients */

struct lookup_client *
lookup_client_new(struct event_base *base, struct table *t, char **why)
{
	struct lookup_client *c = xcalloc(1, sizeof(*c));

	c->magic = LOOKUP_CLIENT_MAGIC;
	c->base = base;
	c->table = t;
	LIST_INIT(&c->servers);
	LIST_INIT(&c->all);
	if (add_servers(c, t, why) == -1)
		lookup_client_free(&c);
	return c;
}

void
lookup_client_free(struct lookup_client **cp)
{
	struct lookup_client *c = *cp;
	struct server *s;
	struct lookup *l;

	if (c == NULL)
		return;
	OBJ_CHECK(c, LOOKUP_CLIENT_MAGIC);
	while ((l = LIST_FIRST(&c->all)) != NULL) {
		detach(l);
		release(l);
	}
	while ((s = LIST_FIRST(&c->servers)) != NULL) {
		while (!LIST_EMPTY(&s->links))
			link_close(LIST_FIRST(&s->links));
		timer_stop(&s->resume);
		LIST_REMOVE(s, servers);
		free(s);
	}
	c->magic = 0;
	free(c);
	*cp = NULL;
}
