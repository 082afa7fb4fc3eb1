/*
 * policy - the filter that runs rules (rules/rules.h).
 *
 *	filter "policy" { type = "policy"  file = "/etc/vratar/policy.rules" }
 */
#ifndef FILTERS_POLICY_H
#define FILTERS_POLICY_H

#include "filters/filter.h"
#include "rules/rules.h"

extern const struct filter filter_policy;

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
