/*
 * backend_setup - from an address to a session that knows who the client is.
 *
 * One handler for each reply, in the order in which they come: connect,
 * greeting, EHLO, STARTTLS, EHLO again, XCLIENT, greeting, EHLO again.
 */

#include <sys/socket.h>
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

#include "base/child.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/backend_impl.h"
#include "proxy/tls.h"

#define PROBE_MS	10000	/* an EHLO of a client may wait for this */

extern char **environ;

static void say_ehlo(struct backend *b);

/* Identity */

/* How this backend is told who the client is, auto being decided. */
enum conf_identity
backend_tells(const struct backend *b)
{
	enum conf_identity i = b->pool->conf->identity;

	return i == IDENTITY_AUTO ? IDENTITY_XCLIENT : i;
}

/* Does the backend see the client in our place? Then we use its HELO name. */
static bool
is_transparent(const struct backend *b)
{
	switch (backend_tells(b)) {
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

void
backend_free_identity(struct backend *b)
{
	free((char *)(uintptr_t)b->who.x.name);
	free((char *)(uintptr_t)b->who.x.reverse_name);
	free((char *)(uintptr_t)b->who.x.helo);
	free((char *)(uintptr_t)b->who.x.login);
}

void
backend_set_identity(struct backend *b, const struct backend_identity *w)
{
	backend_free_identity(b);
	b->who = *w;		/* TLS names are OpenSSL's, proto is static */
	b->who.x.name = copy(w->x.name);
	b->who.x.reverse_name = copy(w->x.reverse_name);
	b->who.x.helo = copy(w->x.helo);
	b->who.x.login = copy(w->x.login);
	b->told = false;
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

/* Wait for what comes next in the set-up, but never past its end. */
void
backend_setup_deadline(struct backend *b, uint64_t ms)
{
	uint64_t now = clock_ms();
	uint64_t left = b->address_due > now ? b->address_due - now : 1;

	conn_deadline(b->conn, ms < left ? ms : left);
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

/* Run a command with SMTP on its stdin and stdout. Its end is that of the
   session. */
static int
connect_exec(struct worker *w, const char *command)
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
	if (w->children != NULL)
		children_adopt(w->children, pid);
	evutil_make_socket_nonblocking(fds[0]);
	return fds[0];
}

/* Try address after address until a socket is connecting. */
void
backend_connect(struct backend *b)
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
			fd = connect_exec(b->pool->w, a->where.path);
			break;
		case WHERE_MX:
			errno = EAFNOSUPPORT;
			break;
		}
		if (fd != -1)
			break;
		backend_try_next_address(b, strerror(errno));
		return;
	}
	if (fd == -1) {
		b->address = c->naddresses - 1;	/* a name for the log */
		backend_give_up(b, BACKEND_UNREACHABLE, NULL,
		    "no address answers");
		return;
	}
	b->conn = conn_new(b->pool->w->base, fd, &backend_conn_owner, b);
	backend_setup_deadline(b, backend_conf(b)->connect_timeout);
	/* The PROXY header is the first thing to say; without one there is
	   nothing to write, and the greeting tells that we are connected. */
	if (backend_tells(b) == IDENTITY_PROXY_V1 ||
	    backend_tells(b) == IDENTITY_PROXY_V2) {
		static const struct netaddr nobody;
		struct buf header;

		buf_init(&header, PROXYHDR_MAX);
		proxyhdr_format(&header,
		    backend_tells(b) == IDENTITY_PROXY_V1 ? 1 : 2,
		    b->probe ? &nobody : &b->who.x.addr,
		    b->probe ? &nobody : &b->who.x.dest, &b->who.tls);
		evbuffer_add(conn_output(b->conn), header.p, header.len);
		buf_fini(&header);
		b->told = !b->probe;
		conn_flush(b->conn);
	}
	b->connected = false;
	backend_enter(b, B_GREETING);
}

void
backend_start(struct backend *b)
{
	b->setup_due = clock_ms() +
	    (b->probe ? PROBE_MS : backend_conf(b)->greeting_timeout);
	b->address = 0;
	b->addr = 0;
	backend_enter(b, B_CONNECTING);
	timer_set(&b->kick, 0);
}

/* One handler for each reply */

static void
say(struct backend *b, enum backend_state next, const char *verb,
    const char *arg)
{
	struct evbuffer *out = conn_output(b->conn);

	evbuffer_add(out, verb, strlen(verb));
	if (arg != NULL) {
		evbuffer_add(out, " ", 1);
		evbuffer_add(out, arg, strlen(arg));
	}
	evbuffer_add(out, "\r\n", 2);
	conn_flush(b->conn);
	backend_setup_deadline(b, backend_conf(b)->mail_timeout);
	backend_enter(b, next);
}

/*
 * The backend does not want us. Before it knows the client that is a fault of
 * this address; afterwards it is its verdict on the client.
 */
void
backend_refused(struct backend *b)
{
	char why[128];

	snprintf(why, sizeof(why), "%s: %d %.80s", backend_state_name(b),
	    b->reply.code, b->reply.text.p);
	backend_fail(b, b->told ? BACKEND_REFUSED : BACKEND_UNREACHABLE,
	    &b->reply, why);
}

void
backend_on_greeting(struct backend *b)
{
	if (b->reply.code != 220)
		backend_refused(b);
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
	return backend_conf(b)->hostname;
}

static void
say_ehlo(struct backend *b)
{
	if (backend_is_lmtp(b))
		say(b, B_EHLO, "LHLO", ehlo_name(b));
	else if (is_transparent(b) && !b->who.esmtp)
		say(b, B_HELO, "HELO", ehlo_name(b));
	else
		say(b, B_EHLO, "EHLO", ehlo_name(b));
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
	backend_enter(b, B_READY);
	if (b->probe)
		backend_end_probe(b);
	else if (!STAILQ_EMPTY(&b->pending))
		backend_flush(b);	/* all of it once more */
	else
		b->user->on_ready(b->arg);
}

bool
backend_takes_xclient(const struct backend *b)
{
	return ext_has(&b->ext, EXT_BIT(XCLIENT)) &&
	    b->ext.xclient & 1u << XATTR_ADDR;
}

/* XCLIENT. (XFORWARD is a hint for logs and goes ahead of each MAIL.) */
static void
say_who(struct backend *b)
{
	struct buf lines;

	if (b->told || b->probe || backend_tells(b) != IDENTITY_XCLIENT) {
		become_ready(b);
		return;
	}
	if (!backend_takes_xclient(b)) {
		backend_fail(b, BACKEND_NO_IDENTITY, NULL,
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
	backend_setup_deadline(b, backend_conf(b)->greeting_timeout);
	backend_enter(b, B_XCLIENT);
}

/* What it can do is known. */
static void
greeted(struct backend *b)
{
	pool_learned(b->pool, &b->ext);
	say_who(b);
}

void
backend_on_ehlo(struct backend *b)
{
	if (b->reply.code / 100 == 5 && !backend_is_lmtp(b)) {
		say(b, B_HELO, "HELO", ehlo_name(b));
		return;
	}
	if (b->reply.code != 250) {
		backend_refused(b);
		return;
	}
	ext_parse(&b->ext, &b->reply);
	if (wants_tls(b)) {
		if (ext_has(&b->ext, EXT_BIT(STARTTLS)))
			say(b, B_STARTTLS, "STARTTLS", NULL);
		else
			backend_fail(b, BACKEND_UNREACHABLE, NULL,
			    "the backend does not offer STARTTLS");
		return;
	}
	greeted(b);
}

void
backend_on_helo(struct backend *b)
{
	if (b->reply.code != 250) {
		backend_refused(b);
		return;
	}
	memset(&b->ext, 0, sizeof(b->ext));
	if (b->pool->conf->tls > TLS_MAY && conn_tls(b->conn) == NULL)
		backend_fail(b, BACKEND_UNREACHABLE, NULL,
		    "the backend does not offer STARTTLS");
	else {
		if (!b->told)
			pool_learned(b->pool, &b->ext);
		say_who(b);
	}
}

void
backend_on_starttls(struct backend *b)
{
	const struct conf_backend *c = b->pool->conf;
	const char *host = backend_where(b)->host;
	SSL *ssl;

	if (b->reply.code != 220) {
		if (c->tls == TLS_MAY)
			greeted(b);
		else
			backend_refused(b);
		return;
	}
	ssl = SSL_new(c->tls_ctx);
	if (ssl == NULL || tls_expect(ssl, host ? host : "localhost",
	    c->tls == TLS_VERIFY) == -1) {
		SSL_free(ssl);
		backend_fail(b, BACKEND_UNREACHABLE, NULL,
		    "cannot prepare TLS");
		return;
	}
	backend_enter(b, B_HANDSHAKE);
	backend_setup_deadline(b, backend_conf(b)->greeting_timeout);
	if (conn_start_tls(b->conn, ssl, false) > 0)
		backend_fail(b, BACKEND_UNREACHABLE, NULL,
		    "plain text behind the reply to STARTTLS");
}

void
backend_on_tls(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	say_ehlo(b);
}

void
backend_on_xclient(struct backend *b)
{
	if (b->reply.code != 220) {
		b->told = true;		/* it is about the client now */
		if (b->reply.code == 550 || b->reply.code / 10 == 50)
			backend_fail(b, BACKEND_NO_IDENTITY, &b->reply,
			    "the backend refuses our XCLIENT");
		else
			backend_refused(b);
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
	b->setup_due = clock_ms() + backend_conf(b)->greeting_timeout;
	b->address_due = b->setup_due;
	conn_deadline(b->conn, 0);
	if (backend_tells(b) != IDENTITY_XCLIENT)
		return;			/* ready as it is */
	say_who(b);
}
