/* The right side of header_checks(5) and body_checks(5) tables. */

#include "rules/checks.h"
#include "tap.h"

static const struct {
	const char		*value;
	bool			 header;
	enum checks_kind	 kind;
	int			 code;
	const char		*enhanced, *text, *why;
} cases[] = {
	{ "DUNNO", true, CHECKS_DUNNO, 0, "", "", NULL },
	{ "ok", true, CHECKS_DUNNO, 0, "", "", NULL },
	{ "REJECT", true, CHECKS_REJECT, 550, "", "", NULL },
	{ "reject no way", true, CHECKS_REJECT, 550, "", "no way", NULL },
	{ "REJECT 5.6.0 no", true, CHECKS_REJECT, 550, "5.6.0", "no", NULL },
	{ "REJECT 4.6.0 no", true, CHECKS_REJECT, 450, "4.6.0", "no", NULL },
	{ "REJECT 2.6.0 no", true, CHECKS_REJECT, 550, "5.6.0", "no", NULL },
	{ "DISCARD x", true, CHECKS_DISCARD, 0, "", "x", NULL },
	{ "FILTER a:b", true, CHECKS_FILTER, 0, "", "a:b", NULL },
	{ "HOLD", true, CHECKS_HOLD, 0, "", "", NULL },
	{ "IGNORE", false, CHECKS_IGNORE, 0, "", "", NULL },
	{ "STRIP why", false, CHECKS_STRIP, 0, "", "why", NULL },
	{ "INFO a  b", true, CHECKS_INFO, 0, "", "a  b", NULL },
	{ "WARN", true, CHECKS_WARN, 0, "", "", NULL },
	{ "PASS", true, CHECKS_PASS, 0, "", "", NULL },
	{ "PREPEND X: y", true, CHECKS_PREPEND, 0, "", "X: y", NULL },
	{ "PREPEND any text", false, CHECKS_PREPEND, 0, "", "any text", NULL },
	{ "REPLACE X: y ", true, CHECKS_REPLACE, 0, "", "X: y ", NULL },
	{ "REPLACE any text", false, CHECKS_REPLACE, 0, "", "any text", NULL },
	{ "REDIRECT a@b", true, CHECKS_REDIRECT, 0, "", "a@b", NULL },
	{ "BCC a@b", true, CHECKS_BCC, 0, "", "a@b", NULL },

	{ "", true, 0, 0, "", "", "is empty" },
	{ "RELAY", true, 0, 0, "", "", "is no action of header_checks(5)" },
	{ "550 no", true, 0, 0, "", "", "is no action of header_checks(5)" },
	{ "PREPEND x y", true, 0, 0, "", "", "needs \"NAME: value\"" },
	{ "PREPEND", false, 0, 0, "", "", "needs a text" },
	{ "REPLACE", true, 0, 0, "", "", "needs a text" },
	{ "REPLACE x y", true, 0, 0, "", "", "needs \"NAME: value\"" },
	{ "REDIRECT x", true, 0, 0, "", "", "needs user@domain" },
	{ "BCC", true, 0, 0, "", "", "needs user@domain" },
	{ "FILTER x", true, 0, 0, "", "", "needs transport:destination" },
};

int
main(void)
{
	struct checks_action a;
	char text[200];
	const char *why;
	size_t i;
	int r;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		r = checks_parse(&a, cases[i].value, cases[i].header, &why);
		if (!is_str(why, cases[i].why, cases[i].value))
			continue;
		is_int(r, cases[i].why != NULL ? -1 : 0, "result");
		if (r == -1)
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)a.text.len,
		    a.text.p);
		is_int(a.kind, cases[i].kind, "kind");
		is_int(a.code, cases[i].code, "code");
		is_str(a.enhanced, cases[i].enhanced, "enhanced code");
		is_str(text, cases[i].text, "text");
	}
	return tap_done();
}
