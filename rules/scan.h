/*
 * scan - the patterns on one long text, looked for by a thread.
 *
 * It has a copy of the text, and what it finds is in it: nothing else is
 * written but what belongs to the thread, see struct kit. The patterns must
 * outlive it. For rules, it is a question (RULES_ASK_SCAN in rules.h).
 */
#ifndef RULES_SCAN_H
#define RULES_SCAN_H

#include "rules/regex.h"
#include "rules/rules_impl.h"

/* Of the thread: after so much of its time, what is left is REGEX_LIMIT. */
#define SCAN_BUDGET_MS	2000

/* For a set of patterns (from 1), or with set 0 for one that is in none. The
   text is copied. */
struct rules_scan *scan_new(struct rules *r, uint32_t set, uint32_t regex,
    struct slice text);
/* Is it about that? */
bool scan_is(const struct rules_scan *x, uint32_t set, uint32_t regex,
    struct slice text);

/* When it is over: what came of this pattern. Groups are slices of text, which
   is the one that was copied. */
enum regex_result scan_result(const struct rules_scan *x,
    const struct regex_use *u, struct slice text,
    struct slice groups[REGEX_GROUPS]);

/* The first pattern of the set, from this one on, that did not say no; their
   number: none. */
size_t scan_next(const struct rules_scan *x, size_t nth);

#endif
