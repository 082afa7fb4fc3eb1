/* The right side of access(5), header_checks(5) and body_checks(5) tables. */

#include "rules/entry.h"
#include "tap.h"

#define NO_ACCESS	"is no action of access(5) (there is OK, DUNNO, "  \
			"REJECT, DEFER, DEFER_IF_REJECT, DEFER_IF_PERMIT, " \
			"4NN text, 5NN text, DISCARD, HOLD, REDIRECT, BCC, " \
			"PREPEND, INFO and WARN)"
#define NO_CHECKS	"is no action of header_checks(5) (there is DUNNO, " \
			"REJECT, DISCARD, HOLD, REDIRECT, BCC, PREPEND, "    \
			"REPLACE, IGNORE, STRIP, PASS, INFO and WARN)"
#define RESTRICTION	"is a restriction of Postfix, which only Postfix can " \
			"apply (write it as a rule of the policy, or OK, "    \
			"DUNNO or REJECT here)"
#define QUEUE		"is for the queue of Postfix, and a proxy has none "  \
			"(leave FILTER to a table of the backend, or write "  \
			"\"route to BACKEND\" in the policy)"
#define EMPTY		"is empty (try DUNNO, or REJECT and a text)"
#define ADDRESS		"needs user@domain (try postmaster@example.com)"
#define FIELD		"needs \"NAME: value\" (try X-Checked: yes)"
#define LINE		"needs a text (try \"removed\")"

/* why: instead of the rest. */
static const struct {
	enum entry_of	 of;
	const char	*value;
	enum entry_kind	 kind;
	int		 code;
	const char	*enhanced, *text, *why;
} cases[] = {
	{ OF_ACCESS, "OK", ENTRY_OK, 0, "", "", NULL },
	{ OF_ACCESS, "ok", ENTRY_OK, 0, "", "", NULL },
	{ OF_ACCESS, "OK x", ENTRY_OK, 0, "", "x", NULL },
	{ OF_ACCESS, "RELAY", ENTRY_OK, 0, "", "", NULL },
	{ OF_ACCESS, "1234567890", ENTRY_OK, 0, "", "", NULL },
	{ OF_ACCESS, " 550 ", ENTRY_OK, 0, "", "", NULL },
	{ OF_ACCESS, "DUNNO", ENTRY_DUNNO, 0, "", "", NULL },
	{ OF_ACCESS, "REJECT", ENTRY_REJECT, 554, "", "", NULL },
	{ OF_ACCESS, "Reject  go away ", ENTRY_REJECT, 554, "", "go away",
	    NULL },
	{ OF_ACCESS, "REJECT 5.7.9  a  b", ENTRY_REJECT, 554, "5.7.9", "a  b",
	    NULL },
	{ OF_ACCESS, "REJECT 4.7.9 x", ENTRY_REJECT, 554, "5.7.9", "x", NULL },
	{ OF_ACCESS, "REJECT 2.7.9 x", ENTRY_REJECT, 554, "5.7.9", "x", NULL },
	{ OF_ACCESS, "REJECT 5.7.9", ENTRY_REJECT, 554, "5.7.9", "", NULL },
	{ OF_ACCESS, "REJECT 5.7.9x", ENTRY_REJECT, 554, "", "5.7.9x", NULL },
	{ OF_ACCESS, "REJECT 5.7 x", ENTRY_REJECT, 554, "", "5.7 x", NULL },
	{ OF_ACCESS, "REJECT 5.1234.1 x", ENTRY_REJECT, 554, "", "5.1234.1 x",
	    NULL },
	{ OF_ACCESS, "REJECT 3.7.1 x", ENTRY_REJECT, 554, "", "3.7.1 x",
	    NULL },
	{ OF_ACCESS, "DEFER later", ENTRY_DEFER, 450, "", "later", NULL },
	{ OF_ACCESS, "DEFER 5.2.1 x", ENTRY_DEFER, 450, "4.2.1", "x", NULL },
	{ OF_ACCESS, "DEFER_IF_REJECT x", ENTRY_DEFER_IF_REJECT, 450, "", "x",
	    NULL },
	{ OF_ACCESS, "DEFER_IF_PERMIT 4.1.1 x", ENTRY_DEFER_IF_PERMIT, 450,
	    "4.1.1", "x", NULL },
	{ OF_ACCESS, "550 no", ENTRY_REJECT, 550, "", "no", NULL },
	{ OF_ACCESS, "599 no", ENTRY_REJECT, 599, "", "no", NULL },
	{ OF_ACCESS, "550 5.1.1 no", ENTRY_REJECT, 550, "5.1.1", "no", NULL },
	{ OF_ACCESS, "550 4.1.1 no", ENTRY_REJECT, 550, "5.1.1", "no", NULL },
	{ OF_ACCESS, "421 bye", ENTRY_DEFER, 421, "", "bye", NULL },
	{ OF_ACCESS, "421 5.7.0 bye", ENTRY_DEFER, 421, "4.7.0", "bye", NULL },
	{ OF_ACCESS, "521\tbye", ENTRY_REJECT, 521, "", "bye", NULL },
	{ OF_ACCESS, "DISCARD", ENTRY_DISCARD, 0, "", "", NULL },
	{ OF_ACCESS, "DISCARD known", ENTRY_DISCARD, 0, "", "known", NULL },
	{ OF_ACCESS, "HOLD why", ENTRY_HOLD, 0, "", "why", NULL },
	{ OF_ACCESS, "INFO a b", ENTRY_INFO, 0, "", "a b", NULL },
	{ OF_ACCESS, "WARN", ENTRY_WARN, 0, "", "", NULL },
	{ OF_ACCESS, "PREPEND X-A: b", ENTRY_PREPEND, 0, "", "X-A: b", NULL },
	{ OF_ACCESS, "REDIRECT a@b.c", ENTRY_REDIRECT, 0, "", "a@b.c", NULL },
	{ OF_ACCESS, "BCC a@b.c", ENTRY_BCC, 0, "", "a@b.c", NULL },

	{ OF_ACCESS, "", 0, 0, "", "", EMPTY },
	{ OF_ACCESS, "   ", 0, 0, "", "", EMPTY },
	{ OF_ACCESS, "PREPEND", 0, 0, "", "", FIELD },
	{ OF_ACCESS, "PREPEND X A: b", 0, 0, "", "", FIELD },
	{ OF_ACCESS, "PREPEND : b", 0, 0, "", "", FIELD },
	{ OF_ACCESS, "REDIRECT", 0, 0, "", "", ADDRESS },
	{ OF_ACCESS, "REDIRECT a", 0, 0, "", "", ADDRESS },
	{ OF_ACCESS, "REDIRECT @b", 0, 0, "", "", ADDRESS },
	{ OF_ACCESS, "REDIRECT a@", 0, 0, "", "", ADDRESS },
	{ OF_ACCESS, "REDIRECT a@b c@d", 0, 0, "", "", ADDRESS },
	{ OF_ACCESS, "BCC x", 0, 0, "", "", ADDRESS },
	{ OF_ACCESS, "FILTER smtp:[::1]:25", 0, 0, "", "", QUEUE },
	{ OF_ACCESS, "permit_mynetworks", 0, 0, "", "", RESTRICTION },
	{ OF_ACCESS, "reject_unknown_client_hostname, permit", 0, 0, "", "",
	    RESTRICTION },
	{ OF_ACCESS, "check_policy_service inet:x:1", 0, 0, "", "",
	    RESTRICTION },
	{ OF_ACCESS, "my_class", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "REJECTED", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "250 fine", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "600 x", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "5.1.1 x", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "55x no", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "IGNORE", 0, 0, "", "", NO_ACCESS },
	{ OF_ACCESS, "REJECT \1", 0, 0, "", "",
	    "has a control character in it (try text)" },

	{ OF_HEADER, "DUNNO", ENTRY_DUNNO, 0, "", "", NULL },
	{ OF_HEADER, "ok", ENTRY_DUNNO, 0, "", "", NULL },
	{ OF_HEADER, "REJECT", ENTRY_REJECT, 550, "", "", NULL },
	{ OF_HEADER, "reject no way", ENTRY_REJECT, 550, "", "no way", NULL },
	{ OF_HEADER, "REJECT 5.6.0 no", ENTRY_REJECT, 550, "5.6.0", "no",
	    NULL },
	{ OF_HEADER, "REJECT 4.6.0 no", ENTRY_DEFER, 451, "4.6.0", "no",
	    NULL },
	{ OF_HEADER, "DISCARD x", ENTRY_DISCARD, 0, "", "x", NULL },
	{ OF_HEADER, "HOLD", ENTRY_HOLD, 0, "", "", NULL },
	{ OF_BODY, "IGNORE", ENTRY_IGNORE, 0, "", "", NULL },
	{ OF_BODY, "STRIP why", ENTRY_STRIP, 0, "", "why", NULL },
	{ OF_HEADER, "INFO a  b", ENTRY_INFO, 0, "", "a  b", NULL },
	{ OF_HEADER, "WARN", ENTRY_WARN, 0, "", "", NULL },
	{ OF_HEADER, "PASS", ENTRY_PASS, 0, "", "", NULL },
	{ OF_HEADER, "PREPEND X: y", ENTRY_PREPEND, 0, "", "X: y", NULL },
	{ OF_BODY, "PREPEND any text", ENTRY_PREPEND, 0, "", "any text",
	    NULL },
	{ OF_HEADER, "REPLACE X: y ", ENTRY_REPLACE, 0, "", "X: y ", NULL },
	{ OF_BODY, "REPLACE any text", ENTRY_REPLACE, 0, "", "any text",
	    NULL },
	{ OF_HEADER, "REDIRECT a@b", ENTRY_REDIRECT, 0, "", "a@b", NULL },
	{ OF_HEADER, "BCC a@b", ENTRY_BCC, 0, "", "a@b", NULL },

	{ OF_HEADER, "", 0, 0, "", "", EMPTY },
	{ OF_HEADER, "RELAY", 0, 0, "", "", NO_CHECKS },
	{ OF_HEADER, "550", 0, 0, "", "", NO_CHECKS },
	{ OF_BODY, "permit", 0, 0, "", "", NO_CHECKS },
	{ OF_HEADER, "REJECT 2.6.0 no", ENTRY_DEFER, 451, "4.6.0", "no",
	    NULL },
	{ OF_HEADER, "REJECT 5.6 no", ENTRY_REJECT, 550, "", "5.6 no", NULL },
	{ OF_HEADER, "REPLACE X \t:y", ENTRY_REPLACE, 0, "", "X \t:y", NULL },
	{ OF_HEADER, "REPLACE :y", 0, 0, "", "", FIELD },
	{ OF_HEADER, "REPLACE X y: z", 0, 0, "", "", FIELD },
	{ OF_HEADER, "PREPEND x y", 0, 0, "", "", FIELD },
	{ OF_BODY, "PREPEND", 0, 0, "", "", LINE },
	{ OF_HEADER, "REPLACE", 0, 0, "", "", FIELD },
	{ OF_HEADER, "REPLACE x y", 0, 0, "", "", FIELD },
	{ OF_HEADER, "REDIRECT x", 0, 0, "", "", ADDRESS },
	{ OF_HEADER, "BCC", 0, 0, "", "", ADDRESS },
	{ OF_BODY, "FILTER x:", 0, 0, "", "", QUEUE },
};

static void
test_values(void)
{
	struct table_entry e;
	char text[200];
	const char *why;
	size_t i;
	int r;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		r = entry_parse(&e, cases[i].of, cases[i].value, &why);
		if (!is_str(why, cases[i].why, cases[i].value))
			continue;
		is_int(r, cases[i].why != NULL ? -1 : 0, "result");
		if (r == -1)
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)e.text.len,
		    e.text.p);
		is_int(e.kind, cases[i].kind, "kind");
		is_int(e.code, cases[i].code, "code");
		is_str(e.enhanced, cases[i].enhanced, "enhanced code");
		is_str(text, cases[i].text, "text");
	}
}

/* Postfix warns, and does nothing (cleanup(8)); files that have it run. */
static void
test_warning(void)
{
	const char *why = NULL;
	struct table_entry e;

	is_int(entry_parse(&e, OF_HEADER, "550 5.7.1 no", &why), 0,
	    "a code in header_checks");
	is_int(e.kind, ENTRY_DUNNO, "does nothing");
	is_str(why, "does nothing, as in Postfix: header_checks(5) have no "
	    "codes (write REJECT 5.7.1 and the text)", "and that is said");
}

/* \1 is a group of a pattern. */
static const struct {
	enum entry_of	 of;
	const char	*value;
	enum entry_kind	 kind;
	const char	*why;
} templates[] = {
	{ OF_ACCESS, "\1", ENTRY_DUNNO, NULL },
	{ OF_ACCESS, "REJ\1 x", ENTRY_DUNNO, NULL },
	{ OF_ACCESS, "REJECT <\1> is not here", ENTRY_REJECT, NULL },
	{ OF_ACCESS, "550 5.1.\1 x", ENTRY_REJECT, NULL },
	{ OF_ACCESS, "550 \1", ENTRY_REJECT, NULL },
	{ OF_ACCESS, "REDIRECT \1", ENTRY_REDIRECT, NULL },
	{ OF_ACCESS, "REDIRECT \1@example.com", ENTRY_REDIRECT, NULL },
	{ OF_ACCESS, "REDIRECT \1 example.com", 0, ADDRESS },
	{ OF_ACCESS, "PREPEND \1", ENTRY_PREPEND, NULL },
	{ OF_ACCESS, "PREPEND X-\1: x", ENTRY_PREPEND, NULL },
	{ OF_ACCESS, "PREPEND X: \1", ENTRY_PREPEND, NULL },
	{ OF_ACCESS, "PREPEND X \1: x", 0, FIELD },
	{ OF_HEADER, "REPLACE To: \1", ENTRY_REPLACE, NULL },
	{ OF_HEADER, "REPLACE To \1", 0, FIELD },
	{ OF_BODY, "REPLACE \1", ENTRY_REPLACE, NULL },
	{ OF_ACCESS, "REJECTED \1", 0, NO_ACCESS },
	{ OF_ACCESS, "FILTER \1", 0, QUEUE },
};

static void
test_templates(void)
{
	struct table_entry e;
	const char *why;
	size_t i;
	int r;

	for (i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
		why = NULL;
		r = entry_parse_template(&e, templates[i].of,
		    templates[i].value, &why);
		is_str(why, templates[i].why, templates[i].value);
		is_int(r, templates[i].why != NULL ? -1 : 0, "result");
		if (r == 0)
			is_int(e.kind, templates[i].kind, "kind");
	}
}

/* As smtpd(8) answers; t/515-access.t asks it. */
static const struct {
	const char	*code, *sender, *recipient, *client;
} codes[] = {
	{ "5.1.0", "5.1.0", "5.1.0", "5.0.0" },
	{ "5.1.1", "5.1.7", "5.1.1", "5.0.0" },
	{ "4.1.2", "4.1.8", "4.1.2", "4.0.0" },
	{ "5.1.7", "5.1.7", "5.1.3", "5.0.0" },
	{ "5.1.8", "5.1.8", "5.1.2", "5.0.0" },
	{ "5.1.10", "5.1.0", "5.1.0", "5.0.0" },
	{ "5.1.012", "5.1.0", "5.1.0", "5.0.0" },
	{ "5.7.1", "5.7.1", "5.7.1", "5.7.1" },
	{ "5.10.1", "5.10.1", "5.10.1", "5.10.1" },
	{ "5.2.1", "5.2.1", "5.2.1", "5.2.1" },
};

static void
test_codes(void)
{
	char enhanced[12];
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		strcpy(enhanced, codes[i].code);
		entry_fix_enhanced(enhanced, ABOUT_SENDER);
		is_str(enhanced, codes[i].sender, codes[i].code);
		strcpy(enhanced, codes[i].code);
		entry_fix_enhanced(enhanced, ABOUT_RECIPIENT);
		is_str(enhanced, codes[i].recipient, "of a recipient");
		strcpy(enhanced, codes[i].code);
		entry_fix_enhanced(enhanced, ABOUT_CLIENT);
		is_str(enhanced, codes[i].client, "of a client");
	}
}

int
main(void)
{
	test_values();
	test_warning();
	test_templates();
	test_codes();
	return tap_done();
}
