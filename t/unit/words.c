/* Encoded words of RFC 2047, and what the world makes of them. */

#include <stdlib.h>

#include "filters/words.h"
#include "tap.h"

#define BAD	"\xef\xbf\xbd"

static const struct {
	const char	*name, *in, *want;
} cases[] = {
	{ "plain", "hello", "hello" },
	{ "nothing", "", "" },
	{ "Q", "=?iso-8859-1?Q?Keld_J=F8rn?=", "Keld J\xc3\xb8rn" },
	{ "B", "=?utf-8?B?aGVsbG8=?=", "hello" },
	{ "small letters", "=?UTF-8?b?aGVsbG8=?= =?utf-8?q?x?=", "hellox" },
	{ "text around it", "a =?utf-8?Q?b?= c", "a b c" },
	{ "spaces between words go", "=?utf-8?Q?a?=  \t=?utf-8?Q?b?=", "ab" },
	{ "no spaces between words", "=?utf-8?Q?a?==?utf-8?Q?b?=", "ab" },
	{ "line breaks between words go", "=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=",
	    "ab" },
	{ "spaces behind the last stay", "=?utf-8?Q?a?=  b", "a  b" },
	{ "_ at the end", "=?utf-8?Q?a_?=b", "a b" },
	{ "two character sets", "=?iso-8859-1?Q?=E9?= =?utf-8?Q?=C3=A9?=",
	    "\xc3\xa9\xc3\xa9" },
	{ "a language", "=?us-ascii*en?Q?a?=", "a" },
	{ "a character in two words", "=?utf-8?Q?=E2=82?= =?utf-8?Q?=AC?=",
	    "\xe2\x82\xac" },
	{ "half a character", "=?utf-8?Q?=E2=82?= x", BAD BAD " x" },
	{ "in the middle of a word", "a=?utf-8?Q?b?=c", "abc" },
	{ "in quotes", "\"=?utf-8?Q?b?=\" <a@b>", "\"b\" <a@b>" },
	{ "spaces inside", "=?utf-8?Q?a b c?=", "a b c" },
	{ "no padding", "=?utf-8?B?aGVsbG8?=", "hello" },
	{ "a question mark inside", "=?utf-8?Q?a?b?=", "a?b" },
	{ "starts with =", "=?utf-8?Q?=41?=", "A" },
	{ "empty text", "=?utf-8?Q?" "?=x", "x" },
	{ "unknown character set", "=?x-none?Q?a=E9?=", "a" BAD },
	{ "unknown encoding", "=?utf-8?X?a?=", "=?utf-8?X?a?=" },
	{ "no character set", "=?" "?Q?a?=", "=?" "?Q?a?=" },
	{ "no end", "=?utf-8?Q?a", "=?utf-8?Q?a" },
	{ "=? only", "=?", "=?" },
	{ "=? and a word", "=?=?utf-8?Q?a?=", "=?a" },
	{ "8 bit", "caf\xe9 caf\xc3\xa9", "caf" BAD " caf\xc3\xa9" },
	{ "words inside a word are not read", "=?utf-8?Q?=3D=3Futf-8=3F?=",
	    "=?utf-8?" },
	{ "bad digits stay", "=?utf-8?Q?a=zz?=", "a=zz" },
	{ "= at the end stays", "=?utf-8?Q?a=?=", "a=" },
};

static void
check_cases(void)
{
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&out, 1000);
		words_decode(SLICE_STR(cases[i].in), &out);
		is_str(out.p, cases[i].want, cases[i].name);
		buf_fini(&out);
	}
}

static size_t
add_q(char *word, const char *text, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		if (text[i] == ' ' && rand() & 1)
			word[n++] = '_';
		else if (text[i] > ' ' && strchr("=?_\"", text[i]) == NULL &&
		    text[i] < 127 && rand() & 1)
			word[n++] = text[i];
		else
			n += (size_t)sprintf(word + n, "=%02X",
			    (unsigned char)text[i]);
	return n;
}

static size_t
add_b(char *word, const char *text, size_t len)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned v, left = 0, bits = 0;
	size_t i, n = 0;

	for (v = 0, i = 0; i < len; i++) {
		v = v << 8 | (unsigned char)text[i];
		for (bits += 8; bits >= 6; bits -= 6)
			word[n++] = abc[v >> (bits - 6) & 63];
	}
	if (bits > 0)
		word[n++] = abc[v << (6 - bits) & 63];
	for (left = (unsigned)n; left % 4 != 0; left++)
		word[n++] = '=';
	return n;
}

/* Any UTF-8, cut into words anywhere, inside of characters as well. */
static bool
comes_back(size_t len)
{
	static const char *const chars[] = { "a", " ", "=", "?", "_", "\"",
	    "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\t", "Z" };
	char text[500], in[5000];
	struct buf out;
	size_t i, k, cut, n = 0;
	bool same;

	for (i = k = 0; k < len; k++)
		i += (size_t)sprintf(text + i, "%s",
		    chars[(size_t)rand() % (sizeof(chars) / sizeof(*chars))]);
	len = i;
	for (i = 0; i < len; i += cut) {
		cut = 1 + (size_t)rand() % 30;
		if (cut > len - i)
			cut = len - i;
		k = rand() & 1;
		n += (size_t)sprintf(in + n, "%s=?utf-8?%c?", i > 0 ?
		    "\r\n " : "", "QB"[k]);
		n += k ? add_b(in + n, text + i, cut) :
		    add_q(in + n, text + i, cut);
		n += (size_t)sprintf(in + n, "?=");
	}
	buf_init(&out, 1000);
	words_decode(SLICE(in, n), &out);
	same = out.len == len && memcmp(out.p, text, len) == 0;
	buf_fini(&out);
	return same;
}

static void
check_round_trip(void)
{
	bool back = true;
	int i;

	for (i = 0; i < 2000; i++)
		back &= comes_back(1 + (size_t)rand() % 100);
	ok(back, "what was encoded comes back");
}

int
main(void)
{
	srand(1);
	check_cases();
	check_round_trip();
	return tap_done();
}
