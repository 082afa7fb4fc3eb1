/*
 * regex - regular expressions of rules: PCRE2, compiled once, with limits.
 *
 * The octets of a message are matched as octets; flag u matches UTF-8, where
 * what is no UTF-8 matches nothing. A match that takes too long ends with
 * REGEX_LIMIT, which is not "no": what follows is the policy's to say.
 */
#ifndef RULES_REGEX_H
#define RULES_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "rules/literals.h"

struct regex;
struct regex_cache;

struct regex_cache *regex_cache_new(void);
/* Frees it, with all expressions, and leaves NULL; NULL is fine. */
void regex_cache_free(struct regex_cache **c);

/*
 * The compiled form of pattern with flags (letters of "imsxu"). The same
 * pattern is compiled once. It belongs to the cache. NULL: *why (in room for
 * 200 octets) says what is wrong about octet *at of the pattern.
 */
struct regex *regex_get(struct regex_cache *c, struct slice pattern,
    struct slice flags, char why[200], size_t *at);
/* Number of groups, without the whole. */
unsigned regex_groups(const struct regex *x);
const char *regex_pattern(const struct regex *x);
/* The same for literals.h and hsdb.h; the text is borrowed. */
struct literals_pattern regex_needs(const struct regex *x);

enum regex_result { REGEX_NO, REGEX_YES, REGEX_LIMIT };

#define REGEX_GROUPS	10	/* %{0} to %{9} */

/*
 * Look for the pattern in subject. On REGEX_YES the groups are slices of the
 * subject; those that took no part are empty. groups may be NULL.
 */
enum regex_result regex_match(const struct regex *x, struct slice subject,
    struct slice groups[REGEX_GROUPS]);

/* What a thread needs to match with; a cache has one for its own. */
struct regex_matcher;
struct regex_matcher *regex_matcher_new(void);
/* Frees it and leaves NULL; NULL is fine. */
void regex_matcher_free(struct regex_matcher **m);
/* The same as regex_match() by any thread, but a limit that is hit is counted
   by who hears of it. */
enum regex_result regex_match_by(struct regex_matcher *m,
    const struct regex *x, struct slice subject,
    struct slice groups[REGEX_GROUPS]);
void regex_count_limit(const struct regex *x);

/* How often a match of this cache hit its limit. */
uint64_t regex_limits_hit(const struct regex_cache *c);
/* The number of different expressions. */
size_t regex_count(const struct regex_cache *c);

/*
 * Try subjects that make bad patterns slow. NULL, or the one that reached the
 * limit, in a few words (static). Does not count as a hit.
 */
const char *regex_try(const struct regex *x);

#endif
