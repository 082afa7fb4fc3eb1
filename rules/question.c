/*
 * question - tables and DNS: what is known at once, and what must be asked.
 *
 * A local table answers here. For a remote one, and for DNS, there is a
 * question; the answer stays with the session, so the same thing is asked once.
 * "I cannot say" is not an answer to keep: the next stage asks again, because
 * a session may last longer than the trouble.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/run_impl.h"
#include "rules/scan.h"
#include "rules/table.h"

#define QUESTIONS_MAX	200		/* kept for a session */
#define ANSWER_MAX	((size_t)64 << 10)

/* A question and what it points to. */
struct question {
	struct rules_question	 q;
	struct keys		 keys;
};

static void
question_free(struct rules_question *q)
{
	struct question *x = (struct question *)q;

	keys_fini(&x->keys);
	rules_scan_free(&q->scan);
	free(q->value);
	free(x);
}

/* Forget those for which forget() says so. */
static void
forget(struct rules_state *s, bool (*which)(const struct rules_question *))
{
	struct rules_question **at = &s->questions, *q;

	while ((q = *at) != NULL) {
		if (!which(q)) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		s->nquestions--;
		if (q->answer == RULES_WAITING)
			s->nwaiting--;
		question_free(q);
	}
}

static bool
is_failure(const struct rules_question *q)
{
	return q->answer == RULES_CANNOT_SAY;
}

static bool
is_scan(const struct rules_question *q)
{
	return q->kind == RULES_ASK_SCAN;
}

/* The text that was scanned will not come again. */
static bool
is_given_up(const struct rules_question *q)
{
	return q->answer == RULES_WAITING || is_scan(q);
}

static bool
is_answered_scan(const struct rules_question *q)
{
	return q->answer != RULES_WAITING && is_scan(q);
}

/* And can be had again. */
static bool
is_answered(const struct rules_question *q)
{
	return q->answer != RULES_WAITING && !is_scan(q);
}

static bool
is_any(const struct rules_question *q)
{
	(void)q;
	return true;
}

void
ask_forget_failures(struct rules_state *s)
{
	forget(s, is_failure);
}

void
ask_forget_all(struct rules_state *s)
{
	forget(s, is_any);
}

void
ask_forget_scans(struct rules_state *s)
{
	if (s->nquestions > 0)
		forget(s, is_answered_scan);
}

void
rules_give_up(struct rules_state *s)
{
	forget(s, is_given_up);
}

void
rules_each_waiting(struct rules_state *s,
    void (*fn)(struct rules_question *q, void *arg), void *arg)
{
	struct rules_question *q, *next;

	for (q = s->questions; q != NULL; q = next) {
		next = q->next;
		if (q->answer == RULES_WAITING)
			fn(q, arg);
	}
}

bool
rules_answer(struct rules_question *q, enum rules_answer answer,
    const char *value, size_t len)
{
	assert(q->answer == RULES_WAITING);
	assert(answer == RULES_YES || answer == RULES_NO ||
	    answer == RULES_CANNOT_SAY);
	/* A value with a NUL, or one that is too long, is none of ours. */
	if (answer == RULES_YES && q->kind == RULES_ASK_TABLE &&
	    (value == NULL || len > ANSWER_MAX ||
	    memchr(value, '\0', len) != NULL))
		answer = RULES_CANNOT_SAY;
	else if (answer == RULES_YES && value != NULL)
		q->value = xstrndup(value, len);
	q->answer = answer;
	q->state->nwaiting--;
	return q->state->nwaiting == 0 && !q->state->asking;
}

/* Asking */

static bool
same_keys(const struct keys *a, const struct keys *b)
{
	return a->text.len == b->text.len &&
	    memcmp(a->text.p, b->text.p, a->text.len) == 0;
}

static struct rules_question *
question_find(struct rules_state *s, enum rules_ask kind,
    const struct table *t, const struct keys *keys)
{
	struct rules_question *q;

	for (q = s->questions; q != NULL; q = q->next)
		if (q->kind == kind && q->table == t &&
		    same_keys(q->keys, keys))
			return q;
	return NULL;
}

static struct rules_question *
question_new(struct rules_state *s, enum rules_ask kind, struct table *t,
    struct slice keys)
{
	struct question *x = xcalloc(1, sizeof(*x));

	if (s->nquestions >= QUESTIONS_MAX)
		forget(s, is_answered);
	keys_init(&x->keys);
	buf_add(&x->keys.text, keys.p, keys.len);
	x->q.kind = kind;
	x->q.table = t;
	x->q.keys = &x->keys;
	x->q.key = SLICE_STR(x->keys.text.p);
	x->q.answer = RULES_WAITING;
	x->q.state = s;
	x->q.next = s->questions;
	s->questions = &x->q;
	s->nquestions++;
	s->nwaiting++;
	return &x->q;
}

static const char *
cannot_say(struct run *run, const struct rules_question *q)
{
	char key[120];

	snprintf(key, sizeof(key), "%.100s", q->key.p);
	assert(q->kind != RULES_ASK_SCAN);
	if (q->kind == RULES_ASK_RESOLVES)
		return run_printf(run, "DNS cannot say whether %s exists",
		    clean_text(run, SLICE_STR(key), TEXT_LOG));
	return run_printf(run, "%s cannot be asked", table_spec(q->table));
}

/* *value, when it is not NULL, is in the arena: the question may go before
   the run does. */
static enum lookup_result
ask(struct run *run, enum rules_ask kind, struct table *t,
    const struct keys *keys, const char **value)
{
	struct rules_question *q = question_find(run->s, kind, t, keys);

	if (q == NULL && run->env->ask == NULL) {
		run_fail(run, "this needs the network, which is not there");
		return LOOKUP_STOP;
	}
	if (q == NULL) {
		q = question_new(run->s, kind, t, SLICE(keys->text.p,
		    keys->text.len));
		run->s->asking = true;
		run->env->ask(run->env->arg, q);
		run->s->asking = false;
	}
	switch (q->answer) {
	case RULES_YES:
		if (value != NULL)
			*value = arena_strdup(&run->s->arena,
			    q->value != NULL ? q->value : "");
		return LOOKUP_YES;
	case RULES_NO:
		return LOOKUP_NO;
	case RULES_CANNOT_SAY:
		run_fail(run, cannot_say(run, q));
		break;
	case RULES_NOT_ASKED:
	case RULES_WAITING:
		if (run->stop == RUN_GO || run->stop == RUN_SKIP)
			run->stop = RUN_WAIT;
		break;
	}
	return LOOKUP_STOP;
}

/* Long texts */

const struct rules_scan *
ask_find_scan(struct run *run, uint32_t set, uint32_t regex,
    struct slice text, bool *done)
{
	struct rules_question *q;

	for (q = run->s->questions; q != NULL; q = q->next)
		if (is_scan(q) && scan_is(q->scan, set, regex, text)) {
			*done = q->answer != RULES_WAITING;
			return q->scan;
		}
	return NULL;
}

void
ask_scan(struct run *run, struct rules_scan *x, bool *done)
{
	struct rules_question *q;

	q = question_new(run->s, RULES_ASK_SCAN, NULL, SLICE("", 0));
	q->scan = x;
	run->s->asking = true;
	run->env->ask(run->env->arg, q);
	run->s->asking = false;
	*done = q->answer != RULES_WAITING;
}

struct rules_scan *
rules_scan_take(struct rules_question *q)
{
	struct rules_scan *x = q->scan;

	q->scan = NULL;
	return x;
}

/* Tables */

static enum lookup_result
result_of(struct run *run, struct table *t, enum table_result r,
    const char *found, const char **value)
{
	switch (r) {
	case TABLE_FOUND:
		if (value != NULL)
			*value = arena_strdup(&run->s->arena, found);
		return LOOKUP_YES;
	case TABLE_NOT_FOUND:
		return LOOKUP_NO;
	case TABLE_FAILED:
		run_fail(run, run_printf(run, "%s cannot be asked",
		    table_spec(t)));
		break;
	case TABLE_LIMIT:
		run_limit(run, table_spec(t));
		break;
	}
	return LOOKUP_STOP;
}

static enum lookup_result
find(struct run *run, struct table *t, const struct keys *keys,
    const char **value)
{
	enum table_result r;
	const char *found = NULL;

	if (keys->text.len == 0)
		return LOOKUP_NO;
	if (table_is_remote(t))
		return ask(run, RULES_ASK_TABLE, t, keys, value);
	r = table_find_keys(t, keys, &found);
	return result_of(run, t, r, found, value);
}

/* With a NUL behind it. */
static const char *
string(struct run *run, struct slice s)
{
	return arena_strndup(&run->s->arena, s.p, s.len);
}

static void
address_keys(struct run *run, struct keys *keys, struct slice address,
    bool access)
{
	const char *local, *domain;

	local = string(run, address_local_part(run, address));
	domain = string(run, address_domain_part(address));
	if (access)
		keys_access_address(keys, local, domain, run->r->delimiter,
		    true);
	else
		keys_recipient(keys, local, domain, run->r->delimiter);
}

/* No address, name or key has a NUL in it: one that has is in no table. */
static bool
has_nul(struct slice s)
{
	return s.len > 0 && memchr(s.p, '\0', s.len) != NULL;
}

enum lookup_result
lookup_value(struct run *run, uint32_t table, const struct rules_value *v,
    const char **value)
{
	struct keys *keys = &run->r->scratch.keys;
	char ip[NETADDR_TEXT];

	if (v->type == RULES_IP) {
		if (v->ip.family == 0)
			return LOOKUP_NO;
		keys_access_ip(keys, netaddr_ip(&v->ip, ip));
	} else if (v->text.len == 0 || has_nul(v->text)) {
		return LOOKUP_NO;
	} else if (v->type == RULES_ADDRESS) {
		address_keys(run, keys, v->text, false);
	} else {
		keys_one(keys, v->text.p, v->text.len);
	}
	return find(run, run->r->tables.v[table].table, keys, value);
}

/* A client is looked up by its name and then by its address
   (check_client_access in postconf(5)). */
static enum lookup_result
lookup_client(struct run *run, struct table *t, const char **value)
{
	struct keys *keys = &run->r->scratch.keys;
	enum lookup_result r = LOOKUP_NO;
	const struct netaddr *ip;
	char text[NETADDR_TEXT];
	struct slice name;

	if (table_has_names(t)) {
		name = eval_field(run, FIELD_CLIENT_NAME)->text;
		if (run->stop != RUN_GO)
			return LOOKUP_STOP;
		/* Postfix calls a client without a name "unknown". */
		keys_access_host(keys, name.len > 0 ? string(run, name) :
		    "unknown", true);
		r = find(run, t, keys, value);
	}
	ip = &eval_field(run, FIELD_CLIENT_IP)->ip;
	if (r != LOOKUP_NO || ip->family == 0)
		return r;
	keys_access_ip(keys, netaddr_ip(ip, text));
	return find(run, t, keys, value);
}

enum lookup_result
lookup_access(struct run *run, const struct rule *rule, const char **value)
{
	struct table *t = run->r->tables.v[rule->n].table;
	struct keys *keys = &run->r->scratch.keys;
	struct slice s;

	switch (access_subject(rule, run->stage)) {
	case ON_CLIENT:
		return lookup_client(run, t, value);
	case ON_HELO:
		s = eval_field(run, FIELD_HELO_NAME)->text;
		keys_access_host(keys, string(run, s), true);
		break;
	case ON_SENDER:
		s = eval_field(run, FIELD_MAIL)->text;
		/* smtpd_null_access_lookup_key */
		if (s.len == 0)
			keys_one(keys, "<>", 2);
		else
			address_keys(run, keys, s, true);
		break;
	case ON_RECIPIENT:
		s = eval_field(run, FIELD_RCPT)->text;
		address_keys(run, keys, s, true);
		break;
	case ON_STAGE:
		return LOOKUP_NO;
	}
	return find(run, t, keys, value);
}

enum lookup_result
lookup_line(struct run *run, uint32_t table, struct slice line,
    const char **value)
{
	struct table *t = run->r->tables.v[table].table;
	enum table_result r;
	const char *found = NULL;

	if (table_is_remote(t)) {
		keys_one(&run->r->scratch.keys, line.p, line.len);
		return find(run, t, &run->r->scratch.keys, value);
	}
	r = table_find_text(t, line.p, line.len, &found);
	return result_of(run, t, r, found, value);
}

/* An address literal needs no DNS, and nothing is in no DNS. */
enum lookup_result
lookup_resolves(struct run *run, struct slice domain)
{
	struct keys *keys = &run->r->scratch.keys;
	char folded[256];
	size_t i;

	if (domain.len == 0 || domain.len >= sizeof(folded) ||
	    has_nul(domain))
		return LOOKUP_NO;
	if (domain.p[0] == '[')
		return LOOKUP_YES;
	for (i = 0; i < domain.len; i++)
		folded[i] = domain.p[i] >= 'A' && domain.p[i] <= 'Z' ?
		    (char)(domain.p[i] + 'a' - 'A') : domain.p[i];
	keys_one(keys, folded, domain.len);
	return ask(run, RULES_ASK_RESOLVES, NULL, keys, NULL);
}

/* Ahead of the rules */

static void
ask_one(struct run *run, uint32_t e)
{
	const struct expr *x = &run->r->exprs.v[e];
	struct rules_value v;

	eval(run, x->a, &v);
	if (x->op == E_RESOLVES)
		lookup_resolves(run, v.text);
	else
		lookup_value(run, x->n, &v, NULL);
}

/* A failure is none until a rule needs the answer. */
void
ask_ahead(struct run *run, const struct seq *q)
{
	bool wait = false;
	uint32_t i;

	for (i = 0; i < q->nneeds; i++) {
		ask_one(run, q->needs[i]);
		wait |= run->stop == RUN_WAIT;
		run->stop = RUN_GO;
	}
	for (i = 0; i < q->naccesses; i++) {
		const char *unused;

		lookup_access(run, q->accesses[i], &unused);
		wait |= run->stop == RUN_WAIT;
		run->stop = RUN_GO;
	}
	if (wait)
		run->stop = RUN_WAIT;
}
