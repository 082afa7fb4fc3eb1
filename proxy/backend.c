/*
 * backend - one SMTP session with the next MTA.
 *
 * Two halves: the set-up, a state for each thing we wait for, with its handler
 * in a table; and the use, where a queue of commands waits for its replies.
 * Whatever fails ends in fail(), which knows the state and decides: the next
 * address, once more on a fresh connection when a warm one proves dead, or
 * the user's on_failure().
 */

#include "proxy/backend.h"

#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/util.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/spool.h"
#include "smtp/dot.h"
#include "proxy/backend_impl.h"
#include "proxy/tls.h"

#define PROBE_MS	10000	/* an EHLO of a client may wait for this */
#define FEED		65536	/* octets of content taken from the spool */

extern char **environ;

typedef void setup_fn(struct backend *b);

static setup_fn on_greeting, on_ehlo, on_helo, on_starttls, on_xclient;
static void feed(struct backend *b);
static void say_ehlo(struct backend *b);

static const struct {
	const char	*name;
	setup_fn	*on_reply;	/* NULL: no reply is expected here */
} states[B_NSTATES] = {
	[B_QUEUED]	= { "queued", NULL },
	[B_CONNECTING]	= { "connecting", NULL },
	[B_GREETING]	= { "greeting", on_greeting },
	[B_EHLO]	= { "EHLO", on_ehlo },
	[B_HELO]	= { "HELO", on_helo },
	[B_STARTTLS]	= { "STARTTLS", on_starttls },
	[B_HANDSHAKE]	= { "TLS handshake", NULL },
	[B_XCLIENT]	= { "XCLIENT", on_xclient },
	[B_READY]	= { "ready", NULL },
	[B_DEAD]	= { "dead", NULL },
};

/* The only place where a backend changes its state. */
static void
enter(struct backend *b, enum backend_state next)
{
	assert(b->state != B_DEAD);
	log_debug(b->id, "backend state %s -> %s", states[b->state].name,
	    states[next].name);
	b->state = next;
}

static const struct conf *
conf(const struct backend *b)
{
	return b->pool->global;
}

static const struct where *
where(const struct backend *b)
{
	return &b->pool->conf->addresses[b->address].where;
}

const char *
backend_name(const struct backend *b)
{
	return where(b)->text;
}

bool
backend_is_lmtp(const struct backend *b)
{
	return where(b)->lmtp;
}

bool
backend_is_ready(const struct backend *b)
{
	return b->state == B_READY;
}

const struct ext_set *
backend_extensions(const struct backend *b)
{
	return &b->ext;
}

void
backend_set_authenticated(struct backend *b)
{
	b->authenticated = true;
}

/* Identity */

/* How this backend is told who the client is, auto being decided. */
static enum conf_identity
identity(const struct backend *b)
{
	enum conf_identity i = b->pool->conf->identity;

	return i == IDENTITY_AUTO ? IDENTITY_XCLIENT : i;
}

/* Does the backend see the client in our place? Then we use its HELO name. */
static bool
is_transparent(const struct backend *b)
{
	switch (identity(b)) {
	case IDENTITY_XCLIENT:
		return b->told;
	case IDENTITY_PROXY_V1:
	case IDENTITY_PROXY_V2:
		return !b->probe;
	case IDENTITY_AUTO:
	case IDENTITY_XFORWARD:
	case IDENTITY_NONE:
		return false;
	}
	return false;
}

static char *
copy(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

static void
free_identity(struct backend *b)
{
	free((char *)(uintptr_t)b->who.x.name);
	free((char *)(uintptr_t)b->who.x.reverse_name);
	free((char *)(uintptr_t)b->who.x.helo);
	free((char *)(uintptr_t)b->who.x.login);
}

void
backend_set_identity(struct backend *b, const struct backend_identity *w)
{
	free_identity(b);
	b->who = *w;		/* TLS names are OpenSSL's, proto is static */
	b->who.x.name = copy(w->x.name);
	b->who.x.reverse_name = copy(w->x.reverse_name);
	b->who.x.helo = copy(w->x.helo);
	b->who.x.login = copy(w->x.login);
	b->told = false;
}

/* Life */

static void
on_kick(void *arg);

struct backend *
backend_new(struct pool *p)
{
	struct backend *b = xcalloc(1, sizeof(*b));

	b->magic = BACKEND_MAGIC;
	b->pool = p;
	b->state = B_QUEUED;
	reply_init(&b->reply);
	STAILQ_INIT(&b->pending);
	timer_init(&b->kick, on_kick, b);
	return b;
}

static void
drop_pending(struct backend *b)
{
	struct pending *c;

	while ((c = STAILQ_FIRST(&b->pending)) != NULL) {
		STAILQ_REMOVE_HEAD(&b->pending, next);
		free(c);
	}
	b->replies_due = 0;
	spool_free(&b->content.spool);
	b->content_state = C_NONE;
}

void
backend_destroy(struct backend *b)
{
	OBJ_CHECK(b, BACKEND_MAGIC);
	timer_stop(&b->kick);
	conn_free(&b->conn);
	drop_pending(b);
	reply_fini(&b->reply);
	free_identity(b);
	b->magic = 0;
	free(b);
}

/*
 * May be called from any depth of callback; the loop frees. A backend that has
 * a user stays until he gives it back.
 */
void
backend_close(struct backend *b)
{
	bool polite = b->state == B_READY && b->replies_due == 0 &&
	    b->content_state == C_NONE;

	if (b->state != B_DEAD) {
		if (polite) {
			evbuffer_add(conn_output(b->conn), "QUIT\r\n", 6);
			conn_flush(b->conn);
		}
		enter(b, B_DEAD);
		conn_free(&b->conn);
		pool_closed(b->pool, b);
	}
	timer_set(&b->kick, 0);
}

/* Failure */

static void connect_next(struct backend *b);

/* The connection is over, and all that is known of what is behind it: the
   next one has been told nothing. */
static void
hang_up(struct backend *b)
{
	conn_free(&b->conn);
	reply_reset(&b->reply);
	b->told = false;
	b->ahead = false;
	b->greetings = 0;
}

static bool
more_addresses(const struct backend *b)
{
	return b->address < b->pool->conf->naddresses &&
	    clock_ms() < b->setup_due;
}

static int
count_addresses(const struct conf_backend_address *a)
{
	return a->where.kind == WHERE_TCP ? a->naddrs : 1;
}

/* The address we are about to try has its share of the time there is, so that
   one that says nothing leaves some for those behind it. */
static void
share_time(struct backend *b)
{
	const struct conf_backend *c = b->pool->conf;
	uint64_t now = clock_ms(), n = 0;
	size_t i;

	for (i = b->address; i < c->naddresses; i++)
		n += (uint64_t)count_addresses(&c->addresses[i]);
	n -= (uint64_t)b->addr;
	b->address_due = now + (b->setup_due - now) / n;
}

static void
end_probe(struct backend *b)
{
	struct pool *p = b->pool;

	backend_close(b);
	TAILQ_INSERT_TAIL(&p->used, b, link);	/* on_kick() takes it out */
	pool_probe_ended(p);
}

/* It is of no more use, but its user still has it. */
static void
die(struct backend *b)
{
	conn_free(&b->conn);
	drop_pending(b);
	enter(b, B_DEAD);
	pool_closed(b->pool, b);
}

/* Tell the user that it is over. He may give b back in the call. */
static void
give_up(struct backend *b, enum backend_failure f, const struct reply *r,
    const char *why)
{
	const struct backend_user *user = b->user;
	char text[128];

	if (b->probe) {
		end_probe(b);
		return;
	}
	/* It may be text of the conn. */
	snprintf(text, sizeof(text), "%s", why);
	die(b);
	if (user != NULL)
		user->on_failure(b->arg, f, r, text);
	else
		timer_set(&b->kick, 0);
}

/* During set-up: this address will not do. */
static void
try_next_address(struct backend *b, const char *why)
{
	log_info(b->id, "backend name=%s address=%s state=\"%s\" "
	    "failed=\"%s\"", b->pool->conf->name, backend_name(b),
	    states[b->state].name, why);
	hang_up(b);
	b->addr++;
	enter(b, B_CONNECTING);
	timer_set(&b->kick, 0);		/* connect_next(), from the loop */
}

/*
 * A warm session can be closed by the backend at any time, also while our first
 * command is under way to it. If nothing was answered since it was warm,
 * nothing was done: say all of it again on a new one.
 */
static void
start_over(struct backend *b)
{
	struct pending *c;

	STAILQ_FOREACH(c, &b->pending, next)
		c->sent = false;
	b->replies_due = 0;
	b->reused = false;
	hang_up(b);
	enter(b, B_QUEUED);
	backend_start(b);
}

static void
fail(struct backend *b, enum backend_failure f, const struct reply *r,
    const char *why)
{
	if (b->state == B_DEAD)
		return;
	if (b->user == NULL && !b->probe) {
		if (b->idle)
			pool_drop_idle(b->pool, b);
		else
			backend_close(b);
	} else if (b->reused)
		start_over(b);
	else if (b->state != B_READY && f == BACKEND_UNREACHABLE)
		try_next_address(b, why);
	else
		give_up(b, f, r, why);
}

/* Wait for what comes next in the set-up, but never past its end. */
static void
setup_deadline(struct backend *b, uint64_t ms)
{
	uint64_t now = clock_ms();
	uint64_t left = b->address_due > now ? b->address_due - now : 1;

	conn_deadline(b->conn, ms < left ? ms : left);
}

/* Asked when connect-timeout is over: so the usual case needs no EPOLLOUT. */
static bool
is_connected(const struct backend *b)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	return getpeername(conn_fd(b->conn), (struct sockaddr *)&ss, &len) ==
	    0;
}

/* The conn is gone or silent. */
static void
on_end(void *arg, enum conn_end what, const char *detail)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	if (what == CONN_TIMEOUT && b->state == B_GREETING &&
	    !b->connected && is_connected(b)) {
		b->connected = true;	/* now it is the greeting's turn */
		setup_deadline(b, conf(b)->greeting_timeout);
		return;
	}
	fail(b, b->state == B_READY ? BACKEND_LOST : BACKEND_UNREACHABLE, NULL,
	    detail);
}

/* Connecting */

static int
connect_ip(const struct netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(a, &ss);
	int fd, one = 1;

	fd = socket(a->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&ss, len) == -1 &&
	    errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Run a command with SMTP on its stdin and stdout; the worker's SIGCHLD is
   ignored, so nobody has to wait for it. */
static int
connect_exec(const char *command)
{
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	posix_spawn_file_actions_t fa;
	int fds[2], rc;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		return -1;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 0);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	rc = posix_spawn(&pid, argv[0], &fa, NULL,
	    (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(fds[1]);
	if (rc != 0) {
		close(fds[0]);
		errno = rc;
		return -1;
	}
	evutil_make_socket_nonblocking(fds[0]);
	return fds[0];
}

static const struct conn_owner owner;

/* Try address after address until a socket is connecting. */
static void
connect_next(struct backend *b)
{
	const struct conf_backend *c = b->pool->conf;
	const struct conf_backend_address *a;
	int fd = -1;

	for (; more_addresses(b); b->address++, b->addr = 0) {
		a = &c->addresses[b->address];
		if (b->addr >= count_addresses(a))
			continue;
		share_time(b);
		switch (a->where.kind) {
		case WHERE_TCP:
			fd = connect_ip(&a->addrs[b->addr]);
			break;
		case WHERE_UNIX:
			fd = connect_unix(a->where.path);
			break;
		case WHERE_EXEC:
			fd = connect_exec(a->where.path);
			break;
		case WHERE_MX:
			errno = EAFNOSUPPORT;
			break;
		}
		if (fd != -1)
			break;
		try_next_address(b, strerror(errno));
		return;
	}
	if (fd == -1) {
		b->address = c->naddresses - 1;	/* a name for the log */
		give_up(b, BACKEND_UNREACHABLE, NULL, "no address answers");
		return;
	}
	b->conn = conn_new(b->pool->w->base, fd, &owner, b);
	setup_deadline(b, conf(b)->connect_timeout);
	/* The PROXY header is the first thing to say; without one there is
	   nothing to write, and the greeting tells that we are connected. */
	if (identity(b) == IDENTITY_PROXY_V1 ||
	    identity(b) == IDENTITY_PROXY_V2) {
		static const struct netaddr nobody;
		struct buf header;

		buf_init(&header, PROXYHDR_MAX);
		proxyhdr_format(&header,
		    identity(b) == IDENTITY_PROXY_V1 ? 1 : 2,
		    b->probe ? &nobody : &b->who.x.addr,
		    b->probe ? &nobody : &b->who.x.dest, &b->who.tls);
		evbuffer_add(conn_output(b->conn), header.p, header.len);
		buf_fini(&header);
		b->told = !b->probe;
		conn_flush(b->conn);
	}
	b->connected = false;
	enter(b, B_GREETING);
}

void
backend_start(struct backend *b)
{
	b->setup_due = clock_ms() +
	    (b->probe ? PROBE_MS : conf(b)->greeting_timeout);
	b->address = 0;
	b->addr = 0;
	enter(b, B_CONNECTING);
	timer_set(&b->kick, 0);
}

/* The next step of whoever could not take it in the middle of a callback. */
static void
on_kick(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	switch (b->state) {
	case B_CONNECTING:
		connect_next(b);
		break;
	case B_QUEUED:
		/* max-sessions are open, and none ended in time. */
		TAILQ_REMOVE(&b->pool->queued, b, link);
		TAILQ_INSERT_TAIL(&b->pool->used, b, link);
		give_up(b, BACKEND_UNREACHABLE, NULL,
		    "max-sessions are in use");
		break;
	case B_DEAD:
		TAILQ_REMOVE(&b->pool->used, b, link);
		backend_destroy(b);
		break;
	default:
		assert(!"a kick in this state");
	}
}

/* Set-up: one handler for each reply */

static void
say(struct backend *b, enum backend_state next, uint64_t deadline,
    const char *verb, const char *arg)
{
	struct evbuffer *out = conn_output(b->conn);

	evbuffer_add(out, verb, strlen(verb));
	if (arg != NULL) {
		evbuffer_add(out, " ", 1);
		evbuffer_add(out, arg, strlen(arg));
	}
	evbuffer_add(out, "\r\n", 2);
	conn_flush(b->conn);
	setup_deadline(b, deadline);
	enter(b, next);
}

/*
 * The backend does not want us. Before it knows the client that is a fault of
 * this address; afterwards it is its verdict on the client.
 */
static void
refused(struct backend *b)
{
	char why[128];

	snprintf(why, sizeof(why), "%s: %d %.80s", states[b->state].name,
	    b->reply.code, b->reply.text.p);
	fail(b, b->told ? BACKEND_REFUSED : BACKEND_UNREACHABLE, &b->reply,
	    why);
}

static void
on_greeting(struct backend *b)
{
	if (b->reply.code != 220)
		refused(b);
	else
		say_ehlo(b);
}

static const char *
ehlo_name(const struct backend *b)
{
	const char *helo = b->who.x.helo;

	if (is_transparent(b) && helo != NULL &&
	    helo_is_safe(helo, strlen(helo)))
		return helo;
	return conf(b)->hostname;
}

static void
say_ehlo(struct backend *b)
{
	if (backend_is_lmtp(b))
		say(b, B_EHLO, conf(b)->mail_timeout, "LHLO", ehlo_name(b));
	else if (is_transparent(b) && !b->who.esmtp)
		say(b, B_HELO, conf(b)->mail_timeout, "HELO", ehlo_name(b));
	else
		say(b, B_EHLO, conf(b)->mail_timeout, "EHLO", ehlo_name(b));
}

static bool
wants_tls(const struct backend *b)
{
	enum conf_tls tls = b->pool->conf->tls;

	if (tls == TLS_OFF || conn_tls(b->conn) != NULL)
		return false;
	return tls != TLS_MAY || ext_has(&b->ext, EXT_BIT(STARTTLS));
}

static void
become_ready(struct backend *b)
{
	conn_deadline(b->conn, 0);
	enter(b, B_READY);
	if (b->probe)
		end_probe(b);
	else if (!STAILQ_EMPTY(&b->pending))
		backend_flush(b);	/* all of it once more */
	else
		b->user->on_ready(b->arg);
}

static bool
takes_xclient(const struct backend *b)
{
	return ext_has(&b->ext, EXT_BIT(XCLIENT)) &&
	    b->ext.xclient & 1u << XATTR_ADDR;
}

/* XCLIENT. (XFORWARD is a hint for logs and goes ahead of each MAIL.) */
static void
say_who(struct backend *b)
{
	struct buf lines;

	if (b->told || b->probe || identity(b) != IDENTITY_XCLIENT) {
		become_ready(b);
		return;
	}
	if (!takes_xclient(b)) {
		fail(b, BACKEND_NO_IDENTITY, NULL,
		    "the backend does not offer XCLIENT with ADDR");
		return;
	}
	buf_init(&lines, 16 * XCLIENT_LINE_MAX);
	b->greetings = xclient_format(&lines, "XCLIENT", b->ext.xclient,
	    &b->who.x);
	assert(b->greetings > 0 && !lines.failed);
	evbuffer_add(conn_output(b->conn), lines.p, lines.len);
	buf_fini(&lines);
	conn_flush(b->conn);
	setup_deadline(b, conf(b)->greeting_timeout);
	enter(b, B_XCLIENT);
}

/* What it can do is known. */
static void
greeted(struct backend *b)
{
	pool_learned(b->pool, &b->ext);
	say_who(b);
}

static void
on_ehlo(struct backend *b)
{
	if (b->reply.code / 100 == 5 && !backend_is_lmtp(b)) {
		say(b, B_HELO, conf(b)->mail_timeout, "HELO", ehlo_name(b));
		return;
	}
	if (b->reply.code != 250) {
		refused(b);
		return;
	}
	ext_parse(&b->ext, &b->reply);
	if (wants_tls(b)) {
		if (ext_has(&b->ext, EXT_BIT(STARTTLS)))
			say(b, B_STARTTLS, conf(b)->mail_timeout, "STARTTLS",
			    NULL);
		else
			fail(b, BACKEND_UNREACHABLE, NULL,
			    "the backend does not offer STARTTLS");
		return;
	}
	greeted(b);
}

static void
on_helo(struct backend *b)
{
	if (b->reply.code != 250) {
		refused(b);
		return;
	}
	memset(&b->ext, 0, sizeof(b->ext));
	if (b->pool->conf->tls > TLS_MAY && conn_tls(b->conn) == NULL)
		fail(b, BACKEND_UNREACHABLE, NULL,
		    "the backend does not offer STARTTLS");
	else {
		if (!b->told)
			pool_learned(b->pool, &b->ext);
		say_who(b);
	}
}

static void
on_starttls(struct backend *b)
{
	const struct conf_backend *c = b->pool->conf;
	const char *host = where(b)->host ? where(b)->host : "localhost";
	SSL *ssl;

	if (b->reply.code != 220) {
		if (c->tls == TLS_MAY)
			greeted(b);
		else
			refused(b);
		return;
	}
	ssl = SSL_new(c->tls_ctx);
	if (ssl == NULL || tls_expect(ssl, host, c->tls == TLS_VERIFY) == -1) {
		SSL_free(ssl);
		fail(b, BACKEND_UNREACHABLE, NULL, "cannot prepare TLS");
		return;
	}
	enter(b, B_HANDSHAKE);
	setup_deadline(b, conf(b)->greeting_timeout);
	if (conn_start_tls(b->conn, ssl, false) > 0)
		fail(b, BACKEND_UNREACHABLE, NULL,
		    "plain text behind the reply to STARTTLS");
}

static void
on_tls(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	say_ehlo(b);
}

static void
on_xclient(struct backend *b)
{
	if (b->reply.code != 220) {
		b->told = true;		/* it is about the client now */
		if (b->reply.code == 550 || b->reply.code / 10 == 50)
			fail(b, BACKEND_NO_IDENTITY, &b->reply,
			    "the backend refuses our XCLIENT");
		else
			refused(b);
		return;
	}
	if (--b->greetings > 0)
		return;
	b->told = true;
	say_ehlo(b);
}

void
backend_restart(struct backend *b)
{
	b->reused = true;
	b->setup_due = clock_ms() + conf(b)->greeting_timeout;
	b->address_due = b->setup_due;
	conn_deadline(b->conn, 0);
	if (identity(b) != IDENTITY_XCLIENT)
		return;			/* ready as it is */
	say_who(b);
}

/* No reply is to come but those that nobody waits for. */
static bool
is_silent(const struct backend *b)
{
	const struct pending *c;

	STAILQ_FOREACH(c, &b->pending, next)
		if (c->purpose == FOR_USER)
			return false;
	return b->content_state == C_NONE;
}

bool
backend_is_unused(const struct backend *b)
{
	return b->state == B_READY && STAILQ_EMPTY(&b->pending) &&
	    b->content_state == C_NONE && !b->in_transaction &&
	    !b->authenticated && !b->in_auth;
}

bool
backend_is_reusable(const struct backend *b)
{
	if (b->state != B_READY || b->authenticated || b->in_auth ||
	    b->ahead || !is_silent(b) || b->pool->w->draining ||
	    timer_is_set(&b->kick))
		return false;
	switch (identity(b)) {
	case IDENTITY_XCLIENT:
		/* Postfix takes another one only if the client it was told
		   of may send it, and says so in the EHLO after it. */
		return takes_xclient(b);
	case IDENTITY_XFORWARD:
	case IDENTITY_NONE:
		return true;
	case IDENTITY_AUTO:
	case IDENTITY_PROXY_V1:
	case IDENTITY_PROXY_V2:
		return false;
	}
	return false;
}

/* Commands */

static void
push(struct backend *b, enum backend_kind kind, int purpose, void *tag,
    const char *line, size_t len)
{
	struct pending *c = xmalloc(sizeof(*c) + len + 3);

	assert(memchr(line, '\r', len) == NULL &&
	    memchr(line, '\n', len) == NULL);
	*c = (struct pending){ .kind = kind, .tag = tag };
	c->purpose = purpose;
	memcpy(c->line, line, len);
	memcpy(c->line + len, "\r\n", 3);
	STAILQ_INSERT_TAIL(&b->pending, c, next);
}

/* XFORWARD is forgotten at the end of each transaction: it goes before MAIL. */
static void
push_xforward(struct backend *b)
{
	struct buf lines;
	const char *p, *end;

	if (identity(b) != IDENTITY_XFORWARD ||
	    !ext_has(&b->ext, EXT_BIT(XFORWARD)))
		return;
	buf_init(&lines, 16 * XCLIENT_LINE_MAX);
	xclient_format(&lines, "XFORWARD", b->ext.xforward, &b->who.x);
	for (p = lines.p; (end = strstr(p, "\r\n")) != NULL; p = end + 2)
		push(b, BACKEND_MAIL, FOR_LOG, NULL, p, (size_t)(end - p));
	buf_fini(&lines);
}

void
backend_command(struct backend *b, enum backend_kind kind, void *tag,
    const char *line)
{
	if (kind == BACKEND_MAIL) {
		b->in_transaction = true;
		push_xforward(b);
	}
	push(b, kind, FOR_USER, tag, line, strlen(line));
}

void
backend_reset(struct backend *b)
{
	if (!b->in_transaction || b->state != B_READY)
		return;
	b->in_transaction = false;
	push(b, BACKEND_MAIL, FOR_RESET, NULL, "RSET", 4);
	backend_flush(b);
}

static uint64_t
reply_timeout(const struct backend *b)
{
	const struct pending *c = STAILQ_FIRST(&b->pending);

	return c != NULL && c->kind == BACKEND_RCPT ? conf(b)->rcpt_timeout
						    : conf(b)->mail_timeout;
}

void
backend_flush(struct backend *b)
{
	bool pipelining = ext_has(&b->ext, EXT_BIT(PIPELINING));
	bool waits = b->replies_due > 0;	/* with a deadline of its own */
	struct pending *c;

	if (b->state != B_READY || b->ahead)
		return;
	STAILQ_FOREACH(c, &b->pending, next) {
		if (c->sent)
			continue;
		if (!pipelining && b->replies_due > 0)
			break;
		evbuffer_add(conn_output(b->conn), c->line, strlen(c->line));
		c->sent = true;
		b->replies_due++;
	}
	if (b->replies_due > 0 && !waits)
		conn_deadline(b->conn, reply_timeout(b));
	conn_flush(b->conn);
}

static void
on_command_reply(struct backend *b)
{
	struct pending *c = STAILQ_FIRST(&b->pending);
	int class = b->reply.code / 100;

	if (class == 3 && (c->kind != BACKEND_AUTH || b->reply.code != 334)) {
		fail(b, BACKEND_LOST, NULL, "3xx where none can be");
		return;
	}
	if (c->kind == BACKEND_AUTH)
		b->in_auth = class == 3;
	STAILQ_REMOVE_HEAD(&b->pending, next);
	b->replies_due--;
	conn_deadline(b->conn, b->replies_due > 0 ? reply_timeout(b) : 0);
	switch (c->purpose) {
	case FOR_USER:
		b->user->on_reply(b->arg, c->kind, c->tag, &b->reply);
		break;
	case FOR_RESET:
		if (class != 2)
			fail(b, BACKEND_LOST, NULL, "RSET was refused");
		break;
	case FOR_LOG:
		break;
	}
	if (c->purpose != FOR_USER && b->state == B_READY && b->user == NULL &&
	    STAILQ_EMPTY(&b->pending))
		pool_backend_clean(b->pool, b);
	free(c);
	if (b->state == B_READY)
		backend_flush(b);	/* what waited for this reply */
}

/* Content */

void
backend_send(struct backend *b, const struct backend_content *content,
    void *tag)
{
	char line[64];

	assert(b->state == B_READY && b->content_state == C_NONE);
	assert(STAILQ_EMPTY(&b->pending));
	b->content = *content;
	b->content_tag = tag;
	b->at_bol = true;
	if (b->ahead) {
		b->content_state = C_WAIT_354;	/* and never gets it */
	} else if (content->bdat) {
		snprintf(line, sizeof(line), "BDAT %llu LAST\r\n",
		    (unsigned long long)spool_size(content->spool));
		evbuffer_add(conn_output(b->conn), line, strlen(line));
		b->content_state = C_SENDING;
		feed(b);
	} else {
		evbuffer_add(conn_output(b->conn), "DATA\r\n", 6);
		b->content_state = C_WAIT_354;
		conn_deadline(b->conn, conf(b)->data_init_timeout);
		conn_flush(b->conn);
	}
}

/* Stuff what is in from and move it to the output. */
static void
stuff(struct backend *b, struct evbuffer *from)
{
	struct evbuffer_iovec in, out;
	size_t n;

	while (evbuffer_peek(from, -1, NULL, &in, 1) > 0) {
		n = in.iov_len < FEED ? in.iov_len : FEED;
		evbuffer_reserve_space(conn_output(b->conn),
		    (ssize_t)(2 * n), &out, 1);
		out.iov_len = dot_encode(&b->at_bol, in.iov_base, n,
		    out.iov_base);
		evbuffer_commit_space(conn_output(b->conn), &out, 1);
		evbuffer_drain(from, n);
	}
}

/* The next octets of the spool; -1: it cannot be read. */
static int64_t
take(struct backend *b)
{
	struct evbuffer *piece;
	int64_t n;

	if (b->content.bdat || !b->content.dotted)
		return spool_take(b->content.spool, conn_output(b->conn),
		    FEED);
	piece = evbuffer_new();
	n = spool_take(b->content.spool, piece, FEED);
	if (n > 0)
		stuff(b, piece);
	evbuffer_free(piece);
	return n;
}

static void
content_sent(struct backend *b)
{
	struct evbuffer *out = conn_output(b->conn);

	if (!b->content.bdat) {
		if (!b->content.ends_in_crlf)
			evbuffer_add(out, "\r\n", 2);
		evbuffer_add(out, ".\r\n", 3);
	}
	b->content_state = C_WAIT_REPLY;
	b->in_transaction = false;
	conn_deadline(b->conn, conf(b)->data_done_timeout);
	conn_flush(b->conn);
}

/* Write content as fast as the backend takes it; on_drained() comes back. */
static void
feed(struct backend *b)
{
	int64_t n;

	for (;;) {
		if (conn_is_full(b->conn)) {
			conn_flush(b->conn);
			if (conn_is_full(b->conn))
				break;
		}
		n = take(b);
		if (n == 0) {
			content_sent(b);
			return;
		}
		if (n < 0) {
			fail(b, BACKEND_LOST, NULL, "the spool cannot be read");
			return;
		}
	}
	conn_deadline(b->conn, conf(b)->data_block_timeout);
}

static void
on_drained(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	if (b->state == B_READY && b->content_state == C_SENDING)
		feed(b);
}

/* It knows that there is content, and what it thinks of it. */
static void
on_verdict(struct backend *b)
{
	void *tag = b->content_tag;

	/* RFC 3030 section 2: after a chunk that failed nobody knows what
	   state the transaction is in; RSET. After DATA it is over. */
	if (b->content_state == C_WAIT_REPLY)
		b->in_transaction = b->content.bdat &&
		    !reply_is_positive(&b->reply);
	spool_free(&b->content.spool);
	conn_deadline(b->conn, 0);
	b->content_state = C_NONE;
	b->user->on_reply(b->arg, BACKEND_CONTENT, tag, &b->reply);
}

/*
 * It refuses before it has everything, and the rest of the content cannot be
 * unsaid: the session with it ends before anybody can put a command where it
 * expects content.
 */
static void
on_early_verdict(struct backend *b)
{
	const struct backend_user *user = b->user;
	void *tag = b->content_tag;

	die(b);
	user->on_reply(b->arg, BACKEND_CONTENT, tag, &b->reply);
	if (b->user != NULL)
		user->on_failure(b->arg, BACKEND_LOST, NULL,
		    "refused before the end");
}

/* A reply while there is content. */
static void
on_content_reply(struct backend *b)
{
	int class = b->reply.code / 100;
	bool all_sent = b->content_state == C_WAIT_REPLY;

	if (b->content_state == C_WAIT_354 && b->reply.code == 354 &&
	    !b->ahead) {
		b->content_state = C_SENDING;
		feed(b);
	} else if (class == 3 || (class == 2 && !all_sent))
		fail(b, BACKEND_LOST, NULL,
		    "a reply to content that was not sent");
	else if (b->content_state == C_SENDING)
		on_early_verdict(b);
	else
		on_verdict(b);
}

/* Replies */

static void
on_reply(struct backend *b)
{
	if (b->state != B_READY) {
		assert(states[b->state].on_reply != NULL);
		if (b->reply.code == 421 && !b->told && b->state != B_XCLIENT)
			refused(b);
		else
			states[b->state].on_reply(b);
		return;
	}
	if (b->reply.code == 421) {
		fail(b, BACKEND_SHUTDOWN, &b->reply, "421");
		return;
	}
	b->reused = false;
	if (b->content_state != C_NONE)
		on_content_reply(b);
	else if (b->replies_due > 0)
		on_command_reply(b);
	else
		fail(b, BACKEND_LOST, NULL, "a reply to no command");
}

/* Are there to be more replies than the one that is complete now? */
static bool
owes_more(const struct backend *b)
{
	return b->state == B_READY ? b->replies_due > 1 : b->greetings > 1;
}

/*
 * One reply is complete. If there is more input than replies to come, what is
 * there now would become the reply to something that we have not yet said:
 * nothing more is said here.
 */
static void
take_reply(struct backend *b)
{
	static const char why[] = "more replies than commands";

	b->ahead = evbuffer_get_length(conn_input(b->conn)) > 0 &&
	    !owes_more(b);
	if (b->ahead && b->state != B_READY) {
		fail(b, BACKEND_UNREACHABLE, NULL, why);
		return;
	}
	on_reply(b);
	reply_reset(&b->reply);
	if (b->ahead && b->conn != NULL)
		fail(b, BACKEND_LOST, NULL, why);
}

static bool
reads_replies(const struct backend *b)
{
	return b->state == B_READY || states[b->state].on_reply != NULL;
}

static void
on_input(void *arg)
{
	struct backend *b;
	struct evbuffer *in;
	enum reply_status status;
	const char *why;
	size_t len, used;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	while (b->conn != NULL && reads_replies(b)) {
		in = conn_input(b->conn);
		len = evbuffer_get_length(in);
		if (len == 0)
			return;
		if (len > REPLY_LINE_MAX)
			len = REPLY_LINE_MAX;
		status = reply_parse(&b->reply,
		    (const char *)evbuffer_pullup(in, (ssize_t)len), len,
		    &used, &why);
		if (status == REPLY_BAD) {
			fail(b, b->state == B_READY ? BACKEND_LOST :
			    BACKEND_UNREACHABLE, NULL, why);
			return;
		}
		evbuffer_drain(in, used);
		if (status == REPLY_DONE) {
			take_reply(b);
		} else if (used == 0)
			return;
	}
}

static const struct conn_owner owner = {
	.on_input	= on_input,
	.on_drained	= on_drained,
	.on_tls		= on_tls,
	.on_end		= on_end,
};
