/* Folding of keys: ASCII, Unicode, and what is not UTF-8. */

#include "rules/fold.h"

#include "base/buf.h"
#include "tap.h"

static const struct {
	const char	*in, *want;	/* want NULL: not UTF-8 */
} cases[] = {
	{ "", "" },
	{ "User@Example.ORG", "user@example.org" },
	{ "@[`{z", "@[`{z" },
	{ "\xc3\x84", "\xc3\xa4" },
	{ "\xc3\x9f", "ss" },
	{ "\xe1\xba\x9e", "ss" },
	{ "\xce\x91\xcf\x82", "\xce\xb1\xcf\x83" },
	{ "\xc4\xb0", "i\xcc\x87" },
	{ "\xf0\x90\x90\x80", "\xf0\x90\x90\xa8" },
	{ "A\xff", NULL },
	{ "\xc3", NULL },
	{ "\xc0\xaf", NULL },
	{ "\xed\xa0\x80", NULL },
	{ "\xf4\x90\x80\x80", NULL },
	{ "ok\x80", NULL },
};

int
main(void)
{
	struct buf b;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&b, 100);
		is_int(fold(&b, cases[i].in, strlen(cases[i].in)),
		    cases[i].want != NULL ? 0 : -1, cases[i].in);
		is_str(b.p, cases[i].want != NULL ? cases[i].want : "",
		    "  folded");
		is_int(is_utf8(cases[i].in, strlen(cases[i].in)),
		    cases[i].want != NULL, "  UTF-8");
		buf_fini(&b);
	}
	buf_init(&b, 3);
	fold(&b, "ABCD", 4);
	ok(b.failed, "what does not fit");
	fold(&b, "\xc3\x84\xc3\x84", 4);
	ok(b.failed, "  in UTF-8");
	buf_fini(&b);
	return tap_done();
}
