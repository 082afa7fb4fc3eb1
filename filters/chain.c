/*
 * chain - asks filters in order, waits, and merges verdicts.
 *
 * A question goes from place to place until somebody stops it. run() is the
 * only loop; what interrupts it (a filter's V_WAIT, a delay) leaves the place
 * to go on at in next, and only the timer goes on there: a filter that calls
 * chain_resume() starts it with no delay. So nothing here is ever entered from
 * below a filter's own function, and done() comes from the loop.
 *
 * A filter may call chain_resume() when its session is long over. So places are
 * never freed: they wait in a queue, long enough that a late answer meets a
 * place that expects none.
 */

#include "filters/chain.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/chain_impl.h"

#define QUARANTINE	1024	/* places that rest before one is used again */

static STAILQ_HEAD(, place) retired = STAILQ_HEAD_INITIALIZER(retired);
static size_t nretired;
static const struct chain_watcher *watcher;

static void on_timer(void *arg);

/* Configuration */

void
chain_conf_add(struct chain_conf *c, struct filter_conf *f)
{
	c->filters = xrealloc(c->filters,
	    (c->n + 1) * sizeof(c->filters[0]));
	c->filters[c->n++] = f;
	c->events |= f->self.events;
	if (!f->observe)
		c->edits |= f->self.edits;
	c->wants |= f->self.wants;
	if (f->when != NULL) {
		c->events |= f->when->self.events;
		c->wants |= f->when->self.wants;
	}
}

void
chain_conf_fini(struct chain_conf *c)
{
	free(c->filters);
	*c = (struct chain_conf){ 0 };
}

/* Names */

const char *
filter_event_name(enum filter_event ev)
{
	static const char *const names[EV_NEVENTS] = {
		[EV_CONNECT] = "connect", [EV_HELO] = "helo",
		[EV_AUTH] = "auth", [EV_UNKNOWN] = "unknown",
		[EV_MAIL] = "mail", [EV_RCPT] = "rcpt",
		[EV_REFUSED] = "refused", [EV_DATA] = "data", [EV_CONTENT] = "content",
		[EV_HEADER] = "header", [EV_EOH] = "eoh", [EV_BODY] = "body",
		[EV_EOM] = "eom",
	};

	return names[ev];
}

const char *
verdict_name(enum verdict v)
{
	switch (v) {
	case V_CONTINUE:
		return "continue";
	case V_ACCEPT:
		return "accept";
	case V_REJECT:
		return "reject";
	case V_TEMPFAIL:
		return "tempfail";
	case V_DISCARD:
		return "discard";
	case V_SKIP:
		return "skip";
	case V_WAIT:
		return "wait";
	case V_FAIL:
		return "fail";
	}
	return "nonsense";	/* of a filter; the caller finds out */
}

/* Life */

static struct place *
place_new(struct chain *c, const struct filter_conf *f)
{
	struct place *p;

	if (nretired > QUARANTINE) {
		p = STAILQ_FIRST(&retired);
		STAILQ_REMOVE_HEAD(&retired, retired);
		nretired--;
		memset(p, 0, sizeof(*p));
	} else
		p = xcalloc(1, sizeof(*p));
	p->magic = PLACE_MAGIC;
	p->chain = c;
	p->conf = f;
	p->slot.priv = f->self.priv;
	p->slot.facts = c->facts;
	p->slot.id = c->facts->id;
	p->edits = f->self.edits;
	if (f->type->session_size > 0)
		p->slot.session = xcalloc(1, f->type->session_size);
	if (f->when != NULL) {
		p->when = place_new(c, f->when);
		p->when->guarded = p;
	}
	return p;
}

static void
forget_answer(struct place *p)
{
	free(p->reply);
	free(p->rule);
	p->reply = p->rule = NULL;
	p->broken = NULL;
	p->cannot_say = p->lost = false;
	p->delay_ms = p->patience_ms = 0;
}

static void
place_retire(struct place *p)
{
	if (p->when != NULL)
		place_retire(p->when);
	p->when = p->guarded = NULL;
	p->state = PLACE_IDLE;
	if (p->conf->type->close != NULL)
		p->conf->type->close(&p->slot);
	forget_answer(p);
	chain_clear_record(p);
	free(p->slot.session);
	p->slot.session = NULL;
	p->slot.facts = NULL;
	p->chain = NULL;
	STAILQ_INSERT_TAIL(&retired, p, retired);
	nretired++;
}

struct chain *
chain_new(const struct chain_conf *conf, const struct facts *facts,
    chain_done_fn *done, void *arg)
{
	struct chain *c = xcalloc(1, sizeof(*c));
	size_t i;

	c->magic = CHAIN_MAGIC;
	c->conf = conf;
	c->facts = facts;
	c->done = done;
	c->arg = arg;
	timer_init(&c->timer, on_timer, c);
	c->places = xcalloc(conf->n + 1, sizeof(c->places[0]));
	for (i = 0; i < conf->n; i++)
		c->places[i] = place_new(c, conf->filters[i]);
	return c;
}

/* Whoever has the question is not waited for any more. */
static void
stop_waiting(struct chain *c)
{
	timer_stop(&c->timer);
	c->waiting = WAIT_NO;
	if (c->asked != NULL)
		c->asked->state = PLACE_IDLE;
	c->asked = NULL;
}

void
chain_free(struct chain **cp)
{
	struct chain *c = *cp;
	size_t i;

	if (c == NULL)
		return;
	*cp = NULL;
	stop_waiting(c);
	chain_end(c);
	for (i = 0; i < c->conf->n; i++)
		place_retire(c->places[i]);
	free(c->places);
	free(c->reply);
	free(c->by);
	free(c->route_session);
	c->magic = 0;
	free(c);
}

void
chain_set_source(struct chain *c, const struct chain_source *s)
{
	c->source = s;
}

void
chain_set_watcher(const struct chain_watcher *w)
{
	watcher = w;
}

const struct chain_watcher *
chain_watcher(void)
{
	return watcher;
}

/* The answer */

void
chain_set_text(char **to, const char *text)
{
	char *copy = text != NULL ? xstrdup(text) : NULL;

	free(*to);
	*to = copy;
}

const struct chain_result *
chain_result(const struct chain *c)
{
	return &c->result;
}

const char *
chain_routed(const struct chain *c)
{
	if (c->route_rcpt != NULL)
		return c->route_rcpt;
	return c->route_txn != NULL ? c->route_txn : c->route_session;
}

/* There are no other codes for a greeting (RFC 5321 4.2.2, RFC 7504). */
static void
make_greeting(char *reply)
{
	memcpy(reply, *reply == '4' ? "421" :
	    strncmp(reply, "521", 3) == 0 ? "521" : "554", 3);
}

void
chain_decide(struct chain *c, enum verdict v, const char *reply,
    const char *by)
{
	chain_set_text(&c->reply, reply);
	if (reply != NULL && c->event == EV_CONNECT)
		make_greeting(c->reply);
	chain_set_text(&c->by, by);
	c->result = (struct chain_result){ v, c->reply, c->by };
	if (EV_BIT(c->event) & EV_BITS_CONTENT)
		c->decided = true;
}

/* A filter's verdict, when it did not set a reply. */
static const char *
default_reply(const struct chain *c, enum verdict v)
{
	if (v == V_TEMPFAIL)
		return c->event == EV_AUTH ?
		    "454 4.7.0 not now; try again later" :
		    "451 4.7.1 not now; try again later";
	switch (c->event) {
	case EV_CONNECT:
		return "554 5.7.1 you are not welcome here";
	case EV_AUTH:
		return "535 5.7.8 this login is not accepted";
	case EV_UNKNOWN:
		return "500 5.5.2 command not recognized";
	case EV_HELO:
	case EV_MAIL:
	case EV_RCPT:
		return "550 5.7.1 refused by policy";
	default:
		return "554 5.7.1 message refused by policy";
	}
}

static const char *
failure_reply(const struct chain *c, enum verdict v)
{
	if (c->event == EV_AUTH)	/* RFC 4954 6 */
		return v == V_REJECT ? "535 5.7.8 a filter failed" :
		    "454 4.7.0 a filter failed; try again later";
	return v == V_REJECT ? "554 5.7.1 a filter failed" :
	    "451 4.7.1 a filter failed; try again later";
}

/* For the decision record: what is said of a command is not about the
   message. */
static void
note_decision(struct chain *c, struct place *p, enum verdict v)
{
	if (c->event == EV_UNKNOWN)
		return;
	chain_record(c, p, v);
	c->decided_by = p->conf;
	c->decided_at = c->event;
}

enum step
chain_fail(struct chain *c, struct place *p, const char *why)
{
	const struct filter_conf *f = p->conf;
	char text[1200];
	const char *direction = f->observe ? "none" :
	    verdict_name(f->on_failure);

	if (watcher != NULL)
		watcher->answer(watcher->arg, f, c->event, V_FAIL, why,
		    p->rule);
	if (!p->failed)
		log_warn(c->facts->id, "filter-failed filter=%s at=%s "
		    "why=%s on-failure=%s", f->name,
		    filter_event_name(c->event), log_quote(text, sizeof(text),
		    why, strlen(why), 280), direction);
	p->record.failed = true;
	if (c->txn != NULL) {
		p->failed |= !p->cannot_say;
		if (p->failed || c->event >= EV_DATA)
			txn_drop_wishes(c->txn, f->name);
	}
	if (f->observe || f->on_failure == V_ACCEPT || c->event == EV_REFUSED)
		return STEP_NEXT;
	chain_decide(c, f->on_failure, failure_reply(c, f->on_failure),
	    f->name);
	note_decision(c, p, f->on_failure);
	return STEP_STOP;
}

/* Why this verdict makes no sense here, or NULL. */
static const char *
nonsense(const struct chain *c, const struct place *p, enum verdict v)
{
	switch (v) {
	case V_CONTINUE:
	case V_ACCEPT:
		return NULL;
	case V_REJECT:
		return p->reply == NULL || p->reply[0] == '5' ? NULL :
		    "a reject with a reply that is not 5xx";
	case V_TEMPFAIL:
		return p->reply == NULL || p->reply[0] == '4' ? NULL :
		    "a tempfail with a reply that is not 4xx";
	case V_DISCARD:
		return c->event >= EV_MAIL ? NULL :
		    "discard where there is no message";
	case V_SKIP:
		return c->event == EV_BODY || c->event == EV_CONTENT ? NULL :
		    "skip where there is no content";
	case V_WAIT:
		return "wait as the answer after a wait";
	case V_FAIL:
		return "it could not say";
	}
	return "an unknown verdict";
}

/* Nobody is asked any more about what filter.h says. */
static void
accept_all(struct chain *c)
{
	if (c->event < EV_MAIL)
		c->session_accepted = true;
	else if (c->event != EV_RCPT)
		c->message_accepted = true;
}

static void
tell_watcher(const struct chain *c, const struct place *p, enum verdict v,
    const char *reply)
{
	if (watcher != NULL)
		watcher->answer(watcher->arg, p->conf, c->event, v, reply,
		    p->rule);
}

static const char *
reply_of(const struct chain *c, struct place *p, enum verdict v)
{
	if (p->reply == NULL)
		p->reply = xstrdup(default_reply(c, v));
	if (c->event == EV_CONNECT)
		make_greeting(p->reply);
	return p->reply;
}

/* A verdict that makes sense. */
static enum step
merge(struct chain *c, struct place *p, enum verdict v)
{
	const char *by = p->rule != NULL ? p->rule : p->conf->name;
	const char *reply = NULL;

	if (v == V_REJECT || v == V_TEMPFAIL)
		reply = reply_of(c, p, v);
	tell_watcher(c, p, v, reply);
	if (v == V_SKIP)
		p->skip |= EV_BIT(c->event);
	if (v == V_CONTINUE || v == V_SKIP || c->event == EV_REFUSED ||
	    (v == V_ACCEPT && c->event == EV_UNKNOWN))
		return STEP_NEXT;
	chain_log_verdict(c, p, v, reply);
	if (p->conf->observe)
		return STEP_NEXT;
	if (v == V_ACCEPT) {
		accept_all(c);
		chain_set_text(&c->by, by);
	} else
		chain_decide(c, v, reply, by);
	if (v == V_DISCARD)
		c->message_accepted = true;	/* by us, and thrown away */
	note_decision(c, p, v);
	return STEP_STOP;
}

/* Asking */

/* From the first content to the verdict the client has to wait for all that
   we wait for, and it has a deadline of its own. */
static bool
is_budgeted(const struct chain *c)
{
	return c->content != CONTENT_NONE && c->conf->budget_ms > 0;
}

static uint64_t
budget_left(const struct chain *c)
{
	return c->waited_ms < c->conf->budget_ms ?
	    c->conf->budget_ms - c->waited_ms : 0;
}

static void
wait_for(struct chain *c, int what, uint64_t ms)
{
	if (is_budgeted(c) && budget_left(c) < ms)
		ms = budget_left(c);
	c->waits_since = clock_ms();
	c->waiting = what;
	timer_set(&c->timer, ms);
}

static void
note_wait(struct chain *c)
{
	if (is_budgeted(c))
		c->waited_ms += clock_ms() - c->waits_since;
}

/* What p said is complete. */
static enum step
settle(struct chain *c, struct place *p, enum verdict v)
{
	const char *why = p->broken != NULL ? p->broken :
	    v == V_FAIL && p->reply != NULL ? p->reply : nonsense(c, p, v);
	enum step step;

	p->state = PLACE_IDLE;
	p->cannot_say = v == V_FAIL && p->broken == NULL && !p->lost;
	p->record.spent_us += clock_us() - p->asked_us;
	if (c->event == EV_EOM)
		p->in_txn = false;
	step = why != NULL ? chain_fail(c, p, why) : p->guarded != NULL ?
	    chain_take_when(c, p, v) : merge(c, p, v);
	if (p->delay_ms == 0 || p->conf->observe)
		return step;
	if (watcher != NULL) {
		watcher->delay(watcher->arg, p->conf, c->event, p->delay_ms);
		return step;
	}
	c->after_delay = step;
	wait_for(c, WAIT_DELAY, p->delay_ms);
	return STEP_WAIT;
}

static enum verdict
call(struct chain *c, struct place *p)
{
	const struct filter *f = p->conf->type;
	struct chain_slot *slot = &p->slot;

	switch (c->event) {
	case EV_CONNECT:
		return f->connect(slot);
	case EV_HELO:
		return f->helo(slot);
	case EV_AUTH:
		return f->auth(slot);
	case EV_UNKNOWN:
		return f->unknown(slot, c->text);
	case EV_MAIL:
		return f->mail(slot, c->txn);
	case EV_RCPT:
		return f->rcpt(slot, c->txn, c->rcpt);
	case EV_REFUSED:
		return f->refused(slot, c->txn, c->rcpt, c->text);
	case EV_DATA:
		return f->data(slot, c->txn);
	case EV_CONTENT:
		return f->content(slot, c->txn, c->piece.p, c->piece.len);
	case EV_HEADER:
		return f->header(slot, c->txn, &c->header);
	case EV_EOH:
		return f->eoh(slot, c->txn);
	case EV_BODY:
		return f->body(slot, c->txn, c->piece.p, c->piece.len);
	case EV_EOM:
		return f->eom(slot, c->txn);
	case EV_NEVENTS:
		break;
	}
	abort();
}

enum step
chain_ask(struct chain *c, struct place *p)
{
	enum verdict v;

	forget_answer(p);
	p->state = PLACE_ASKED;
	p->asked_us = clock_us();
	v = call(c, p);
	if (p->state == PLACE_ANSWERED) {
		if (v != V_WAIT && p->broken == NULL)
			p->broken = "an answer by chain_resume() and another";
		v = p->answer;
	} else if (v == V_WAIT && p->broken == NULL) {
		p->state = PLACE_WAITS;
		c->asked = p;
		wait_for(c, WAIT_FILTER, p->patience_ms > 0 ?
		    p->patience_ms : p->conf->timeout);
		return STEP_WAIT;
	}
	return settle(c, p, v);
}

void
chain_enter_txn(struct place *p)
{
	p->in_txn = true;
	if (p->conf->type->txn_size > 0)
		p->slot.txn = xcalloc(1, p->conf->type->txn_size);
}

enum step
chain_visit(struct chain *c, struct place *p)
{
	if (c->event == EV_MAIL)
		chain_enter_txn(p);
	if (p->failed)
		return chain_fail(c, p, "it failed before");
	if (p->skip & EV_BIT(c->event))
		return STEP_NEXT;
	if (p->conf->self.events & EV_BIT(c->event))
		return chain_ask(c, p);
	if (c->event == EV_EOM)
		p->in_txn = false;
	return STEP_NEXT;
}

/* Go on with the question. True: it is answered. */
static bool
run(struct chain *c, enum step step)
{
	size_t end = c->content != CONTENT_NONE ? c->last : c->conf->n;

	while (step == STEP_NEXT && c->next < end)
		step = chain_visit_when(c, c->places[c->next++]);
	return step != STEP_WAIT;
}

/* Go on with the question, and with those that follow from content. */
static bool
drive(struct chain *c, enum step step)
{
	while (run(c, step)) {
		if (c->content == CONTENT_NONE)
			return true;
		step = chain_next_event(c);
		if (step != STEP_NEXT)
			return step == STEP_STOP;
		c->next = c->first;
	}
	if (c->content != CONTENT_NONE)
		chain_keep_content(c);
	return false;
}

/* Its time has passed. */
static enum step
give_up(struct chain *c, struct place *p)
{
	p->state = PLACE_IDLE;
	p->record.spent_us += clock_us() - p->asked_us;
	p->in_txn = false;
	if (p->conf->type->abort != NULL)
		p->conf->type->abort(&p->slot, c->txn);
	return chain_fail(c, p, is_budgeted(c) && budget_left(c) == 0 ?
	    "no answer within the filter-budget" : "no answer in time");
}

static void
on_timer(void *arg)
{
	enum step step = STEP_NEXT;
	struct chain *c;
	struct place *p;

	OBJ_CAST(c, arg, CHAIN_MAGIC);
	p = c->asked;
	c->asked = NULL;
	if (c->waiting != WAIT_TURN)
		note_wait(c);
	switch (c->waiting) {
	case WAIT_NO:
		return;
	case WAIT_TURN:
		c->waiting = WAIT_NO;
		step = STEP_STOP;	/* of no question */
		break;
	case WAIT_FILTER:
		c->waiting = WAIT_NO;
		step = give_up(c, p);
		break;
	case WAIT_RESUMED:
		c->waiting = WAIT_NO;
		step = settle(c, p, p->answer);
		break;
	case WAIT_DELAY:
		c->waiting = WAIT_NO;
		step = c->after_delay;
		break;
	}
	if (drive(c, step))
		c->done(c->arg);	/* c may be gone */
}

/* Questions */

static void
no_answer_yet(struct chain *c)
{
	assert(c->waiting == WAIT_NO);
	c->result = (struct chain_result){ .verdict = V_CONTINUE };
	c->next = 0;
}

static bool
begin(struct chain *c, enum filter_event ev)
{
	OBJ_CHECK(c, CHAIN_MAGIC);
	no_answer_yet(c);
	c->event = ev;
	return drive(c, STEP_NEXT);
}

bool
chain_connect(struct chain *c)
{
	return c->session_accepted || begin(c, EV_CONNECT);
}

static bool
begin_unless_accepted(struct chain *c, enum filter_event ev)
{
	no_answer_yet(c);
	return c->session_accepted || c->message_accepted || begin(c, ev);
}

bool
chain_helo(struct chain *c)
{
	return begin_unless_accepted(c, EV_HELO);
}

bool
chain_auth(struct chain *c)
{
	return begin_unless_accepted(c, EV_AUTH);
}

bool
chain_unknown(struct chain *c, const char *line)
{
	c->text = line;
	return begin_unless_accepted(c, EV_UNKNOWN);
}

/* Who has accepted the session has decided about each of its messages. */
static void
forget_decision(struct chain *c)
{
	if (c->session_accepted)
		return;
	c->decided_by = NULL;
	chain_set_text(&c->by, NULL);
}

bool
chain_mail(struct chain *c, struct txn *t)
{
	assert(c->txn == NULL);
	c->txn = t;
	forget_decision(c);
	return begin_unless_accepted(c, EV_MAIL);
}

bool
chain_rcpt(struct chain *c, const struct txn_rcpt *r)
{
	chain_set_text(&c->route_rcpt, NULL);
	c->rcpt = r;
	return begin_unless_accepted(c, EV_RCPT);
}

bool
chain_refused(struct chain *c, const struct txn_rcpt *r, const char *reply)
{
	/* Those in front of who refused it have seen it as good. */
	size_t first = c->event == EV_RCPT && c->rcpt == r &&
	    c->result.verdict != V_CONTINUE ? c->next : 0;

	assert(c->txn != NULL);
	no_answer_yet(c);
	if (c->session_accepted || c->message_accepted)
		return true;
	c->rcpt = r;
	c->text = reply;
	c->event = EV_REFUSED;
	c->next = first;
	return drive(c, STEP_NEXT);
}

bool
chain_data(struct chain *c)
{
	chain_set_text(&c->route_rcpt, NULL);
	return begin_unless_accepted(c, EV_DATA);
}

bool
chain_wants_content(const struct chain *c)
{
	return !c->session_accepted && !c->message_accepted &&
	    ((c->conf->events & EV_BITS_CONTENT) != 0 ||
	    (c->conf->wants & FILTER_WANTS_HEADERS) != 0);
}

bool
chain_is_decided(const struct chain *c)
{
	return c->decided;
}

bool
chain_content(struct chain *c, const char *p, size_t len)
{
	OBJ_CHECK(c, CHAIN_MAGIC);
	assert(c->waiting == WAIT_NO && c->txn != NULL);
	if (c->decided || !chain_wants_content(c))
		return true;
	if (c->round == 0)
		chain_begin_round(c, 0);
	c->content = CONTENT_FEED;
	c->in = SLICE(p, len);
	c->whole_due = true;
	return drive(c, STEP_STOP);	/* no question yet: find one */
}

bool
chain_eom(struct chain *c)
{
	OBJ_CHECK(c, CHAIN_MAGIC);
	assert(c->waiting == WAIT_NO && c->txn != NULL);
	if (c->decided)
		return true;
	no_answer_yet(c);
	if (c->session_accepted || c->message_accepted)
		return true;
	if (c->round == 0)
		chain_begin_round(c, 0);
	c->content = CONTENT_FINISH;
	c->in = SLICE("", 0);
	return drive(c, STEP_STOP);
}

/* The end of a transaction */

static void
leave_txn(struct chain *c, struct place *p)
{
	if (p->when != NULL)
		leave_txn(c, p->when);
	p->state = PLACE_IDLE;
	if (p->in_txn && p->conf->type->abort != NULL)
		p->conf->type->abort(&p->slot, c->txn);
	p->in_txn = p->failed = p->open = false;
	p->skip = 0;
	free(p->slot.txn);
	p->slot.txn = NULL;
	chain_clear_record(p);
}

void
chain_end(struct chain *c)
{
	size_t i;

	OBJ_CHECK(c, CHAIN_MAGIC);
	if (c->txn == NULL)
		return;
	stop_waiting(c);
	chain_log_record(c);
	if (watcher != NULL)
		watcher->end(watcher->arg, c->txn);
	for (i = 0; i < c->conf->n; i++)
		leave_txn(c, c->places[i]);
	chain_drop_content(c);
	c->round = 0;
	chain_set_text(&c->route_txn, NULL);
	chain_set_text(&c->route_rcpt, NULL);
	c->decided = c->message_accepted = false;
	forget_decision(c);
	c->waited_ms = 0;
	c->rcpt = NULL;
	c->txn = NULL;
}
