/*
 * milterd_fields - from one header to another, in the words of milter.
 *
 * What filters have asked for was done by filters/rewrite.h, however many
 * rounds of them there were, so that it is done as in the proxy. Here the
 * result is compared with what the MTA has, and the difference is said from the
 * bottom upwards: what is still to be said is about fields above, whose numbers
 * nothing has changed, whether an MTA counts a field that was deleted
 * (Sendmail) or not (Postfix).
 *
 * The MTA's own Received is on top of what it shows, and hidden: number 0 is
 * above it, 1 below.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "filters/header.h"
#include "proxy/milterd_impl.h"

struct field {
	struct slice	 raw, name;
};

struct fields {
	struct field	*v;		/* ours */
	size_t		 n;
	size_t		 octets;	/* with the empty line */
	bool		 bad;		/* beyond the limits of a header */
};

/* A header as a list */

static void
add_field(struct fields *f, const char *p, size_t len, size_t namelen)
{
	if ((f->n & (f->n + 1)) == 0)
		f->v = xrealloc(f->v, 2 * (f->n + 1) * sizeof(f->v[0]));
	f->v[f->n++] = (struct field){ SLICE(p, len), SLICE(p, namelen) };
}

static void
split(struct fields *f, const char *p, size_t len)
{
	enum header_status status;
	struct header_parser parser;
	struct header h = { .nth = 0 };
	struct slice rest = SLICE(NULL, 0);
	size_t at = 0, used = 0, octets;

	*f = (struct fields){ .n = 0 };
	header_init(&parser);
	do {
		status = header_parse(&parser, p + at, len - at, &used, &h,
		    &rest);
		at += used;
		if (status == HEADER_MORE)
			status = header_finish(&parser, &h, &rest);
		octets = header_octets(&parser);
		if (status == HEADER_FIELD)
			add_field(f, p + at - octets, octets, h.name.len);
	} while (status == HEADER_FIELD);
	f->octets = at - rest.len;
	f->bad = status != HEADER_END;
	header_fini(&parser);
}

size_t
fields_octets(const char *p, size_t len)
{
	struct fields f;

	split(&f, p, len);
	free(f.v);
	return f.octets;
}

/* Calls */

static char *
name_of(const struct field *f)
{
	return xstrndup(f->name.p, f->name.len);
}

/* What is behind the colon, with LF where a line ends, but for the last. An MTA
   that keeps no spaces writes one there itself. */
static char *
value_of(const struct field *f, bool leadspc)
{
	const char *p = memchr(f->raw.p, ':', f->raw.len);
	const char *end = f->raw.p + f->raw.len;
	char *value, *to;

	p++;
	if (!leadspc && p < end && *p == ' ')
		p++;
	while (end > p && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	value = to = xmalloc((size_t)(end - p) + 1);
	for (; p < end; p++)
		if (*p != '\r')
			*to++ = *p;
	*to = '\0';
	return value;
}

static bool
same_name(const struct field *a, const struct field *b)
{
	return a->name.len == b->name.len &&
	    strncasecmp(a->name.p, b->name.p, a->name.len) == 0;
}

static bool
same(const struct field *a, const struct field *b)
{
	return a->raw.len == b->raw.len &&
	    memcmp(a->raw.p, b->raw.p, a->raw.len) == 0;
}

/* The how-manieth of its name. */
static int
nth(const struct fields *from, size_t i)
{
	int n = 1;
	size_t j;

	for (j = 0; j < i; j++)
		n += same_name(&from->v[j], &from->v[i]);
	return n;
}

/* What is compared, and what is said. */
struct change {
	struct milterd_plan	*plan;
	const struct fields	*from, *to;
	size_t			 place;		/* to compare to from here on */
	bool			 leadspc;
	uint16_t		*common;	/* see compare(); ours */
	size_t			 start, n, m;	/* what differs: n of from from
						   start on, m of to */
};

static void
insert(struct change *c, int kind, size_t index, const struct field *f)
{
	plan_add(c->plan, kind, (int)index, name_of(f),
	    value_of(f, c->leadspc));
}

static void
delete(struct change *c, size_t i)
{
	plan_add(c->plan, OP_CHANGE, nth(c->from, i),
	    name_of(&c->from->v[i]), xstrdup(""));
}

/* False: it cannot be said so; an empty value would delete it. */
static bool
replace(struct change *c, size_t i, const struct field *with)
{
	char *value;

	if (!same_name(&c->from->v[i], with))
		return false;
	value = value_of(with, c->leadspc);
	if (*value == '\0') {
		free(value);
		return false;
	}
	plan_add(c->plan, OP_CHANGE, nth(c->from, i), name_of(with), value);
	return true;
}

/* Comparing */

static const struct field *
from_at(const struct change *c, size_t i)
{
	return &c->from->v[c->start + i];
}

static const struct field *
to_at(const struct change *c, size_t j)
{
	return &c->to->v[c->place + c->start + j];
}

static uint16_t *
common_at(const struct change *c, size_t i, size_t j)
{
	return &c->common[i * (c->m + 1) + j];
}

/* What is the same at both ends needs no comparing. */
static void
trim(struct change *c)
{
	c->start = 0;
	c->n = c->from->n;
	c->m = c->to->n - c->place;
	while (c->n > 0 && c->m > 0 && same(from_at(c, 0), to_at(c, 0))) {
		c->start++;
		c->n--;
		c->m--;
	}
	while (c->n > 0 && c->m > 0 &&
	    same(from_at(c, c->n - 1), to_at(c, c->m - 1))) {
		c->n--;
		c->m--;
	}
}

/* The longest list of fields that both have: its length, for the first i of the
   one and the first j of the other. */
static void
compare(struct change *c)
{
	size_t i, j;

	c->common = xcalloc((c->n + 1) * (c->m + 1), sizeof(c->common[0]));
	for (i = 1; i <= c->n; i++)
		for (j = 1; j <= c->m; j++) {
			uint16_t up = *common_at(c, i - 1, j);
			uint16_t left = *common_at(c, i, j - 1);

			*common_at(c, i, j) = same(from_at(c, i - 1),
			    to_at(c, j - 1)) ?
			    *common_at(c, i - 1, j - 1) + 1 :
			    up > left ? up : left;
		}
}

/* So many at the end of what differs are new ones behind all fields. */
static size_t
count_appended(const struct change *c)
{
	size_t n = 0;

	if (c->start + c->n < c->from->n)
		return 0;
	while (n < c->m && *common_at(c, c->n, c->m - n) ==
	    *common_at(c, c->n, c->m - n - 1) && (c->n == 0 ||
	    !same_name(from_at(c, c->n - 1), to_at(c, c->m - n - 1))))
		n++;
	return n;
}

/* From the last of both up to the first. */
static void
say(struct change *c)
{
	size_t i = c->n, j, k, appended = count_appended(c);

	for (k = appended; k > 0; k--)
		insert(c, OP_ADD, 0, to_at(c, c->m - k));
	for (j = c->m - appended; i > 0 || j > 0; ) {
		if (i > 0 && j > 0 && same(from_at(c, i - 1), to_at(c, j - 1)) &&
		    *common_at(c, i, j) == *common_at(c, i - 1, j - 1) + 1) {
			i--;
			j--;
		} else if (i > 0 && j > 0 && *common_at(c, i, j) ==
		    *common_at(c, i - 1, j - 1) &&
		    replace(c, c->start + i - 1, to_at(c, j - 1))) {
			i--;
			j--;
		} else if (j > 0 && (i == 0 ||
		    *common_at(c, i, j) == *common_at(c, i, j - 1))) {
			insert(c, OP_INSERT, c->start + i + 1,
			    to_at(c, j - 1));
			j--;
		} else
			delete(c, c->start + --i);
	}
}

/* Above the MTA's Received nothing was. */
static void
say_top(struct change *c)
{
	size_t i;

	for (i = c->place; i > 0; i--)
		insert(c, OP_INSERT, 0, &c->to->v[i - 1]);
}

int
fields_plan(struct milterd_plan *p, const struct fields_job *job)
{
	struct fields from, to;
	struct change c = { .plan = p, .from = &from, .to = &to,
	    .place = job->place, .leadspc = job->leadspc };
	int r = -1;

	split(&from, job->from.p, job->from.len);
	split(&to, job->to.p, job->to.len);
	/* The MTA's idea of a field is another one. */
	if (!from.bad && !to.bad && from.n == job->nfields &&
	    c.place <= to.n) {
		trim(&c);
		compare(&c);
		say(&c);
		say_top(&c);
		free(c.common);
		r = 0;
	}
	free(from.v);
	free(to.v);
	return r;
}
