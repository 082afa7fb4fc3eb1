/*
 * hsdb - libhs (Hyperscan, Vectorscan) asked which of many patterns can match.
 *
 * It looks for all patterns in one pass, and "prefilter" is its word for the
 * way we use it: where it does not know a construct of PCRE2 it looks for
 * something that matches more. So the answer is "no" or "maybe", never "yes".
 *
 * Built without libhs, or on a processor that it cannot run on, there is no
 * database, and everything is as it was before.
 *
 * A database does not change; threads share it.
 */
#ifndef RULES_HSDB_H
#define RULES_HSDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "rules/literals.h"

struct hsdb;

/*
 * A database of those of n patterns that libhs understands as PCRE2 does; the
 * texts are not needed any more afterwards. Takes about a millisecond for a
 * pattern, unless it is found in the cache (cache.h): never on a loop. silent:
 * nothing is logged, as in a thread, which has no cache. NULL: there is none.
 */
struct hsdb *hsdb_new(const struct literals_pattern *v, size_t n,
    bool silent);
/* Frees it and leaves NULL; NULL is fine. */
void hsdb_free(struct hsdb **db);

/* The patterns that are among them, a bit each. How many are? */
const uint64_t *hsdb_has(const struct hsdb *db);
size_t hsdb_count(const struct hsdb *db);

/* What it needs to look at a subject, one for each thread; NULL: no memory. */
struct hsdb_room;
struct hsdb_room *hsdb_room_new(const struct hsdb *db);
void hsdb_room_free(struct hsdb_room **r);

/* Set the bits (base/bits.h) of its patterns that may match. Nothing is
   allocated. */
void hsdb_scan(const struct hsdb *db, struct hsdb_room *r,
    struct slice subject, uint64_t *maybe);

/*
 * Does libhs read this pattern as PCRE2 does, as far as it reads it at all? No
 * for what the two are known or suspected to see differently.
 */
bool hsdb_is_common(const struct literals_pattern *p);

/* What is linked: "5.4.0 2021-…"; NULL: nothing. */
const char *hsdb_version(void);

#endif
