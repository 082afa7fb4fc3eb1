/*
 * union, pipemap - tables made of tables.
 *
 *	union:{static:a, hash:/etc/x}	pipemap:{hash:/etc/x, hash:/etc/y}
 *
 * Here they are only opened; going through the members is ask.c, because one of
 * them may be remote.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/braces.h"
#include "rules/table_impl.h"

struct members {
	struct table	**v;		/* ours, and the tables */
	size_t		  n;
};

static void
members_close(void *priv)
{
	struct members *m = priv;

	while (m->n > 0)
		table_free(&m->v[--m->n]);
	free(m->v);
	free(m);
}

/* All of them, so that all their mistakes are heard. -1: one has failed. What
   a pipe hands on to its next table is a key. */
static int
open_members(struct members *m, const struct source *s, struct slice list,
    bool pipe)
{
	struct source inner = *s;
	struct slice item, next;
	struct table *t;
	bool more;
	int r = 0;

	for (more = braces_next(&list, &item); more; item = next) {
		more = braces_next(&list, &next);
		inner.use = pipe && more ? (struct table_use){ 0 } : s->use;
		t = table_open_member(item.p, item.len, &inner);
		if (t == NULL) {
			r = -1;
			continue;
		}
		m->v = xrealloc(m->v, (m->n + 1) * sizeof(m->v[0]));
		m->v[m->n++] = t;
	}
	return r;
}

static void *
compose_open(const struct source *s, bool pipe, char **why)
{
	struct members *m;
	struct slice list;
	int good;

	if (!braces_open(SLICE_STR(s->argument), &list)) {
		*why = xasprintf("%s: no list of tables within braces "
		    "(try {hash:/etc/a, hash:/etc/b})", s->argument);
		return NULL;
	}
	m = xcalloc(1, sizeof(*m));
	good = open_members(m, s, list, pipe);
	if (good == 0 && m->n > 0)
		return m;
	*why = good == 0 ? xasprintf("%s: no table within the braces",
	    s->argument) : NULL;
	members_close(m);
	return NULL;
}

static void *
union_open(const struct source *s, char **why)
{
	return compose_open(s, false, why);
}

static void *
pipemap_open(const struct source *s, char **why)
{
	return compose_open(s, true, why);
}

static size_t
compose_size(const void *priv)
{
	const struct members *m = priv;
	size_t i, n = 0;

	for (i = 0; i < m->n; i++)
		n += table_size(m->v[i]);
	return n;
}

static uint64_t
compose_limit_hits(const void *priv)
{
	const struct members *m = priv;
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < m->n; i++)
		n += table_limit_hits(m->v[i]);
	return n;
}

static struct table *
compose_member(const void *priv, size_t i)
{
	const struct members *m = priv;

	return i < m->n ? m->v[i] : NULL;
}

#define COMPOSED	.suffix	= "",					\
			.flags	= TABLE_INLINE,				\
			.close	= members_close,			\
			.size	= compose_size,				\
			.limit_hits = compose_limit_hits,		\
			.member	= compose_member

/* Postfix's name for it is unionmap. */
const struct table_type table_union = { .name = "union",
    .open = union_open, COMPOSED };
const struct table_type table_unionmap = { .name = "unionmap",
    .open = union_open, COMPOSED };
const struct table_type table_pipemap = { .name = "pipemap",
    .open = pipemap_open, COMPOSED };
