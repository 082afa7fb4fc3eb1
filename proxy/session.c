/*
 * session - one SMTP conversation with a client: its life, its states, its
 * replies in order, and the pump.
 *
 * session_pump() is the only loop and the only reader of the input. Every
 * command passes three steps: check (syntax, state; at once), ask (who may
 * send what to whom), proceed (forward to the backend), and then its reply.
 * MAIL and RCPT commands that arrived together are one group: each is checked
 * and asked in turn, what must be forwarded is queued, and the queue goes to
 * the backend in one write when the input is empty or another verb comes. Every
 * other verb waits until all replies have left: then the state is the true
 * state.
 */

#include "proxy/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/proxyhdr.h"
#include "base/spool.h"
#include "proxy/resolve.h"
#include "proxy/session_impl.h"
#include "smtp/line.h"

#define INPUT_MAX	65536	/* octets kept while a command is busy */
#define LINGER_MS	2000	/* for the client to read the last reply */
#define AUTH_LINE_LIMIT	12290	/* RFC 4954 section 4.5, and CR LF */
#define LINE_LIMIT	INPUT_MAX /* whatever command-line-limit says */
#define GROUP_MS	50	/* for the rest of a group's replies */
#define SLOTS_MAX	256	/* replies that wait; then commands do, too */

static const struct {
	const char	*name;
	unsigned	 next;		/* states this one may turn into */
} states[S_NSTATES] = {
	[S_PROXY]    = { "proxy", IN(S_TLS) | IN(S_GREETING) |
			     IN(S_CLOSING) },
	[S_TLS]      = { "tls", IN(S_GREETING) | IN(S_CLOSING) },
	[S_GREETING] = { "greeting", IN(S_HELO) | IN(S_CLOSING) },
	[S_HELO]     = { "helo", IN(S_HELO) | IN(S_READY) | IN(S_GREETING) |
			     IN(S_CHUNK) | IN(S_CLOSING) },
	[S_READY]    = { "ready", IN(S_READY) | IN(S_HELO) | IN(S_GREETING) |
			     IN(S_AUTH) | IN(S_MAIL) | IN(S_CHUNK) |
			     IN(S_CLOSING) },
	[S_AUTH]     = { "auth", IN(S_READY) | IN(S_CLOSING) },
	[S_MAIL]     = { "mail", IN(S_READY) | IN(S_RCPT) | IN(S_CHUNK) |
			     IN(S_CLOSING) },
	[S_RCPT]     = { "rcpt", IN(S_READY) | IN(S_DATA) | IN(S_CHUNK) |
			     IN(S_CLOSING) },
	[S_DATA]     = { "data", IN(S_READY) | IN(S_CLOSING) },
	[S_BDAT]     = { "bdat", IN(S_READY) | IN(S_CHUNK) | IN(S_CLOSING) },
	[S_CHUNK]    = { "chunk", IN(S_HELO) | IN(S_READY) | IN(S_MAIL) |
			     IN(S_RCPT) | IN(S_BDAT) | IN(S_CLOSING) },
	[S_CLOSING]  = { "closing", 0 },
};

static const struct {
	bool		 is_error;
	const char	*text;
} close_reasons[] = {
#define CLOSE(id, is_error, text)	[CLOSE_##id] = { is_error, text },
#include "proxy/close.def"
#undef CLOSE
};

static const struct conn_owner owner;

/* The only place where a session changes its state. */
void
session_enter(struct session *s, enum session_state next)
{
	assert(states[s->state].next & IN(next));
	log_debug(s->id, "state from=%s to=%s", states[s->state].name,
	    states[next].name);
	s->state = next;
}

/* Life */

static void start(struct session *s);
static void on_reap(void *arg);
static void on_flush(void *arg);

static uint64_t
new_id(void)
{
	static uint64_t id;

	if (id == 0) {		/* unlike that of any other worker */
		arc4random_buf(&id, sizeof(id));
		id &= ~UINT64_C(0xffffffff);
	}
	return ++id;
}

struct session *
session_new(struct worker *w, const struct conf_listener *l, int fd,
    const struct netaddr *peer, const struct netaddr *local)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->magic = SESSION_MAGIC;
	s->id = new_id();
	s->w = w;
	s->conf = w->conf;
	s->listener = l;
	s->peer = s->client_addr = *peer;
	s->local_addr = *local;
	s->started_us = clock_us();
	s->trusted_xclient = netset_has(&l->accept_xclient_from, peer);
	STAILQ_INIT(&s->slots);
	timer_init(&s->reap, on_reap, s);
	timer_init(&s->flush, on_flush, s);
	s->client = conn_new(w->base, fd, &owner, s);
	s->next = w->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	w->sessions = s;
	w->nsessions++;
	if (netset_has(&l->accept_proxy_from, peer)) {
		s->state = S_PROXY;
		conn_peek_first(s->client);
		conn_deadline(s->client, s->conf->proxy_timeout);
	} else {
		s->state = S_GREETING;
		start(s);
	}
	return s;
}

struct session *
session_next(const struct session *s)
{
	return s->next;
}

static void
log_connect(const struct session *s)
{
	char client[NETADDR_TEXT], peer[NETADDR_TEXT];
	bool proxied = !netaddr_same_ip(&s->peer, &s->client_addr);

	log_info(s->id, "connect client=%s listener=%s%s%s",
	    netaddr_text(&s->client_addr, client), s->listener->name,
	    proxied ? " proxy=" : "",
	    proxied ? netaddr_text(&s->peer, peer) : "");
}

static void
start_tls(struct session *s)
{
	SSL *ssl = SSL_new(s->listener->tls);

	if (ssl == NULL) {
		session_close(s, CLOSE_TLS_FAILED);
		return;
	}
	conn_deadline(s->client, s->conf->client_timeout);
	session_wait(s, BUSY_TLS, NULL);
	conn_start_tls(s->client, ssl, true);
}

/*
 * A command has client-timeout to arrive, however its octets trickle: the
 * deadline is set when we begin to wait for it. (Content has its own rule.)
 */
static void
expect_command(struct session *s)
{
	if (s->busy != BUSY_NO || s->state == S_CLOSING ||
	    s->state == S_DATA || s->state == S_CHUNK || s->state == S_PROXY)
		return;
	conn_deadline(s->client, STAILQ_EMPTY(&s->slots) ?
	    s->conf->client_timeout : 0);
}

/* The client's addresses are known: banner, or TLS first. */
static void
start(struct session *s)
{
	log_connect(s);
	if (s->listener->tls_implicit) {
		s->state = S_TLS;
		start_tls(s);
		return;
	}
	if (s->state != S_GREETING)
		session_enter(s, S_GREETING);
	session_connect(s);
	expect_command(s);
	session_pump(s);
}

static void
on_tls(void *arg)
{
	struct session *s;
	SSL *ssl;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	if (s->state == S_CLOSING)
		return;
	ssl = conn_tls(s->client);
	log_info(s->id, "tls version=%s cipher=%s", SSL_get_version(ssl),
	    SSL_get_cipher_name(ssl));
	if (s->state == S_TLS) {
		session_enter(s, S_GREETING);
		s->then = session_connect;
	}
	session_resume(s);
}

/* S_PROXY: the header is complete, or it is none. */
static void
read_proxy_header(struct session *s)
{
	char room[PROXYHDR_MAX];
	size_t len = conn_peek(s->client, room, sizeof(room)), used;
	struct proxyhdr h;
	const char *why;

	if (len == 0)
		return;
	switch (proxyhdr_parse(&h, room, len, &used, &why)) {
	case PROXYHDR_MORE:
		return;
	case PROXYHDR_BAD:
		log_connect(s);
		log_warn(s->id, "proxy-header refused=\"%s\"", why);
		session_close(s, CLOSE_BAD_PROXY);
		return;
	case PROXYHDR_DONE:
		conn_skip(s->client, used);
		if (!h.local && h.src.family != 0) {
			s->client_addr = h.src;
			s->local_addr = h.dst;
		}
		start(s);
		return;
	}
}

/* Closing */

static void
log_end(const struct session *s)
{
	const char *name = close_reasons[s->closed_because].text;

	log_info(s->id, "close reason=\"%s\"%s after=%.3fs in=%llu out=%llu "
	    "txns=%u", name,
	    close_reasons[s->closed_because].is_error ? " error=yes" : "",
	    (double)(clock_us() - s->started_us) / 1e6,
	    (unsigned long long)conn_octets_in(s->client),
	    (unsigned long long)conn_octets_out(s->client), s->ntxns);
}

static void
on_reap(void *arg)
{
	struct session *s;
	struct worker *w;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	assert(s->state == S_CLOSING);
	w = s->w;
	log_end(s);
	conn_free(&s->client);
	session_drop_slots(s);
	timer_stop(&s->flush);
	if (s->next != NULL)
		s->next->prev = s->prev;
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		w->sessions = s->next;
	free(s->helo);
	free(s->client_name);
	free(s->reverse_name);
	free(s->login);
	free(s->auth_line);
	free(s->auth_user);
	free(s->auth_reply);
	free(s->last_words);
	s->magic = 0;
	free(s);
	w->nsessions--;
	worker_session_ended(w);
}

/*
 * The last reply is in the output. When nothing more of the client's can be in
 * the way, close; else let it read the reply first.
 */
static void
finish_closing(struct session *s)
{
	bool drained = conn_is_drained(s->client);

	if (timer_is_set(&s->reap))
		return;
	if (s->client_gone || (drained &&
	    (s->client_eof || s->closed_because == CLOSE_QUIT))) {
		/* Without close_notify the end might be an attacker's
		   (RFC 8446 6.1). */
		if (session_is_tls(s))
			conn_shutdown(s->client);
		timer_set(&s->reap, 0);
		return;
	}
	conn_deadline(s->client, LINGER_MS);
	if (drained)
		conn_shutdown(s->client);
}

void
session_close(struct session *s, enum close_reason why)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->state == S_CLOSING)
		return;
	if (s->state == S_PROXY)
		conn_skip(s->client, 0);	/* what follows is read, too */
	session_enter(s, S_CLOSING);
	s->closed_because = why;
	s->then = NULL;
	session_cancel_probe(s);
	session_forget_name(s);
	session_end_chain(s);
	txn_free(&s->txn);
	intake_free(&s->intake);
	session_release_backend(s, false);
	evbuffer_drain(conn_input(s->client),
	    evbuffer_get_length(conn_input(s->client)));
	conn_resume(s->client);
	conn_flush(s->client);
	finish_closing(s);
}

void
session_abort(struct session *s)
{
	session_close(s, CLOSE_SHUTDOWN);
	timer_set(&s->reap, 0);
}

void
session_drain(struct session *s)
{
	session_pump(s);
}

void
session_end_txn(struct session *s)
{
	if (s->txn != NULL && s->txn->mail_sent && s->backend != NULL)
		backend_reset(s->backend);
	if (s->chain != NULL)
		chain_end(s->chain);
	if (s->txn != NULL)
		s->bad_rcpts += (unsigned)s->txn->nrefused;
	txn_free(&s->txn);
	intake_free(&s->intake);
	s->bdat_failed = false;
	s->mail_slot = NULL;
	s->replays = 0;
	session_release_backend(s, true);
}

/* Replies, in order */

static void
slot_free_first(struct session *s)
{
	struct slot *slot = STAILQ_FIRST(&s->slots);

	STAILQ_REMOVE_HEAD(&s->slots, next);
	s->nslots--;
	buf_fini(&slot->text);
	free(slot);
}

/* What is complete at the head of the queue goes out. */
static void
send_filled(struct session *s)
{
	struct slot *slot;

	while ((slot = STAILQ_FIRST(&s->slots)) != NULL && slot->filled) {
		evbuffer_add(conn_output(s->client), slot->text.p,
		    slot->text.len);
		slot_free_first(s);
	}
}

/*
 * Let the replies go: those of a group together, in one write, if the rest of
 * them comes soon. A backend that takes its time for each recipient must not
 * keep the client from the replies there are.
 */
static void
flush(struct session *s)
{
	if (STAILQ_EMPTY(&s->slots) || conn_is_full(s->client)) {
		timer_stop(&s->flush);
		conn_flush(s->client);
	} else if (!conn_is_drained(s->client) && !timer_is_set(&s->flush))
		timer_set(&s->flush, GROUP_MS);
}

static void
on_flush(void *arg)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	conn_flush(s->client);
}

void
session_drop_slots(struct session *s)
{
	while (!STAILQ_EMPTY(&s->slots))
		slot_free_first(s);
}

struct slot *
slot_new(struct session *s)
{
	struct slot *slot = xcalloc(1, sizeof(*slot));

	buf_init(&slot->text, 2 * REPLY_TEXT_MAX);
	STAILQ_INSERT_TAIL(&s->slots, slot, next);
	s->nslots++;
	return slot;
}

static void
fill(struct session *s, struct slot *slot, const struct reply *r, bool bare)
{
	reply_format(r, bare, &slot->text);
	slot->filled = true;
	if (r->code >= 400)
		s->errors++;
	send_filled(s);
}

void
slot_fill(struct session *s, struct slot *slot, const struct reply *r)
{
	assert(!slot->filled);
	fill(s, slot, r, !s->esmtp);
	if (!STAILQ_EMPTY(&s->slots))
		flush(s);
	else if (s->busy == BUSY_REPLIES)
		session_resume(s);
	else {
		expect_command(s);
		session_pump(s);
	}
}

void
session_reply_as(struct session *s, const struct reply *r, bool bare)
{
	struct buf text;

	if (!STAILQ_EMPTY(&s->slots)) {
		fill(s, slot_new(s), r, bare);
		return;
	}
	buf_init(&text, 2 * REPLY_TEXT_MAX);
	reply_format(r, bare, &text);
	evbuffer_add(conn_output(s->client), text.p, text.len);
	buf_fini(&text);
	if (r->code >= 400)
		s->errors++;
}

void
session_reply(struct session *s, int code, const char *fmt, ...)
{
	char text[512];
	struct reply r;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_init(&r);
	reply_set(&r, code, "%s", text);
	session_reply_as(s, &r, code == 220 || code == 354);
	reply_fini(&r);
}

/* "550 5.1.1 text" as a reply. */
static void
reply_from_text(struct reply *r, const char *text)
{
	reply_init(r);
	reply_set(r, (int)strtol(text, NULL, 10), "%s", text + 4);
}

void
session_reply_text(struct session *s, const char *text)
{
	struct reply r;

	reply_from_text(&r, text);
	session_reply_as(s, &r, false);
	reply_fini(&r);
}

void
slot_fill_text(struct session *s, struct slot *slot, const char *text)
{
	struct reply r;

	reply_from_text(&r, text);
	slot_fill(s, slot, &r);
	reply_fini(&r);
}

/* The pump */

void
session_wait(struct session *s, enum session_busy why,
    void (*then)(struct session *))
{
	assert(s->busy == BUSY_NO);
	s->busy = why;
	s->then = then;
	conn_deadline(s->client, why == BUSY_TLS ? s->conf->client_timeout : 0);
}

void
session_resume(struct session *s)
{
	void (*then)(struct session *) = s->then;

	s->busy = BUSY_NO;
	s->then = NULL;
	if (s->state == S_CLOSING)
		return;
	if (then != NULL)
		then(s);
	expect_command(s);
	session_pump(s);
}

static void
refuse_and_close(struct session *s, const char *reply, enum close_reason why)
{
	session_reply_text(s, reply);
	session_close(s, why);
}

/* Longer lines come with what we advertise (RFC 5321 4.1.1.11): every
   extension's allowance is there whether it was offered or not. */
static size_t
line_limit(const struct session *s)
{
	size_t limit;

	if (s->state == S_AUTH)
		return AUTH_LINE_LIMIT;
	limit = s->conf->command_line_limit +
	    26 +		/* SIZE: RFC 1870 */
	    17 + 10 +		/* BODY, SMTPUTF8 */
	    500 +		/* AUTH=: RFC 4954 */
	    600 +		/* DSN: RFC 3461 4.2, 4.3, 4.4 */
	    17 + 16 + 12;	/* BY, MT-PRIORITY, REQUIRETLS */
	return limit < LINE_LIMIT ? limit : LINE_LIMIT;
}

/* AUTH PLAIN with its initial response is one line, in any state. */
static size_t
limit_for(const struct session *s, const char *p, size_t len)
{
	size_t limit = line_limit(s);

	if (limit < AUTH_LINE_LIMIT && len > 5 &&
	    strncasecmp(p, "AUTH ", 5) == 0)
		return AUTH_LINE_LIMIT;
	return limit;
}

/* What the line needs is that all replies to those before it have left. */
static bool
wait_for_replies(struct session *s)
{
	if (STAILQ_EMPTY(&s->slots))
		return false;
	session_wait(s, BUSY_REPLIES, NULL);
	return true;
}

/*
 * Octets of a line over the limit: it is thrown away up to its end, and then
 * answered; who sends 64 K without a line end does not speak SMTP.
 */
static void
skip_line(struct session *s, bool complete, size_t octets)
{
	evbuffer_drain(conn_input(s->client), octets);
	s->skipped += octets;
	if (s->skipped > INPUT_MAX)
		refuse_and_close(s, "421 4.7.0 line too long",
		    CLOSE_LINE_TOO_LONG);
	if (!complete || s->state == S_CLOSING)
		return;
	s->skipped = 0;
	if (s->state == S_AUTH)
		session_auth_line(s, "*", 1);	/* ends the exchange */
	else
		session_reply(s, 500, "5.5.6 line too long");
}

/* A TLS ClientHello has no line end: do not wait for one. */
static bool
is_foreign(const struct session *s, char first)
{
	return s->state != S_AUTH && s->skipped == 0 && first != '\r' &&
	    first != '\n' && !isalpha((unsigned char)first);
}

/* May a command line of this client end in a bare LF? */
static bool
takes_bare_lf(const struct session *s)
{
	return s->conf->line_endings == LINES_NORMALIZE ||
	    netset_has(&s->conf->normalize_from, &s->client_addr);
}

/* Must this line wait until the replies to those before it have left? */
static bool
has_to_wait(const struct session *s, struct slice line)
{
	struct command c;

	if (STAILQ_EMPTY(&s->slots) || s->state == S_AUTH)
		return false;
	if (s->nslots >= SLOTS_MAX)
		return true;
	command_parse(&c, line.p, line.len);
	return !session_is_group(c.verb) || s->txn == NULL ||
	    c.verb == CMD_MAIL;
}

/*
 * The line is copied: what it points to is gone when it is taken out of the
 * input, and it has to be out before DATA and STARTTLS look what came too
 * early.
 */
static void
take_line(struct session *s, struct slice line, size_t used)
{
	char copy[LINE_LIMIT];
	struct command c;

	memcpy(copy, line.p, line.len);
	evbuffer_drain(conn_input(s->client), used);
	if (s->state == S_AUTH) {
		session_auth_line(s, copy, line.len);
		return;
	}
	command_parse(&c, copy, line.len);
	session_command(s, &c);
}

/* The line, or what is there of it, is over the limit. */
static bool
run_too_long(struct session *s, const char *p, size_t used)
{
	if (used == 0 || wait_for_replies(s))
		return false;
	if (s->state != S_AUTH && s->skipped == 0 && used > 5 &&
	    strncasecmp(p, "BDAT ", 5) == 0) {
		/* Its chunk would be taken for commands. */
		refuse_and_close(s, "501 5.5.4 syntax: BDAT size [LAST]",
		    CLOSE_BAD_BDAT);
		return false;
	}
	skip_line(s, p[used - 1] == '\n', used);
	return true;
}

static bool
run_bare_lf(struct session *s)
{
	if (!wait_for_replies(s))
		refuse_and_close(s, "550 5.5.2 command line ends in a bare "
		    "LF, not in CR LF", CLOSE_BARE_LF);
	return false;
}

static bool
run_foreign(struct session *s)
{
	static const struct command foreign = { .verb = CMD_FOREIGN };

	if (!wait_for_replies(s))
		session_command(s, &foreign);
	return false;
}

/*
 * The octets at the front of the input, a whole line if there is one. They are
 * brought together only when the line does not end in the first chain: doing so
 * for each line of a long input would copy all of it each time.
 */
static const char *
front(struct evbuffer *in, size_t *have)
{
	struct evbuffer_iovec v;

	*have = evbuffer_get_length(in);
	if (*have > LINE_LIMIT)
		*have = LINE_LIMIT;
	if (*have == 0)
		return NULL;
	evbuffer_peek(in, -1, NULL, &v, 1);
	if (v.iov_len < *have &&
	    memchr(v.iov_base, '\n', v.iov_len) == NULL)
		return (const char *)evbuffer_pullup(in, (ssize_t)*have);
	if (v.iov_len < *have)
		*have = v.iov_len;
	return v.iov_base;
}

/*
 * Run the next line of the input, if there is one and it is its turn. What
 * happens is the same in whatever pieces the line comes.
 */
static bool
run_next(struct session *s)
{
	enum line_status status;
	size_t have, limit, used;
	struct slice line;
	const char *p = front(conn_input(s->client), &have);

	if (p == NULL)
		return false;
	if (is_foreign(s, *p))
		return run_foreign(s);
	limit = s->skipped > 0 ? 2 : limit_for(s, p, have);
	status = line_cut(p, have, limit, &s->scanned, &line, &used);
	if (status == LINE_MORE)
		return false;
	if (status == LINE_BARE_LF && !takes_bare_lf(s))
		return run_bare_lf(s);
	if (status == LINE_TOO_LONG || s->skipped > 0 || used > limit)
		return run_too_long(s, p, used);
	if (has_to_wait(s, line)) {
		session_wait(s, BUSY_REPLIES, NULL);
		return false;
	}
	take_line(s, line, used);
	return true;
}

/* Is nothing of the client's under way, so that we may say 421? */
static bool
is_quiet(const struct session *s)
{
	return s->busy == BUSY_NO && STAILQ_EMPTY(&s->slots) &&
	    s->state != S_DATA && s->state != S_CHUNK && s->state != S_PROXY &&
	    s->state != S_TLS && s->state != S_CLOSING;
}

static void
limits(struct session *s)
{
	if (s->state == S_CLOSING || !is_quiet(s))
		return;
	if (s->errors >= s->conf->error_limit) {
		session_reply(s, 421, "4.7.0 %s too many errors",
		    s->conf->hostname);
		session_close(s, CLOSE_TOO_MANY_ERRORS);
	} else if (s->junk > s->conf->junk_command_limit) {
		session_reply(s, 421, "4.7.0 %s too many commands without a "
		    "message", s->conf->hostname);
		session_close(s, CLOSE_TOO_MUCH_JUNK);
	} else if (s->w->draining) {
		session_reply(s, 421, "4.3.2 %s is shutting down",
		    s->conf->hostname);
		session_close(s, CLOSE_SHUTDOWN);
	}
}

/* Run what is there, and queue what is for the backend. */
static void
run_all(struct session *s)
{
	bool more = true;

	while (more && s->busy == BUSY_NO && !conn_is_full(s->client)) {
		if (s->last_words != NULL) {
			session_say_last_words(s);
			return;
		}
		limits(s);
		if (s->state == S_CLOSING || s->state == S_PROXY)
			return;
		if (s->state == S_DATA || s->state == S_CHUNK)
			more = session_content(s);
		else
			more = run_next(s);
	}
}

bool
session_hold(struct session *s)
{
	bool held = s->pumping;

	s->pumping = true;
	return held;
}

void
session_let_go(struct session *s, bool held)
{
	s->pumping = held;
	if (!held && s->pump_again)
		session_pump(s);
}

/* What is left to do when all is run that can be. */
static void
after_pump(struct session *s)
{
	size_t input = evbuffer_get_length(conn_input(s->client));

	if (s->client_eof && s->busy == BUSY_NO && STAILQ_EMPTY(&s->slots)) {
		session_close(s, CLOSE_CLIENT_GONE);
		return;
	}
	if (!STAILQ_EMPTY(&s->slots))
		conn_deadline(s->client, 0);	/* it is the backend's turn */
	if (input > INPUT_MAX || conn_is_full(s->client))
		conn_pause(s->client);
	else
		conn_resume(s->client);
}

void
session_pump(struct session *s)
{
	bool full;

	OBJ_CHECK(s, SESSION_MAGIC);
	/* Whoever ends a wait calls us, perhaps from below ourselves. */
	s->pump_again = true;
	if (s->pumping)
		return;
	s->pumping = true;
	while (s->pump_again && s->state != S_CLOSING) {
		s->pump_again = false;
		run_all(s);
		if (s->state == S_CLOSING)
			break;
		session_forward(s);
		full = conn_is_full(s->client);
		flush(s);
		/* Room at once: nobody else would tell us. */
		if (full && !conn_is_full(s->client))
			s->pump_again = true;
	}
	s->pumping = false;
	if (s->state != S_CLOSING)
		after_pump(s);
}

/* Events of the connection */

static void
on_input(void *arg)
{
	struct session *s;
	size_t before;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	if (s->state == S_PROXY) {
		read_proxy_header(s);
		return;
	}
	if (s->state == S_CLOSING) {
		evbuffer_drain(conn_input(s->client),
		    evbuffer_get_length(conn_input(s->client)));
		return;
	}
	before = evbuffer_get_length(conn_input(s->client));
	session_pump(s);
	/* What is skipped is no command, and earns no time for one. */
	if (evbuffer_get_length(conn_input(s->client)) != before &&
	    s->skipped == 0)
		expect_command(s);
}

static void
on_drained(void *arg)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	if (s->state == S_CLOSING)
		finish_closing(s);
	else
		session_pump(s);
}

static void
on_timeout(struct session *s)
{
	if (s->state == S_CLOSING) {
		timer_set(&s->reap, 0);
		return;
	}
	if (s->state == S_PROXY || s->busy == BUSY_TLS) {
		session_close(s, CLOSE_CLIENT_TIMEOUT);
		timer_set(&s->reap, 0);
		return;
	}
	session_reply(s, 421, "4.4.2 %s timeout exceeded",
	    s->conf->hostname);
	session_close(s, CLOSE_CLIENT_TIMEOUT);
}

/* Content is with the backend: the answer must be heard, if only by the log. So
   it must when a client that only reads waits for the filters' word. */
static bool
awaits_verdict(const struct session *s, enum conn_end what)
{
	return (s->busy == BUSY_BACKEND && s->txn != NULL) ||
	    (s->busy == BUSY_FILTERS && s->intake != NULL &&
	    s->intake->ended && what != CONN_ERROR);
}

static void
on_end(void *arg, enum conn_end what, const char *detail)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	if (what == CONN_TIMEOUT) {
		on_timeout(s);
		return;
	}
	s->client_eof = true;
	if (what == CONN_ERROR)
		s->client_gone = true;
	if (s->state == S_CLOSING) {
		finish_closing(s);
		return;
	}
	if (what == CONN_ERROR && s->busy == BUSY_TLS) {
		char why[128];

		log_info(s->id, "tls failed=%s", log_quote(why, sizeof(why),
		    detail, strlen(detail), 80));
		session_close(s, CLOSE_TLS_FAILED);
	} else if (awaits_verdict(s, what))
		return;
	else if (what == CONN_ERROR)
		session_close(s, CLOSE_CLIENT_ERROR);
	else if (s->state == S_DATA || s->state == S_CHUNK ||
	    s->state == S_PROXY || s->busy == BUSY_TLS)
		session_close(s, CLOSE_CLIENT_GONE);
	else
		session_pump(s);
}

static const struct conn_owner owner = {
	.on_input	= on_input,
	.on_drained	= on_drained,
	.on_tls		= on_tls,
	.on_end		= on_end,
};
