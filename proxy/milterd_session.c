/*
 * milterd_session - what the chain is asked, and what follows from the answer.
 *
 * As in the proxy (session_filters.c): each question has two halves, and
 * between them the thread that brought the call waits. What becomes of the
 * session and of the message is the MTA's business; we say our word to each of
 * its questions, and keep the same record of it.
 */

#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/milterd_impl.h"
#include "proxy/session.h"

#define LOG_REPLY	140

/* Postfix waits 30 s for the answer to a command, and then refuses all mail of
   the session with words of its own. */
#define ANSWER_MS	25000

typedef void then_fn(struct milterd_session *s);

static const char stopping[] = "421 4.3.2 the filter is shutting down";
static const char too_late[] = "451 4.7.1 the filters took too long; try again";
static const char no_txn[] = "451 4.3.0 the message cannot be looked at; "
    "try again";

static void on_answer(void *arg);
static void on_deadline(void *arg);

/* Answering */

static void
answer(struct milterd_session *s, enum verdict v)
{
	timer_stop(&s->deadline);
	s->busy = false;
	s->then = NULL;
	s->call.verdict = v;
	gate_answer(s);
}

static char *
tag(const struct milterd_session *s, const char *reply)
{
	unsigned long long id = s->id;

	if (!s->era->conf->reply_id)
		return xstrdup(reply);
	if (s->call.event >= ON_MAIL)
		return xasprintf("%s (%08llx.%u)", reply, id, s->serial);
	return xasprintf("%s (%08llx)", reply, id);
}

/* "4…" or "5…": what libmilter calls it has to agree. */
static void
refuse(struct milterd_session *s, const char *reply)
{
	s->errors++;
	s->call.reply = tag(s, reply);
	answer(s, *reply == '4' ? V_TEMPFAIL : V_REJECT);
}

/* Asking */

/* The first half is over: the question is answered, or we wait. */
static void
go_on(struct milterd_session *s, bool answered, then_fn *then)
{
	if (answered) {
		then(s);
		return;
	}
	s->then = then;
	/* Content has the budget of the chain, and we tell of our progress. */
	if (s->call.event < ON_CONTENT)
		timer_set(&s->deadline, ANSWER_MS);
}

static void
on_answer(void *arg)
{
	struct milterd_session *s;
	then_fn *then;

	OBJ_CAST(s, arg, MILTERD_SESSION_MAGIC);
	assert(s->busy && s->then != NULL);
	then = s->then;
	s->then = NULL;
	timer_stop(&s->deadline);
	then(s);
}

/* The chain's refusal of what was asked, or NULL. */
static const char *
refusal(const struct milterd_session *s)
{
	const struct chain_result *r = chain_result(s->chain);

	return r->verdict == V_REJECT || r->verdict == V_TEMPFAIL ? r->reply :
	    NULL;
}

static bool
is_discarded(const struct milterd_session *s)
{
	return chain_result(s->chain)->verdict == V_DISCARD;
}

/* The transaction */

static void
end_txn(struct milterd_session *s)
{
	size_t i;

	if (s->txn == NULL)
		return;
	facts_update(s);
	if (s->chain != NULL)
		chain_end(s->chain);
	txn_rcpt_free(&s->rcpt);	/* somebody may have been asked */
	s->bad_rcpts += (unsigned)s->txn->nrefused;
	for (i = 0; i < s->txn->nrcpts; i++)
		free(s->given[i]);
	free(s->given);
	s->given = NULL;
	txn_free(&s->txn);
	milterd_txn_ended(s->m);
}

static void
set_reply(struct milterd_session *s, const char *reply)
{
	free(s->txn->reply);
	s->txn->reply = xstrdup(reply);
}

/* The end of a message, as it was; verdict or reply. */
static void
log_message(const struct milterd_session *s, const char *what,
    const char *value)
{
	char from[4 * ADDRESS_ROOM + 8], text[4 * LOG_REPLY + 8], qid[80];
	const struct txn *t = s->txn;
	const char *id = t->queue_id;

	log_info(s->id, "message from=%s nrcpt=%zu size=%llu %s=%s%s%s",
	    log_quote(from, sizeof(from), t->from, strlen(t->from),
	    ADDRESS_ROOM), t->naccepted, (unsigned long long)s->size, what,
	    log_quote(text, sizeof(text), value, strlen(value), LOG_REPLY),
	    id != NULL ? " queue-id=" : "", id != NULL ? log_quote(qid,
	    sizeof(qid), id, strlen(id), 16) : "");
}

static void
log_discarded(const struct milterd_session *s)
{
	char from[4 * ADDRESS_ROOM + 8];
	const struct txn *t = s->txn;

	log_warn(s->id, "discard from=%s nrcpt=%zu size=%llu (the client was "
	    "told 250, and nobody has the message)", log_quote(from,
	    sizeof(from), t->from, strlen(t->from), ADDRESS_ROOM),
	    t->naccepted, (unsigned long long)s->size);
	log_message(s, "verdict", "discard");
}

/* The message ends here, with this reply. */
static void
refuse_txn(struct milterd_session *s, const char *reply)
{
	char *copy = xstrdup(reply);	/* it may go with the transaction */

	set_reply(s, copy);
	log_message(s, "reply", copy);
	end_txn(s);
	refuse(s, copy);
	free(copy);
}

static void
discard(struct milterd_session *s)
{
	s->txn->discarded = true;
	log_discarded(s);
	end_txn(s);
	answer(s, V_DISCARD);
}

/* The id that the MTA gives the message: late, and not at the same stage. */
static void
note_queue_id(struct milterd_session *s)
{
	const char *id = s->strings[MACRO_QUEUE_ID];
	char text[80];

	if (s->txn == NULL || s->txn->queue_id != NULL || id == NULL ||
	    *id == '\0')
		return;
	s->txn->queue_id = xstrdup(id);
	log_info(s->id, "queued id=%s message=%u", log_quote(text,
	    sizeof(text), id, strlen(id), 16), s->serial);
}

/* Session */

/* What is not offered cannot be done: whoever wants it fails then. Told once. */
static void
tell_missed(struct milterd_session *s, unsigned long missed)
{
	missed &= ~s->era->missed;
	s->era->missed |= missed;
	if (missed != 0)
		log_warn(s->id, "mta-offers-less actions=0x%lx problem=\"a "
		    "message that a filter wants changed so is deferred\"",
		    missed);
}

/* The events that are of use, and no reply where none is ever given. */
static unsigned long
wanted_protocol(const struct milterd_era *e, unsigned long offered)
{
	const struct chain_conf *c = &e->listener->filters;
	unsigned long p = SMFIP_NOUNKNOWN | SMFIP_NR_HDR | SMFIP_NR_EOH;

#define WANTS(ev)	(c->events & 1u << (ev))
	if (!WANTS(EV_CONNECT))
		p |= SMFIP_NR_CONN;
	if (!WANTS(EV_HELO))
		p |= SMFIP_NR_HELO;
	if (!WANTS(EV_RCPT))
		p |= SMFIP_NR_RCPT;
	if (!WANTS(EV_DATA))
		p |= SMFIP_NODATA & offered;
	/* At the end they may ask for the size, or for a change. */
	if (!WANTS(EV_CONTENT) && !WANTS(EV_HEADER) && !WANTS(EV_EOH) &&
	    !WANTS(EV_BODY) && !WANTS(EV_EOM) && !content_is_held(e))
		p |= (SMFIP_NOHDRS | SMFIP_NOEOH | SMFIP_NOBODY) & offered;
#undef WANTS
	/* A reply to the body is good for one thing only. */
	p |= (offered & SMFIP_SKIP) != 0 ? SMFIP_SKIP : SMFIP_NR_BODY;
	return p | (offered & SMFIP_HDR_LEADSPC);
}

static void
serve_negotiate(struct milterd *m, struct milterd_session *s)
{
	unsigned long actions;

	s->id = session_new_id();
	s->m = m;
	s->era = era_ref(m->era);
	s->started_us = clock_us();
	timer_init(&s->deadline, on_deadline, s);
	LIST_INSERT_HEAD(&m->sessions, s, all);
	m->nsessions++;
	actions = plan_actions(s->era);
	s->actions = actions & s->call.actions;
	tell_missed(s, actions & ~s->call.actions);
	s->protocol = wanted_protocol(s->era, s->call.protocol);
	s->leadspc = (s->protocol & SMFIP_HDR_LEADSPC) != 0;
	s->call.actions = s->actions;
	s->call.protocol = s->protocol;
	/* Each of them may hold a thread. */
	answer(s, m->nsessions > s->era->conf->session_limit ? V_TEMPFAIL :
	    V_CONTINUE);
}

static void
log_connect(const struct milterd_session *s)
{
	const char *mta = s->strings[MACRO_DAEMON_NAME];
	char client[NETADDR_TEXT], name[300];

	log_info(s->id, "connect client=%s listener=%s%s%s",
	    netaddr_text(&s->facts.client, client), s->era->listener->name,
	    mta != NULL ? " mta=" : "", mta != NULL ? log_quote(name,
	    sizeof(name), mta, strlen(mta), 70) : "");
}

/* The second half of connect, helo and data. */
static void
after_question(struct milterd_session *s)
{
	if (refusal(s) != NULL)
		refuse(s, refusal(s));
	else
		answer(s, V_CONTINUE);
}

static void
serve_connect(struct milterd_session *s)
{
	facts_connect(s);
	facts_update(s);
	log_connect(s);
	s->chain = chain_new(&s->era->listener->filters, &s->facts, on_answer,
	    s);
	chain_set_source(s->chain, &content_source);
	go_on(s, chain_connect(s->chain), after_question);
}

static void
serve_helo(struct milterd_session *s)
{
	end_txn(s);
	facts_helo(s);
	s->auth_asked = false;
	facts_update(s);
	go_on(s, chain_helo(s->chain), after_question);
}

static void
serve_close(struct milterd *m, struct milterd_session *s)
{
	if (s->plan_failed)
		log_warn(s->id, "edit failed=\"the MTA went away\"");
	end_txn(s);
	if (s->chain != NULL) {
		facts_update(s);
		chain_free(&s->chain);
		log_info(s->id, "close reason=\"the MTA is done\" after=%.3fs "
		    "txns=%u", (double)(clock_us() - s->started_us) / 1e6,
		    s->messages);
	}
	content_drop(s);
	facts_free(s);
	era_unref(&s->era);
	LIST_REMOVE(s, all);
	m->nsessions--;
	answer(s, V_CONTINUE);	/* and the thread frees it */
	milterd_session_ended(m);
}

/* MAIL */

static void
after_mail(struct milterd_session *s)
{
	if (refusal(s) != NULL)
		refuse_txn(s, refusal(s));
	else if (is_discarded(s))
		discard(s);
	else
		answer(s, V_CONTINUE);
}

static void
ask_mail(struct milterd_session *s)
{
	content_drop(s);
	s->txn = envelope_txn(s);
	s->txn->serial = ++s->serial;
	s->m->ntxns++;
	note_queue_id(s);
	go_on(s, chain_mail(s->chain, s->txn), after_mail);
}

/* A login is made known with the next message: it cannot be refused before. */
static void
after_auth(struct milterd_session *s)
{
	if (refusal(s) != NULL) {
		refuse(s, refusal(s));
		return;
	}
	s->auth_asked = true;
	ask_mail(s);
}

static void
serve_mail(struct milterd_session *s)
{
	end_txn(s);
	facts_update(s);
	if (s->m->stopping)
		refuse(s, stopping);
	else if (s->facts.auth_user != NULL && !s->auth_asked)
		go_on(s, chain_auth(s->chain), after_auth);
	else
		ask_mail(s);
}

/* RCPT */

/* It is one of the message; given is how the MTA knows it. */
static void
take_rcpt(struct milterd_session *s, const char *given)
{
	struct txn *t = s->txn;

	txn_add_rcpt(t, s->rcpt);
	txn_rcpt_enter(t, s->rcpt, RCPT_ACCEPTED);
	s->rcpt = NULL;
	s->given = xrealloc(s->given, t->nrcpts * sizeof(s->given[0]));
	s->given[t->nrcpts - 1] = xstrdup(given);
}

static void
log_rcpt(const struct milterd_session *s, const char *reply)
{
	const struct chain_result *r = chain_result(s->chain);
	char to[4 * ADDRESS_ROOM + 8], text[4 * LOG_REPLY + 8];

	log_info(s->id, "rcpt to=%s verdict=%s by=%s reply=%s", log_quote(to,
	    sizeof(to), s->rcpt->address, strlen(s->rcpt->address),
	    ADDRESS_ROOM), verdict_name(r->verdict), r->by, log_quote(text,
	    sizeof(text), reply, strlen(reply), LOG_REPLY));
}

static void
after_rcpt(struct milterd_session *s)
{
	if (refusal(s) != NULL) {
		s->txn->nrefused++;
		log_rcpt(s, refusal(s));
		txn_rcpt_free(&s->rcpt);
		refuse(s, refusal(s));
		return;
	}
	if (is_discarded(s))
		log_rcpt(s, "250 2.1.5 Ok");
	take_rcpt(s, s->call.argv[0]);
	if (is_discarded(s))
		discard(s);
	else
		answer(s, V_CONTINUE);
}

static void
serve_rcpt(struct milterd_session *s)
{
	if (s->txn == NULL || s->call.argv[0] == NULL) {
		refuse(s, no_txn);
		return;
	}
	note_queue_id(s);
	s->rcpt = envelope_rcpt(s);
	facts_update(s);
	go_on(s, chain_rcpt(s->chain, s->rcpt), after_rcpt);
}

/* DATA and content */

static void
serve_data(struct milterd_session *s)
{
	if (s->txn == NULL) {
		refuse(s, no_txn);
		return;
	}
	note_queue_id(s);
	facts_update(s);
	/* What is decided there is decided about the message. */
	go_on(s, chain_data(s->chain), after_mail);
}

/* Nothing that follows could change anything. */
static bool
has_enough(const struct milterd_session *s)
{
	const struct chain_conf *c = &s->era->listener->filters;

	if (s->txn == NULL || s->too_big || chain_is_decided(s->chain))
		return true;
	/* It has been accepted. */
	return (c->events & (1u << EV_BODY | 1u << EV_CONTENT)) != 0 &&
	    !chain_wants_content(s->chain) && !content_is_held(s->era);
}

static void
after_content(struct milterd_session *s)
{
	answer(s, (s->protocol & SMFIP_SKIP) != 0 && has_enough(s) ? V_SKIP :
	    V_CONTINUE);
}

/* What has come since; false: the filters think about it. */
static bool
feed(struct milterd_session *s)
{
	bool answered = true;

	s->size += s->in.len;
	if (s->in.failed || (s->era->conf->message_size_limit > 0 &&
	    s->size > s->era->conf->message_size_limit))
		s->too_big = true;
	if (!s->too_big && s->in.len > 0) {
		content_keep(s);
		answered = chain_content(s->chain, s->in.p, s->in.len);
	}
	buf_reset(&s->in);
	return answered;
}

static void
serve_content(struct milterd_session *s)
{
	if (s->txn != NULL)
		go_on(s, feed(s), after_content);
	else {
		buf_reset(&s->in);
		after_content(s);
	}
}

/* The end */

static void
approve(struct milterd_session *s)
{
	const char *reply = plan_make(s);

	if (reply != NULL) {
		refuse_txn(s, reply);
		return;
	}
	if (s->nothing_left) {
		plan_clear(&s->plan);
		discard(s);
		return;
	}
	s->messages++;
	log_message(s, "verdict", "accept");
	end_txn(s);
	answer(s, V_CONTINUE);
}

static void
after_eom(struct milterd_session *s)
{
	if (refusal(s) != NULL)
		refuse_txn(s, refusal(s));
	else if (is_discarded(s))
		discard(s);
	else
		approve(s);
}

static void
ask_eom(struct milterd_session *s)
{
	s->txn->octets = s->size;
	if (s->too_big)
		refuse_txn(s, "552 5.3.4 message size exceeds the limit");
	else if (s->no_room)
		refuse_txn(s, "452 4.3.1 no room for the message now; try "
		    "again");
	else {
		content_keep(s);	/* an empty message is one, too */
		go_on(s, chain_eom(s->chain), after_eom);
	}
}

static void
serve_eom(struct milterd_session *s)
{
	if (s->txn == NULL) {
		refuse(s, no_txn);
		return;
	}
	note_queue_id(s);
	facts_update(s);
	go_on(s, feed(s), ask_eom);
}

static void
serve_abort(struct milterd_session *s)
{
	end_txn(s);
	content_drop(s);
	answer(s, V_CONTINUE);
}

/* All of it */

/* Its questions cannot be answered: the chain is gone, or there never was one
   because the MTA did not say who the client is. */
static bool
is_dumb(const struct milterd_session *s)
{
	return s->chain == NULL && s->call.event != ON_CONNECT &&
	    s->call.event < ON_ABORT;
}

void
milterd_serve(struct milterd *m, struct milterd_session *s)
{
	OBJ_CHECK(s, MILTERD_SESSION_MAGIC);
	s->busy = true;
	facts_take_macros(s);
	if (s->call.event == ON_NEGOTIATE) {
		serve_negotiate(m, s);
		return;
	}
	if (is_dumb(s)) {
		buf_reset(&s->in);
		refuse(s, s->broken ? too_late : no_txn);
		return;
	}
	switch (s->call.event) {
	case ON_NEGOTIATE:
		break;
	case ON_CONNECT:
		serve_connect(s);
		break;
	case ON_HELO:
		serve_helo(s);
		break;
	case ON_MAIL:
		serve_mail(s);
		break;
	case ON_RCPT:
		serve_rcpt(s);
		break;
	case ON_DATA:
		serve_data(s);
		break;
	case ON_CONTENT:
		serve_content(s);
		break;
	case ON_EOM:
		serve_eom(s);
		break;
	case ON_ABORT:
		serve_abort(s);
		break;
	case ON_CLOSE:
		serve_close(m, s);
		break;
	}
}

/* Whoever has the question is not waited for any more. */
static void
give_up(struct milterd_session *s, const char *reply)
{
	if (s->txn != NULL) {
		refuse_txn(s, reply);
		return;
	}
	chain_free(&s->chain);
	s->broken = true;
	refuse(s, reply);
}

static void
on_deadline(void *arg)
{
	struct milterd_session *s;

	OBJ_CAST(s, arg, MILTERD_SESSION_MAGIC);
	log_warn(s->id, "answer late=%us problem=\"an MTA does not wait "
	    "longer\"", ANSWER_MS / 1000);
	give_up(s, too_late);
}

void
milterd_session_abort(struct milterd_session *s)
{
	if (s->busy)
		give_up(s, stopping);
}
