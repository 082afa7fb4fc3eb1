/*
 * subst - the result of a pattern, with $1, ${2}, $(3) for what it matched.
 *
 * Parsed once, when the table is read: text with the dollar signs undone, cut
 * into pieces, each followed by a group.
 */

#include "rules/subst.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/braces.h"
#include "rules/table.h"

/* As many as Postfix knows. */
#define GROUP_MAX	99

struct piece {
	size_t	text;		/* octets of text in front of the group */
	size_t	group;		/* 0: none, this is the end */
};

struct subst {
	char		*text;		/* ours: that of all pieces */
	struct piece	*pieces;	/* ours; the last has group 0 */
	size_t		 n, groups;
};

static void
add_piece(struct subst *s, size_t text, size_t group)
{
	s->pieces = xrealloc(s->pieces, (s->n + 1) * sizeof(s->pieces[0]));
	s->pieces[s->n++] = (struct piece){ text, group };
	if (group > s->groups)
		s->groups = group;
}

/* What p, which is behind a dollar sign, names. NULL when no brace closes it;
   *after is what follows. */
static const char *
name_of(const char *p, const char **after, size_t *len)
{
	char opens = *p, closes = *p == '{' ? '}' : ')';
	size_t depth = 0;
	const char *q;

	if (opens != '{' && opens != '(') {
		for (q = p; is_alnum(*q) || *q == '_'; q++)
			;
		*len = (size_t)(q - p);
		*after = q;
		return p;
	}
	for (q = p; *q != '\0'; q++) {
		if (*q == opens)
			depth++;
		else if (*q == closes && --depth == 0)
			break;
	}
	if (*q == '\0')
		return NULL;
	*len = (size_t)(q - p - 1);
	*after = q + 1;
	return p + 1;
}

/* 0 with *why when it is the number of no group. */
static size_t
group_of(const char *name, size_t len, size_t groups, const char **why)
{
	size_t i, n = 0;

	if (len == 0) {
		*why = "\"$\" without a number (try \"$$\")";
		return 0;
	}
	for (i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9') {
			*why = "\"$\" with a name that is no number (try ${1})";
			return 0;
		}
		if (n <= GROUP_MAX)
			n = 10 * n + (size_t)(name[i] - '0');
	}
	if (n >= 1 && n <= groups && n <= GROUP_MAX)
		return n;
	*why = groups == 0 ? "\"$number\", and the pattern matches no group" :
	    "\"$number\" of a group that the pattern does not have";
	return 0;
}

static int
parse(struct subst *s, const char *p, size_t groups, const char **why)
{
	const char *name, *after;
	size_t start = 0, at = 0, len, group;

	while (*p != '\0') {
		if (*p != '$' || p[1] == '$') {
			s->text[at++] = *p;
			p += *p == '$' ? 2 : 1;
			continue;
		}
		if ((name = name_of(p + 1, &after, &len)) == NULL) {
			*why = "\"$\" with a brace that is not closed";
			return -1;
		}
		if ((group = group_of(name, len, groups, why)) == 0)
			return -1;
		add_piece(s, at - start, group);
		start = at;
		p = after;
	}
	s->text[at] = '\0';
	add_piece(s, at - start, 0);
	return 0;
}

struct subst *
subst_parse(const char *text, size_t groups, const char **why)
{
	struct subst *s = xcalloc(1, sizeof(*s));

	s->text = xmalloc(strlen(text) + 1);
	if (parse(s, text, groups, why) == -1)
		subst_free(&s);
	return s;
}

void
subst_free(struct subst **s)
{
	if (*s == NULL)
		return;
	free((*s)->text);
	free((*s)->pieces);
	free(*s);
	*s = NULL;
}

const char *
subst_text(const struct subst *s)
{
	return s->groups == 0 ? s->text : NULL;
}

size_t
subst_groups(const struct subst *s)
{
	return s->groups;
}

void
subst_expand(const struct subst *s, const struct slice *group, struct buf *b)
{
	const char *text = s->text;
	size_t i;

	for (i = 0; i < s->n; i++) {
		buf_add(b, text, s->pieces[i].text);
		text += s->pieces[i].text;
		if (s->pieces[i].group != 0 &&
		    group[s->pieces[i].group].p != NULL)
			buf_add(b, group[s->pieces[i].group].p,
			    group[s->pieces[i].group].len);
	}
}

void
subst_template(const struct subst *s, struct buf *b)
{
	static const char one = TABLE_GROUP;
	struct slice group[GROUP_MAX + 1];
	size_t i;

	for (i = 0; i <= GROUP_MAX; i++)
		group[i] = SLICE(&one, 1);
	subst_expand(s, group, b);
}
