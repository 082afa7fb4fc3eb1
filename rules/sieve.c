/*
 * sieve - which of many patterns can match: libhs, or else literals.
 */

#include "rules/sieve.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "rules/hsdb.h"

#define BY_LIBHS	UINT32_MAX

struct sieve {
	struct hsdb	*db;		/* ours; or NULL */
	struct literals	*literals;	/* ours; or NULL: always maybe */
	uint32_t	*nth;		/* ours; of a pattern: in literals, or
					   BY_LIBHS */
};

/* What is left over; a few are sooner tried. */
static void
find_literals(struct sieve *s, const struct literals_pattern *v, size_t n)
{
	struct literals_pattern *rest = xcalloc(n, sizeof(rest[0]));
	size_t i, m = 0;

	for (i = 0; i < n; i++)
		if (s->db != NULL && hsdb_has(s->db, i)) {
			s->nth[i] = BY_LIBHS;
		} else {
			s->nth[i] = (uint32_t)m;
			rest[m++] = v[i];
		}
	if (s->db == NULL || m >= SIEVE_MIN)
		s->literals = literals_new(rest, m);
	free(rest);
}

struct sieve *
sieve_new(const struct literals_pattern *v, size_t n, bool patient)
{
	struct sieve *s = xcalloc(1, sizeof(*s));

	s->nth = xcalloc(n + 1, sizeof(s->nth[0]));
	s->db = patient ? hsdb_new(v, n) : NULL;
	find_literals(s, v, n);
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
	free((*s)->nth);
	free(*s);
	*s = NULL;
}

void
sieve_scan(struct sieve *s, struct slice subject)
{
	if (s->db != NULL)
		hsdb_scan(s->db, subject);
	if (s->literals != NULL)
		literals_scan(s->literals, subject);
}

bool
sieve_maybe(const struct sieve *s, size_t pattern)
{
	if (s->nth[pattern] == BY_LIBHS)
		return hsdb_maybe(s->db, pattern);
	return s->literals == NULL ||
	    literals_maybe(s->literals, s->nth[pattern]);
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
