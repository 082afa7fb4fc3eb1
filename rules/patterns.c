/*
 * patterns - a list of patterns that are tried in order: pcre, regexp, cidr.
 *
 * An "if" is a pattern that has a place to jump to instead of a result, so a
 * look-up is one loop and needs no stack.
 */

#include "rules/patterns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/mem.h"
#include "rules/braces.h"
#include "rules/ask.h"
#include "rules/lines.h"
#include "rules/sieve.h"
#include "rules/subst.h"

#define NAME_SHOWN	200	/* it may be a list within braces */

/* Reading */

char *
statement(char *line, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(line, word, len) != 0 || is_alnum(line[len]))
		return NULL;
	for (line += len; is_white(*line); line++)
		;
	return line;
}

char *
negations(char *p, bool *negated)
{
	*negated = false;
	while (*p == '!') {
		*negated = !*negated;
		for (p++; is_white(*p); p++)
			;
	}
	return p;
}

static void
check_result(const struct patterns *p, const struct subst *result,
    unsigned long line)
{
	struct buf b;

	buf_init(&b, VALUE_MAX);
	subst_template(result, &b);
	/* A rule without a result has been reported. */
	if (b.len > 0)
		report_value(p->report, p->name, line, NULL, 0, b.p);
	buf_fini(&b);
}

void
patterns_add(struct patterns *p, void *what, bool negated,
    struct subst *result, unsigned long line)
{
	if (p->n == p->room) {
		p->room = p->room != 0 ? 2 * p->room : 16;
		p->list = xrealloc(p->list, p->room * sizeof(p->list[0]));
	}
	if (result == NULL) {
		p->open = xrealloc(p->open,
		    (p->nopen + 1) * sizeof(p->open[0]));
		p->open[p->nopen++] = p->n;
	} else {
		check_result(p, result, line);
		if (subst_groups(result) > p->groups)
			p->groups = subst_groups(result);
	}
	p->list[p->n++] = (struct pattern){ .what = what, .negated = negated,
	    .result = result, .line = line };
}

int
patterns_endif(struct patterns *p)
{
	if (p->nopen == 0)
		return -1;
	p->list[p->open[--p->nopen]].end = p->n;
	return 0;
}

/* Postfix takes the end of the file for the "endif", and warns. */
static void
close_all(struct patterns *p)
{
	while (p->nopen > 0) {
		report_mistake(p->report, p->name,
		    p->list[p->open[p->nopen - 1]].line,
		    "this \"if\" has no \"endif\"");
		patterns_endif(p);
	}
}

static struct lines *
open_lines(const struct source *s, char **why)
{
	struct slice list = { 0 };
	const char *reason = "no \"}\" at the end";
	struct lines *l = NULL;

	if (s->path != NULL) {
		if ((l = lines_open(s->path, s->report)) == NULL)
			*why = why_errno(s->path, errno);
		return l;
	}
	if (braces_open(SLICE_STR(s->argument), &list))
		l = lines_open_list(list, s->argument, s->report, &reason);
	if (l == NULL)
		*why = xasprintf("%s: %s", s->argument, reason);
	return l;
}

struct patterns *
patterns_load(const struct pattern_kind *kind, void *shared,
    const struct source *s, char **why)
{
	struct patterns *p;
	unsigned long number;
	struct lines *l;
	char *line;
	size_t len;

	if ((l = open_lines(s, why)) == NULL)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->kind = kind;
	p->shared = shared;
	p->name = xstrdup(lines_name(l));
	p->report = s->report;
	p->silent = s->threaded;
	while ((line = lines_next(l, &len, &number)) != NULL)
		kind->parse(p, line, number);
	close_all(p);
	p->report = NULL;
	if (lines_error(l) != 0) {
		*why = why_errno(p->name, lines_error(l));
		patterns_close(p);
		p = NULL;
	}
	lines_close(&l);
	return p;
}

void
patterns_close(void *priv)
{
	struct patterns *p = priv;
	size_t i;

	for (i = 0; i < p->n; i++) {
		p->kind->free(p->list[i].what);
		subst_free(&p->list[i].result);
	}
	sieve_look_free(&p->look);
	sieve_free(&p->sieve);
	free(p->unsieved);
	free(p->list);
	free(p->open);
	free(p->name);
	free(p);
}

/* What does not match decides as well where it is negated, or an "if". */
void
patterns_sift(struct patterns *p, struct sieve *sieve)
{
	size_t i;

	if (sieve == NULL)
		return;
	p->sieve = sieve;
	p->look = sieve_look_new(sieve);
	p->unsieved = xcalloc(bits_words(p->n), sizeof(p->unsieved[0]));
	for (i = 0; i < p->n; i++)
		if (p->list[i].negated || p->list[i].result == NULL)
			bits_set(p->unsieved, i);
}

size_t
patterns_size(const void *priv)
{
	const struct patterns *p = priv;

	return p->n;
}

uint64_t
patterns_limit_hits(const void *priv)
{
	const struct patterns *p = priv;

	return p->limit_hits;
}

/* Asking */

/* Once for each pattern: what makes it give up may be sent a thousand times. */
static void
note_limit(struct patterns *p, struct pattern *pt, size_t len)
{
	char name[4 * NAME_SHOWN + 6];

	p->limit_hits++;
	if (pt->limit_seen)
		return;
	pt->limit_seen = true;
	log_quote(name, sizeof(name), p->name, strlen(p->name), NAME_SHOWN);
	log_warn(0, "table file=%s line=%lu pattern=limit octets=%zu (it is "
	    "skipped for what it cannot decide; please simplify it)", name,
	    pt->line, len);
}

static enum match
try(struct patterns *p, struct pattern *pt, const struct query *q,
    struct slice *group)
{
	size_t groups = pt->result != NULL ? subst_groups(pt->result) : 0;
	enum match m;

	if (p->look != NULL &&
	    !sieve_maybe(p->look, (size_t)(pt - p->list)))
		m = MATCH_NO;
	else
		m = p->kind->match(p, pt->what, q, groups > 0 ? group : NULL,
	    groups > 0 ? groups + 1 : 0);
	if (m == MATCH_LIMIT)
		note_limit(p, pt, q->len);
	if (m == MATCH_NEVER || m == MATCH_LIMIT || !pt->negated)
		return m;
	return m == MATCH_YES ? MATCH_NO : MATCH_YES;
}

static enum table_result
give(const struct pattern *pt, struct query *q, const struct slice *group)
{
	if ((q->value = subst_text(pt->result)) != NULL)
		return TABLE_FOUND;
	subst_expand(pt->result, group, q->room);
	q->value = q->room->p;
	return q->room->failed ? TABLE_FAILED : TABLE_FOUND;
}

/* The first from i on that can say something. */
static size_t
next(const struct patterns *p, size_t i)
{
	size_t maybe, unsieved;

	if (p->look == NULL)
		return i;
	maybe = sieve_next(p->look, i);
	unsieved = bits_next(p->unsieved, i, maybe);
	return unsieved < maybe ? unsieved : maybe;
}

enum table_result
patterns_find(void *priv, struct query *q)
{
	struct slice group[100];	/* subst allows $1 to $99 */
	struct patterns *p = priv;
	struct pattern *pt;
	bool limit = false;
	enum match m;
	size_t i = 0;

	if (p->look != NULL)
		sieve_scan(p->look, SLICE(q->key, q->len));
	while ((i = next(p, i)) < p->n) {
		pt = &p->list[i];
		m = try(p, pt, q, group);
		limit |= m == MATCH_LIMIT;
		if (m == MATCH_YES && pt->result != NULL)
			return give(pt, q, group);
		i = m == MATCH_YES || pt->result != NULL ? i + 1 : pt->end;
	}
	return limit ? TABLE_LIMIT : TABLE_NOT_FOUND;
}
