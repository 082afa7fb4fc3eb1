/*
 * backend - one SMTP session with the next MTA: its life, its failures, its
 * commands and their replies.
 *
 * Getting ready is backend_setup.c: a state for each thing we wait for, with
 * its handler in the table below. Content is backend_content.c, and
 * backend_stream.c while it comes. Whatever fails ends in backend_fail(), which
 * knows the state and decides: the next address, once more on a fresh
 * connection when a warm one proves dead, or the user's
 * on_failure().
 */

#include "proxy/backend.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/spool.h"
#include "proxy/backend_impl.h"

#define QUIET_MS	60000	/* a fifth of what RFC 5321 4.5.3.2.7 asks for */

static const struct {
	const char	*name;
	backend_setup_fn *on_reply;	/* NULL: no reply is expected here */
} states[B_NSTATES] = {
	[B_QUEUED]	= { "queued", NULL },
	[B_CONNECTING]	= { "connecting", NULL },
	[B_GREETING]	= { "greeting", backend_on_greeting },
	[B_EHLO]	= { "EHLO", backend_on_ehlo },
	[B_HELO]	= { "HELO", backend_on_helo },
	[B_STARTTLS]	= { "STARTTLS", backend_on_starttls },
	[B_HANDSHAKE]	= { "TLS handshake", NULL },
	[B_XCLIENT]	= { "XCLIENT", backend_on_xclient },
	[B_READY]	= { "ready", NULL },
	[B_DEAD]	= { "dead", NULL },
};

/* The only place where a backend changes its state. */
void
backend_enter(struct backend *b, enum backend_state next)
{
	assert(b->state != B_DEAD);
	log_debug(b->id, "backend state %s -> %s", states[b->state].name,
	    states[next].name);
	b->state = next;
}

const char *
backend_state_name(const struct backend *b)
{
	return states[b->state].name;
}

const struct conf *
backend_conf(const struct backend *b)
{
	return b->pool->global;
}

const struct where *
backend_where(const struct backend *b)
{
	return &b->pool->conf->addresses[b->address].where;
}

const char *
backend_name(const struct backend *b)
{
	return backend_where(b)->text;
}

bool
backend_is_lmtp(const struct backend *b)
{
	return backend_where(b)->lmtp;
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
	timer_init(&b->nudge, backend_on_nudge, b);
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
	backend_stream_stop(b);
	spool_free(&b->content.spool);
	b->content_state = C_NONE;
	b->chunks_due = 0;
}

void
backend_destroy(struct backend *b)
{
	OBJ_CHECK(b, BACKEND_MAGIC);
	timer_stop(&b->kick);
	conn_free(&b->conn);
	drop_pending(b);
	reply_fini(&b->reply);
	backend_free_identity(b);
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
		backend_enter(b, B_DEAD);
		backend_stream_stop(b);
		conn_free(&b->conn);
		pool_closed(b->pool, b);
	}
	timer_set(&b->kick, 0);
}

/* Failure */

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

void
backend_end_probe(struct backend *b)
{
	struct pool *p = b->pool;

	backend_close(b);
	TAILQ_INSERT_TAIL(&p->used, b, link);	/* on_kick() takes it out */
	pool_probe_ended(p);
}

/* It is of no more use, but its user still has it. */
void
backend_die(struct backend *b)
{
	conn_free(&b->conn);
	drop_pending(b);
	backend_enter(b, B_DEAD);
	pool_closed(b->pool, b);
}

/* Tell the user that it is over. He may give b back in the call. */
void
backend_give_up(struct backend *b, enum backend_failure f,
    const struct reply *r, const char *why)
{
	const struct backend_user *user = b->user;

	if (b->probe) {
		backend_end_probe(b);
		return;
	}
	backend_die(b);
	if (user != NULL)
		user->on_failure(b->arg, f, r, why);
	else
		timer_set(&b->kick, 0);
}

/* During set-up: this address will not do. */
void
backend_try_next_address(struct backend *b, const char *why)
{
	char text[520];		/* why may be in the backend's own words */

	log_info(b->id, "backend name=%s address=%s state=\"%s\" failed=%s",
	    b->pool->conf->name, backend_name(b), states[b->state].name,
	    log_quote(text, sizeof(text), why, strlen(why), 120));
	hang_up(b);
	b->addr++;
	backend_enter(b, B_CONNECTING);
	timer_set(&b->kick, 0);		/* backend_connect(), from the loop */
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
	backend_enter(b, B_QUEUED);
	backend_start(b);
}

void
backend_fail(struct backend *b, enum backend_failure f, const struct reply *r,
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
		backend_try_next_address(b, why);
	else
		backend_give_up(b, f, r, why);
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
		backend_setup_deadline(b, backend_conf(b)->greeting_timeout);
		return;
	}
	backend_fail(b, b->state == B_READY ? BACKEND_LOST :
	    BACKEND_UNREACHABLE, NULL, detail);
}

/* The next step of whoever could not take it in the middle of a callback. */
static void
on_kick(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	switch (b->state) {
	case B_CONNECTING:
		backend_connect(b);
		break;
	case B_QUEUED:
		/* max-sessions are open, and none ended in time. */
		TAILQ_REMOVE(&b->pool->queued, b, link);
		TAILQ_INSERT_TAIL(&b->pool->used, b, link);
		backend_give_up(b, BACKEND_UNREACHABLE, NULL,
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

/* No reply is to come but those that nobody waits for. */
static bool
is_silent(const struct backend *b)
{
	const struct pending *c;

	STAILQ_FOREACH(c, &b->pending, next)
		if (c->purpose == FOR_USER)
			return false;
	return b->content_state == C_NONE || b->content_state == C_DRAINING;
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
	    b->ahead || !is_silent(b) || b->pool->w->retired ||
	    timer_is_set(&b->kick))
		return false;
	switch (backend_tells(b)) {
	case IDENTITY_XCLIENT:
		/* Postfix takes another one only if the client it was told
		   of may send it, and says so in the EHLO after it. */
		return backend_takes_xclient(b);
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

	if (backend_tells(b) != IDENTITY_XFORWARD ||
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

void
backend_keep_alive(struct backend *b)
{
	if (b->in_transaction && b->content_state == C_NONE &&
	    STAILQ_EMPTY(&b->pending) && clock_ms() - b->said_ms >= QUIET_MS) {
		push(b, BACKEND_MAIL, FOR_LOG, NULL, "NOOP", 4);
		backend_flush(b);
	}
}

static uint64_t
reply_timeout(const struct backend *b)
{
	const struct pending *c = STAILQ_FIRST(&b->pending);

	return c != NULL && c->kind == BACKEND_RCPT ?
	    backend_conf(b)->rcpt_timeout : backend_conf(b)->mail_timeout;
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
		if (!pipelining && b->replies_due + b->chunks_due > 0)
			break;
		evbuffer_add(conn_output(b->conn), c->line, strlen(c->line));
		c->sent = true;
		b->replies_due++;
		b->said_ms = clock_ms();
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
		backend_fail(b, BACKEND_LOST, NULL, "3xx where none can be");
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
			backend_fail(b, BACKEND_LOST, NULL, "RSET was refused");
		break;
	case FOR_LOG:
		break;
	}
	if (c->purpose != FOR_USER && b->state == B_READY && b->user == NULL &&
	    STAILQ_EMPTY(&b->pending))
		pool_backend_clean(b->pool, b);
	free(c);
	if (b->state != B_READY)
		return;
	if (b->content_state == C_QUEUED && STAILQ_EMPTY(&b->pending))
		backend_begin_content(b);
	else
		backend_flush(b);	/* what waited for this reply */
}

/* Replies */

static void
on_reply(struct backend *b)
{
	if (b->state != B_READY) {
		assert(states[b->state].on_reply != NULL);
		if (b->reply.code == 421 && !b->told && b->state != B_XCLIENT)
			backend_refused(b);
		else
			states[b->state].on_reply(b);
		return;
	}
	if (b->reply.code == 421) {
		backend_fail(b, BACKEND_SHUTDOWN, &b->reply, "421");
		return;
	}
	b->reused = false;
	if (b->content_state != C_NONE && b->content_state != C_QUEUED)
		backend_on_content_reply(b);
	else if (b->replies_due > 0)
		on_command_reply(b);
	else
		backend_fail(b, BACKEND_LOST, NULL, "a reply to no command");
}

/* Are there to be more replies than the one that is complete now? */
static bool
owes_more(const struct backend *b)
{
	return b->state == B_READY ? b->replies_due + b->chunks_due > 1 :
	    b->greetings > 1;
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
		backend_fail(b, BACKEND_UNREACHABLE, NULL, why);
		return;
	}
	on_reply(b);
	reply_reset(&b->reply);
	if (b->ahead && b->conn != NULL)
		backend_fail(b, BACKEND_LOST, NULL, why);
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
			backend_fail(b, b->state == B_READY ? BACKEND_LOST :
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

const struct conn_owner backend_conn_owner = {
	.on_input	= on_input,
	.on_drained	= backend_on_drained,
	.on_tls		= backend_on_tls,
	.on_end		= on_end,
};
