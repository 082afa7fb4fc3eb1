/*
 * session - one SMTP conversation with a client: its life, its states, and the
 * events of its connection.
 */

#include "proxy/session.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/proxyhdr.h"
#include "proxy/quarantine.h"
#include "proxy/resolve.h"
#include "proxy/session_impl.h"

#define LINGER_MS	2000	/* for the client to read the last reply */

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

uint64_t
session_new_id(void)
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
	s->id = session_new_id();
	s->w = w;
	s->conf = w->conf;
	s->listener = l;
	s->peer = s->client_addr = *peer;
	s->local_addr = *local;
	s->started_us = clock_us();
	s->trusted_xclient = netset_has(&l->accept_xclient_from, peer);
	STAILQ_INIT(&s->slots);
	timer_init(&s->reap, on_reap, s);
	timer_init(&s->flush, session_on_flush, s);
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
void
session_expect_command(struct session *s)
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
	session_expect_command(s);
	session_pump(s);
}

static void
log_tls(const struct session *s, const SSL *ssl)
{
	const struct tls_certificate *c = s->certificate;

	log_info(s->id, "tls version=%s cipher=%s%s%s", SSL_get_version(ssl),
	    SSL_get_cipher_name(ssl), c == NULL ? "" : c->verified ?
	    " certificate=verified fingerprint=" :
	    " certificate=untrusted fingerprint=", c ? c->fingerprint : "");
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
	if (s->listener->ask_certificate != TLS_ASK_OFF)
		s->certificate = tls_certificate_new(ssl);
	log_tls(s, ssl);
	if (s->state == S_TLS) {
		session_enter(s, S_GREETING);
		s->then = session_connect;
	}
	session_resume(s);
}

/* The connection is somebody else's, or that of nobody who sends mail: what
   the balancer may is no matter. */
static void
take_proxied(struct session *s, const struct proxyhdr *h)
{
	s->trusted_xclient = false;
	if (h->local || h->src.family == 0)
		return;
	s->client_addr = h->src;
	s->local_addr = h->dst;
	s->trusted_xclient = netset_has(&s->listener->accept_xclient_from,
	    &s->client_addr);
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
		take_proxied(s, &h);
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
	tls_certificate_free(&s->certificate);
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
	if (s->intake != NULL && s->intake->streams)
		session_stream_drop(s);
	session_cancel_probe(s);
	session_forget_name(s);
	session_forget_recipient(s);
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

/* Can the client hear a reply, whatever it waits for? */
static bool
is_spoken_to(const struct session *s)
{
	return s->state != S_PROXY && s->state != S_TLS &&
	    s->state != S_CLOSING && s->busy != BUSY_TLS;
}

void
session_abort(struct session *s)
{
	if (!is_spoken_to(s)) {
		session_close(s, CLOSE_SHUTDOWN);
		timer_set(&s->reap, 0);
		return;
	}
	/* The replies that are owed will not come, and this one says so. What
	   the backend has may yet be delivered, and come again. */
	if (s->busy == BUSY_BACKEND && s->txn != NULL)
		session_log_refused(s, "421 4.3.2 shutting down");
	session_drop_slots(s);
	session_reply(s, 421, "4.3.2 %s is shutting down", s->conf->hostname);
	session_close(s, CLOSE_SHUTDOWN);
}

void
session_drain(struct session *s)
{
	session_pump(s);
}

void
session_end_txn(struct session *s)
{
	if (s->intake != NULL && s->intake->streams)
		session_stream_drop(s);
	if (s->txn != NULL && s->txn->mail_sent && s->backend != NULL)
		backend_reset(s->backend);
	if (s->chain != NULL)
		chain_end(s->chain);
	if (s->txn != NULL)
		s->bad_rcpts += (unsigned)s->txn->nrefused;
	txn_free(&s->txn);
	intake_free(&s->intake);
	quarantine_forget(&s->quarantine_job);
	s->bdat_failed = false;
	s->mail_slot = NULL;
	s->replays = 0;
	session_release_backend(s, true);
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
		session_expect_command(s);
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
	    s->busy == BUSY_QUARANTINE ||
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
	else if (s->state == S_PROXY || s->busy == BUSY_TLS)
		session_close(s, CLOSE_CLIENT_GONE);
	else
		session_pump(s);	/* closes, when all that came is read */
}

static const struct conn_owner owner = {
	.on_input	= on_input,
	.on_drained	= on_drained,
	.on_tls		= on_tls,
	.on_end		= on_end,
};
