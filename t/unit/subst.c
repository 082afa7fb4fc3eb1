/* Results with $1 in them. */

#include "rules/subst.h"

#include "tap.h"

/* The pattern has three groups: "one", nothing at all, and "". want NULL: a
   mistake. */
static const struct {
	const char	*text, *want;
	size_t		 groups;
} cases[] = {
	{ "", "", 0 },
	{ "plain text", "plain text", 0 },
	{ "a $$ b $$$$", "a $ b $$", 0 },
	{ "$$1", "$1", 0 },
	{ "$1", "one", 1 },
	{ "<$1>", "<one>", 1 },
	{ "${1}x$(1)y", "onexoney", 1 },
	{ "$1.$1", "one.one", 1 },
	{ "$01", "one", 1 },
	{ "[$2][$3][$1]", "[][][one]", 3 },
	{ "$1$2$$", "one$", 2 },
	{ "%1 \\$1", "%1 \\one", 1 },
	{ "$", NULL, 0 },
	{ "a $ b", NULL, 0 },
	{ "$1$", NULL, 0 },
	{ "$0", NULL, 0 },
	{ "$4", NULL, 0 },
	{ "$x", NULL, 0 },
	{ "$1x", NULL, 0 },
	{ "$1_", NULL, 0 },
	{ "${1", NULL, 0 },
	{ "$(1}", NULL, 0 },
	{ "${", NULL, 0 },
	{ "${}", NULL, 0 },
	{ "${1 }", NULL, 0 },
	{ "${{1}}", NULL, 0 },
	{ "${1?x}", NULL, 0 },
	{ "$99999999999999999999999999", NULL, 0 },
	{ "$18446744073709551617", NULL, 0 },
};

static void
test_cases(void)
{
	static const struct slice group[] = {
		{ "all", 3 }, { "one", 3 }, { NULL, 0 }, { "", 0 }
	};
	const char *why, *text;
	struct subst *s;
	struct buf b;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		s = subst_parse(cases[i].text, 3, &why);
		if (cases[i].want == NULL) {
			ok(s == NULL && why != NULL, "mistake: %s",
			    cases[i].text);
			continue;
		}
		if (!ok(s != NULL, "%s", cases[i].text))
			continue;
		is_int((long long)subst_groups(s), (long long)cases[i].groups,
		    "  groups");
		text = subst_text(s);
		is_str(text, cases[i].groups == 0 ? cases[i].want : NULL,
		    "  text");
		buf_init(&b, 1000);
		subst_expand(s, group, &b);
		is_str(b.p, cases[i].want, "  expanded");
		buf_fini(&b);
		subst_free(&s);
		ok(s == NULL, "  freed");
	}
}

static void
test_limits(void)
{
	struct slice group[100] = { { "", 0 } };
	const char *why;
	struct subst *s;
	struct buf b;

	s = subst_parse("$99", 200, &why);
	ok(s != NULL, "99 groups");
	subst_free(&s);
	s = subst_parse("$100", 200, &why);
	ok(s == NULL, "and no more");
	s = subst_parse("$1", 0, &why);
	is_str(why, "\"$number\", and the pattern matches no group",
	    "a pattern without groups, or negated");
	s = subst_parse("$1$1$1$1", 1, &why);
	group[1] = SLICE("0123456789", 10);
	buf_init(&b, 30);
	subst_expand(s, group, &b);
	ok(b.failed, "a result has the limit of its buffer");
	buf_fini(&b);
	subst_free(&s);
}

int
main(void)
{
	test_cases();
	test_limits();
	return tap_done();
}
