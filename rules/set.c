/*
 * set - all regular expressions on one field are looked at together.
 *
 * The first rule that matches a field with one of them has the field scanned
 * for all (sieve.h); the others then know whether PCRE2 must be asked. What
 * they find is the same with and without.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/run_impl.h"
#include "rules/sieve.h"

static size_t
count_on(const struct rules *r, uint32_t subject)
{
	size_t i, n = 0;

	for (i = 0; i < r->regexes.n; i++)
		n += r->regexes.v[i].subject == subject;
	return n;
}

static void
make_set(struct rules *r, uint32_t subject, size_t n)
{
	struct literals_pattern *v = xcalloc(n, sizeof(v[0]));
	struct pattern_set set = { .sieve = NULL };
	struct regex_use *u;
	size_t i;

	n = 0;
	for (i = 0; i < r->regexes.n; i++)
		if (r->regexes.v[i].subject == subject)
			v[n++] = regex_needs(r->regexes.v[i].regex);
	set.sieve = sieve_new(v, n, true);
	free(v);
	if (set.sieve == NULL)
		return;
	set.look = sieve_look_new(set.sieve);
	SET_ADD(&r->sets, set);
	n = 0;
	for (i = 0; i < r->regexes.n; i++) {
		u = &r->regexes.v[i];
		if (u->subject != subject)
			continue;
		u->set = (uint32_t)r->sets.n;
		u->nth = (uint32_t)n++;
	}
}

void
sets_make(struct rules *r)
{
	uint32_t subject;
	size_t n;

	for (subject = 1; subject <= r->slots.n; subject++)
		if ((n = count_on(r, subject)) >= SIEVE_MIN)
			make_set(r, subject, n);
}

void
sets_free(struct rules *r)
{
	size_t i;

	for (i = 0; i < r->sets.n; i++) {
		sieve_look_free(&r->sets.v[i].look);
		sieve_free(&r->sets.v[i].sieve);
	}
	free(r->sets.v);
}

void
sets_forget(struct rules *r)
{
	size_t i;

	for (i = 0; i < r->sets.n; i++)
		r->sets.v[i].epoch = 0;
}

/* The value of a field stays what it is for a run. */
bool
set_maybe(struct run *run, const struct regex_use *u, struct slice value)
{
	struct pattern_set *set;

	if (u->set == 0)
		return true;
	set = &run->r->sets.v[u->set - 1];
	if (set->epoch != run->r->scratch.epoch) {
		if (value.len > REGEX_SUBJECT)
			value.len = REGEX_SUBJECT;
		sieve_scan(set->look, value);
		set->epoch = run->r->scratch.epoch;
	}
	return sieve_maybe(set->look, u->nth);
}
