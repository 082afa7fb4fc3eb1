/*
 * cmd_check - "vratar check": would this configuration start?
 *
 * It reads, loads and resolves everything as serve does, or milter, and binds
 * and forks nothing. Silence is good news; mistakes are on standard error.
 */

#include "proxy/cmd.h"

#include <stdio.h>

#include "filters/policy.h"
#include "proxy/conf.h"
#include "proxy/tls.h"

/* Warnings: a pattern that a sender can make slow is stopped by its limit. */
static void
check_policies(const struct conf *c)
{
	size_t i;

	for (i = 0; i < c->nfilters; i++) {
		if (c->filters[i]->type == &filter_policy)
			policy_check(c->filters[i]->self.priv, stderr);
		if (c->filters[i]->when != NULL)
			policy_check(c->filters[i]->when->self.priv, stderr);
	}
}

int
cmd_check(int argc, char **argv)
{
	bool milter = false;
	const struct conf_flag flags[] = {
		{ "--milter", &milter },
		{ NULL, NULL }
	};
	struct conf_options o;
	struct conf *c;
	int r;

	r = conf_getopt(&o, argc, argv, flags, stderr);
	if (r != 0)
		return r == 1 ? 0 : 2;
	if (milter)
		o.milter = "milter";
	if (conf_is_alone(&o))
		conf_make_up(&o);
	tls_init();
	c = conf_load(&o, stderr);
	if (c != NULL)
		check_policies(c);
	r = c != NULL ? 0 : 2;
	conf_free(&c);
	conf_options_fini(&o);
	return r;
}
