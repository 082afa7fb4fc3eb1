/*
 * pcre - patterns of PCRE2; the format is that of pcre_table(5).
 *
 * A pattern meets what strangers send, so a match has a limit: 100,000 steps
 * are a fraction of a millisecond, where the library's default of ten million
 * would let one line of mail stop a worker for a second. What hits the limit
 * is neither a match nor the lack of one: see TABLE_LIMIT.
 */

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH	8
#include <pcre2.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/patterns.h"
#include "rules/regex_rule.h"
#include "rules/sieve.h"
#include "rules/table_impl.h"

#define MATCH_STEPS		100000
#define HEAP_KIB		(20 * 1024)	/* without JIT */
#define JIT_STACK_FIRST		(32 * 1024)
#define JIT_STACK_LIMIT		(128 * 1024)	/* see regex.c */

/* What the patterns of a table share. */
struct pcre {
	pcre2_match_context	*context;	/* ours */
	pcre2_jit_stack		*stack;		/* ours; may be NULL */
	pcre2_match_data	*data;		/* ours; for any pattern */
};

/* What a pattern is. */
struct compiled {
	pcre2_code	*code;		/* ours */
	char		*text;		/* ours */
	uint32_t	 options;
};

static const struct regex_flag flags[] = {
	{ 'i', PCRE2_CASELESS },
	{ 'm', PCRE2_MULTILINE },
	{ 's', PCRE2_DOTALL },
	{ 'x', PCRE2_EXTENDED },
	{ 'A', PCRE2_ANCHORED },
	{ 'E', PCRE2_DOLLAR_ENDONLY },
	{ 'U', PCRE2_UNGREEDY },
	{ 'X', 0 },		/* PCRE2 always does what it asked PCRE for */
	{ 0, 0 }
};

/* Slower, and memory that must never be executable is a reason. Said once. */
static void
warn_no_jit(int error)
{
	static bool said;
	PCRE2_UCHAR text[120];

	if (said)
		return;
	said = true;
	pcre2_get_error_message(error, text, sizeof(text));
	log_info(0, "pcre jit=off reason=\"%s\"", (const char *)text);
}

static void *
pcre_compile(const struct patterns *p, const struct regex_rule *r,
    size_t *groups, char **why)
{
	PCRE2_UCHAR text[120];
	struct compiled *c;
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL, count;
	PCRE2_SIZE at;
	pcre2_code *code;
	int error;

	if (regex_flags(r->flags, flags, &options, why) == -1)
		return NULL;
	code = pcre2_compile((PCRE2_SPTR)r->text, PCRE2_ZERO_TERMINATED,
	    options, &error, &at, NULL);
	if (code == NULL) {
		pcre2_get_error_message(error, text, sizeof(text));
		*why = xasprintf("pattern, character %zu: %s", at + 1,
		    (const char *)text);
		return NULL;
	}
	error = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	if (error != 0 && !p->silent)
		warn_no_jit(error);
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &count);
	*groups = count;
	c = xcalloc(1, sizeof(*c));
	*c = (struct compiled){ .code = code, .text = xstrdup(r->text),
	    .options = options };
	return c;
}

static void
pcre_parse(struct patterns *p, char *line, unsigned long number)
{
	regex_rule_parse(p, line, number, false, pcre_compile);
}

static void
copy_groups(const struct pcre *t, int n, const char *key, struct slice *group,
    size_t ngroups)
{
	PCRE2_SIZE *at = pcre2_get_ovector_pointer(t->data);
	size_t i;

	/* Not group 0: \K could put its start behind its end. */
	for (i = 1; i < ngroups; i++) {
		group[i] = SLICE(NULL, 0);
		if (i < (size_t)n && at[2 * i] != PCRE2_UNSET)
			group[i] = SLICE(key + at[2 * i],
			    at[2 * i + 1] - at[2 * i]);
	}
}

static enum match
pcre_match(const struct patterns *p, const void *what, const struct query *q,
    struct slice *group, size_t ngroups)
{
	const struct pcre *t = p->shared;
	const struct compiled *c = what;
	int n;

	n = pcre2_match(c->code, (PCRE2_SPTR)q->key, q->len, 0, 0, t->data,
	    t->context);
	if (n == PCRE2_ERROR_NOMATCH)
		return MATCH_NO;
	if (n < 0)
		return MATCH_LIMIT;
	/* 0: more groups than there is room for, and nobody wants those. */
	if (n == 0)
		n = (int)pcre2_get_ovector_count(t->data);
	if (group != NULL)
		copy_groups(t, n, q->key, group, ngroups);
	return MATCH_YES;
}

static void
pcre_free(void *what)
{
	struct compiled *c = what;

	pcre2_code_free(c->code);
	free(c->text);
	free(c);
}

static const struct pattern_kind kind = {
	.parse	= pcre_parse,
	.match	= pcre_match,
	.free	= pcre_free,
};

/* The table */

/* A small file is read again on the loop, and "vratar table" looks up one key:
   both without libhs. */
static enum sieve_how
how_to_sift(const struct source *s)
{
	if (s->threaded)
		return SIEVE_SILENT;
	return s->patient && !s->lenient ? SIEVE_SLOW : SIEVE_QUICK;
}

/* Thousands of patterns are looked at together first. */
static void
make_sieve(struct patterns *p, const struct source *s)
{
	struct literals_pattern *v;
	const struct compiled *c;
	size_t i;

	if (p->n < SIEVE_MIN)
		return;
	v = xcalloc(p->n, sizeof(v[0]));
	for (i = 0; i < p->n; i++) {
		c = p->list[i].what;
		v[i] = (struct literals_pattern){
			.text = SLICE_STR(c->text),
			.caseless = (c->options & PCRE2_CASELESS) != 0,
			.multiline = (c->options & PCRE2_MULTILINE) != 0,
			.dotall = (c->options & PCRE2_DOTALL) != 0,
			.extended = (c->options & PCRE2_EXTENDED) != 0,
		};
	}
	patterns_sift(p, sieve_new(v, p->n, how_to_sift(s)));
	free(v);
}

static void
pcre_close(void *priv)
{
	struct patterns *p = priv;
	struct pcre *t = p->shared;

	pcre2_match_data_free(t->data);
	pcre2_match_context_free(t->context);
	pcre2_jit_stack_free(t->stack);
	free(t);
	patterns_close(p);
}

static void *
pcre_open(const struct source *s, char **why)
{
	struct pcre *t = xcalloc(1, sizeof(*t));
	struct patterns *p = patterns_load(&kind, t, s, why);

	if (p == NULL) {
		free(t);
		return NULL;
	}
	make_sieve(p, s);
	t->context = pcre2_match_context_create(NULL);
	t->data = pcre2_match_data_create((uint32_t)p->groups + 1, NULL);
	if (t->context == NULL || t->data == NULL)
		fatal("out of memory");
	pcre2_set_match_limit(t->context, MATCH_STEPS);
	pcre2_set_heap_limit(t->context, HEAP_KIB);
	t->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_LIMIT,
	    NULL);
	if (t->stack != NULL)
		pcre2_jit_stack_assign(t->context, NULL, t->stack);
	return p;
}

const struct table_type table_pcre = {
	.name	= "pcre",
	.suffix	= "",
	.flags	= TABLE_FILE | TABLE_INLINE | TABLE_PATTERNS | TABLE_TEXT,
	.open	= pcre_open,
	.close	= pcre_close,
	.find	= patterns_find,
	.size	= patterns_size,
	.limit_hits = patterns_limit_hits,
};
