/*
 * scan - the patterns on one long text, looked for by a thread.
 *
 * All that may match are confirmed, also those of rules that will not be
 * reached: who knows that now? There are few, and what they cost is limited.
 */

#include "rules/scan.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rules/sieve.h"

/* What a pattern found. */
struct found {
	uint32_t	 nth;
	struct slice	 groups[REGEX_GROUPS];	/* of the copy */
};

struct rules_scan {
	struct rules	*r;		/* borrowed */
	uint32_t	 set;		/* from 1; 0: … */
	uint32_t	 regex;		/* … this one alone */
	struct slice	 text;		/* ours */
	atomic_bool	 stop;		/* nobody waits */
	bool		 over;
	uint8_t		*results;	/* ours; enum regex_result, by nth */
	SET_OF(struct found) found;	/* ours; by nth */
};

struct rules_scan *
scan_new(struct rules *r, uint32_t set, uint32_t regex, struct slice text)
{
	struct rules_scan *x = xcalloc(1, sizeof(*x));
	size_t n = set != 0 ? r->sets.v[set - 1].n : 1;
	char *copy = xmalloc(text.len + 1);

	memcpy(copy, text.p, text.len);
	x->r = r;
	x->set = set;
	x->regex = regex;
	x->text = SLICE(copy, text.len);
	x->results = xcalloc(n + 1, 1);
	return x;
}

void
rules_scan_free(struct rules_scan **x)
{
	if (*x == NULL)
		return;
	free((char *)(uintptr_t)(*x)->text.p);
	free((*x)->results);
	free((*x)->found.v);
	free(*x);
	*x = NULL;
}

bool
scan_is(const struct rules_scan *x, uint32_t set, uint32_t regex,
    struct slice text)
{
	return x->set == set && (set != 0 || x->regex == regex) &&
	    x->text.len == text.len &&
	    memcmp(x->text.p, text.p, text.len) == 0;
}

/* In a thread */

void
rules_scan_stop(struct rules_scan *x)
{
	atomic_store(&x->stop, true);
}

struct scanning {
	struct rules_scan	*x;
	struct kit		*kit;
	uint64_t		 end_us;	/* of the thread's time */
};

static void
try(struct scanning *s, const struct regex_use *u, uint32_t nth)
{
	struct rules_scan *x = s->x;
	struct found f = { .nth = nth };
	enum regex_result result;

	if (clock_thread_us() >= s->end_us)
		result = REGEX_LIMIT;
	else
		result = regex_match_by(s->kit->matcher, u->regex, x->text,
		    f.groups);
	x->results[nth] = (uint8_t)result;
	if (result == REGEX_YES)
		SET_ADD(&x->found, f);
}

static void
try_set(struct scanning *s, const struct pattern_set *set)
{
	const struct regex_use *v = s->x->r->regexes.v;
	struct sieve_look *look = kit_look(s->kit, s->x->r, set);
	size_t i;

	if (look != NULL)
		sieve_scan(look, s->x->text);
	for (i = 0; i < set->n && !atomic_load(&s->x->stop); i++) {
		if (look != NULL && (i = sieve_next(look, i)) == set->n)
			break;
		try(s, &v[set->uses[i]], (uint32_t)i);
	}
}

void
rules_scan_do(struct rules_scan *x, unsigned thread)
{
	struct scanning s = { .x = x };

	if (atomic_load(&x->stop))
		return;
	s.kit = kit_of(x->r, thread + 1);
	s.end_us = clock_thread_us() + SCAN_BUDGET_MS * 1000;
	if (x->set != 0)
		try_set(&s, &x->r->sets.v[x->set - 1]);
	else
		try(&s, &x->r->regexes.v[x->regex], 0);
	x->over = true;
}

/* On the loop again */

static int
by_nth(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->nth < y->nth ? -1 : x->nth > y->nth;
}

enum regex_result
scan_result(const struct rules_scan *x, const struct regex_use *u,
    struct slice text, struct slice groups[REGEX_GROUPS])
{
	struct found key = { .nth = x->set != 0 ? u->nth : 0 }, *f;
	enum regex_result result = x->results[key.nth];
	int i;

	/* What was not looked for is not absent. */
	assert(x->over);
	if (result == REGEX_LIMIT)
		regex_count_limit(u->regex);
	if (result != REGEX_YES)
		return result;
	f = bsearch(&key, x->found.v, x->found.n, sizeof(key), by_nth);
	for (i = 0; i < REGEX_GROUPS; i++)
		groups[i] = f->groups[i].len == 0 ? SLICE("", 0) :
		    SLICE(text.p + (f->groups[i].p - x->text.p),
		    f->groups[i].len);
	return result;
}

size_t
scan_next(const struct rules_scan *x, size_t nth)
{
	size_t n = x->r->sets.v[x->set - 1].n;

	assert(x->over);
	while (nth < n && x->results[nth] == REGEX_NO)
		nth++;
	return nth;
}
