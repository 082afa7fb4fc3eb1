/*
 * texthash - a text file of keys and values, in memory.
 *
 * The format is that of Postfix (postmap(1), postconf(5)). The key ends at the
 * first white space outside double quotes, which stay part of it; the rest of
 * the logical line is the value.
 *
 * A recipient that is lost from the list is mail that is refused: where Postfix
 * skips a line with a warning, there is a mistake here (report.h).
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/braces.h"
#include "rules/fold.h"
#include "rules/index.h"
#include "rules/lines.h"
#include "rules/table_impl.h"

#define KEY_MAX		4096
#define DUPLICATES_MAX	10	/* warnings for one file */

struct texthash {
	struct index	 index;
	struct buf	 key;		/* while it is read */
	struct report	*report;	/* while it is read */
	const char	*path;		/* while it is read */
	size_t		 duplicates;
};

/* The first white space outside quotes; NULL when a quote is left open. */
static char *
key_end(char *p)
{
	bool quoted = false;

	for (; *p != '\0' && (quoted || !is_white(*p)); p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
	}
	return quoted ? NULL : p;
}

/* Postfix keeps the first of several and warns. */
static void
warn_duplicate(struct texthash *h, unsigned long line)
{
	char quoted[256];

	if (++h->duplicates > DUPLICATES_MAX)
		return;
	report_warn(h->report, "file=%s line=%lu duplicate=%s%s", h->path, line,
	    log_quote(quoted, sizeof(quoted), h->key.p, h->key.len, 60),
	    h->duplicates == DUPLICATES_MAX ? " (no more are shown)" : "");
}

/* NULL, or what is wrong (static). */
static const char *
add(struct texthash *h, char *p, size_t len, unsigned long line)
{
	char *end = key_end(p), *value;

	if (!is_utf8(p, len))
		return "text that is not UTF-8";
	if (end == NULL)
		return "a double quote is not closed";
	if (*end == '\0')
		return "the key has no value (try \"KEY OK\")";
	for (value = end; is_white(*value); value++)
		;
	buf_reset(&h->key);
	report_value(h->report, h->path, line, p, (size_t)(end - p), value);
	fold(&h->key, p, (size_t)(end - p));
	if (h->key.failed)
		return "a key of more than 4096 octets";
	switch (index_add(&h->index, h->key.p, h->key.len, value,
	    len - (size_t)(value - p))) {
	case INDEX_ADDED:
		return NULL;
	case INDEX_DUPLICATE:
		warn_duplicate(h, line);
		return NULL;
	case INDEX_FULL:
		break;
	}
	return "more than 4 GB of keys and values";
}

static void
read_lines(struct texthash *h, struct lines *l)
{
	unsigned long number;
	const char *wrong;
	char *line;
	size_t len;

	while ((line = lines_next(l, &len, &number)) != NULL)
		if ((wrong = add(h, line, len, number)) != NULL)
			report_mistake(h->report, h->path, number, "%s", wrong);
	index_done(&h->index);
}

static void
texthash_close(void *priv)
{
	struct texthash *h = priv;

	index_fini(&h->index);
	buf_fini(&h->key);
	free(h);
}

static void *
texthash_open(const struct source *s, char **why)
{
	struct texthash *h;
	struct lines *l;

	if ((l = lines_open(s->path, s->report)) == NULL) {
		*why = why_errno(s->path, errno);
		return NULL;
	}
	h = xcalloc(1, sizeof(*h));
	index_init(&h->index);
	buf_init(&h->key, KEY_MAX);
	h->report = s->report;
	h->path = s->path;
	read_lines(h, l);
	buf_fini(&h->key);
	if (lines_error(l) != 0) {
		*why = why_errno(s->path, lines_error(l));
		texthash_close(h);
		h = NULL;
	}
	lines_close(&l);
	return h;
}

static enum table_result
texthash_find(void *priv, struct query *q)
{
	struct texthash *h = priv;

	q->value = index_find(&h->index, q->key, q->len);
	return q->value != NULL ? TABLE_FOUND : TABLE_NOT_FOUND;
}

static size_t
texthash_size(const void *priv)
{
	const struct texthash *h = priv;

	return h->index.n;
}

const struct table_type table_texthash = {
	.name	= "texthash",
	.suffix	= "",
	.flags	= TABLE_FOLDS | TABLE_FILE,
	.open	= texthash_open,
	.close	= texthash_close,
	.find	= texthash_find,
	.size	= texthash_size,
};
