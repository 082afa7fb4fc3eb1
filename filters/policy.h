/*
 * policy - the filter that runs rules (rules/rules.h).
 *
 *	filter "policy" { type = "policy"  file = "/etc/vratar/policy.rules" }
 */
#ifndef FILTERS_POLICY_H
#define FILTERS_POLICY_H

#include "filters/filter.h"
#include "rules/rules.h"

struct filter_conf;

extern const struct filter filter_policy;

/*
 * The condition of the block of f as an instance of this filter, for f->when:
 * it accepts when f is to be asked. where stands in messages for its place. NULL,
 * and the mistakes were written to err.
 */
struct filter_conf *policy_when(const struct filter_conf *f,
    const char *condition, const char *where, const char *recipient_delimiter,
    FILE *err);

/*
 * Tell err of regular expressions of the rules that a sender can make slow:
 * some milliseconds for each (vratar check). priv: as below.
 */
void policy_check(void *priv, FILE *err);

/* Does some rule read this field? priv: as below. */
bool policy_reads(const void *priv, enum rules_field f);

/* Tell of each rule that is looked at, in sessions from now on; priv is that
   of an instance of this filter. NULL: no more. */
void policy_trace(void *priv, rules_trace_fn *trace, void *arg);

#endif
