/* Regular expressions: flags, groups, one compilation, limits. */

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/regex.h"
#include "tap.h"

static struct regex_cache *cache;

static struct regex *
get(const char *pattern, const char *flags)
{
	struct regex *x;
	char why[200];
	size_t at;

	x = regex_get(cache, SLICE_STR(pattern), SLICE_STR(flags), why, &at);
	if (x == NULL)
		printf("# %s: %s\n", pattern, why);
	return x;
}

/* groups: "0|1|2" of a match, NULL for none. */
static const struct {
	const char	*pattern, *flags, *subject, *groups;
} matches[] = {
	{ "b", "", "abc", "b" },
	{ "B", "", "abc", NULL },
	{ "B", "i", "abc", "b" },
	{ "^b", "", "a\nb", NULL },
	{ "^b", "m", "a\nb", "b" },
	{ "a.b", "", "a\nb", NULL },
	{ "a.b", "s", "a\nb", "a\nb" },
	{ "a b # comment", "x", "ab", "ab" },
	{ "^.$", "", "\xc3\xa4", NULL },
	{ "^.$", "u", "\xc3\xa4", "\xc3\xa4" },
	{ "^\xc3\x84$", "iu", "\xc3\xa4", "\xc3\xa4" },
	{ "a", "u", "\xff" "a", "a" },
	{ "^.a", "u", "\xff" "a", NULL },
	{ "(a)(b)?(c)", "", "xac", "ac|a||c" },
	{ "(a|(b))", "", "a", "a|a|" },
	{ "", "", "", "" },
	{ "a\\/b", "", "a/b", "a/b" },
};

static void
test_matches(void)
{
	struct slice groups[REGEX_GROUPS];
	char got[200];
	struct regex *x;
	size_t i, j, n;

	for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		x = get(matches[i].pattern, matches[i].flags);
		if (!ok(x != NULL, "/%s/%s", matches[i].pattern,
		    matches[i].flags))
			continue;
		if (regex_match(x, SLICE_STR(matches[i].subject), groups) !=
		    REGEX_YES) {
			is_str(NULL, matches[i].groups, matches[i].subject);
			continue;
		}
		for (j = 0, n = 0; j <= regex_groups(x); j++)
			n += (size_t)snprintf(got + n, sizeof(got) - n,
			    "%s%.*s", j > 0 ? "|" : "", (int)groups[j].len,
			    groups[j].p);
		is_str(got, matches[i].groups, matches[i].subject);
	}
}

static const struct {
	const char	*pattern, *flags, *why;
	size_t		 at;
} mistakes[] = {
	{ "a(b", "", "missing closing parenthesis", 3 },
	{ "a[b", "", "missing terminating ] for character class", 3 },
	{ "*a", "", "quantifier does not follow a repeatable item", 0 },
	{ "a\\Cb", "", "using \\C is disabled by the application", 3 },
	{ "a", "q", "there is no flag \"q\" (there are i, m, s, x, u)", 1 },
	{ "\xff", "u", "UTF-8 error: illegal byte (0xfe or 0xff)", 0 },
};

static void
test_mistakes(void)
{
	char why[200];
	size_t i, at;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		why[0] = '\0';
		ok(regex_get(cache, SLICE_STR(mistakes[i].pattern),
		    SLICE_STR(mistakes[i].flags), why, &at) == NULL,
		    "/%s/ is none", mistakes[i].pattern);
		is_str(why, mistakes[i].why, "why");
		is_int((long long)at, (long long)mistakes[i].at, "where");
	}
}

/* Two groups more than there is room for. */
static void
test_many_groups(void)
{
	struct regex *x = get("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", "");
	struct slice groups[REGEX_GROUPS];

	is_int(regex_match(x, SLICE_STR("abcdefghijk"), groups), REGEX_YES,
	    "eleven groups match");
	ok(slice_is(groups[9], "i"), "the ninth is there");
	ok(slice_is(groups[0], "abcdefghijk"), "and the whole");
}

/* \K makes matches that end before they start. */
static void
test_backwards(void)
{
	struct regex *x = get("(?=ab\\K)", "");
	struct slice groups[REGEX_GROUPS];

	if (x != NULL && regex_match(x, SLICE_STR("xab"), groups) ==
	    REGEX_YES)
		is_int((long long)groups[0].len, 0, "no negative length");
	else
		ok(true, "such a match is none");
}

static void
test_cache(void)
{
	size_t n = regex_count(cache);
	struct regex *x = get("only once", "i");

	ok(get("only once", "i") == x, "the same pattern is compiled once");
	ok(get("only once", "") != x, "other flags make another");
	is_int((long long)regex_count(cache), (long long)n + 2, "two more");
}

#define BIG	((size_t)1 << 20)

static void
test_limits(void)
{
	struct regex *x = get("^(a+)+$", ""), *y = get("^(?:a|b)*$", "");
	uint64_t before = regex_limits_hit(cache);
	char *big = xmalloc(BIG);

	is_int(regex_match(x, SLICE_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
	    NULL), REGEX_LIMIT, "a match that takes too long");
	is_int((long long)(regex_limits_hit(cache) - before), 1, "is counted");
	is_int(regex_match(x, SLICE_STR("aaaa"), NULL), REGEX_YES,
	    "the pattern is as good as before");
	ok(regex_try(x) != NULL, "it is found to be slow");
	ok(regex_try(get("^[a-z]+$", "")) == NULL, "an honest one is not");
	ok(regex_try(get("^(q|qq)+w", "")) != NULL,
	    "one that needs its own letters is");
	memset(big, 'a', BIG);
	big[BIG - 1] = 'x';
	is_int(regex_match(get("ax$", ""), SLICE(big, BIG), NULL), REGEX_YES,
	    "a big subject is seen to its end");
	ok(regex_match(y, SLICE(big, BIG - 1), NULL) != REGEX_NO,
	    "a big subject matches, or says that it is too big");
	is_int(regex_match(get("^$", ""), SLICE(NULL, 0), NULL), REGEX_YES,
	    "nothing at all is an empty subject");
	free(big);
}

int
main(void)
{
	log_open("file:/dev/null", false);
	cache = regex_cache_new();
	test_matches();
	test_mistakes();
	test_many_groups();
	test_backwards();
	test_cache();
	test_limits();
	regex_cache_free(&cache);
	ok(cache == NULL, "freed");
	return tap_done();
}
