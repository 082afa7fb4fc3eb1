/* What a subject must have for a pattern to match: never more than that. */

#include <stdlib.h>

#include "base/bits.h"
#include "base/mem.h"
#include "rules/literals.h"
#include "rules/regex.h"
#include "tap.h"

#define PATTERNS	3000

static const uint64_t none[PATTERNS / 64 + 1];
static uint64_t maybe[PATTERNS / 64 + 1];

static void
look(const struct literals *l, struct slice subject)
{
	memset(maybe, 0, sizeof(maybe));
	literals_always(l, maybe);
	literals_scan(l, subject, maybe);
}

/* want: literals, each with a "|"; "": nothing is known */
static const struct {
	const char	*pattern, *want;
	enum { PLAIN, EXTENDED, FOLDS_UTF } is;
} cases[] = {
	{ "viagra", "viagra|", PLAIN },
	{ "ViAGRA", "viagra|", PLAIN },
	{ "abc", "", PLAIN },			/* too short */
	{ "^Subject: hello$", "subject: hello|", PLAIN },
	{ "short.longer", "longer|", PLAIN },
	{ "viagra|cialis", "viagra|cialis|", PLAIN },
	{ "viagra|c", "", PLAIN },
	{ "viagra|", "", PLAIN },
	{ "free (viagra|cialis) now", "viagra|cialis|", PLAIN },
	{ "please (viagra|cia)", "please |", PLAIN },
	{ "(?:one two|three)", "one two|three|", PLAIN },
	{ "(viagra)?", "", PLAIN },
	{ "(viagra)*x", "", PLAIN },
	{ "(viagra)+x", "viagra|", PLAIN },
	{ "viagra?", "viagr|", PLAIN },
	{ "viagra*", "viagr|", PLAIN },
	{ "viagra+spam", "viagra|", PLAIN },
	{ "viagr{2}aspam", "aspam|", PLAIN },
	{ "viagr{0}aspam", "aspam|", PLAIN },
	{ "viagr{,2}aspam", "aspam|", PLAIN },
	{ "viagr{x|y", "", PLAIN },
	{ "viagr{2", "", PLAIN },
	{ "a{2}{3}bcdefg", "", PLAIN },
	{ "viagra*?spamed", "spamed|", PLAIN },
	{ "viagra++spams", "viagra|", PLAIN },
	{ "[viagra]", "", PLAIN },
	{ "[^]viagra]cialis", "cialis|", PLAIN },
	{ "[\\]viagra]cialis", "cialis|", PLAIN },
	{ "[[:alpha:]]cialis", "", PLAIN },
	{ "[\\Q]\\E]cialis", "", PLAIN },
	{ "www\\.example\\.com", "www.example.com|", PLAIN },
	{ "price\\$ 100", "price$ 100|", PLAIN },
	{ "cialis\\d+viagras", "viagras|", PLAIN },
	{ "cialis\\b", "cialis|", PLAIN },
	{ "\\x41cialis", "", PLAIN },
	{ "\\141cialis", "", PLAIN },
	{ "\\Qcialis|viagra\\E", "", PLAIN },
	{ "\\p{Lu}cialis", "", PLAIN },
	{ "(a)\\1cialis", "", PLAIN },
	{ "(?i)cialis", "", PLAIN },
	{ "(?!cialis)", "", PLAIN },
	{ "(?=cialis)", "", PLAIN },
	{ "(?#cialis)viagra", "", PLAIN },
	{ "(?<x>cialis)", "", PLAIN },
	{ "(*UTF)cialis", "", PLAIN },
	{ "ci alis", "ci alis|", PLAIN },
	{ "ci alis", "", EXTENDED },
	{ "cialis", "", FOLDS_UTF },
	{ "((((cialis))))", "cialis|", PLAIN },
	{ "(((((((((((((((((((((((cialis)))))))))))))))))))))))", "", PLAIN },
	{ "(a(b(cialis)?d)?e|viagra)", "", PLAIN },
	{ "cialis(", "", PLAIN },
	{ "cialis)", "", PLAIN },
	{ "cialis\\", "", PLAIN },
	{ "caf\xc3\xa9s", "caf\xc3\xa9s|", PLAIN },
	{ "", "", PLAIN },
};

static void
test_cases(void)
{
	struct buf out;
	size_t i, k;

	buf_init(&out, 10000);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct literals_pattern p = {
			.text = SLICE_STR(cases[i].pattern),
			.extended = cases[i].is == EXTENDED,
			.utf = cases[i].is == FOLDS_UTF,
			.caseless = cases[i].is == FOLDS_UTF,
		};

		literals_of(&p, &out);
		for (k = 0; k < out.len; k++)
			if (out.p[k] == '\0')
				out.p[k] = '|';
		is_str(out.len > 0 ? out.p : "", cases[i].want,
		    cases[i].pattern);
	}
	buf_fini(&out);
}

static void
test_scan(void)
{
	static const char *const texts[] = {
		"viagra", "cialis|levitra", "[ab]c", "free money", "money back",
		"a.*b", "www\\.example\\.com", "click here",
	};
	static const struct {
		const char	*subject, *maybe;
	} rows[] = {
		{ "", "00100100" },
		{ "nothing of it", "00100100" },
		{ "VIAGRA", "10100100" },
		{ "buy LeviTra here", "01100100" },
		{ "free money back", "00111100" },
		{ "fre emoney", "00100100" },
		{ "www.example.com", "00100110" },
		{ "xwww.example.comx click here", "00100111" },
		{ "click her", "00100100" },
		{ "viagr", "00100100" },
		{ "viagraviagra cialis", "11100100" },
	};
	struct literals_pattern v[8] = { { .extended = false } };
	struct literals *l;
	size_t i, k;
	char got[9] = "";

	for (i = 0; i < 8; i++)
		v[i].text = SLICE_STR(texts[i]);
	l = literals_new(v, 8, none);
	is_int((int)literals_count(l), 6, "patterns with literals");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *copy = xmalloc(strlen(rows[i].subject) + 1);

		/* Without a NUL behind it: nothing else is read. */
		memcpy(copy, rows[i].subject, strlen(rows[i].subject));
		look(l, SLICE(copy, strlen(rows[i].subject)));
		for (k = 0; k < 8; k++)
			got[k] = bits_has(maybe, k) ? '1' : '0';
		is_str(got, rows[i].maybe, rows[i].subject);
		free(copy);
	}
	literals_free(&l);
	ok(literals_new(v + 2, 1, none) == NULL, "nothing to exclude");
}

/* Random patterns, with the alphabet of their subjects so small that they do
   match. */

static unsigned state = 1;

static unsigned
random_below(unsigned n)
{
	state = state * 1103515245u + 12345u;
	return (state >> 16) % n;
}

static void
add_pattern(struct buf *b, int depth)
{
	static const char *const atoms[] = {
		"abab", "aabba", "bbbaa", "ab", "a", "b", "AB", "abbaab", ".",
		"[ab]", "[^a]", "[a\\]b]", "\\w", "\\d", "\\.", "\\b", "^", "$",
		"\\x61", "\\Qab\\E", "(?i)", "(?=ab)", "(?!ab)", "a{", "{", "}",
		"]", "\\n", "1", "\\-", "(?:ab|ba)", "[]ab]", "[[:alpha:]b]",
		"a#b", " ", "(?#x)", "\\K",
	};
	static const char *const repeats[] = {
		"*", "+", "?", "{2}", "{0}", "{1,3}", "{,2}", "*?", "++", "{0,}",
	};
	unsigned n = 1 + random_below(5);

	while (n-- > 0) {
		if (depth < 3 && random_below(6) == 0) {
			buf_adds(b, random_below(2) ? "(" : "(?:");
			add_pattern(b, depth + 1);
			buf_addc(b, ')');
		} else
			buf_adds(b, atoms[random_below(
			    sizeof(atoms) / sizeof(atoms[0]))]);
		if (random_below(4) == 0)
			buf_adds(b, repeats[random_below(
			    sizeof(repeats) / sizeof(repeats[0]))]);
		if (random_below(10) == 0)
			buf_addc(b, '|');
	}
}

static void
add_subject(struct buf *b)
{
	static const char letters[] = "aaaabbbbABa.{}1 ]-#\n";
	unsigned n = random_below(40);

	while (n-- > 0)
		buf_addc(b, letters[random_below(sizeof(letters) - 1)]);
}

#define SUBJECTS	20

static void
test_random(void)
{
	static const char *const flags[] = { "", "i", "s", "m", "u", "x", "ix",
	    "iu", "ims" };
	struct regex_cache *cache = regex_cache_new();
	struct literals_pattern *v = xcalloc(PATTERNS, sizeof(v[0]));
	struct regex **x = xcalloc(PATTERNS, sizeof(struct regex *));
	struct literals *l;
	struct buf text;
	size_t n = 0, tried, at, i, wrong = 0, matches = 0, excluded = 0;
	char why[200];

	buf_init(&text, 10000);
	for (tried = 0; tried < PATTERNS; tried++) {
		buf_reset(&text);
		add_pattern(&text, 0);
		x[n] = regex_get(cache, SLICE(text.p, text.len),
		    SLICE_STR(flags[random_below(9)]), why, &at);
		if (x[n] == NULL)
			continue;
		v[n] = regex_needs(x[n]);
		n++;
	}
	l = literals_new(v, n, none);
	for (tried = 0; tried < SUBJECTS; tried++) {
		buf_reset(&text);
		add_subject(&text);
		look(l, SLICE(text.p, text.len));
		for (i = 0; i < n; i++) {
			bool yes = regex_match(x[i], SLICE(text.p, text.len),
			    NULL) == REGEX_YES;

			matches += yes;
			excluded += !bits_has(maybe, i);
			if (!yes || bits_has(maybe, i))
				continue;
			if (wrong++ < 5)
				printf("# /%s/ matches \"%s\"\n",
				    regex_pattern(x[i]), text.p);
		}
	}
	is_int((int)wrong, 0, "what matches is never excluded");
	ok(matches > n && excluded > n, "%zu patterns: %zu matches, %zu "
	    "excluded", n, matches, excluded);
	literals_free(&l);
	buf_fini(&text);
	free(v);
	free(x);
	regex_cache_free(&cache);
}

int
main(void)
{
	test_cases();
	test_scan();
	test_random();
	return tap_done();
}
