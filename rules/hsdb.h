/*
 * hsdb - libhs (Hyperscan, Vectorscan) asked which of many patterns can match.
 *
 * It looks for all patterns in one pass, and "prefilter" is its word for the
 * way we use it: where it does not know a construct of PCRE2 it looks for
 * something that matches more. So the answer is "no" or "maybe", never "yes".
 *
 * Built without libhs, or on a processor that it cannot run on, there is no
 * database, and everything is as it was before.
 */
#ifndef RULES_HSDB_H
#define RULES_HSDB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "rules/literals.h"

struct hsdb;

/*
 * A database of those of n patterns that libhs understands as PCRE2 does; the
 * texts are not needed any more afterwards. Takes about a millisecond for a
 * pattern, unless it is found in the cache (cache.h): never on a loop. NULL:
 * there is none.
 */
struct hsdb *hsdb_new(const struct literals_pattern *v, size_t n);
/* Frees it and leaves NULL; NULL is fine. */
void hsdb_free(struct hsdb **db);

/* Is this pattern among them? How many are? */
bool hsdb_has(const struct hsdb *db, size_t pattern);
size_t hsdb_count(const struct hsdb *db);

/* Look at a subject; then ask about each pattern that it has. Nothing is
   allocated. */
void hsdb_scan(struct hsdb *db, struct slice subject);
bool hsdb_maybe(const struct hsdb *db, size_t pattern);

/*
 * Does libhs read this pattern as PCRE2 does, as far as it reads it at all? No
 * for what the two are known or suspected to see differently.
 */
bool hsdb_is_common(const struct literals_pattern *p);

/* What is linked: "5.4.0 2021-…"; NULL: nothing. */
const char *hsdb_version(void);

#endif
