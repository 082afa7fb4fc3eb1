/*
 * regexp - patterns of regex(7); the format is that of regexp_table(5).
 *
 * The matcher is the C library's, and it has no limit to its work: a pattern
 * with back-references can take long on a line that a stranger wrote. pcre
 * tables have limits.
 */

#include <sys/types.h>

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/patterns.h"
#include "rules/regex_rule.h"
#include "rules/table_impl.h"

#define GROUPS	100		/* subst allows $1 to $99 */

struct regexp {
	regex_t	 first;
	/* The rest is of a pair only. */
	regex_t	 second;	/* must not match */
	bool	 pair;
	bool	 negated;	/* the first must not match, either */
	bool	 negated2;	/* the second must match: /this/!!/and this/ */
};

static const struct regex_flag flags[] = {
	{ 'i', REG_ICASE },
	{ 'm', REG_NEWLINE },
	{ 'x', REG_EXTENDED },
	{ 0, 0 }
};

static int
compile_one(regex_t *to, const char *text, const char *letters, bool nosub,
    char **why)
{
	char reason[200];
	uint32_t options = REG_ICASE | REG_EXTENDED;
	int error;

	if (regex_flags(letters, flags, &options, why) == -1)
		return -1;
	error = regcomp(to, text, (int)options | (nosub ? REG_NOSUB : 0));
	if (error == 0)
		return 0;
	regerror(error, to, reason, sizeof(reason));
	*why = xasprintf("pattern: %s", reason);
	return -1;
}

static void *
regexp_compile(const struct patterns *p, const struct regex_rule *r,
    size_t *groups, char **why)
{
	struct regexp *x = xcalloc(1, sizeof(*x));

	(void)p;
	if (compile_one(&x->first, r->text, r->flags, !r->subst, why) == -1) {
		free(x);
		return NULL;
	}
	if (r->text2 != NULL && compile_one(&x->second, r->text2, r->flags2,
	    true, why) == -1) {
		regfree(&x->first);
		free(x);
		return NULL;
	}
	x->pair = r->text2 != NULL;
	x->negated = r->negated;
	x->negated2 = r->negated2;
	*groups = x->first.re_nsub;
	return x;
}

static void
regexp_parse(struct patterns *p, char *line, unsigned long number)
{
	regex_rule_parse(p, line, number, true, regexp_compile);
}

/* REG_STARTEND gives the length, so a NUL in a message ends nothing. */
static enum match
run(const regex_t *x, const struct query *q, regmatch_t *at, size_t n)
{
	at[0] = (regmatch_t){ 0, (regoff_t)q->len };
	switch (regexec(x, q->key, n, at, REG_STARTEND)) {
	case 0:
		return MATCH_YES;
	case REG_NOMATCH:
		return MATCH_NO;
	default:
		return MATCH_LIMIT;	/* out of memory */
	}
}

static enum match
run_second(const struct regexp *x, const struct query *q, enum match first)
{
	regmatch_t unused[1];
	enum match m;

	if (first == MATCH_LIMIT)
		return first;
	if ((first == MATCH_YES) == x->negated)
		return MATCH_NO;
	m = run(&x->second, q, unused, 0);
	if (m == MATCH_LIMIT)
		return m;
	return (m == MATCH_YES) == x->negated2 ? MATCH_YES : MATCH_NO;
}

static enum match
regexp_match(const struct patterns *p, const void *what, const struct query *q,
    struct slice *group, size_t ngroups)
{
	const struct regexp *x = what;
	regmatch_t at[GROUPS];
	enum match m;
	size_t i;

	(void)p;
	m = run(&x->first, q, at, ngroups);
	if (x->pair)
		m = run_second(x, q, m);
	for (i = 0; m == MATCH_YES && i < ngroups; i++)
		group[i] = at[i].rm_so == -1 ? SLICE(NULL, 0) :
		    SLICE(q->key + at[i].rm_so,
		    (size_t)(at[i].rm_eo - at[i].rm_so));
	return m;
}

static void
regexp_free(void *what)
{
	struct regexp *x = what;

	regfree(&x->first);
	if (x->pair)
		regfree(&x->second);
	free(x);
}

static const struct pattern_kind kind = {
	.parse	= regexp_parse,
	.match	= regexp_match,
	.free	= regexp_free,
};

/* The table */

static void *
regexp_open(const struct source *s, char **why)
{
	return patterns_load(&kind, NULL, s, why);
}

const struct table_type table_regexp = {
	.name	= "regexp",
	.suffix	= "",
	.flags	= TABLE_FILE | TABLE_INLINE | TABLE_PATTERNS | TABLE_TEXT,
	.open	= regexp_open,
	.close	= patterns_close,
	.find	= patterns_find,
	.size	= patterns_size,
	.limit_hits = patterns_limit_hits,
};
