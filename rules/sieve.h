/*
 * sieve - which of many patterns can match a subject at all: libhs says so
 * (hsdb.h), and of patterns that it does not take, literals (literals.h).
 */
#ifndef RULES_SIEVE_H
#define RULES_SIEVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "rules/literals.h"

struct sieve;

/* Fewer patterns than this are sooner tried than prepared. */
#define SIEVE_MIN	16

enum sieve_how {
	SIEVE_QUICK,		/* without libhs, which takes seconds */
	SIEVE_SLOW,
	SIEVE_SILENT		/* the same in a thread: nothing is logged */
};

/* Of n patterns; the texts are not needed any more afterwards. NULL: no pattern
   could be excluded, ever. */
struct sieve *sieve_new(const struct literals_pattern *v, size_t n,
    enum sieve_how how);
/* Frees it and leaves NULL; NULL is fine. */
void sieve_free(struct sieve **s);

/* A look at a subject: what one thread needs for it, and what it has seen. The
   sieve itself does not change, and outlives its looks. */
struct sieve_look;
struct sieve_look *sieve_look_new(const struct sieve *s);
/* Frees it and leaves NULL; NULL is fine. */
void sieve_look_free(struct sieve_look **l);

/* Look at a subject; then ask about each pattern, or for the first from this one
   on that may match (their number: none). Nothing is allocated. */
void sieve_scan(struct sieve_look *l, struct slice subject);
bool sieve_maybe(const struct sieve_look *l, size_t pattern);
size_t sieve_next(const struct sieve_look *l, size_t pattern);

/* Patterns that can be excluded by each of them. */
struct sieve_counts {
	size_t	 libhs, literals;
};
struct sieve_counts sieve_count(const struct sieve *s);

#endif
