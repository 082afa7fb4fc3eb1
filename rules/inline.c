/*
 * inline, static - tables that are written where they are named.
 *
 *	inline:{ a = 1, {b = two words} }
 *	static:value	static:{ two words }
 *
 * The words around "=" are part of nothing. Of two equal keys the last counts,
 * as in Postfix, and unlike in a file.
 */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/braces.h"
#include "rules/fold.h"
#include "rules/index.h"
#include "rules/table_impl.h"

#define INLINE_SYNTAX	"(try inline:{a=1, {b = two words}})"

struct pair {
	struct buf	key;	/* ours, folded */
	struct slice	value;
};

struct pairs {
	struct pair	*v;	/* ours */
	size_t		 n;
};

/* -1: it is no pair. */
static int
cut_pair(struct slice item, struct slice *key, struct slice *value)
{
	struct slice inside;
	size_t i;

	if (item.p[0] == '{') {
		if (!braces_open(item, &inside))
			return -1;
		item = inside;
	}
	for (i = 0; i < item.len && item.p[i] != '=' &&
	    !is_white(item.p[i]); i++)
		;
	*key = SLICE(item.p, i);
	while (i < item.len && is_white(item.p[i]))
		i++;
	if (key->len == 0 || i == item.len || item.p[i] != '=')
		return -1;
	*value = trim(SLICE(item.p + i + 1, item.len - i - 1));
	return 0;
}

static int
add_pair(struct pairs *p, struct slice item)
{
	struct slice key, value;
	struct pair *new;

	if (cut_pair(item, &key, &value) == -1)
		return -1;
	p->v = xrealloc(p->v, (p->n + 1) * sizeof(p->v[0]));
	new = &p->v[p->n++];
	new->value = value;
	/* Folding may make a key longer, three times at most. */
	buf_init(&new->key, 3 * key.len);
	return fold(&new->key, key.p, key.len);
}

static void
free_pairs(struct pairs *p)
{
	while (p->n > 0)
		buf_fini(&p->v[--p->n].key);
	free(p->v);
}

/* The last is added first, because the index keeps the first. */
static struct index *
make_index(const struct pairs *p, struct report *report)
{
	struct index *x = xcalloc(1, sizeof(*x));
	const struct pair *pair;
	size_t i;

	index_init(x);
	for (i = p->n; i-- > 0;) {
		pair = &p->v[i];
		if (index_add(x, pair->key.p, pair->key.len, pair->value.p,
		    pair->value.len) == INDEX_ADDED)
			report_value(report, "inline", 0, pair->key.p,
			    pair->key.len, index_find(x, pair->key.p,
			    pair->key.len));
	}
	index_done(x);
	return x;
}

static void *
inline_open(const struct source *s, char **why)
{
	struct pairs pairs = { 0 };
	struct slice rest, item;
	struct index *x = NULL;
	int good = 0;

	if (!braces_open(SLICE_STR(s->argument), &rest) || rest.len == 0) {
		*why = xasprintf("inline:%s: no list within braces "
		    INLINE_SYNTAX, s->argument);
		return NULL;
	}
	while (good == 0 && braces_next(&rest, &item))
		good = add_pair(&pairs, item);
	if (good == 0)
		x = make_index(&pairs, s->report);
	else
		*why = xasprintf("inline:%s: \"%.*s\" is not KEY=VALUE "
		    INLINE_SYNTAX, s->argument,
		    (int)(item.len > 100 ? 100 : item.len), item.p);
	free_pairs(&pairs);
	return x;
}

static void
inline_close(void *priv)
{
	struct index *x = priv;

	index_fini(x);
	free(x);
}

static enum table_result
inline_find(void *priv, struct query *q)
{
	q->value = index_find(priv, q->key, q->len);
	return q->value != NULL ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static size_t
inline_size(const void *priv)
{
	const struct index *x = priv;

	return x->n;
}

const struct table_type table_inline = {
	.name	= "inline",
	.suffix	= "",
	.flags	= TABLE_FOLDS | TABLE_INLINE,
	.open	= inline_open,
	.close	= inline_close,
	.find	= inline_find,
	.size	= inline_size,
};

static void *
static_open(const struct source *s, char **why)
{
	struct slice inside = SLICE_STR(s->argument);
	char *value;

	if (s->argument[0] != '{' ||
	    braces_open(SLICE_STR(s->argument), &inside)) {
		value = xstrndup(inside.p, inside.len);
		report_value(s->report, "static", 0, NULL, 0, value);
		return value;
	}
	*why = xasprintf("static:%s: the braces do not hold all of it "
	    "(try static:{two words})", s->argument);
	return NULL;
}

static enum table_result
static_find(void *priv, struct query *q)
{
	q->value = priv;
	return TABLE_FOUND;
}

static size_t
static_size(const void *priv)
{
	(void)priv;
	return 1;
}

const struct table_type table_static = {
	.name	= "static",
	.suffix	= "",
	.flags	= TABLE_INLINE,
	.open	= static_open,
	.close	= free,
	.find	= static_find,
	.size	= static_size,
};
