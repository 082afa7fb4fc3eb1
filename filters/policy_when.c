/*
 * policy_when - the condition of a filter block that says whether the filter is
 * asked: a policy of one rule, with all that policies have (fields, tables,
 * questions to the network, the trace). The chain asks it before the filter.
 */

#include "base/mem.h"
#include "filters/chain.h"
#include "filters/policy_impl.h"

#define ASK_MAX_MS	10000

struct filter_conf *
policy_when(const struct filter_conf *f, const char *condition,
    const char *where, const char *recipient_delimiter, FILE *err)
{
	struct rules_options o = {
		.recipient_delimiter = recipient_delimiter,
	};
	struct filter_conf *when;
	struct rules *r;

	if ((r = rules_load_condition(where, condition, &o, err)) == NULL)
		return NULL;
	when = xcalloc(1, sizeof(*when));
	when->name = xstrdup(f->name);
	when->type = &filter_policy;
	when->timeout = f->timeout;
	when->on_failure = f->on_failure;
	when->observe = f->observe;
	policy_instance(&when->self, r,
	    f->timeout < ASK_MAX_MS ? f->timeout : ASK_MAX_MS);
	return when;
}
