/* Buffers: limits that hold, errors that stick, and views. */

#include <stdlib.h>

#include "base/buf.h"
#include "tap.h"

static const struct {
	const char	*a;
	size_t		 len;
	const char	*s;
	bool		 same, nocase;
} slices[] = {
	{ "RCPT", 4, "RCPT", true, true },
	{ "rcpt", 4, "RCPT", false, true },
	{ "RCPT", 3, "RCPT", false, false },
	{ "RCPTX", 5, "RCPT", false, false },
	{ "RCPT ", 4, "RCPT", true, true },
	{ "RC\0T", 4, "RC", false, false },
	{ "RC\0T", 4, "RCPT", false, false },
	{ NULL, 0, "", true, true },
	{ NULL, 0, "x", false, false },
	/* Neighbours of the letters, 32 apart like the cases of one. */
	{ "@[", 2, "`{", false, false },
	{ "\xc9", 1, "\xe9", false, false },
};

static void
test_slices(void)
{
	size_t i;

	for (i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
		struct slice a = SLICE(slices[i].a, slices[i].len);

		is_int(slice_is(a, slices[i].s), slices[i].same, slices[i].s);
		is_int(slice_is_nocase(a, slices[i].s), slices[i].nocase,
		    "the same without case");
	}
}

static void
test_limit(void)
{
	struct buf b;

	buf_init(&b, 5);
	is_str(b.p, "", "a new buf is an empty string");
	buf_adds(&b, "abc");
	buf_addc(&b, 'd');
	buf_addf(&b, "%d", 5);
	is_str(b.p, "abcd5", "up to the limit");
	ok(!b.failed, "is no failure");
	buf_add(&b, "", 0);
	ok(!b.failed, "nothing always fits");
	buf_addc(&b, 'x');
	ok(b.failed, "one more is");
	is_str(b.p, "abcd5", "and changes nothing");
	is_int((long long)b.len, 5, "nor the length");
	buf_reset(&b);
	is_str(b.p, "", "reset");
	ok(!b.failed && b.len == 0, "forgets the failure");
	buf_addf(&b, "%s", "123456");
	ok(b.failed && b.len == 0, "a formatted text is added whole or not");
	buf_addc(&b, 'x');
	ok(b.len == 0, "failed stays failed, though there is room");
	buf_fini(&b);
	is_str(b.p, "", "after fini it is empty");
	buf_init(&b, 0);
	buf_adds(&b, "");
	ok(!b.failed, "a limit of 0 takes nothing");
	buf_addf(&b, "x");
	ok(b.failed, "only");
	buf_fini(&b);
}

static void
test_octets(void)
{
	struct buf b;

	buf_init(&b, 10);
	buf_add(&b, "a\0b\xff", 4);
	buf_addf(&b, "%c", 0);
	is_int((long long)b.len, 5, "NUL counts");
	ok(memcmp(b.p, "a\0b\xff\0\0", 6) == 0, "and one is behind it");
	buf_fini(&b);
}

/* Against a plain array: random appends, resets, limits. */
static bool
grows_like_an_array(unsigned seed)
{
	char plain[3000], piece[200];
	size_t len = 0, limit, i, n;
	bool failed = false, same = true;
	struct buf b;

	srand(seed);
	limit = (size_t)rand() % sizeof(plain);
	buf_init(&b, limit);
	for (i = 0; i < 40 && same; i++) {
		n = (size_t)rand() % sizeof(piece);
		memset(piece, 'a' + rand() % 26, n);
		buf_add(&b, piece, n);
		failed = failed || n > limit - len;
		if (!failed) {
			memcpy(plain + len, piece, n);
			len += n;
		}
		same = b.failed == failed && b.len == len &&
		    memcmp(b.p, plain, len) == 0 && b.p[len] == '\0';
		if (rand() % 16 == 0) {
			buf_reset(&b);
			len = 0, failed = false;
		}
	}
	buf_fini(&b);
	return same;
}

static void
test_percent(void)
{
	static const char *const cases[][2] = {
		{ "", "" }, { "a b", "a b" }, { "%41", "A" },
		{ "%4a%4A%aF", "JJ\xaf" }, { "100%", "100%" },
		{ "%4", "%4" }, { "%4g%g4", "%4g%g4" }, { "%%41", "%A" },
		{ "%25%34%31", "%41" },
	};
	struct slice s = SLICE("hello", 5);
	struct buf b;
	size_t i;
	int c, good = 0;

	buf_init(&b, 100);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&b);
		buf_add_percent(&b, SLICE_STR(cases[i][0]));
		is_str(b.p, cases[i][1], cases[i][0]);
	}
	buf_fini(&b);
	for (c = 0; c < 256; c++)
		good += hex_digit((char)c) >= 0;
	is_int(good, 22, "hexadecimal digits");
	slice_drop(&s, 2);
	ok(slice_is(s, "llo"), "a slice without its front");
}

int
main(void)
{
	unsigned seed;

	test_slices();
	test_percent();
	test_limit();
	test_octets();
	for (seed = 1; seed <= 300 && grows_like_an_array(seed); seed++)
		;
	is_int(seed, 301, "random appends, seeds 1 to 300");
	return tap_done();
}
