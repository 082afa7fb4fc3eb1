/* Character sets to UTF-8: what the world writes, what is wrong, any split. */

#include <stdlib.h>

#include "base/utf8.h"
#include "filters/charset.h"
#include "tap.h"

#define BAD	"\xef\xbf\xbd"

static const struct {
	const char	*name, *charset, *in, *want;
} cases[] = {
	{ "ASCII", "us-ascii", "hello", "hello" },
	{ "no name", "", "caf\xc3\xa9", "caf\xc3\xa9" },
	{ "UTF-8", "utf-8", "\xe2\x82\xac\xf0\x9f\x98\x80",
	    "\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "8 bit that is no UTF-8", "us-ascii", "caf\xe9!", "caf" BAD "!" },
	{ "half a character", "utf-8", "a\xe2\x82", "a" BAD BAD },
	{ "half a character in the middle", "utf-8", "a\xe2\x82z",
	    "a" BAD BAD "z" },
	{ "overlong", "utf-8", "\xc0\xaf", BAD BAD },
	{ "Latin 1", "ISO-8859-1", "caf\xe9", "caf\xc3\xa9" },
	{ "… is Windows-1252", "iso-8859-1", "\x80 \x93", "\xe2\x82\xac "
	    "\xe2\x80\x9c" },
	{ "not in Windows-1252", "windows-1252", "a\x81z", "a" BAD "z" },
	{ "Latin 2", "iso-8859-2", "\xe8", "\xc4\x8d" },
	{ "KOI8", "koi8-r", "\xd0\xd2", "\xd0\xbf\xd1\x80" },
	{ "GB 2312", "gb2312", "\xc4\xe3", "\xe4\xbd\xa0" },
	{ "Shift JIS", "Shift_JIS", "\x93\xfa", "\xe6\x97\xa5" },
	{ "JIS with escapes", "iso-2022-jp", "\033$BF|\033(B!",
	    "\xe6\x97\xa5!" },
	{ "UTF-7", "utf-7", "+AOk-", "\xc3\xa9" },
	{ "nobody knows it", "x-klingon", "a\xe9z", "a" BAD "z" },
	{ "a name that is a path", "../../tmp/x", "a\xe9z", "a" BAD "z" },
	{ "a name with options", "UTF-16//IGNORE", "az", "az" },
	{ "a name that is too long",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a", "a" },
};

static void
convert(const char *charset, const char *in, size_t len, size_t piece,
    struct buf *out)
{
	struct charset c;
	size_t i, n;

	charset_init(&c, SLICE_STR(charset));
	for (i = 0; i < len; i += n) {
		n = piece > 0 ? piece : 1 + (size_t)rand() % 5;
		if (n > len - i)
			n = len - i;
		charset_convert(&c, in + i, n, out);
	}
	charset_fini(&c, out);
}

static void
check_cases(void)
{
	static const size_t pieces[] = { 1, 2, 7, 1000 };
	struct buf out;
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			buf_init(&out, 1000);
			convert(cases[i].charset, cases[i].in,
			    strlen(cases[i].in), pieces[j], &out);
			is_str(out.p, cases[i].want, cases[i].name);
			buf_fini(&out);
		}
}

static bool
is_utf8(const struct buf *b)
{
	size_t i = 0, n;

	while (i < b->len) {
		if ((n = utf8_length(b->p + i, b->len - i)) == 0)
			return false;
		i += n;
	}
	return true;
}

static void
check_anything(void)
{
	static const char *const sets[] = { "", "iso-8859-1", "gb2312",
		"iso-2022-jp", "utf-16", "utf-7", "euc-kr", "shift_jis",
		"big5", "x-none" };
	bool same = true, clean = true;
	struct buf a, b;
	char in[200];
	size_t i, j, n;

	for (i = 0; i < 2000; i++) {
		n = (size_t)rand() % sizeof(in);
		for (j = 0; j < n; j++)
			in[j] = (char)(rand() % 3 ? rand() :
			    0xe2 - rand() % 99);
		buf_init(&a, 4000);
		buf_init(&b, 4000);
		convert(sets[i % 10], in, n, 1000, &a);
		convert(sets[i % 10], in, n, 0, &b);
		clean &= is_utf8(&a) && !a.failed;
		same &= a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
		buf_fini(&a);
		buf_fini(&b);
	}
	ok(clean, "whatever comes in, UTF-8 comes out");
	ok(same, "any split gives the same");
}

int
main(void)
{
	srand(1);
	check_cases();
	check_anything();
	return tap_done();
}
