/*
 * session_filters - the questions a session asks its chain of filters.
 *
 * Each question has two halves: ask, and what follows from the answer, which
 * may come at once or after a wait (BUSY_FILTERS). Between them no command is
 * run, so the pipelined commands behind keep their order; recipients that were
 * approved before go on to the backend meanwhile. Without a chain the first
 * half goes straight on.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/session_impl.h"

typedef void then_fn(struct session *s);

/* What filters may know */

static void
update_tls(struct session *s)
{
	const struct tls_certificate *c = s->certificate;
	SSL *ssl = conn_tls(s->client);
	struct facts *f = &s->facts;

	if (ssl == NULL || f->tls_version != NULL)
		return;
	f->tls_version = SSL_get_version(ssl);
	f->tls_cipher = SSL_get_cipher_name(ssl);
	f->tls_bits = SSL_get_cipher_bits(ssl, NULL);
	if (c == NULL)
		return;
	f->tls_subject = c->subject;
	f->tls_issuer = c->issuer;
	f->tls_fingerprint = c->fingerprint;
	f->tls_verified = c->verified;
}

static void
update_facts(struct session *s)
{
	struct facts *f = &s->facts;

	f->id = s->id;
	f->age_ms = (clock_us() - s->started_us) / 1000;
	f->hostname = s->conf->hostname;
	f->authserv_id = session_authserv_id(s);
	f->listener = s->listener->name;
	f->client = s->client_addr;
	f->local = s->local_addr;
	f->client_name = s->client_name;
	f->reverse_name = s->reverse_name;
	f->name_failed = s->name_state == NAME_FAILED;
	f->helo = s->helo;
	f->esmtp = s->esmtp;
	f->auth_user = s->authenticated ? s->auth_user : s->login;
	f->auth_mechanism = s->authenticated ? s->auth_mechanism : NULL;
	f->errors = s->past_errors + s->errors;
	f->bad_rcpts = s->bad_rcpts + (s->txn ?
	    (unsigned)s->txn->nrefused : 0);
	f->messages = s->ntxns;
	update_tls(s);
}

/* Life */

static void
on_answer(void *arg)
{
	struct session *s;

	OBJ_CAST(s, arg, SESSION_MAGIC);
	assert(s->busy == BUSY_FILTERS);
	session_resume(s);
}

void
session_start_chain(struct session *s)
{
	if (s->listener->filters.n == 0)
		return;
	update_facts(s);
	s->chain = chain_new(&s->listener->filters, &s->facts, on_answer, s);
	chain_set_source(s->chain, &session_source);
}

void
session_end_chain(struct session *s)
{
	if (s->chain != NULL)
		update_facts(s);
	chain_free(&s->chain);
	txn_rcpt_free(&s->asked_rcpt);
	free(s->asked_to);
	s->asked_to = NULL;
	free(s->asked_text);
	s->asked_text = NULL;
}

/* Asking */

/* The first half is over: the question is answered, or we wait. */
static void
go_on(struct session *s, bool answered, then_fn *then)
{
	if (answered)
		then(s);
	else
		session_wait(s, BUSY_FILTERS, then);
}

static bool
is_refused(const struct session *s)
{
	enum verdict v = s->chain != NULL ? chain_result(s->chain)->verdict :
	    V_CONTINUE;

	return v == V_REJECT || v == V_TEMPFAIL;
}

static bool
is_discarded(const struct session *s)
{
	return s->chain != NULL &&
	    chain_result(s->chain)->verdict == V_DISCARD;
}

/* Refusing */

/* RFC 5321 3.8: nothing follows a 421, so those before it leave first; and a
   521 (RFC 7504) is the end as well, as in access(5). */
void
session_say_last_words(struct session *s)
{
	if (!STAILQ_EMPTY(&s->slots)) {
		session_wait(s, BUSY_REPLIES, NULL);
		return;
	}
	session_reply_text(s, s->last_words);
	session_close(s, CLOSE_REFUSED);
}

char *
session_tag(const struct session *s, const char *reply)
{
	unsigned long long id = s->id;

	if (!s->conf->reply_id)
		return xstrdup(reply);
	if (s->chain != NULL && s->refuses_txn)
		return xasprintf("%s (%08llx.%u)", reply, id, s->serial);
	return xasprintf("%s (%08llx)", reply, id);
}

void
session_refuse(struct session *s, const char *reply)
{
	char *text = session_tag(s, reply);

	if (strncmp(reply, "421", 3) != 0 && strncmp(reply, "521", 3) != 0) {
		session_reply_text(s, text);
		free(text);
		return;
	}
	/* The pump says it: our caller still holds the transaction. */
	free(s->last_words);
	s->last_words = text;
}

/* connect */

static void
refuse_connection(struct session *s, const char *reply)
{
	char *text = session_tag(s, reply);
	struct reply r;

	reply_init(&r);
	reply_set(&r, (int)strtol(text, NULL, 10), "%s", text + 4);
	session_reply_as(s, &r, true);
	reply_fini(&r);
	free(text);
	session_close(s, CLOSE_REFUSED);
}

static void
after_connect(struct session *s)
{
	if (is_refused(s))
		refuse_connection(s, chain_result(s->chain)->reply);
	else
		session_greet(s);
}

static void
ask_connect(struct session *s)
{
	update_facts(s);
	go_on(s, chain_connect(s->chain), after_connect);
}

void
session_connect(struct session *s)
{
	session_start_chain(s);
	if (s->chain == NULL) {
		session_greet(s);
		return;
	}
	if (s->listener->filters.wants & FILTER_WANTS_NAME)
		session_ask_name(s);
	if (s->name_query != NULL)
		session_wait(s, BUSY_NAME, ask_connect);
	else
		ask_connect(s);
}

/* helo */

static void
after_helo(struct session *s)
{
	if (!is_refused(s)) {
		session_helo(s);
		return;
	}
	session_enter(s, S_HELO);
	free(s->helo);
	s->helo = NULL;
	session_refuse(s, chain_result(s->chain)->reply);
}

void
session_ask_helo(struct session *s)
{
	bool answered = true;

	s->refuses_txn = false;
	if (s->chain != NULL) {
		update_facts(s);
		answered = chain_helo(s->chain);
	}
	go_on(s, answered, after_helo);
}

/* auth */

bool
session_wants_auth(const struct session *s)
{
	return s->chain != NULL &&
	    (s->listener->filters.events & 1u << EV_AUTH) != 0;
}

/* The backend has accepted the login; its reply is in auth_reply. */
static void
after_auth(struct session *s)
{
	char *reply = s->auth_reply;

	s->auth_reply = NULL;
	if (is_refused(s)) {
		/* The backend thinks otherwise: that session is nobody's. */
		s->authenticated = false;
		free(s->auth_user);
		s->auth_user = NULL;
		session_release_backend(s, false);
		session_refuse(s, chain_result(s->chain)->reply);
	} else
		session_reply_text(s, reply);
	free(reply);
}

void
session_ask_auth(struct session *s)
{
	s->refuses_txn = false;
	update_facts(s);
	go_on(s, chain_auth(s->chain), after_auth);
}

/* unknown */

static void
after_unknown(struct session *s)
{
	free(s->asked_text);
	s->asked_text = NULL;
	if (is_refused(s))
		session_refuse(s, chain_result(s->chain)->reply);
	else
		session_reply(s, 500, "5.5.2 command not recognized");
}

/* Between two chunks the content is under way. */
void
session_ask_unknown(struct session *s, const struct command *c)
{
	if (s->chain == NULL || s->state == S_BDAT ||
	    (s->txn != NULL && s->txn->discarded)) {
		session_reply(s, 500, "5.5.2 command not recognized");
		return;
	}
	s->refuses_txn = s->txn != NULL;
	s->asked_text = xasprintf("%.*s%s%.*s", (int)c->name.len, c->name.p,
	    c->arg.len > 0 ? " " : "", (int)c->arg.len, c->arg.p);
	update_facts(s);
	go_on(s, chain_unknown(s->chain, s->asked_text), after_unknown);
}

/* mail */

static void
set_reply(struct txn *t, const char *reply)
{
	free(t->reply);
	t->reply = xstrdup(reply);
}

/* The transaction ends here, with this reply. */
static void
refuse_txn(struct session *s)
{
	char *reply = xstrdup(chain_result(s->chain)->reply);

	set_reply(s->txn, reply);
	session_end_txn(s);
	if (s->state != S_READY)
		session_enter(s, S_READY);
	session_refuse(s, reply);
	free(reply);
}

static void
after_mail(struct session *s)
{
	if (is_refused(s)) {
		refuse_txn(s);
		return;
	}
	s->txn->discarded = is_discarded(s);
	session_enter(s, S_MAIL);
	if (s->txn->discarded)
		session_reply(s, 250, "2.1.0 Ok");
	else
		session_mail(s);
}

void
session_ask_mail(struct session *s)
{
	bool answered = true;

	s->refuses_txn = true;
	if (s->chain != NULL) {
		update_facts(s);
		answered = chain_mail(s->chain, s->txn);
	}
	go_on(s, answered, after_mail);
}

/* rcpt */

/* A recipient of a message that is thrown away: the backend need not hear of
   it. Those before it may be on their way there. */
static void
take_discarded(struct session *s, const struct txn_rcpt *r)
{
	session_log_rcpt(s, r->address, "discard",
	    is_discarded(s) ? chain_result(s->chain)->by : "filter",
	    "250 2.1.5 Ok");
	s->txn->naccepted++;
	if (s->state == S_MAIL)
		session_enter(s, S_RCPT);
	session_reply(s, 250, "2.1.5 Ok");
}

static void
after_refused(struct session *s)
{
	char *reply = s->asked_text;

	s->asked_text = NULL;
	txn_rcpt_free(&s->asked_rcpt);
	s->txn->nwaiting--;
	session_refuse(s, reply);
	free(reply);
	if (s->state != S_CLOSING)
		session_end_if_refused(s);
}

void
session_refuse_rcpt(struct session *s, struct txn_rcpt *r, const char *reply)
{
	if (r == NULL || s->chain == NULL || s->txn->discarded ||
	    (s->listener->filters.events & 1u << EV_REFUSED) == 0) {
		session_refuse(s, reply);
		txn_rcpt_free(&r);
		return;
	}
	s->asked_rcpt = r;
	s->asked_text = xstrdup(reply);
	s->txn->nwaiting++;		/* as when it is asked about */
	update_facts(s);
	go_on(s, chain_refused(s->chain, r, s->asked_text), after_refused);
}

/* The transaction hung on this recipient: end_refused_mail() did not end it
   while somebody was asked. */
void
session_end_if_refused(struct session *s)
{
	struct txn *t = s->txn;

	if (t->mail_was_answered && t->nwaiting == 0) {
		session_end_txn(s);
		session_enter(s, S_READY);
	}
}

/* r is ours. */
static void
refuse_rcpt(struct session *s, struct txn_rcpt *r)
{
	const struct chain_result *result = chain_result(s->chain);
	char *reply = xstrdup(result->reply);

	s->txn->nrefused++;
	session_log_rcpt(s, r->address, verdict_name(result->verdict),
	    result->by, reply);
	session_refuse_rcpt(s, r, reply);
	free(reply);
}

static void
after_rcpt(struct session *s)
{
	struct txn_rcpt *r = s->asked_rcpt;
	struct address *to = s->asked_to;

	s->asked_rcpt = NULL;
	s->asked_to = NULL;
	s->txn->nwaiting--;
	if (is_refused(s))
		refuse_rcpt(s, r);
	else if (is_discarded(s) || s->txn->discarded) {
		s->txn->discarded = true;
		take_discarded(s, r);
		txn_rcpt_free(&r);
	} else
		session_take_rcpt(s, r, to);
	free(to);
	if (s->state != S_CLOSING && s->txn != NULL)
		session_end_if_refused(s);
}

void
session_ask_rcpt(struct session *s, struct txn_rcpt *r,
    const struct address *to)
{
	s->asked_rcpt = r;
	s->asked_to = xmalloc(sizeof(*to));
	*s->asked_to = *to;
	s->txn->nwaiting++;		/* it keeps the transaction open */
	update_facts(s);
	go_on(s, s->txn->discarded || chain_rcpt(s->chain, r), after_rcpt);
}

/* data */

static void
after_data(struct session *s)
{
	if (is_refused(s)) {
		session_log_refused(s, chain_result(s->chain)->reply);
		refuse_txn(s);
		return;
	}
	s->txn->discarded |= is_discarded(s);
	session_approve_data(s);
}

void
session_ask_data(struct session *s)
{
	if (s->chain != NULL && !s->txn->discarded) {
		update_facts(s);
		go_on(s, chain_data(s->chain), after_data);
	} else
		session_approve_data(s);
}

/* The same at the first BDAT, where a refusal has to wait for its octets. */
static void
after_chunk(struct session *s)
{
	if (is_refused(s)) {
		set_reply(s->txn, chain_result(s->chain)->reply);
		s->chunk_refusal = s->txn->reply;
	} else
		s->txn->discarded |= is_discarded(s);
	session_approve_chunk(s);
}

void
session_ask_chunk(struct session *s)
{
	if (s->chain != NULL && !s->txn->discarded) {
		update_facts(s);
		go_on(s, chain_data(s->chain), after_chunk);
	} else
		session_approve_chunk(s);
}

/* Content */

/* What is read next waits in the input until then. */
static void
after_content(struct session *s)
{
	s->intake->asked = false;
	session_restart_clock(s);
}

bool
session_feed(struct session *s, const char *p, size_t len)
{
	if (s->chain == NULL || s->txn->discarded || len == 0 ||
	    !chain_wants_content(s->chain))
		return true;
	if (chain_content(s->chain, p, len))
		return true;
	s->intake->asked = true;
	session_wait(s, BUSY_FILTERS, after_content);
	return false;
}

static void
after_eom(struct session *s)
{
	if (is_refused(s))
		session_refuse_content(s, chain_result(s->chain)->reply);
	else {
		s->txn->discarded |= is_discarded(s);
		session_approve_content(s);
	}
}

void
session_ask_eom(struct session *s)
{
	if (s->chain != NULL && !s->txn->discarded) {
		update_facts(s);
		s->txn->octets = s->intake->size;
		go_on(s, chain_eom(s->chain), after_eom);
	} else
		session_approve_content(s);
}
