/*
 * patterns - what many patterns cost: one after the other, and looked at
 * together first (rules/sieve.h), by literals and by libhs.
 *
 * Patterns are made of words, as those of administrators are; of the words of
 * the body one in twenty is one of patterns, so that some of them nearly match.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "rules/hsdb.h"
#include "rules/regex.h"
#include "rules/sieve.h"

#define WORDS	6000

static char words[WORDS][12];

static unsigned
below(unsigned n)
{
	static unsigned state = 7;

	state = state * 1103515245u + 12345u;
	return (state >> 16) % n;
}

static void
make_words(void)
{
	unsigned i, k, len;

	for (i = 0; i < WORDS; i++) {
		len = 4 + below(6);
		for (k = 0; k < len; k++)
			words[i][k] = (char)('a' + below(26));
	}
}

static void
make_pattern(struct buf *b)
{
	static const char *const forms[] = {
		"%s %s", "%s\\s+%s", "\\b%s\\b.*%s", "(%s|%s) now",
		"https?://[^/]*%s\\.(com|%s)", "^%s[0-9]{2,5}%s",
		"%s[a-z]+%s", "[0-9]{3}-[0-9]{4} (%.2s|%.2s)",
	};

	buf_reset(b);
	buf_addf(b, forms[below(8)], words[below(WORDS)],
	    words[below(WORDS)]);
}

static void
make_body(struct buf *b, size_t size)
{
	static const char *const common[] = { "the", "and", "of", "to", "in",
	    "is", "you", "that", "it", "he", "was", "for", "on", "are", "as" };
	size_t line = 0;

	buf_reset(b);
	while (b->len < size) {
		const char *w = below(20) == 0 ? words[below(WORDS)] :
		    common[below(15)];

		buf_adds(b, w);
		line += strlen(w) + 1;
		buf_addc(b, line > 65 ? '\n' : ' ');
		line = line > 65 ? 0 : line;
	}
}

struct bench {
	struct regex	**x;
	size_t		 n;
	struct sieve_look *look;	/* NULL: one after another */
	struct buf	 body;
};

static size_t
all(const struct bench *b)
{
	struct slice s = SLICE(b->body.p, b->body.len);
	size_t i, found = 0;

	for (i = 0; i < b->n; i++)
		found += regex_match(b->x[i], s, NULL) == REGEX_YES;
	return found;
}

static size_t
as_a_set(const struct bench *b)
{
	struct slice s = SLICE(b->body.p, b->body.len);
	size_t i, found = 0;

	if (b->look == NULL)
		return all(b);
	sieve_scan(b->look, s);
	for (i = 0; (i = sieve_next(b->look, i)) < b->n; i++)
		found += regex_match(b->x[i], s, NULL) == REGEX_YES;
	return found;
}

/* Of the processor, in microseconds: others may be at work here. */
static uint64_t
busy_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Microseconds for one body. */
static double
measure(size_t (*how)(const struct bench *), const struct bench *b,
    size_t *found)
{
	uint64_t start = busy_us(), end;
	unsigned n = 0;

	do {
		*found = how(b);
		n++;
		end = busy_us();
	} while (end - start < 300000);
	return (double)(end - start) / n;
}

/* One after another, by literals, by libhs. */
static void
compare(struct bench *b, const struct literals_pattern *v)
{
	size_t found[3], octets = b->body.len;
	double us[3], made[3] = { 0 };
	struct sieve *sieve;
	uint64_t start;
	int how;

	us[0] = measure(all, b, &found[0]);
	for (how = 1; how <= 2; how++) {
		start = busy_us();
		sieve = sieve_new(v, b->n, how == 2 ? SIEVE_SLOW :
		    SIEVE_QUICK);
		b->look = sieve != NULL ? sieve_look_new(sieve) : NULL;
		made[how] = (double)(busy_us() - start) / 1000;
		us[how] = measure(as_a_set, b, &found[how]);
		sieve_look_free(&b->look);
		sieve_free(&sieve);
	}
	printf("%6zu patterns, %3zu KB: %9.1f us one after another, %8.1f us "
	    "by literals (%.0f times, made in %.0f ms), %8.1f us by libhs "
	    "(%.0f times, made in %.0f ms)%s\n", b->n, octets >> 10, us[0],
	    us[1], us[0] / us[1], made[1], us[2], us[0] / us[2], made[2],
	    found[0] == found[1] && found[0] == found[2] ? "" :
	    " AND THEY DIFFER");
	fflush(stdout);
}

static void
run(size_t n, size_t size)
{
	struct regex_cache *cache = regex_cache_new();
	struct literals_pattern *v = xcalloc(n, sizeof(v[0]));
	struct bench b = { .x = xcalloc(n, sizeof(b.x[0])), .n = n };
	struct buf text;
	char why[200];
	size_t i, at;

	buf_init(&text, 1000);
	buf_init(&b.body, 1 << 20);
	for (i = 0; i < n; i++) {
		make_pattern(&text);
		b.x[i] = regex_get(cache, SLICE(text.p, text.len),
		    SLICE_STR("i"), why, &at);
		v[i] = regex_needs(b.x[i]);
	}
	make_body(&b.body, size);
	compare(&b, v);
	buf_fini(&text);
	buf_fini(&b.body);
	free(v);
	free(b.x);
	regex_cache_free(&cache);
}

int
main(void)
{
	static const size_t counts[] = { 10, 1000, 2000, 10000 };
	static const size_t sizes[] = { 4 << 10, 100 << 10, 256 << 10 };
	const char *version = hsdb_version();
	size_t i, k;

	printf("libhs: %s\n", version != NULL ? version : "none");
	make_words();
	for (i = 0; i < 4; i++)
		for (k = 0; k < 3; k++)
			run(counts[i], sizes[k]);
	return 0;
}
