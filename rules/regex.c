/*
 * regex - regular expressions of rules: PCRE2, compiled once, with limits.
 *
 * PCRE2's own match limit of ten million is some 20 ms of the loop for one
 * rule and one header field; ours is a hundredth of that. Depth and heap
 * limits do nothing under JIT: the stack of the JIT is what bounds it there.
 * Each round of a group takes some 32 octets of it, and a pattern may begin
 * anew at each octet of what it went over: /(a|b)*c\d/ is 0.8 s for 16 KiB of
 * "a" with a stack of 512 KiB, and 50 ms at most with ours. Postfix gives 32 KiB.
 */

#define PCRE2_CODE_UNIT_WIDTH 8

#include "rules/regex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "base/log.h"
#include "base/mem.h"

#define uthash_malloc(size)	xmalloc(size)
#include <uthash.h>

#define MATCH_LIMIT	100000
#define JIT_STACK_MIN	((size_t)32 << 10)
#define JIT_STACK_MAX	((size_t)128 << 10)
#define PATTERN_MAX	((size_t)64 << 10)

struct regex {
	char			*key;		/* ours; flags, "/", pattern */
	const char		*pattern;	/* in key */
	pcre2_code		*code;		/* ours */
	unsigned		 groups;
	struct regex_cache	*cache;
	UT_hash_handle		 hh;
};

struct regex_matcher {
	pcre2_match_context	*context;	/* ours, all three */
	pcre2_match_data	*data;
	pcre2_jit_stack		*stack;		/* or NULL */
};

struct regex_cache {
	struct regex		*by_key;	/* ours */
	pcre2_compile_context	*compile;	/* ours */
	struct regex_matcher	*matcher;	/* ours */
	uint64_t		 limits_hit;
	bool			 warned;	/* that there is no JIT */
};

static void *
need(void *p)
{
	if (p == NULL)
		fatal("out of memory for regular expressions");
	return p;
}

struct regex_matcher *
regex_matcher_new(void)
{
	struct regex_matcher *m = xcalloc(1, sizeof(*m));

	m->context = need(pcre2_match_context_create(NULL));
	m->data = need(pcre2_match_data_create(REGEX_GROUPS, NULL));
	pcre2_set_match_limit(m->context, MATCH_LIMIT);
	m->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
	if (m->stack != NULL)
		pcre2_jit_stack_assign(m->context, NULL, m->stack);
	return m;
}

void
regex_matcher_free(struct regex_matcher **m)
{
	if (*m == NULL)
		return;
	pcre2_match_context_free((*m)->context);
	pcre2_match_data_free((*m)->data);
	pcre2_jit_stack_free((*m)->stack);
	free(*m);
	*m = NULL;
}

struct regex_cache *
regex_cache_new(void)
{
	struct regex_cache *c = xcalloc(1, sizeof(*c));

	c->compile = need(pcre2_compile_context_create(NULL));
	pcre2_set_max_pattern_length(c->compile, PATTERN_MAX);
	pcre2_set_parens_nest_limit(c->compile, 100);
	c->matcher = regex_matcher_new();
	return c;
}

static void
regex_free(struct regex *x)
{
	pcre2_code_free(x->code);
	free(x->key);
	free(x);
}

void
regex_cache_free(struct regex_cache **c)
{
	struct regex *x, *next;

	if (*c == NULL)
		return;
	HASH_ITER(hh, (*c)->by_key, x, next) {
		HASH_DEL((*c)->by_key, x);
		regex_free(x);
	}
	pcre2_compile_context_free((*c)->compile);
	regex_matcher_free(&(*c)->matcher);
	free(*c);
	*c = NULL;
}

/* Options of the flags; false for a letter that is none, in *at. */
static bool
flag_options(struct slice flags, uint32_t *options, char *bad)
{
	size_t i;

	*options = PCRE2_NEVER_BACKSLASH_C;
	for (i = 0; i < flags.len; i++) {
		*bad = flags.p[i];
		switch (*bad) {
		case 'i':
			*options |= PCRE2_CASELESS;
			break;
		case 'm':
			*options |= PCRE2_MULTILINE;
			break;
		case 's':
			*options |= PCRE2_DOTALL;
			break;
		case 'x':
			*options |= PCRE2_EXTENDED;
			break;
		case 'u':
			*options |= PCRE2_UTF | PCRE2_UCP |
			    PCRE2_MATCH_INVALID_UTF;
			break;
		default:
			return false;
		}
	}
	return true;
}

/* Without JIT (no writable and executable memory here) all is well but slow. */
static void
compile_jit(struct regex_cache *c, pcre2_code *code)
{
	char text[120];
	int r = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);

	if (r == 0 || c->warned)
		return;
	c->warned = true;
	pcre2_get_error_message(r, (PCRE2_UCHAR *)text, sizeof(text));
	log_warn(0, "regex jit=no why=\"%s\"", text);
}

static pcre2_code *
compile(struct regex_cache *c, struct slice pattern, uint32_t options,
    char why[200], size_t *at)
{
	pcre2_code *code;
	PCRE2_SIZE offset;
	int error;

	code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len, options,
	    &error, &offset, c->compile);
	if (code == NULL) {
		pcre2_get_error_message(error, (PCRE2_UCHAR *)why, 200);
		*at = offset < pattern.len ? offset : pattern.len;
		return NULL;
	}
	compile_jit(c, code);
	return code;
}

struct regex *
regex_get(struct regex_cache *c, struct slice pattern, struct slice flags,
    char why[200], size_t *at)
{
	char *key, bad;
	uint32_t options;
	struct regex *x;
	pcre2_code *code;

	*at = pattern.len;
	if (!flag_options(flags, &options, &bad)) {
		snprintf(why, 200, "there is no flag \"%c\" (there are i, m, "
		    "s, x, u)", bad);
		return NULL;
	}
	key = xasprintf("%.*s/%.*s", (int)flags.len, flags.p,
	    (int)pattern.len, pattern.p);
	HASH_FIND_STR(c->by_key, key, x);
	if (x != NULL ||
	    (code = compile(c, pattern, options, why, at)) == NULL) {
		free(key);
		return x;
	}
	x = xcalloc(1, sizeof(*x));
	x->key = key;
	x->pattern = key + flags.len + 1;
	x->code = code;
	x->cache = c;
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &x->groups);
	HASH_ADD_KEYPTR(hh, c->by_key, x->key, strlen(x->key), x);
	return x;
}

unsigned
regex_groups(const struct regex *x)
{
	return x->groups;
}

const char *
regex_pattern(const struct regex *x)
{
	return x->pattern;
}

static bool
has_flag(const struct regex *x, char flag)
{
	return memchr(x->key, flag, (size_t)(x->pattern - x->key - 1)) != NULL;
}

struct literals_pattern
regex_needs(const struct regex *x)
{
	return (struct literals_pattern){
		.text = SLICE_STR(x->pattern), .caseless = has_flag(x, 'i'),
		.multiline = has_flag(x, 'm'), .dotall = has_flag(x, 's'),
		.extended = has_flag(x, 'x'), .utf = has_flag(x, 'u'),
	};
}

uint64_t
regex_limits_hit(const struct regex_cache *c)
{
	return c->limits_hit;
}

size_t
regex_count(const struct regex_cache *c)
{
	return HASH_COUNT(c->by_key);
}

/* The number of groups that were set, 0 when there are more than fit; or a
   negative error of PCRE2. */
static int
try_match(struct regex_matcher *m, const struct regex *x,
    struct slice subject)
{
	return pcre2_match(x->code, (PCRE2_SPTR)(subject.p ? subject.p : ""),
	    subject.len, 0, 0, m->data, m->context);
}

static void
take_groups(const struct regex_matcher *m, struct slice subject, int n,
    struct slice groups[REGEX_GROUPS])
{
	PCRE2_SIZE *v = pcre2_get_ovector_pointer(m->data);
	int i;

	if (n == 0)
		n = REGEX_GROUPS;
	for (i = 0; i < REGEX_GROUPS; i++) {
		groups[i] = SLICE("", 0);
		/* \K can make a match that ends before it starts. */
		if (i < n && v[2 * i] != PCRE2_UNSET &&
		    v[2 * i] <= v[2 * i + 1])
			groups[i] = SLICE(subject.p + v[2 * i],
			    v[2 * i + 1] - v[2 * i]);
	}
}

enum regex_result
regex_match_by(struct regex_matcher *m, const struct regex *x,
    struct slice subject, struct slice groups[REGEX_GROUPS])
{
	int n = try_match(m, x, subject);

	if (n == PCRE2_ERROR_NOMATCH)
		return REGEX_NO;
	if (n < 0)
		return REGEX_LIMIT;
	if (groups != NULL)
		take_groups(m, subject, n, groups);
	return REGEX_YES;
}

enum regex_result
regex_match(const struct regex *x, struct slice subject,
    struct slice groups[REGEX_GROUPS])
{
	enum regex_result r = regex_match_by(x->cache->matcher, x, subject,
	    groups);

	if (r == REGEX_LIMIT)
		regex_count_limit(x);
	return r;
}

void
regex_count_limit(const struct regex *x)
{
	x->cache->limits_hit++;
}

/* Hostile subjects */

#define HOSTILE	((size_t)4000)
#define ENDING	100

/* Repetitions of a few octets make nested quantifiers try all ways to divide
   them, when something behind does not fit. */
static const struct {
	const char	*what, *unit;
} hostile[] = {
	{ "many letters", "a" },
	{ "many digits", "1" },
	{ "many spaces", " " },
	{ "many words", "a " },
	{ "many dots", "a." },
	{ "many signs", "=" },
	{ "many hyphens", "a-" },
	{ "many commas", "a," },
	{ "many \"<\"", "<" },
	{ "many \"<a\"", "<a" },
	{ "many line ends", "\n" },
	{ "many octets above 127", "\xc3\xa9" },
};

/* unit again and again, and what spoils the match. Long, and short: a pattern
   that tries all ways needs forty octets for it. */
static bool
is_slow(const struct regex *x, struct slice unit, struct slice end, char *room)
{
	size_t len = 0;
	int n;

	while (len + unit.len <= HOSTILE) {
		memcpy(room + len, unit.p, unit.len);
		len += unit.len;
	}
	memcpy(room + len, end.p, end.len);
	len += end.len;
	n = try_match(x->cache->matcher, x, SLICE(room, len));
	if (n >= 0 || n == PCRE2_ERROR_NOMATCH)
		n = try_match(x->cache->matcher, x, SLICE(room + len - end.len - 40,
		    end.len + 40));
	return n < 0 && n != PCRE2_ERROR_NOMATCH;
}

static bool
is_literal(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z') || strchr(" !\"#%&',-/:;<=>@_`~", c) != NULL;
}

/* Each letter that the pattern itself names, many times. */
static bool
is_slow_for_own(const struct regex *x, struct slice end, char *room)
{
	bool seen[256] = { false };
	const char *p;

	for (p = x->pattern; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (seen[c] || !is_literal(*p))
			continue;
		seen[c] = true;
		if (is_slow(x, SLICE(p, 1), end, room))
			return true;
	}
	return false;
}

/*
 * What the pattern cannot match, and behind it all letters that it names: PCRE2
 * does not even start when a letter that must be there is not.
 */
static struct slice
spoiler(const struct regex *x, char out[ENDING])
{
	const char *p;
	size_t n = 0;

	out[n++] = '\1';
	for (p = x->pattern; *p != '\0' && n < ENDING - 1; p++)
		if (is_literal(*p))
			out[n++] = *p;
	out[n++] = '\1';
	return SLICE(out, n);
}

const char *
regex_try(const struct regex *x)
{
	char *room = xmalloc(HOSTILE + ENDING), ending[ENDING];
	struct slice end = spoiler(x, ending);
	const char *what = NULL;
	size_t i;

	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
		if (is_slow(x, SLICE_STR(hostile[i].unit), end, room)) {
			what = hostile[i].what;
			break;
		}
	if (what == NULL && is_slow_for_own(x, end, room))
		what = "many of its own letters";
	free(room);
	return what;
}
