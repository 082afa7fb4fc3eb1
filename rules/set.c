/*
 * set - all regular expressions on one field are looked at together.
 *
 * The first rule that matches a field with one of them has the field scanned
 * for all (sieve.h); the others then know whether PCRE2 must be asked. What
 * they find is the same with and without. A long value is handed to a thread,
 * which does both (scan.h), and the run is made again when it is over.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/run_impl.h"
#include "rules/scan.h"
#include "rules/sieve.h"

#define SCANS_MAX	16	/* of a stage: each has a copy of its text */

/* Making */

static size_t
count_on(const struct rules *r, uint32_t subject)
{
	size_t i, n = 0;

	for (i = 0; i < r->regexes.n; i++)
		n += r->regexes.v[i].subject == subject;
	return n;
}

static struct sieve *
make_sieve(const struct rules *r, const struct pattern_set *set)
{
	struct literals_pattern *v;
	struct sieve *sieve;
	size_t i;

	if (set->n < SIEVE_MIN)
		return NULL;
	v = xcalloc(set->n, sizeof(v[0]));
	for (i = 0; i < set->n; i++)
		v[i] = regex_needs(r->regexes.v[set->uses[i]].regex);
	sieve = sieve_new(v, set->n, SIEVE_SLOW);
	free(v);
	return sieve;
}

static void
make_set(struct rules *r, uint32_t subject, size_t n)
{
	struct pattern_set set = { .uses = xcalloc(n, sizeof(set.uses[0])) };
	struct regex_use *u;
	size_t i;

	for (i = 0; i < r->regexes.n; i++) {
		u = &r->regexes.v[i];
		if (u->subject != subject)
			continue;
		u->set = (uint32_t)r->sets.n + 1;
		u->nth = (uint32_t)set.n;
		set.uses[set.n++] = (uint32_t)i;
	}
	set.sieve = make_sieve(r, &set);
	SET_ADD(&r->sets, set);
}

void
sets_make(struct rules *r)
{
	uint32_t subject;
	size_t n;

	for (subject = 1; subject <= r->slots.n; subject++)
		if ((n = count_on(r, subject)) > 0)
			make_set(r, subject, n);
}

/* Kits */

static void
kit_free(struct kit *k)
{
	if (k == NULL)
		return;
	while (k->nlooks > 0)
		sieve_look_free(&k->looks[--k->nlooks]);
	free(k->looks);
	regex_matcher_free(&k->matcher);
	free(k);
}

struct kit *
kit_of(struct rules *r, unsigned number)
{
	struct kit *k = r->kits[number];

	if (k != NULL)
		return k;
	k = xcalloc(1, sizeof(*k));
	k->matcher = regex_matcher_new();
	k->nlooks = r->sets.n;
	k->looks = xcalloc(k->nlooks + 1, sizeof(k->looks[0]));
	r->kits[number] = k;
	return k;
}

struct sieve_look *
kit_look(struct kit *k, const struct rules *r, const struct pattern_set *set)
{
	struct sieve_look **look = &k->looks[set - r->sets.v];

	if (*look == NULL && set->sieve != NULL)
		*look = sieve_look_new(set->sieve);
	return *look;
}

void
sets_free(struct rules *r)
{
	size_t i;

	for (i = 0; i <= THREADS_MAX; i++)
		kit_free(r->kits[i]);
	for (i = 0; i < r->sets.n; i++) {
		sieve_free(&r->sets.v[i].sieve);
		free(r->sets.v[i].uses);
	}
	free(r->sets.v);
}

/* Looking */

void
sets_forget(struct rules *r)
{
	size_t i;

	for (i = 0; i < r->sets.n; i++)
		r->sets.v[i].epoch = 0;
}

static bool
is_long(const struct run *run, struct slice value)
{
	return run->env->scan_above > 0 && value.len > run->env->scan_above &&
	    run->env->ask != NULL;
}

/* The scan of a value, which is to come: that makes the run wait. */
static const struct rules_scan *
scan_for(struct run *run, uint32_t set, uint32_t regex, struct slice value)
{
	const struct rules_scan *x;
	struct rules_scan *made;
	bool done;

	x = ask_find_scan(run, set, regex, value, &done);
	if (x == NULL) {
		if (run->s->nscans == SCANS_MAX)
			return NULL;
		run->s->nscans++;
		x = made = scan_new(run->r, set, regex, value);
		ask_scan(run, made, &done);
	}
	if (!done && (run->stop == RUN_GO || run->stop == RUN_SKIP))
		run->stop = RUN_WAIT;
	return x;
}

/* The value of a field stays what it is for a run. */
static struct sieve_look *
look_at(struct run *run, struct pattern_set *set, struct slice value)
{
	struct sieve_look *look;

	look = kit_look(kit_of(run->r, 0), run->r, set);
	if (set->epoch == run->r->scratch.epoch)
		return look;
	set->epoch = run->r->scratch.epoch;
	set->scan = NULL;
	if (is_long(run, value))
		set->scan = scan_for(run, (uint32_t)(set - run->r->sets.v) + 1,
		    0, value);
	if (set->scan == NULL && look != NULL)
		sieve_scan(look, value);
	return look;
}

size_t
pattern_next(struct run *run, uint32_t number, struct slice value,
    size_t nth)
{
	struct pattern_set *set = &run->r->sets.v[number - 1];
	struct sieve_look *look = look_at(run, set, value);

	if (run->stop == RUN_WAIT || nth >= set->n)
		return set->n;
	return set->scan != NULL ? scan_next(set->scan, nth) :
	    sieve_next(look, nth);
}

enum regex_result
pattern_match(struct run *run, uint32_t regex, struct slice value)
{
	const struct regex_use *u = &run->r->regexes.v[regex];
	const struct rules_scan *scan = NULL;
	struct pattern_set *set;
	struct sieve_look *look = NULL;

	if (u->set != 0) {
		set = &run->r->sets.v[u->set - 1];
		look = look_at(run, set, value);
		scan = set->scan;
	} else if (is_long(run, value)) {
		scan = scan_for(run, 0, regex, value);
	}
	if (run->stop == RUN_WAIT)
		return REGEX_NO;
	if (scan != NULL)
		return scan_result(scan, u, value, run->groups);
	if (look != NULL && !sieve_maybe(look, u->nth))
		return REGEX_NO;
	return regex_match(u->regex, value, run->groups);
}
