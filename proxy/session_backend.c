/*
 * session_backend - what a session sends to the backend, and what comes back.
 *
 * The envelope is composed here, from what was parsed and approved and never
 * from the client's octets. It waits in the txn until the group is complete and
 * the backend is ready; the reply to each recipient goes into the slot that
 * was kept for it.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/resolve.h"
#include "proxy/session_impl.h"

#define LOG_REPLY	200	/* octets of a reply in a log line */
#define LINE_ROOM	65536	/* more than a client may send in a line */

static void proceed(struct session *s);
static void fail_auth(struct session *s);

static const struct conf_backend *
backend_conf(const struct session *s)
{
	return &s->conf->backends[s->route];
}

/* Logs */

void
session_log_rcpt(const struct session *s, const char *to, const char *verdict,
    const char *by, const char *reply)
{
	char qto[4 * ADDRESS_ROOM + 8], qreply[4 * LOG_REPLY + 8];

	log_info(s->id, "rcpt to=%s verdict=%s by=%s reply=%s",
	    log_quote(qto, sizeof(qto), to, strlen(to), ADDRESS_ROOM), verdict,
	    by, log_quote(qreply, sizeof(qreply), reply, strlen(reply),
	    LOG_REPLY));
}

void
session_log_xclient(const struct session *s)
{
	char client[NETADDR_TEXT], name[1100];
	const char *n = s->client_name ? s->client_name : "unknown";

	log_info(s->id, "xclient client=%s name=%s",
	    netaddr_text(&s->client_addr, client),
	    log_quote(name, sizeof(name), n, strlen(n), 255));
}

/* The first line of a reply, for logs: "250 2.0.0 Ok". */
static void
reply_line(const struct reply *r, char *out, size_t outlen)
{
	snprintf(out, outlen, "%d %.*s", r->code,
	    (int)strcspn(r->text.p, "\n"), r->text.p);
}

/* The backend's queue id, as Postfix, Exim and Sendmail say it. */
static void
queue_id(const struct reply *r, char *out, size_t outlen)
{
	static const char *const before[] = { "queued as ", "id=", "OK id=" };
	const char *p = NULL;
	size_t i, n;

	for (i = 0; i < sizeof(before) / sizeof(before[0]) && p == NULL; i++)
		if ((p = strstr(r->text.p, before[i])) != NULL)
			p += strlen(before[i]);
	n = p != NULL ? strspn(p, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") : 0;
	snprintf(out, outlen, "%.*s", (int)(n < outlen ? n : outlen - 1),
	    n > 0 ? p : "");
}

static void
log_message(const struct session *s, const char *reply, const char *qid)
{
	char from[4 * ADDRESS_ROOM + 8], text[4 * LOG_REPLY + 8];

	if (s->chain != NULL) {		/* for the decision record */
		free(s->txn->reply);
		s->txn->reply = xstrdup(reply);
		if (*qid != '\0')
			s->txn->queue_id = xstrdup(qid);
	}
	log_info(s->id, "message from=%s nrcpt=%zu size=%llu proto=%s%s "
	    "reply=%s%s%s%s%s",
	    log_quote(from, sizeof(from), s->txn->from, strlen(s->txn->from),
	    ADDRESS_ROOM), s->txn->naccepted,
	    (unsigned long long)(s->intake ? s->intake->size : 0),
	    s->esmtp ? "ESMTP" : "SMTP", session_is_tls(s) ? "S" : "",
	    log_quote(text, sizeof(text), reply, strlen(reply), LOG_REPLY),
	    *qid ? " queue-id=" : "", qid,
	    s->backend ? " backend=" : "",
	    s->backend ? backend_name(s->backend) : "");
}

void
session_log_refused(const struct session *s, const char *reply)
{
	log_message(s, reply, "");
}

void
session_log_discarded(const struct session *s)
{
	char from[4 * ADDRESS_ROOM + 8];
	const struct txn *t = s->txn;

	log_warn(s->id, "discard from=%s nrcpt=%zu size=%llu (the client was "
	    "told 250, and nobody has the message)",
	    log_quote(from, sizeof(from), t->from, strlen(t->from),
	    ADDRESS_ROOM), t->naccepted,
	    (unsigned long long)(s->intake ? s->intake->size : 0));
	log_message(s, "250 2.0.0 Ok", "");
}

/* The client's name */

static bool
wants_name(const struct session *s)
{
	const struct conf_backend *c = backend_conf(s);

	return (s->listener->filters.wants & FILTER_WANTS_NAME) != 0 ||
	    s->conf->received || c->identity == IDENTITY_AUTO ||
	    c->identity == IDENTITY_XCLIENT ||
	    c->identity == IDENTITY_XFORWARD;
}

static void
on_name(void *arg, enum resolve_result result, const char *name,
    const char *reverse)
{
	struct session *s;
	bool was_asked, held;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	was_asked = s->name_query != NULL;
	s->name_query = NULL;
	s->name_state = result == RESOLVE_TEMPFAIL ? NAME_FAILED : NAME_DONE;
	/* An XCLIENT in between may have had it asked again. */
	free(s->client_name);
	free(s->reverse_name);
	s->client_name = name != NULL ? xstrdup(name) : NULL;
	s->reverse_name = reverse != NULL ? xstrdup(reverse) : NULL;
	if (was_asked && s->busy == BUSY_NAME)
		session_resume(s);
	else if (was_asked) {
		held = session_hold(s);
		proceed(s);
		session_let_go(s, held);
	}
}

void
session_ask_name(struct session *s)
{
	bool ip = s->client_addr.family == AF_INET ||
	    s->client_addr.family == AF_INET6;

	if (s->name_state != NAME_UNKNOWN || !ip || s->w->resolver == NULL ||
	    !wants_name(s))
		return;
	s->name_state = NAME_ASKED;
	s->name_query = resolve_name(s->w->resolver, &s->client_addr, on_name,
	    s);
}

void
session_forget_name(struct session *s)
{
	if (s->name_query != NULL)
		resolve_cancel(&s->name_query);
	s->name_state = NAME_UNKNOWN;
}

/* Capabilities */

bool
session_may_chunk(const struct session *s)
{
	size_t i;

	for (i = 0; i < s->conf->nbackends; i++)
		if (!s->conf->backends[i].chunking)
			return false;
	return true;
}

/* A recipient may go to any backend, so all of them must be able to. */
static void
restrict_to(struct ext_set *e, const struct ext_set *other)
{
	e->bits &= other->bits;
	e->auth &= other->auth;
	if (e->size == 0 || (other->size != 0 && other->size < e->size))
		e->size = other->size;
	if (e->rcptmax == 0 ||
	    (other->rcptmax != 0 && other->rcptmax < e->rcptmax))
		e->rcptmax = other->rcptmax;
}

const struct ext_set *
session_backend_ext(struct session *s, struct ext_set *room)
{
	const struct ext_set *e;
	size_t i;

	if (s->backend != NULL && backend_is_ready(s->backend))
		return backend_extensions(s->backend);
	for (i = 0; i < s->conf->nbackends; i++) {
		if ((e = pool_extensions(s->w->pools[i])) == NULL)
			return NULL;
		if (i == 0)
			*room = *e;
		else
			restrict_to(room, e);
	}
	return room;
}

static void
on_probed(void *arg)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	session_resume(s);
}

/* Wait for the probes that are under way, one after another, each once. */
static void
wait_for_probes(struct session *s)
{
	struct pool *p;

	for (; s->wait_pool < s->conf->nbackends; s->wait_pool++) {
		p = s->w->pools[s->wait_pool];
		if (pool_extensions(p) != NULL)
			continue;
		s->wait.fn = on_probed;
		s->wait.arg = s;
		if (pool_wait(p, &s->wait)) {
			s->wait_pool++;
			session_wait(s, BUSY_PROBE, wait_for_probes);
			return;
		}
	}
	session_offer(s);
}

static enum conf_open
opens_at(const struct session *s)
{
	/* Who receives the mail decides about the backend, if there are
	   several. */
	return s->conf->nbackends == 1 ? backend_conf(s)->open : OPEN_RCPT;
}

void
session_ehlo(struct session *s)
{
	if (opens_at(s) == OPEN_CONNECT && s->backend == NULL) {
		session_wait(s, BUSY_BACKEND, session_offer);
		proceed(s);
		return;
	}
	s->wait_pool = 0;
	wait_for_probes(s);
}

void
session_cancel_probe(struct session *s)
{
	if (s->wait.waiting)
		pool_wait_cancel(s->w->pools[s->wait_pool - 1], &s->wait);
}

/* The backend */

static const struct backend_user user;

/* Start to get one. Nothing is called back before we return. */
static void
open_backend(struct session *s)
{
	SSL *ssl = conn_tls(s->client);
	struct backend_identity who = {
		.x = {
			.addr = s->client_addr, .dest = s->local_addr,
			.name = s->client_name,
			.name_tempfail = s->name_state == NAME_FAILED,
			.reverse_name = s->reverse_name, .helo = s->helo,
			.proto = s->esmtp ? "ESMTP" : "SMTP",
			.login = s->login,
		},
		.esmtp = s->esmtp,
	};

	if (ssl != NULL) {
		who.tls.version = SSL_get_version(ssl);
		who.tls.cipher = SSL_get_cipher_name(ssl);
	}
	s->backend = backend_get(s->w->pools[s->route], s->id, &who, &user, s);
}

/* Is a backend worth to be kept for the next message of this client? */
static bool
is_worth_keeping(const struct session *s)
{
	enum conf_identity identity = backend_conf(s)->identity;
	bool anybodys = identity == IDENTITY_NONE ||
	    identity == IDENTITY_XFORWARD;

	if (s->authenticated)
		return true;
	if (!backend_is_ready(s->backend))
		return false;
	return opens_at(s) == OPEN_CONNECT ||
	    (!anybodys && !backend_is_wanted(s->backend));
}

void
session_release_backend(struct session *s, bool keep)
{
	if (s->backend != NULL && !(keep && is_worth_keeping(s)))
		backend_put(&s->backend);
}

static bool
has_queued(const struct txn *t)
{
	return t->nforwarded < t->nrcpts;
}

static bool
mail_is_due(const struct session *s)
{
	return s->mail_slot != NULL && !s->txn->mail_sent;
}

static bool
wants_backend(const struct session *s)
{
	return s->auth_line != NULL ||
	    (s->busy == BUSY_BACKEND && s->then == session_offer) ||
	    (s->txn != NULL && (has_queued(s->txn) || mail_is_due(s)));
}

/* A MAIL that was refused with its own reply leaves no transaction behind, once
   the recipients that came with it have theirs. */
static void
end_refused_mail(struct session *s)
{
	if (s->txn->mail_was_answered && s->txn->nwaiting == 0) {
		session_end_txn(s);
		session_enter(s, S_READY);
	}
}

/* MAIL gets this reply, or the recipients will. */
static void
refuse_mail(struct session *s, const struct reply *r)
{
	struct txn *t = s->txn;
	struct slot *slot = s->mail_slot;

	s->mail_slot = NULL;
	t->mail_was_answered = slot != NULL;
	if (slot == NULL) {
		t->mail_refusal = xasprintf("%d %s", r->code, r->text.p);
		return;
	}
	t->mail_refusal = xstrdup("503 5.5.1 MAIL was refused");
	slot_fill(s, slot, r);
}

/* Fill the slots of all recipients that the backend has not heard of. */
static void
answer_queued(struct session *s, const char *reply)
{
	struct txn *t = s->txn;
	struct txn_rcpt *r;

	while (has_queued(t)) {
		r = t->rcpts[t->nforwarded++];
		txn_rcpt_enter(t, r, RCPT_REFUSED);
		session_log_rcpt(s, r->address, "reject", "backend", reply);
		slot_fill_text(s, r->slot, reply);
	}
	end_refused_mail(s);
}

static const char no_longer_offered[] =
    "4.3.0 the next server does not offer a parameter now that it offered "
    "before";

/* MAIL in our words, if the backend can take it. */
static void
forward_mail(struct session *s)
{
	struct txn *t = s->txn;
	struct buf line;
	struct reply r;

	buf_init(&line, LINE_ROOM);
	buf_addf(&line, "MAIL FROM:<%s>", t->from);
	if (params_forward(&line, SLICE_STR(t->params),
	    backend_extensions(s->backend)) == 0 && !line.failed) {
		backend_command(s->backend, BACKEND_MAIL, NULL, line.p);
		t->mail_sent = true;
	} else {
		reply_init(&r);
		reply_set(&r, 451, "%s", no_longer_offered);
		refuse_mail(s, &r);
		reply_fini(&r);
	}
	buf_fini(&line);
}

static void
forward_rcpt(struct session *s, struct txn_rcpt *r)
{
	struct buf line;

	buf_init(&line, LINE_ROOM);
	buf_addf(&line, "RCPT TO:<%s>", r->address);
	if (params_forward(&line, SLICE_STR(r->params),
	    backend_extensions(s->backend)) == 0 && !line.failed) {
		txn_rcpt_enter(s->txn, r, RCPT_SENT);
		backend_command(s->backend, BACKEND_RCPT, r, line.p);
	} else {
		struct reply reply;

		reply_init(&reply);
		reply_set(&reply, 451, "%s", no_longer_offered);
		txn_rcpt_enter(s->txn, r, RCPT_REFUSED);
		slot_fill(s, r->slot, &reply);
		reply_fini(&reply);
	}
	buf_fini(&line);
}

/* The backend is ready. */
static void
forward_group(struct session *s)
{
	struct txn *t = s->txn;

	if (!t->mail_sent)
		forward_mail(s);
	if (t->mail_refusal != NULL) {
		answer_queued(s, t->mail_refusal);
		return;
	}
	while (has_queued(t))
		forward_rcpt(s, t->rcpts[t->nforwarded++]);
	backend_flush(s->backend);
}

void
session_forward(struct session *s)
{
	struct txn *t = s->txn;

	if (t == NULL || !(has_queued(t) || mail_is_due(s)))
		return;
	if (t->mail_refusal != NULL)
		answer_queued(s, t->mail_refusal);
	else if (t->lost)
		answer_queued(s, "451 4.4.2 the next server was lost; try "
		    "again");
	else if (s->backend == NULL || !backend_is_ready(s->backend))
		proceed(s);
	else
		forward_group(s);
}

static void
on_ready(void *arg)
{
	struct session *s;
	char *line;
	bool held;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	held = session_hold(s);
	if (s->busy == BUSY_BACKEND && s->then == session_offer)
		session_resume(s);
	else if ((line = s->auth_line) != NULL) {
		s->auth_line = NULL;
		backend_command(s->backend, BACKEND_AUTH, NULL, line);
		free(line);
		backend_flush(s->backend);
	} else
		session_forward(s);
	session_let_go(s, held);
}

/* Take the next step towards a backend that is wanted, if one can be taken. */
static void
proceed(struct session *s)
{
	if (s->state == S_CLOSING || !wants_backend(s))
		return;
	if (s->backend == NULL) {
		session_ask_name(s);
		if (s->name_state == NAME_ASKED && s->name_query != NULL)
			return;		/* on_name() comes back */
		open_backend(s);
		if (!backend_is_ready(s->backend))
			return;		/* on_ready() will */
		on_ready(s);
	}
}

/* Choosing */

static size_t
default_route(const struct session *s)
{
	int r = conf_route(s->conf, "*");

	return r == -1 ? 0 : (size_t)r;
}

/* Where somebody logs in who has not said for whom the mail is. */
static size_t
login_route(const struct session *s)
{
	const char *name = s->chain != NULL ? chain_routed(s->chain) : NULL;
	int r = name != NULL ? conf_find_backend(s->conf, name) : -1;

	return r != -1 ? (size_t)r : default_route(s);
}

/* A login is good where it was made, so that is where the mail goes. */
static void
log_elsewhere(const struct session *s, size_t route)
{
	if (route != s->route)
		log_info(s->id, "route backend=%s not-taken=\"the client has "
		    "logged in at %s\"", s->conf->backends[route].name,
		    s->conf->backends[s->route].name);
}

const char *
session_route(struct session *s, const struct address *to)
{
	char domain[ADDRESS_ROOM];
	size_t route = default_route(s);
	bool first = s->txn->nwaiting + s->txn->naccepted == 0;
	const char *name;
	int r;

	if (s->chain != NULL && (name = chain_routed(s->chain)) != NULL) {
		if ((r = conf_find_backend(s->conf, name)) == -1) {
			log_error(s->id, "route backend=%s (there is none of "
			    "that name)", name);
			return "451 4.3.5 there is no route to this recipient "
			    "now";
		}
		route = (size_t)r;
	} else if (*address_domain(to) != '\0' &&
	    address_ascii_domain(to, domain) != NULL) {
		if ((r = conf_route(s->conf, domain)) == -1)
			return "550 5.7.1 relay access denied: no route";
		route = (size_t)r;
	}
	if (s->authenticated) {
		log_elsewhere(s, route);
		return NULL;
	}
	if (!first && route != s->route)
		return "451 4.3.0 send to this recipient separately";
	if (!first && backend_conf(s)->addresses[0].where.lmtp)
		return "452 4.5.3 one recipient at a time";
	if (route != s->route) {
		/* What the other one said about MAIL is not for this one. */
		session_release_backend(s, false);
		s->route = route;
		s->txn->mail_sent = false;
		s->txn->lost = false;
		free(s->txn->mail_refusal);
		s->txn->mail_refusal = NULL;
	}
	return NULL;
}

/* The commands that go there */

void
session_mail(struct session *s)
{
	if (opens_at(s) == OPEN_RCPT)
		session_reply(s, 250, "2.1.0 Ok");
	else
		s->mail_slot = slot_new(s);
}

void
session_auth(struct session *s, char *line)
{
	session_wait(s, BUSY_BACKEND, NULL);
	s->auth_line = line;
	/* The next line of an exchange is for nobody but who began it. */
	if (s->state == S_AUTH && s->backend == NULL) {
		fail_auth(s);
		return;
	}
	if (s->state != S_AUTH && s->route != login_route(s)) {
		session_release_backend(s, false);
		s->route = login_route(s);
	}
	if (s->backend != NULL && backend_is_ready(s->backend))
		on_ready(s);
	else
		proceed(s);
}

void
session_send_content(struct session *s, bool bdat)
{
	struct intake *in = s->intake;
	struct backend_content content = {
		.spool = in->spool, .bdat = bdat,
		.dotted = in->dot.dotted > 0,
		.ends_in_crlf = in->dot.ends_in_crlf, .due = in->due,
	};

	in->spool = NULL;
	session_wait(s, BUSY_BACKEND, NULL);
	backend_send(s->backend, &content, NULL);
}

/* What comes back */

static void
on_mail_reply(struct session *s, const struct reply *r)
{
	struct slot *slot = s->mail_slot;

	if (!reply_is_positive(r)) {
		refuse_mail(s, r);
		end_refused_mail(s);
	} else if (slot != NULL) {
		s->mail_slot = NULL;
		slot_fill(s, slot, r);
	}
}

static void
on_rcpt_reply(struct session *s, struct txn_rcpt *rcpt, const struct reply *r)
{
	struct txn *t = s->txn;
	/* RFC 5321 3.3: without MAIL there is nothing to add to. */
	bool good = reply_is_positive(r) && t->mail_refusal == NULL;
	char line[LOG_REPLY + 16];

	reply_line(r, line, sizeof(line));
	session_log_rcpt(s, rcpt->address, good ? "accept" : "reject",
	    "backend", t->mail_refusal != NULL ? t->mail_refusal : line);
	txn_rcpt_enter(t, rcpt, good ? RCPT_ACCEPTED : RCPT_REFUSED);
	if (good && s->state == S_MAIL)
		session_enter(s, S_RCPT);
	if (t->mail_refusal != NULL)
		slot_fill_text(s, rcpt->slot, t->mail_refusal);
	else
		slot_fill(s, rcpt->slot, r);
	end_refused_mail(s);
}

/* The filters have a word in it before the client hears of it. */
static void
ask_about_login(struct session *s, const struct reply *r)
{
	s->auth_reply = xasprintf("%d %s", r->code, r->text.p);
	s->then = session_ask_auth;
}

static void
on_auth_reply(struct session *s, const struct reply *r)
{
	if (reply_is_positive(r) && session_wants_auth(s))
		ask_about_login(s, r);
	else
		session_reply_as(s, r, r->code == 334);
	if (r->code / 100 == 3) {
		if (s->state != S_AUTH)
			session_enter(s, S_AUTH);
	} else {
		if (s->state == S_AUTH)
			session_enter(s, S_READY);
		/* 235 it should be; what else the backend may take for a
		   login is nothing to take chances with. */
		s->authenticated = reply_is_positive(r);
		log_info(s->id, "auth result=%s code=%d",
		    s->authenticated ? "ok" : "failed", r->code);
	}
	if (s->authenticated)
		backend_set_authenticated(s->backend);
	session_resume(s);
}

/* The message is over: this is the backend's word about it, or ours. */
static void
end_message(struct session *s, const struct reply *r)
{
	char line[LOG_REPLY + 16], qid[64];

	reply_line(r, line, sizeof(line));
	queue_id(r, qid, sizeof(qid));
	log_message(s, line, reply_is_positive(r) ? qid : "");
	if (s->client_eof && reply_is_positive(r))
		log_info(s->id, "client-gone delivered=yes: the client did "
		    "not wait for the reply and may send it again");
	if (reply_is_positive(r)) {
		s->ntxns++;
		s->past_errors += s->errors;
		s->junk = s->errors = 0;
	}
	session_end_txn(s);
	session_enter(s, S_READY);
	session_reply_as(s, r, !s->esmtp);
	session_resume(s);
}

static void
on_reply(void *arg, enum backend_kind kind, void *tag, const struct reply *r)
{
	struct session *s;
	bool held;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	held = session_hold(s);
	switch (kind) {
	case BACKEND_MAIL:
		if (session_is_replaying(s))
			session_replayed(s, r);
		else
			on_mail_reply(s, r);
		break;
	case BACKEND_RCPT:
		if (session_is_replaying(s))
			session_replayed(s, r);
		else
			on_rcpt_reply(s, tag, r);
		break;
	case BACKEND_AUTH:
		on_auth_reply(s, r);
		break;
	case BACKEND_CONTENT:
		if (s->intake != NULL && s->intake->streams)
			session_stream_refused(s, r);
		else
			end_message(s, r);
		break;
	}
	session_let_go(s, held);
}

/* Failures */

static void
failure_reply(const struct session *s, struct reply *r, enum backend_failure f,
    const struct reply *theirs)
{
	switch (f) {
	case BACKEND_UNREACHABLE:
		reply_set(r, 451, "4.4.1 the next server cannot be reached "
		    "now; try again");
		break;
	case BACKEND_NO_IDENTITY:
		reply_set(r, 451, "4.3.0 the next server cannot be told who "
		    "you are; try again");
		break;
	case BACKEND_LOST:
		reply_set(r, 451, "4.4.2 the next server was lost; try "
		    "again");
		break;
	case BACKEND_REFUSED:
	case BACKEND_SHUTDOWN:
		if (theirs != NULL && theirs->code >= 400)
			reply_set(r, theirs->code, "%s", theirs->text.p);
		else
			reply_set(r, 451, "4.3.0 the next server does not "
			    "want this session");
		break;
	}
	(void)s;
}

static void
log_failure(const struct session *s, enum backend_failure f, const char *why)
{
	char text[512];
	const char *q = log_quote(text, sizeof(text), why, strlen(why), 120);

	if (f == BACKEND_NO_IDENTITY)
		log_error(s->id, "backend name=%s identity=failed why=%s (let "
		    "it trust us, in Postfix by smtpd_authorized_xclient_hosts, "
		    "or set identity = \"none\" and relay-domains)",
		    backend_conf(s)->name, q);
	else if (f == BACKEND_UNREACHABLE)
		log_error(s->id, "backend name=%s unreachable=%s",
		    backend_conf(s)->name, q);
	else
		log_info(s->id, "backend name=%s failed=%s",
		    backend_conf(s)->name, q);
}

/* MAIL, if it waits, and every recipient that does, sent or not, get this
   reply. */
static void
answer_all(struct session *s, const struct reply *r)
{
	struct txn *t = s->txn;
	size_t i;

	t->nforwarded = t->nrcpts;
	if (s->mail_slot != NULL)
		refuse_mail(s, r);
	for (i = 0; i < t->nrcpts; i++) {
		if (t->rcpts[i]->state != RCPT_QUEUED &&
		    t->rcpts[i]->state != RCPT_SENT)
			continue;
		txn_rcpt_enter(t, t->rcpts[i], RCPT_REFUSED);
		slot_fill(s, t->rcpts[i]->slot, r);
	}
	end_refused_mail(s);
}

static void
fail_auth(struct session *s)
{
	free(s->auth_line);
	s->auth_line = NULL;
	if (s->state == S_AUTH)
		session_enter(s, S_READY);
	session_reply(s, 454, "4.7.0 temporary authentication failure");
	session_resume(s);
}

/* What the client is waiting for will not come: say so, in its place. */
static void
fail_wait(struct session *s, const struct reply *r)
{
	if (s->busy == BUSY_BACKEND && s->then == session_offer)
		session_resume(s);	/* EHLO: offer what we can */
	else if (s->busy == BUSY_BACKEND && s->txn != NULL)
		end_message(s, r);
	else if (s->busy == BUSY_BACKEND)
		fail_auth(s);
	else if (s->txn != NULL && (s->txn->nwaiting > 0 ||
	    s->mail_slot != NULL)) {
		s->txn->lost = s->txn->mail_sent;
		answer_all(s, r);
	} else if (s->txn != NULL)
		s->txn->lost = s->txn->mail_sent;
}

/* 421, or a session that is bound to this backend: both end. */
static void
shut_down(struct session *s, const struct reply *r, enum close_reason why)
{
	struct reply last;

	if (s->state == S_CLOSING)
		return;
	reply_init(&last);
	if (r->code == 421)
		reply_set(&last, 421, "%s", r->text.p);
	else
		reply_set(&last, 421, "4.4.2 the next server was lost");
	session_drop_slots(s);
	session_reply_as(s, &last, !s->esmtp);
	reply_fini(&last);
	session_close(s, why);
}

/* Does the client wait for no reply that the backend has to give? */
static bool
is_idle(const struct session *s)
{
	bool sending = s->state == S_DATA || s->state == S_CHUNK;

	/* In S_READY filters are asked about MAIL. */
	return s->busy != BUSY_BACKEND &&
	    (s->txn == NULL || sending || s->state == S_READY);
}

static void
on_failure(void *arg, enum backend_failure f, const struct reply *theirs,
    const char *why)
{
	struct session *s;
	struct reply r;
	bool idle, held;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	held = session_hold(s);
	idle = is_idle(s);
	log_failure(s, f, why);
	reply_init(&r);
	failure_reply(s, &r, f, theirs);
	backend_put(&s->backend);
	if (session_stream_lost(s, &r))
		;
	else if (s->authenticated)
		shut_down(s, &r, CLOSE_BACKEND_LOST);
	else if (r.code == 421 && !idle) {
		if (s->busy == BUSY_BACKEND && s->txn != NULL)
			log_message(s, "421", "");
		shut_down(s, &r, CLOSE_BACKEND_SHUTDOWN);
	} else
		fail_wait(s, &r);
	reply_fini(&r);
	session_let_go(s, held);
}

static const struct backend_user user = {
	.on_ready	= on_ready,
	.on_reply	= on_reply,
	.on_failure	= on_failure,
	.on_room	= session_on_room,
};
