/* Whose Authentication-Results is it? Comments, quotes, versions, tricks. */

#include <string.h>

#include "filters/authres.h"
#include "tap.h"

#define ID "mx.example.org"

static const struct {
	const char	*value;
	bool		 ours;
} cases[] = {
	{ " mx.example.org; none", true },
	{ "mx.example.org;none", true },
	{ " mx.example.org", true },
	{ " MX.Example.ORG; spf=pass", true },
	{ " mx.example.org 1; none", true },
	{ "\r\n\tmx.example.org;\r\n\tnone", true },
	{ " (mine) mx.example.org (1) 1 ; none", true },
	{ " (a (nested) one \\) still) mx.example.org; none", true },
	{ " \"mx.example.org\"; none", true },
	{ " \"mx\\.example.org\" 1; none", true },
	{ " \"mx.\r\n example.org\"; none", false },
	{ " mx.example.org/1; none", true },
	{ " mx.example.org=; none", true },
	{ " mx.example.org(x); none", true },
	{ " mx.example.org.; none", true },
	{ " mx.example.org,x; none", true },
	{ " ()()\tmx.example.org;", true },
	{ " other.example.org; none", false },
	{ " mx.example.org.evil.example; none", false },
	{ " amx.example.org; none", false },
	{ " x; mx.example.org", false },
	{ " (mx.example.org) x; none", false },
	{ " (mx.example.org", false },
	{ " \"mx.example.org", true },
	{ " ;mx.example.org", false },
	{ "", false },
	{ " ", false },
	{ " \"\"", false },
};

int
main(void)
{
	char big[4000];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(authres_is_from(SLICE_STR(cases[i].value), ID) ==
		    cases[i].ours, "value %zu", i + 1);
	memset(big, 'x', sizeof(big));
	ok(!authres_is_from(SLICE(big, sizeof(big)), ID), "too long");
	ok(authres_is_from(SLICE(" mx.example.org\0x;", 18), ID),
	    "a NUL ends it");
	ok(!authres_is_from(SLICE(" \"mx.example.org\0x\"", 20), ID),
	    "… and not in quotes");
	return tap_done();
}
