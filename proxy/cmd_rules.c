/*
 * cmd_rules - "vratar rules": what the policy language knows, and what became
 * of a policy.
 */

#include "proxy/cmd.h"

#include <getopt.h>
#include <stdio.h>

#include "rules/rules.h"

static void
usage(FILE *to)
{
	fprintf(to, "usage: vratar rules [--explain] FILE\n"
	    "       vratar rules --fields\n");
}

static void
print_fields(void)
{
	enum rules_field f;

	for (f = 0; f < RULES_NFIELDS; f++)
		printf("%-22s %-9s from %-8s %s\n", rules_field_name(f),
		    rules_type_name(rules_field_type(f)),
		    rules_stage_name(rules_field_from(f)),
		    rules_field_help(f));
}

/* Slow patterns are a warning: the policy is good. */
static int
explain(const char *path)
{
	struct rules *r = rules_load(path, NULL, stderr);

	if (r == NULL)
		return 2;
	rules_explain(r, stdout);
	rules_check_regexes(r, stderr);
	rules_free(&r);
	return 0;
}

int
cmd_rules(int argc, char **argv)
{
	static const struct option options[] = {
		{ "explain",	no_argument,	NULL, 'e' },
		{ "fields",	no_argument,	NULL, 'f' },
		{ "help",	no_argument,	NULL, 'h' },
		{ NULL,		0,		NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c == 'f') {
			print_fields();
			return 0;
		}
		if (c != 'e') {
			usage(stderr);
			return 2;
		}
	}
	if (optind + 1 != argc) {
		usage(stderr);
		return 2;
	}
	return explain(argv[optind]);
}
