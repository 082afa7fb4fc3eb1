/*
 * setting - tables of settings: text to value, with one form of message.
 *
 * A message begins with the text that was written, in quotes, and ends with
 * what would have been right, so that nobody needs the manual for a typing
 * error.
 */

#include "base/setting.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/net.h"

#define SHOWN_MAX	80	/* octets of a wrong text in a message */
#define NAME_MAX_LEN	64	/* longer names are near to none */

struct unit {
	const char	*suffix;
	uint64_t	 factor;
};

static const struct unit counts[] = {
	{ "", 1 }, { 0 }
};
static const struct unit sizes[] = {
	{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 },
	{ "T", 1ULL << 40 }, { 0 }
};
static const struct unit durations[] = {
	{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 },
	{ "h", 3600 * 1000 }, { "d", 24 * 3600 * 1000 }, { 0 }
};

static const struct {
	const struct unit	*units;
	const char		*wanted;
} numbers[] = {
	[SETTING_COUNT]    = { counts,    "a number (try 20)" },
	[SETTING_SIZE]     = { sizes,     "a size (try 64K, 50M)" },
	[SETTING_DURATION] = { durations, "a duration (try 300s, 5m)" },
};

static const char *const bools[] = {
	"no", "yes", "false", "true", "off", "on", NULL
};

bool
setting_is_list(const struct setting *row)
{
	return row->type == SETTING_LIST || row->type == SETTING_NETWORKS;
}

/* Messages */

/* The text as it was written, but fit for a terminal, in quotes. */
static void
add_shown(struct buf *b, const char *text)
{
	size_t i;

	buf_addc(b, '"');
	for (i = 0; text[i] != '\0' && i < SHOWN_MAX; i++)
		buf_addc(b, (unsigned char)text[i] < ' ' || text[i] == 127 ?
		    '?' : text[i]);
	buf_adds(b, text[i] == '\0' ? "\"" : "...\"");
}

static int
wrong(char **why, const char *text, const char *what, const char *end)
{
	struct buf b;

	buf_init(&b, 1024);
	add_shown(&b, text);
	buf_addf(&b, " %s%s", what, end);
	*why = xstrdup(b.p);
	buf_fini(&b);
	return -1;
}

static int
no_word(char **why, const char *text, const char *const *words)
{
	struct buf b;
	size_t i;

	buf_init(&b, 1024);
	add_shown(&b, text);
	buf_adds(&b, " is not one of");
	for (i = 0; words[i] != NULL; i++)
		buf_addf(&b, "%s \"%s\"", i > 0 ? "," : "", words[i]);
	*why = xstrdup(b.p);
	buf_fini(&b);
	return -1;
}

/* Values */

static int
find_word(const char *const *words, const char *text)
{
	int i;

	for (i = 0; words[i] != NULL; i++)
		if (strcasecmp(words[i], text) == 0)
			return i;
	return -1;
}

/* 1*DIGIT [suffix]; what does not fit into 64 bits is no number. */
static int
parse_number(const struct unit *u, const char *text, uint64_t *out)
{
	uint64_t n = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++) {
		if (n > (UINT64_MAX - 9) / 10)
			return -1;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (p == text)
		return -1;
	for (; u->suffix != NULL; u++) {
		if (strcasecmp(u->suffix, p) != 0)
			continue;
		if (n > UINT64_MAX / u->factor)
			return -1;
		*out = n * u->factor;
		return 0;
	}
	return -1;
}

/* A limit of a row: ours, so it is a number. */
static uint64_t
limit_of(const struct setting *row, const char *text)
{
	uint64_t n = 0;

	if (parse_number(numbers[row->type].units, text, &n) == -1)
		assert(!"a limit in a row of settings is no number");
	return n;
}

static void
store(const struct setting *row, void *base, uint64_t n)
{
	void *member = (char *)base + row->offset;
	uint32_t four = (uint32_t)n;
	bool one = n != 0;

	switch (row->size) {
	case sizeof(n):
		memcpy(member, &n, sizeof(n));
		break;
	case sizeof(four):
		memcpy(member, &four, sizeof(four));
		break;
	default:
		assert(row->size == sizeof(one));
		memcpy(member, &one, sizeof(one));
	}
}

static int
set_number(const struct setting *row, void *base, const char *text,
    char **why)
{
	uint64_t n;

	if (parse_number(numbers[row->type].units, text, &n) == -1)
		return wrong(why, text, "is not ", numbers[row->type].wanted);
	if (row->min != NULL && n < limit_of(row, row->min))
		return wrong(why, text, "is less than ", row->min);
	if (row->max != NULL && n > limit_of(row, row->max))
		return wrong(why, text, "is more than ", row->max);
	/* An int may be behind it. */
	if (row->size == sizeof(uint32_t) && n > INT32_MAX)
		return wrong(why, text, "is more than ", "2147483647");
	store(row, base, n);
	return 0;
}

static int
set_word(const struct setting *row, void *base, const char *text,
    const char *const *words, char **why)
{
	int i = find_word(words, text);

	if (i == -1)
		return no_word(why, text, words);
	store(row, base, (uint64_t)i);
	return 0;
}

static int
set_bool(const struct setting *row, void *base, const char *text, char **why)
{
	int i = find_word(bools, text);

	if (i == -1)
		return wrong(why, text, "is neither \"yes\" nor \"no\"", "");
	store(row, base, (uint64_t)(i & 1));
	return 0;
}

static int
add_network(struct netset *s, const char *text, char **why)
{
	const char *reason;

	if (netset_add(s, text, &reason) == 0)
		return 0;
	return wrong(why, text, "is no network: ", reason);
}

static void
add_text(struct setting_list *l, const char *text)
{
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(l->v[0]));
	l->v[l->n++] = xstrdup(text);
}

static void
set_string(char **member, const char *text)
{
	free(*member);
	*member = xstrdup(text);
}

int
setting_set(const struct setting *row, void *base, const char *text,
    char **why)
{
	void *member = (char *)base + row->offset;
	const char *no = row->check != NULL ? row->check(text) : NULL;

	if (no != NULL)
		return wrong(why, text, no, "");
	switch (row->type) {
	case SETTING_STRING:
		set_string(member, text);
		return 0;
	case SETTING_WORD:
		return set_word(row, base, text, row->words, why);
	case SETTING_BOOL:
		return set_bool(row, base, text, why);
	case SETTING_COUNT:
	case SETTING_SIZE:
	case SETTING_DURATION:
		return set_number(row, base, text, why);
	case SETTING_LIST:
		add_text(member, text);
		return 0;
	case SETTING_NETWORKS:
		return add_network(member, text, why);
	}
	assert(!"a row of settings has no type");
	return -1;
}

int
setting_set_option(const struct setting *row, void *base, const char *text,
    char **why)
{
	char *copy, *rest, *one;
	int r = 0;

	if (!setting_is_list(row))
		return setting_set(row, base, text, why);
	setting_clear(row, base);
	copy = rest = xstrdup(text);
	while (r == 0 && (one = strsep(&rest, ", ")) != NULL)
		if (*one != '\0')
			r = setting_set(row, base, one, why);
	free(copy);
	return r;
}

/* Tables */

void
setting_defaults(const struct setting *rows, void *base)
{
	const struct setting *row;
	char *why;

	for (row = rows; row->name != NULL; row++)
		if (row->def != NULL &&
		    setting_set(row, base, row->def, &why) == -1)
			assert(!"a default in a row of settings is wrong");
}

static void
list_fini(struct setting_list *l)
{
	while (l->n > 0)
		free(l->v[--l->n]);
	free(l->v);
	l->v = NULL;
}

void
setting_clear(const struct setting *row, void *base)
{
	void *member = (char *)base + row->offset;

	if (row->type == SETTING_STRING) {
		free(*(char **)member);
		*(char **)member = NULL;
	} else if (row->type == SETTING_LIST) {
		list_fini(member);
	} else if (row->type == SETTING_NETWORKS) {
		netset_fini(member);
	} else {
		store(row, base, 0);
	}
}

void
setting_fini(const struct setting *rows, void *base)
{
	const struct setting *row;

	for (row = rows; row->name != NULL; row++)
		setting_clear(row, base);
}

const struct setting *
setting_find(const struct setting *rows, const char *name)
{
	const struct setting *row;

	for (row = rows; row->name != NULL; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}

/* What was meant */

static int
least(int a, int b)
{
	return a < b ? a : b;
}

/*
 * Edit distance with neighbours swapped (optimal string alignment): d[i][j]
 * is the distance of the first i letters of a and the first j of b.
 */
static int
edits(const char *a, size_t alen, const char *b, size_t blen)
{
	int d[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1];
	size_t i, j;

	for (i = 0; i <= alen; i++)
		d[i][0] = (int)i;
	for (j = 0; j <= blen; j++)
		d[0][j] = (int)j;
	for (i = 1; i <= alen; i++) {
		for (j = 1; j <= blen; j++) {
			d[i][j] = least(d[i - 1][j - 1] +
			    (a[i - 1] != b[j - 1]),
			    least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[alen][blen];
}

int
setting_distance(const char *a, const char *b)
{
	size_t alen = strlen(a), blen = strlen(b);
	int n;

	if (alen > NAME_MAX_LEN || blen > NAME_MAX_LEN)
		return -1;
	n = edits(a, alen, b, blen);
	return n <= 1 + (int)blen / 4 && n < (int)blen ? n : -1;
}

const char *
setting_nearest(const struct setting *rows, const char *name)
{
	const struct setting *row;
	const char *best = NULL;
	int n, least_n = NAME_MAX_LEN;

	for (row = rows; row->name != NULL; row++) {
		n = setting_distance(name, row->name);
		if (n != -1 && n < least_n)
			best = row->name, least_n = n;
	}
	return best;
}
