/*
 * subst - the result of a pattern, with $1, ${2}, $(3) for what it matched.
 *
 * "$$" is a dollar sign. As in Postfix, the name ends at the first character
 * that is no letter, digit or underscore unless it is within braces or
 * parentheses, and only the numbers of groups are names.
 */
#ifndef RULES_SUBST_H
#define RULES_SUBST_H

#include <stddef.h>

#include "base/buf.h"

struct subst;

/*
 * groups: how many the pattern has; 0 for a pattern that is negated. NULL with
 * *why (static).
 */
struct subst *subst_parse(const char *text, size_t groups, const char **why);
void subst_free(struct subst **s);

/* The result when it has no $1 in it; else NULL. */
const char *subst_text(const struct subst *s);
/* The result with TABLE_GROUP (table.h) for each $1. */
void subst_template(const struct subst *s, struct buf *b);
/* The largest group that is wanted; 0: none. */
size_t subst_groups(const struct subst *s);
/* Append the result. group[i] is what group i matched; p NULL: nothing. */
void subst_expand(const struct subst *s, const struct slice *group,
    struct buf *b);

#endif
