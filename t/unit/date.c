/* Dates of header fields. */

#include "filters/date.h"
#include "tap.h"

#define NONE	-1

static const struct {
	const char	*in;
	long long	 want;
} cases[] = {
	{ "Thu, 1 Jan 1970 00:00:00 +0000", 0 },
	{ "Mon, 23 Nov 2026 18:13:14 +0000", 1795457594 },
	{ "Mon, 23 Nov 2026 19:13:14 +0100", 1795457594 },
	{ "Mon, 23 Nov 2026 12:43:14 -0530", 1795457594 },
	{ "23 Nov 2026 18:13:14 +0000", 1795457594 },
	{ "Mon,23 Nov 2026 18:13:14 GMT", 1795457594 },
	{ "23 nov 26 18:13:14 UT", 1795457594 },
	{ "Mon, 23 Nov 2026 13:13:14 EST", 1795457594 },
	{ "Mon (a comment), 23 Nov 2026 (another (one)) 18:13:14 +0000 (UTC)",
	    1795457594 },
	{ "Monday, 23-Nov-26 18:13:14 GMT", 1795457594 },
	{ "Mon, 23 November 2026 18:13:14", 1795457594 },
	{ "Mon, 23 Nov 2026 18:13 +0000", 1795457580 },
	{ "29 Feb 2024 00:00 +0000", 1709164800 },
	{ "1 Jan 70 00:00 +0000", 0 },
	{ "1 Jan 101 00:00:00 +0000", 978307200 },
	{ "", NONE },
	{ "yesterday", NONE },
	{ "23 Nov 2026", NONE },
	{ "23 Nov 18:13:14", NONE },
	{ "32 Nov 2026 18:13:14", NONE },
	{ "0 Nov 2026 18:13:14", NONE },
	{ "23 Foo 2026 18:13:14", NONE },
	{ "23 Nov 2026 24:13:14", NONE },
	{ "23 Nov 2026 18:60:14", NONE },
	{ "23 Nov 2026 18", NONE },
	{ "23 Nov 2026 18:13:", NONE },
	{ "(no end", NONE },
	{ "99999999999999999999", NONE },
};

int
main(void)
{
	int64_t seconds;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!date_parse(SLICE_STR(cases[i].in), &seconds))
			seconds = NONE;
		is_int(seconds, cases[i].want, cases[i].in);
	}
	return tap_done();
}
