/*
 * sieve - which of many patterns can match: libhs, or else literals.
 */

#include "rules/sieve.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/mem.h"
#include "rules/hsdb.h"

struct sieve {
	size_t		 n;
	struct hsdb	*db;		/* ours; or NULL */
	struct literals	*literals;	/* ours; or NULL */
	uint64_t	*always;	/* ours; patterns of neither */
};

struct sieve_look {
	const struct sieve *sieve;
	struct hsdb_room *room;		/* ours; or NULL */
	uint64_t	*maybe;		/* ours; a bit for each pattern */
};

static void
copy_bits(uint64_t *to, const uint64_t *from, size_t n)
{
	memcpy(to, from, bits_words(n) * sizeof(to[0]));
}

/* What is left over; a few are sooner tried. */
static void
find_literals(struct sieve *s, const struct literals_pattern *v)
{
	uint64_t *taken = xcalloc(bits_words(s->n), sizeof(taken[0]));
	size_t i, left = s->n;

	if (s->db != NULL) {
		copy_bits(taken, hsdb_has(s->db), s->n);
		left -= hsdb_count(s->db);
	}
	if (s->db == NULL || left >= SIEVE_MIN)
		s->literals = literals_new(v, s->n, taken);
	if (s->literals != NULL)
		literals_always(s->literals, s->always);
	else
		for (i = 0; i < bits_words(s->n); i++)
			s->always[i] = ~taken[i];
	free(taken);
}

struct sieve *
sieve_new(const struct literals_pattern *v, size_t n, enum sieve_how how)
{
	struct sieve *s = xcalloc(1, sizeof(*s));

	s->n = n;
	s->always = xcalloc(bits_words(n), sizeof(s->always[0]));
	s->db = how != SIEVE_QUICK ? hsdb_new(v, n, how == SIEVE_SILENT) :
	    NULL;
	find_literals(s, v);
	if (s->db == NULL && s->literals == NULL)
		sieve_free(&s);
	return s;
}

void
sieve_free(struct sieve **s)
{
	if (*s == NULL)
		return;
	hsdb_free(&(*s)->db);
	literals_free(&(*s)->literals);
	free((*s)->always);
	free(*s);
	*s = NULL;
}

struct sieve_look *
sieve_look_new(const struct sieve *s)
{
	struct sieve_look *l = xcalloc(1, sizeof(*l));

	l->sieve = s;
	l->room = s->db != NULL ? hsdb_room_new(s->db) : NULL;
	l->maybe = xcalloc(bits_words(s->n), sizeof(l->maybe[0]));
	return l;
}

void
sieve_look_free(struct sieve_look **l)
{
	if (*l == NULL)
		return;
	hsdb_room_free(&(*l)->room);
	free((*l)->maybe);
	free(*l);
	*l = NULL;
}

void
sieve_scan(struct sieve_look *l, struct slice subject)
{
	const struct sieve *s = l->sieve;

	copy_bits(l->maybe, s->always, s->n);
	if (s->db != NULL)
		hsdb_scan(s->db, l->room, subject, l->maybe);
	if (s->literals != NULL)
		literals_scan(s->literals, subject, l->maybe);
}

bool
sieve_maybe(const struct sieve_look *l, size_t pattern)
{
	return bits_has(l->maybe, pattern);
}

size_t
sieve_next(const struct sieve_look *l, size_t pattern)
{
	return bits_next(l->maybe, pattern, l->sieve->n);
}

struct sieve_counts
sieve_count(const struct sieve *s)
{
	return (struct sieve_counts){
		.libhs = s->db != NULL ? hsdb_count(s->db) : 0,
		.literals = s->literals != NULL ?
		    literals_count(s->literals) : 0,
	};
}
