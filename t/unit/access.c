/* The right side of access(5) tables. */

#include "rules/access.h"
#include "tap.h"

/* why: instead of the rest. */
static const struct {
	const char		*value;
	enum access_kind	 kind;
	int			 code;
	const char		*enhanced, *text, *why;
} cases[] = {
	{ "OK", ACCESS_OK, 0, "", "", NULL },
	{ "ok", ACCESS_OK, 0, "", "", NULL },
	{ "RELAY", ACCESS_OK, 0, "", "", NULL },
	{ "1234567890", ACCESS_OK, 0, "", "", NULL },
	{ "550", ACCESS_OK, 0, "", "", NULL },
	{ "DUNNO", ACCESS_DUNNO, 0, "", "", NULL },
	{ "REJECT", ACCESS_REJECT, 0, "", "", NULL },
	{ "Reject  go away ", ACCESS_REJECT, 0, "", "go away", NULL },
	{ "REJECT 5.7.9 go away", ACCESS_REJECT, 0, "5.7.9", "go away", NULL },
	{ "REJECT 4.7.9 go away", ACCESS_REJECT, 0, "5.7.9", "go away", NULL },
	{ "REJECT 5.7.9", ACCESS_REJECT, 0, "5.7.9", "", NULL },
	{ "REJECT 5.7.9x", ACCESS_REJECT, 0, "", "5.7.9x", NULL },
	{ "REJECT 5.7 x", ACCESS_REJECT, 0, "", "5.7 x", NULL },
	{ "REJECT 5.1234.1 x", ACCESS_REJECT, 0, "", "5.1234.1 x", NULL },
	{ "REJECT 3.7.1 x", ACCESS_REJECT, 0, "", "3.7.1 x", NULL },
	{ "DEFER later", ACCESS_DEFER, 0, "", "later", NULL },
	{ "DEFER 4.2.1 later", ACCESS_DEFER, 0, "4.2.1", "later", NULL },
	{ "DEFER_IF_REJECT x", ACCESS_DEFER_IF_REJECT, 0, "", "x", NULL },
	{ "DEFER_IF_PERMIT 4.1.1 x", ACCESS_DEFER_IF_PERMIT, 0, "4.1.1", "x",
	    NULL },
	{ "550 no", ACCESS_REJECT, 550, "", "no", NULL },
	{ "550 5.1.1 no", ACCESS_REJECT, 550, "5.1.1", "no", NULL },
	{ "421 bye", ACCESS_DEFER, 421, "", "bye", NULL },
	{ "421 5.7.0 bye", ACCESS_DEFER, 421, "4.7.0", "bye", NULL },
	{ "521\tbye", ACCESS_REJECT, 521, "", "bye", NULL },
	{ "DISCARD", ACCESS_DISCARD, 0, "", "", NULL },
	{ "DISCARD known", ACCESS_DISCARD, 0, "", "known", NULL },
	{ "HOLD why", ACCESS_HOLD, 0, "", "why", NULL },
	{ "INFO a b", ACCESS_INFO, 0, "", "a b", NULL },
	{ "WARN", ACCESS_WARN, 0, "", "", NULL },
	{ "PREPEND X-A: b", ACCESS_PREPEND, 0, "", "X-A: b", NULL },
	{ "REDIRECT a@b.c", ACCESS_REDIRECT, 0, "", "a@b.c", NULL },
	{ "BCC a@b.c", ACCESS_BCC, 0, "", "a@b.c", NULL },
	{ "FILTER smtp:[::1]:25", ACCESS_FILTER, 0, "", "smtp:[::1]:25",
	    NULL },

	{ "", 0, 0, "", "", "is empty" },
	{ "   ", 0, 0, "", "", "is empty" },
	{ "PREPEND", 0, 0, "", "", "needs \"NAME: value\"" },
	{ "PREPEND X A: b", 0, 0, "", "", "needs \"NAME: value\"" },
	{ "PREPEND : b", 0, 0, "", "", "needs \"NAME: value\"" },
	{ "REDIRECT", 0, 0, "", "", "needs user@domain" },
	{ "REDIRECT a", 0, 0, "", "", "needs user@domain" },
	{ "REDIRECT @b", 0, 0, "", "", "needs user@domain" },
	{ "REDIRECT a@", 0, 0, "", "", "needs user@domain" },
	{ "REDIRECT a@b c@d", 0, 0, "", "", "needs user@domain" },
	{ "BCC x", 0, 0, "", "", "needs user@domain" },
	{ "FILTER smtp", 0, 0, "", "", "needs transport:destination" },
	{ "permit_mynetworks", 0, 0, "", "",
	    "is a restriction of Postfix, which only Postfix can apply" },
	{ "reject_unknown_client_hostname, permit", 0, 0, "", "",
	    "is a restriction of Postfix, which only Postfix can apply" },
	{ "check_policy_service inet:x:1", 0, 0, "", "",
	    "is a restriction of Postfix, which only Postfix can apply" },
	{ "my_class", 0, 0, "", "", "is no action of access(5)" },
	{ "REJECTED", 0, 0, "", "", "is no action of access(5)" },
	{ "250 fine", 0, 0, "", "", "is no action of access(5)" },
	{ "55x no", 0, 0, "", "", "is no action of access(5)" },
};

static bool
text_is(struct slice got, const char *want, const char *name)
{
	char text[200];

	snprintf(text, sizeof(text), "%.*s", (int)got.len, got.p);
	return is_str(text, want, name);
}

int
main(void)
{
	struct access_action a;
	const char *why;
	size_t i;
	int r;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		r = access_parse(&a, cases[i].value, &why);
		if (!is_str(why, cases[i].why, cases[i].value))
			continue;
		is_int(r, cases[i].why != NULL ? -1 : 0, "result");
		if (r == -1)
			continue;
		is_int(a.kind, cases[i].kind, "kind");
		is_int(a.code, cases[i].code, "code");
		is_str(a.enhanced, cases[i].enhanced, "enhanced code");
		text_is(a.text, cases[i].text, "text");
	}
	return tap_done();
}
