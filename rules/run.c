/*
 * run - one stage of one session.
 *
 * Nothing that a run does counts before its end: score and variables are
 * changed in a copy, effects are collected. So a run that has to wait for an
 * answer is simply forgotten, and made again when the answer is there.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "rules/run_impl.h"

#define ARENA_MAX	((size_t)4 << 20)	/* texts of one run */

/* What a session keeps */

static void
memory_fini(const struct rules *r, struct memory *m)
{
	size_t i;

	for (i = 0; i < r->variables.n; i++)
		if (m->vars[i].type == RULES_STRING)
			free((char *)(uintptr_t)m->vars[i].text.p);
	free(m->if_reject.text);
	free(m->if_permit.text);
	free(m->vars);
}

/* With any octets in it, which xstrndup() would stop at. */
static char *
copy_text(struct slice s)
{
	char *copy = xmalloc(s.len + 1);

	if (s.len > 0)
		memcpy(copy, s.p, s.len);
	copy[s.len] = '\0';
	return copy;
}

/* Texts are copied; one that is the same octets in the same place stays. */
static void
update_variable(struct rules_value *to, const struct rules_value *from)
{
	char *old = (char *)(uintptr_t)to->text.p;

	if (from->type == RULES_STRING && old == from->text.p)
		return;
	*to = *from;
	if (from->type != RULES_STRING)
		return;
	to->text.p = copy_text(from->text);
	free(old);
}

static void
update_deferral(struct deferral *to, const struct deferral *from)
{
	char *old = to->text;

	if (old == from->text)
		return;
	*to = *from;
	if (from->text != NULL)
		to->text = xstrdup(from->text);
	free(old);
}

/* In steady state, when rules change nothing but the score, this allocates
   nothing. */
static void
memory_update(const struct rules *r, struct memory *to,
    const struct memory *from)
{
	size_t i;

	to->score = from->score;
	to->passed = from->passed;
	to->prepended = from->prepended;
	for (i = 0; i < r->variables.n; i++)
		update_variable(&to->vars[i], &from->vars[i]);
	update_deferral(&to->if_reject, &from->if_reject);
	update_deferral(&to->if_permit, &from->if_permit);
}

static void
memory_init(const struct rules *r, struct memory *m)
{
	size_t i;

	if (r->variables.n == 0)
		return;
	m->vars = xcalloc(r->variables.n, sizeof(m->vars[0]));
	for (i = 0; i < r->variables.n; i++)
		update_variable(&m->vars[i], &r->variables.v[i].initial);
}

struct rules_state *
rules_state_new(struct rules *r)
{
	struct rules_state *s = xcalloc(1, sizeof(*s));

	OBJ_CHECK(r, RULES_MAGIC);
	s->magic = RULES_STATE_MAGIC;
	s->rules = r;
	arena_init(&s->arena, ARENA_MAX);
	memory_init(r, &s->session);
	memory_init(r, &s->now);
	return s;
}

void
rules_state_free(struct rules_state **sp)
{
	struct rules_state *s = *sp;

	if (s == NULL)
		return;
	OBJ_CHECK(s, RULES_STATE_MAGIC);
	*sp = NULL;
	ask_forget_all(s);
	memory_fini(s->rules, &s->session);
	memory_fini(s->rules, &s->now);
	arena_fini(&s->arena);
	s->magic = 0;
	free(s);
}

void
rules_end_txn(struct rules_state *s)
{
	OBJ_CHECK(s, RULES_STATE_MAGIC);
	memory_update(s->rules, &s->now, &s->session);
	s->waits = false;
}

void
rules_release(struct rules_state *s)
{
	OBJ_CHECK(s, RULES_STATE_MAGIC);
	arena_reset(&s->arena);
	arena_lend(&s->rules->scratch.pool, &s->arena);
	arena_fini(&s->arena);
}

void *
rules_alloc(struct rules_state *s, size_t size)
{
	OBJ_CHECK(s, RULES_STATE_MAGIC);
	return arena_alloc(&s->arena, size);
}

/* Going through the rules */

/* Where in one dispatch table the run is. */
struct cursor {
	const struct keyed	*at, *end;
	uint32_t		 hash;
	uint32_t		 next;		/* entry; UINT32_MAX: no more */
	bool			 found;		/* at and end are set */
};

static uint32_t
hash_value(const struct dispatch *d, const struct rules_value *v)
{
	if (d->bits != 0 || d->family != 0)
		return hash_prefix(v->ip.ip, d->family, d->bits);
	return v->type == RULES_NUMBER ? hash_number(v->number) :
	    hash_folded(v->text);
}

static int
by_entry(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;

	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* The first with this number or a greater one. */
static size_t
find_number(const struct dispatch *d, size_t from, uint32_t number)
{
	size_t end = d->n, middle;

	while (from < end) {
		middle = from + (end - from) / 2;
		if (d->keyed[middle].hash < number)
			from = middle + 1;
		else
			end = middle;
	}
	return from;
}

/* The entries with patterns that may match; found NULL: how many there are. */
static size_t
sift(struct run *run, const struct dispatch *d, struct slice value,
    struct keyed *found)
{
	size_t n = 0, i = 0, nth;

	for (nth = 0; i < d->n; nth++) {
		nth = pattern_next(run, d->set, value, nth);
		i = find_number(d, i, (uint32_t)nth);
		for (; i < d->n && d->keyed[i].hash == nth; i++, n++)
			if (found != NULL)
				found[n] = (struct keyed){ 0,
				    d->keyed[i].entry };
	}
	return n;
}

static void
cursor_sift(struct run *run, struct cursor *c, const struct dispatch *d,
    struct slice value)
{
	size_t n = sift(run, d, value, NULL);
	struct keyed *found = arena_alloc(&run->s->arena,
	    n * sizeof(found[0]));

	sift(run, d, value, found);
	qsort(found, n, sizeof(found[0]), by_entry);
	c->hash = 0;
	c->at = found;
	c->end = found + n;
}

/* Only now is the value asked for: a rule before may have ended the stage. */
static void
cursor_find(struct run *run, struct cursor *c, const struct dispatch *d)
{
	const struct rules_value *v = eval_slot(run, d->slot);
	uint32_t top;

	c->found = true;
	c->at = c->end = d->keyed;
	if (d->set != 0) {
		cursor_sift(run, c, d, v->text);
		return;
	}
	if (d->family != 0 && v->ip.family != d->family)
		return;
	c->hash = hash_value(d, v);
	top = c->hash >> d->shift;
	c->at = d->keyed + d->start[top];
	c->end = d->keyed + d->start[top + 1];
}

/* To the first entry from "from" on. */
static void
cursor_move(struct cursor *c, uint32_t from)
{
	while (c->at < c->end && (c->at->hash != c->hash ||
	    c->at->entry < from))
		c->at++;
	c->next = c->at < c->end ? c->at->entry : UINT32_MAX;
}

struct walk {
	const struct seq	*q;
	struct cursor		*cursors;
	uint32_t		 other;		/* in q->others */
	uint32_t		 from;		/* entries before are done */
};

static uint32_t
least(const struct walk *w)
{
	const struct seq *q = w->q;
	uint32_t i, n = w->other < q->nothers ? q->others[w->other] :
	    UINT32_MAX;

	for (i = 0; i < q->ndispatch; i++)
		if (w->cursors[i].next < n)
			n = w->cursors[i].next;
	return n;
}

/* A cursor that has not been found stands at its table's first entry. */
static bool
find_at(struct run *run, struct walk *w, uint32_t n)
{
	bool moved = false;
	uint32_t i;

	for (i = 0; i < w->q->ndispatch; i++) {
		struct cursor *c = &w->cursors[i];

		if (c->next != n || c->found)
			continue;
		cursor_find(run, c, &w->q->dispatch[i]);
		cursor_move(c, w->from);
		moved = true;
	}
	return moved;
}

/* The next entry to look at; UINT32_MAX after the last. */
static uint32_t
walk_next(struct run *run, struct walk *w)
{
	uint32_t n, i;

	do
		n = least(w);
	while (n != UINT32_MAX && find_at(run, w, n));
	if (n == UINT32_MAX)
		return n;
	w->from = n + 1;
	if (w->other < w->q->nothers && w->q->others[w->other] == n)
		w->other++;
	for (i = 0; i < w->q->ndispatch; i++)
		if (w->cursors[i].next == n)
			cursor_move(&w->cursors[i], w->from);
	return n;
}

static struct walk
walk_start(struct run *run, const struct seq *q)
{
	struct walk w = { .q = q };
	uint32_t i;

	if (q->ndispatch > 0)
		w.cursors = arena_alloc(&run->s->arena,
		    q->ndispatch * sizeof(w.cursors[0]));
	for (i = 0; i < q->ndispatch; i++)
		w.cursors[i].next = q->dispatch[i].first;
	return w;
}

static void run_seq(struct run *run, const struct seq *q);

static void
follow(struct run *run, const struct entry *e)
{
	run->followed = NULL;
	if (e->body == NULL) {
		act(run, e->rule);
		if (run->tests != NULL)
			trace_rule(run, true, run->followed);
		return;
	}
	if (run->tests != NULL)
		trace_rule(run, true, e->rule->action == A_CALL ?
		    "its block" : "its group");
	run_seq(run, e->body);
}

static void
run_entry(struct run *run, const struct entry *e)
{
	bool held;

	if (run->env->only_checks && e->body == NULL &&
	    e->rule->action != A_BODY_CHECKS)
		return;
	run->rule = e->rule;
	run->ntests = 0;
	held = eval_condition(run, e->cond);
	if (run->stop == RUN_GO && held) {
		follow(run, e);
	} else if (run->tests != NULL && run->stop != RUN_WAIT) {
		trace_rule(run, false, run->stop == RUN_GO ? "next rule" :
		    run->stop == RUN_SKIP ?
		    "next rule: a regular expression gave up" :
		    run->stop == RUN_FAILED ? run->why : run->followed);
	}
	if (run->stop == RUN_SKIP)
		run->stop = RUN_GO;
	if (run->s->arena.full)
		run_fail(run, "the rules need too much memory");
}

static void
run_each(struct run *run, const struct seq *q)
{
	uint32_t i;

	for (i = 0; i < q->n && run->stop == RUN_GO; i++)
		run_entry(run, &q->v[i]);
}

/* A name that is not known matches nothing, and a rule about it must not be
   passed over for that. */
static bool
looks_for_unsure(struct run *run, const struct seq *q)
{
	uint32_t i;

	for (i = 0; run->env->name_failed && i < q->ndispatch; i++)
		if (eval_is_unsure(run, q->dispatch[i].slot))
			return true;
	return false;
}

static void
run_seq(struct run *run, const struct seq *q)
{
	struct walk w;
	uint32_t n;

	if (q->nneeds + q->naccesses > 0)
		ask_ahead(run, q);
	if (run->tests != NULL || looks_for_unsure(run, q)) {
		run_each(run, q);
		return;
	}
	w = walk_start(run, q);
	while (run->stop == RUN_GO &&
	    (n = walk_next(run, &w)) != UINT32_MAX)
		run_entry(run, &q->v[n]);
}

/* A stage */

static bool
is_part_of_txn(enum rules_stage stage)
{
	return stage >= RULES_MAIL && stage != RULES_DISCONNECT;
}

static void
run_start(struct run *run)
{
	struct rules_state *s = run->s;
	size_t n = run->r->variables.n;

	run->next = s->now;
	run->next.vars = arena_alloc(&s->arena, n * sizeof(s->now.vars[0]));
	if (n > 0)
		memcpy(run->next.vars, s->now.vars,
		    n * sizeof(s->now.vars[0]));
	if (run->env->trace != NULL)
		run->tests = arena_alloc(&s->arena,
		    TESTS_MAX * sizeof(run->tests[0]));
	/* A value of an earlier run must never look like one of this. */
	if (++run->r->scratch.epoch == 0) {
		memset(run->r->scratch.epochs, 0, run->r->slots.n *
		    sizeof(run->r->scratch.epochs[0]));
		sets_forget(run->r);
		run->r->scratch.epoch = 1;
	}
}

static void
defer_by(struct rules_outcome *out, const struct deferral *d)
{
	out->verdict = RULES_TEMPFAIL;
	out->code = 450;
	out->enhanced = d->enhanced;
	out->text = d->text;
	out->place = d->place;
}

/* access(5): DEFER_IF_PERMIT is decided when nothing after it can reject the
   recipient any more. */
static void
apply_deferrals(struct run *run)
{
	struct rules_outcome *out = run->out;
	const struct memory *m = &run->next;

	if (out->verdict == RULES_REJECT && m->if_reject.text != NULL)
		defer_by(out, &m->if_reject);
	else if (run->stage == RULES_RCPT && m->if_permit.text != NULL &&
	    (out->verdict == RULES_NONE || out->verdict == RULES_ACCEPT))
		defer_by(out, &m->if_permit);
	else
		return;
	/* The outcome outlives this run's deferral. */
	out->enhanced = arena_strdup(&run->s->arena, out->enhanced);
	out->text = arena_strdup(&run->s->arena, out->text);
}

/* A deferral that was set for one recipient is not about the next. */
static void
commit(struct run *run)
{
	struct rules_state *s = run->s;

	if (run->stage == RULES_RCPT) {
		run->next.if_reject = s->now.if_reject;
		run->next.if_permit = s->now.if_permit;
	}
	if (run->stage == RULES_DISCONNECT)
		return;
	memory_update(run->r, &s->now, &run->next);
	if (!is_part_of_txn(run->stage))
		memory_update(run->r, &s->session, &run->next);
}

static enum rules_status
run_end(struct run *run)
{
	struct rules_outcome *out = run->out;

	if (run->stop != RUN_WAIT) {
		ask_forget_scans(run->s);
		run->s->nscans = 0;
	}
	switch (run->stop) {
	case RUN_WAIT:
		*out = (struct rules_outcome){ .score = run->s->now.score };
		run->s->waits = true;
		return RULES_WAIT;
	case RUN_FAILED:
		*out = (struct rules_outcome){ .score = run->s->now.score,
		    .why = run->why,
		    .place = run->rule != NULL ? run->rule->place : NULL };
		return RULES_FAILED;
	case RUN_GO:
	case RUN_SKIP:
	case RUN_END:
		break;
	}
	out->score = run->next.score;
	apply_deferrals(run);
	commit(run);
	return RULES_DONE;
}

/* With DEFER_IF_PERMIT a stage without rules has a verdict, too. */
static bool
has_nothing_to_do(const struct rules_state *s, enum rules_stage stage)
{
	return s->rules->plan[stage] == NULL &&
	    (stage != RULES_RCPT || s->now.if_permit.text == NULL);
}

enum rules_status
rules_run(struct rules_state *s, enum rules_stage stage,
    const struct rules_env *env, struct rules_outcome *out)
{
	struct run run = { .r = s->rules, .s = s, .env = env, .out = out,
	    .stage = stage };

	OBJ_CHECK(s, RULES_STATE_MAGIC);
	*out = (struct rules_outcome){ .score = s->now.score };
	if (has_nothing_to_do(s, stage))
		return RULES_DONE;
	arena_reset(&s->arena);
	arena_lend(&s->arena, &s->rules->scratch.pool);
	if (!s->waits)
		ask_forget_failures(s);
	s->waits = false;
	run_start(&run);
	if (run.r->plan[stage] != NULL)
		run_seq(&run, run.r->plan[stage]);
	return run_end(&run);
}
