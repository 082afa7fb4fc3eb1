/*
 * regex_rule - the form of a rule of pcre and regexp: [!]/pattern/flags result.
 */
#ifndef RULES_REGEX_RULE_H
#define RULES_REGEX_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct patterns;

struct regex_rule {
	char		*text;		/* of the pattern */
	char		*flags;		/* the letters behind it */
	bool		 negated;
	/* A regexp may have a second one, /this/!/but not this/ result. What
	   is negated in a pair is up to the kind. */
	char		*text2, *flags2;
	bool		 negated2;
	bool		 subst;		/* the result wants groups */
};

/*
 * Make the kind's pattern. NULL when it cannot be compiled, with *why (ours to
 * free). *groups is how many it has.
 */
typedef void *regex_compile_fn(const struct patterns *p,
    const struct regex_rule *r, size_t *groups, char **why);

/* Letters behind a pattern; each turns its bits over. The last is { 0, 0 }. */
struct regex_flag {
	char		letter;
	uint32_t	bits;
};

/* 0; -1 with *why (ours to free) when there is no such letter. */
int regex_flags(const char *letters, const struct regex_flag *flags,
    uint32_t *options, char **why);

/* Read a line and add its pattern. pairs: /this/!/but not this/ is allowed. */
void regex_rule_parse(struct patterns *p, char *line, unsigned long number,
    bool pairs, regex_compile_fn *compile);

#endif
