/* UTF-8: every code point, and everything that only looks like one. */

#include <stdint.h>

#include "base/utf8.h"
#include "tap.h"

static const struct {
	const char	*name;
	const char	*text;
	size_t		 want;
} cases[] = {
	{ "nothing", "", 0 },
	{ "ASCII", "a", 1 },
	{ "control", "\x01", 1 },
	{ "two octets", "\xc3\xa9", 2 },
	{ "three octets", "\xe2\x82\xac", 3 },
	{ "four octets", "\xf0\x9f\x93\xa7", 4 },
	{ "the last code point", "\xf4\x8f\xbf\xbf", 4 },
	{ "the first character counts", "\xc3\xa9\xff", 2 },
	{ "stray continuation", "\x80", 0 },
	{ "cut after one of two", "\xc3", 0 },
	{ "cut after two of three", "\xe2\x82", 0 },
	{ "cut after three of four", "\xf0\x9f\x93", 0 },
	{ "continuation missing", "\xc3(", 0 },
	{ "third octet is none", "\xe2\x82(", 0 },
	{ "overlong slash", "\xc0\xaf", 0 },
	{ "overlong in three", "\xe0\x9f\xbf", 0 },
	{ "overlong in four", "\xf0\x8f\xbf\xbf", 0 },
	{ "surrogate", "\xed\xa0\x80", 0 },
	{ "past the last code point", "\xf4\x90\x80\x80", 0 },
	{ "F5", "\xf5\x80\x80\x80", 0 },
	{ "FF", "\xff", 0 },
};

static size_t
encode(uint32_t c, char out[4])
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;
	static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (i = n; i-- > 1; c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(first[n] | c);
	return n;
}

static uint32_t
decode(const unsigned char *p, size_t n)
{
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = p[0] & mask[n];
	size_t i;

	for (i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

static bool
every_code_point(void)
{
	char text[4];
	uint32_t c;
	size_t n, want;

	for (c = 0; c < 0x110000; c++) {
		n = encode(c, text);
		want = c >= 0xd800 && c < 0xe000 ? 0 : n;
		if (utf8_length(text, n) != want ||
		    utf8_length(text, n - 1) != 0)
			return false;
	}
	return true;
}

/* Whatever is accepted is what the code point is encoded as. */
static bool
every_three_octets(void)
{
	unsigned char in[4] = { 0, 0, 0, 0x80 };
	char again[4];
	uint32_t i;
	size_t n;

	for (i = 0; i < 0x1000000; i++) {
		in[0] = (unsigned char)(i >> 16);
		in[1] = (unsigned char)(i >> 8);
		in[2] = (unsigned char)i;
		n = utf8_length((char *)in, 4);
		if (n > 0 && (encode(decode(in, n), again) != n ||
		    memcmp(again, in, n) != 0))
			return false;
	}
	return true;
}

int
main(void)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int((long long)utf8_length(cases[i].text,
		    strlen(cases[i].text)), (long long)cases[i].want,
		    cases[i].name);
	ok(every_code_point(), "every code point, whole and cut");
	ok(every_three_octets(), "what is accepted is in shortest form");
	return tap_done();
}
