/* xtext: what it may hold, and that nothing gets through it that ends a
   line. */

#include "smtp/xtext.h"

#include <stdlib.h>

#include "tap.h"

static const struct {
	const char	*text;
	bool		 valid;
	const char	*plain;		/* NULL: not to be decoded */
} cases[] = {
	{ "", true, "" },
	{ "a@example.org", true, "a@example.org" },
	{ "e+3Dmc2@example.com", true, "e=mc2@example.com" },
	{ "+2B", true, "+" },
	{ "a+20b", true, "a b" },
	{ "!~<>\"", true, "!~<>\"" },
	{ "+C3+BC", true, "ü" },
	{ "+c3+bc", false, "ü" },
	{ "+2b", false, "+" },
	{ "+6a+6f", false, "jo" },
	{ "+FF", true, "\xff" },
	{ "+00", false, NULL },
	{ "a+00b", false, NULL },
	{ "+0D+0A", true, NULL },	/* well-formed, but not for us */
	{ "+09", true, NULL },
	{ "+1F", true, NULL },
	{ "+7F", true, NULL },
	{ "+", false, NULL },
	{ "+2", false, NULL },
	{ "+2+", false, NULL },
	{ "+G0", false, NULL },
	{ "+6g", false, NULL },
	{ "+6`", false, NULL },
	{ "+0G", false, NULL },
	{ "++2B", false, NULL },
	{ "a=b", false, NULL },
	{ "a b", false, NULL },
	{ "a\r\n", false, NULL },
	{ "a\x7f", false, NULL },
	{ "ü", false, NULL },
	{ "ok+0D", true, NULL },
};

static void
check_cases(void)
{
	struct buf b;
	size_t i;

	buf_init(&b, 100);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *plain = cases[i].plain;
		size_t len = strlen(cases[i].text);
		char *p = malloc(len > 0 ? len : 1);	/* ASan sees its end */
		int rc;

		memcpy(p, cases[i].text, len);
		is_int(xtext_is_valid(p, len), cases[i].valid, cases[i].text);
		buf_reset(&b);
		rc = xtext_decode(&b, p, len);
		free(p);
		is_int(rc, plain != NULL ? 0 : -1, "decodes or not");
		is_str(b.p, plain != NULL ? plain : "", "to this");
	}
	buf_fini(&b);
}

/* Any octet is encoded to something valid that decodes to it. */
static void
check_octets(void)
{
	struct buf b, back;
	int c, bad = 0;

	buf_init(&b, 100);
	buf_init(&back, 100);
	for (c = 0; c < 256; c++) {
		char octet = (char)c;
		bool control = c < ' ' || c == 0x7f;

		buf_reset(&b);
		buf_reset(&back);
		xtext_encode(&b, &octet, 1);
		if (xtext_is_valid(b.p, b.len) != (c != 0))
			bad++;
		if (xtext_decode(&back, b.p, b.len) != (control ? -1 : 0))
			bad++;
		if (!control && (back.len != 1 || back.p[0] != octet))
			bad++;
	}
	is_int(bad, 0, "all octets there and back");
	buf_reset(&b);
	xtext_encode(&b, "a b+c=\r\n", 8);
	is_str(b.p, "a+20b+2Bc+3D+0D+0A", "upper-case digits");
	buf_fini(&b);
	buf_fini(&back);
}

static void
check_limit(void)
{
	struct buf b;

	buf_init(&b, 4);
	xtext_encode(&b, "  ", 2);
	ok(b.failed && b.len <= 4, "encoding stops at the limit");
	buf_fini(&b);
}

int
main(void)
{
	check_cases();
	check_octets();
	check_limit();
	return tap_done();
}
