/*
 * entry - the right side of a table of Postfix.
 */

#include "rules/entry.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "rules/table.h"

static bool
is_digits(struct slice s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (!isdigit((unsigned char)s.p[i]))
			return false;
	return s.len > 0;
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice
skip_white(struct slice s)
{
	while (s.len > 0 && is_white(s.p[0]))
		s = SLICE(s.p + 1, s.len - 1);
	return s;
}

static struct slice
trimmed(struct slice s)
{
	s = skip_white(s);
	while (s.len > 0 && is_white(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* The first word; *rest is what is behind it. */
static struct slice
first_word(struct slice s, struct slice *rest)
{
	size_t n = 0;

	while (n < s.len && !is_white(s.p[n]))
		n++;
	*rest = skip_white(SLICE(s.p + n, s.len - n));
	return SLICE(s.p, n);
}

/* Enhanced codes */

static size_t
digits(struct slice s, size_t at)
{
	size_t n = 0;

	while (at + n < s.len && isdigit((unsigned char)s.p[at + n]))
		n++;
	return n;
}

/* The length of an enhanced code at the start of s; 0: none. */
static size_t
enhanced_length(struct slice s)
{
	size_t subject, detail;

	if (s.len < 5 || strchr("245", s.p[0]) == NULL || s.p[1] != '.')
		return 0;
	subject = digits(s, 2);
	if (subject == 0 || subject > 3 || 2 + subject >= s.len ||
	    s.p[2 + subject] != '.')
		return 0;
	detail = digits(s, 3 + subject);
	if (detail == 0 || detail > 3)
		return 0;
	return 3 + subject + detail;
}

/* "5.7.1 text" (RFC 3463) → enhanced, and text without it. */
static void
take_enhanced(struct table_entry *e)
{
	struct slice s = e->text;
	size_t n = enhanced_length(s);

	if (n == 0 || (n < s.len && !is_white(s.p[n])))
		return;
	memcpy(e->enhanced, s.p, n);
	e->enhanced[n] = '\0';
	e->text = skip_white(SLICE(s.p + n, s.len - n));
}

/* x.1.N: what it is of a sender, and of a recipient; 10 and more are as 9.
   These are the answers of smtpd(8), and not all are in RFC 3463. */
void
entry_fix_enhanced(char enhanced[12], enum entry_subject about)
{
	static const char of_sender[] = "0787707780";
	static const char of_recipient[] = "0123456320";
	const char *detail = enhanced + 4;
	int n = 9;

	if (strncmp(enhanced + 1, ".1.", 3) != 0)
		return;
	if (detail[1] == '\0')
		n = detail[0] - '0';
	if (about == ABOUT_CLIENT)
		snprintf(enhanced + 1, 11, ".0.0");
	else
		snprintf(enhanced + 1, 11, ".1.%c", about == ABOUT_SENDER ?
		    of_sender[n] : of_recipient[n]);
}

/* Words */

enum argument { NONE, TEXT, ADDRESS, LINE };

#define ACCESS	(1u << OF_ACCESS)
#define HEADER	(1u << OF_HEADER)
#define BODY	(1u << OF_BODY)
#define CHECKS	(HEADER | BODY)
#define ALL	(ACCESS | CHECKS)

static const struct {
	const char	*name;
	unsigned	 of;
	enum entry_kind	 kind;
	enum argument	 argument;
} words[] = {
	{ "OK",			ACCESS, ENTRY_OK,		NONE },
	{ "OK",			CHECKS, ENTRY_DUNNO,		NONE },
	{ "RELAY",		ACCESS, ENTRY_OK,		NONE },
	{ "DUNNO",		ALL,	ENTRY_DUNNO,		NONE },
	{ "REJECT",		ALL,	ENTRY_REJECT,		TEXT },
	{ "DEFER",		ACCESS, ENTRY_DEFER,		TEXT },
	{ "DEFER_IF_REJECT",	ACCESS, ENTRY_DEFER_IF_REJECT,	TEXT },
	{ "DEFER_IF_PERMIT",	ACCESS, ENTRY_DEFER_IF_PERMIT,	TEXT },
	{ "DISCARD",		ALL,	ENTRY_DISCARD,		TEXT },
	{ "HOLD",		ALL,	ENTRY_HOLD,		TEXT },
	{ "INFO",		ALL,	ENTRY_INFO,		TEXT },
	{ "WARN",		ALL,	ENTRY_WARN,		TEXT },
	{ "PREPEND",		ALL,	ENTRY_PREPEND,		LINE },
	{ "REDIRECT",		ALL,	ENTRY_REDIRECT,		ADDRESS },
	{ "BCC",		ALL,	ENTRY_BCC,		ADDRESS },
	{ "IGNORE",		CHECKS, ENTRY_IGNORE,		NONE },
	{ "STRIP",		CHECKS, ENTRY_STRIP,		TEXT },
	{ "PASS",		CHECKS, ENTRY_PASS,		TEXT },
	{ "REPLACE",		CHECKS, ENTRY_REPLACE,		LINE },
};

#define NWORDS	(sizeof(words) / sizeof(words[0]))

/* "permit" and all those that start with permit_, reject_, check_, … */
static bool
is_restriction(struct slice word)
{
	static const char *const starts[] = { "permit", "reject_", "check_",
		"defer_", "warn_if_reject", "sleep" };
	size_t i, len;

	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		len = strlen(starts[i]);
		if (word.len >= len &&
		    slice_is_nocase(SLICE(word.p, len), starts[i]))
			return true;
	}
	return false;
}

/* Why no word of ours is the first of the value. */
static const char *
why_no_action(enum entry_of of, struct slice word)
{
	if (word.len == 0)
		return "is empty (try DUNNO, or REJECT and a text)";
	if (slice_is_nocase(word, "FILTER"))
		return "is for the queue of Postfix, and a proxy has none "
		    "(leave FILTER to a table of the backend, or write "
		    "\"route to BACKEND\" in the policy)";
	if (of != OF_ACCESS)
		return "is no action of header_checks(5) (there is DUNNO, "
		    "REJECT, DISCARD, HOLD, REDIRECT, BCC, PREPEND, REPLACE, "
		    "IGNORE, STRIP, PASS, INFO and WARN)";
	if (is_restriction(word))
		return "is a restriction of Postfix, which only Postfix can "
		    "apply (write it as a rule of the policy, or OK, DUNNO or "
		    "REJECT here)";
	return "is no action of access(5) (there is OK, DUNNO, REJECT, DEFER, "
	    "DEFER_IF_REJECT, DEFER_IF_PERMIT, 4NN text, 5NN text, DISCARD, "
	    "HOLD, REDIRECT, BCC, PREPEND, INFO and WARN)";
}

/* Arguments */

/* A group may be anything that its place allows. */
bool
entry_is_address(struct slice s)
{
	const char *sign = s.len > 0 ? memrchr(s.p, '@', s.len) : NULL;
	bool group = false;
	size_t i;

	for (i = 0; i < s.len; i++) {
		group |= s.p[i] == TABLE_GROUP;
		if ((unsigned char)s.p[i] <= ' ' && s.p[i] != TABLE_GROUP)
			return false;
	}
	return group ||
	    (sign != NULL && sign > s.p && sign < s.p + s.len - 1);
}

static bool
is_header(struct slice s)
{
	bool group = false;
	size_t n, name;

	for (n = 0; n < s.len && ((s.p[n] > ' ' && s.p[n] < 0x7f &&
	    s.p[n] != ':') || s.p[n] == TABLE_GROUP); n++)
		group |= s.p[n] == TABLE_GROUP;
	for (name = n; n < s.len && (s.p[n] == ' ' || s.p[n] == '\t'); n++)
		;
	return group || (name > 0 && n < s.len && s.p[n] == ':');
}

static const char *
check_line(enum entry_of of, struct slice text)
{
	if (text.len == 0 && of == OF_BODY)
		return "needs a text (try \"removed\")";
	if (of == OF_BODY || is_header(text))
		return NULL;
	return "needs \"NAME: value\" (try X-Checked: yes)";
}

/* NULL when the argument is good. */
static const char *
check_argument(enum argument argument, enum entry_of of, struct slice text)
{
	switch (argument) {
	case ADDRESS:
		return entry_is_address(text) ? NULL :
		    "needs user@domain (try postmaster@example.com)";
	case LINE:
		return check_line(of, text);
	case NONE:
	case TEXT:
		break;
	}
	return NULL;
}

/* Replies: postconf(5), access_map_reject_code and access_map_defer_code;
   smtpd(8) makes the class that of the code. */
static void
access_reply(struct table_entry *e, int code)
{
	e->code = code;
	take_enhanced(e);
	if (e->enhanced[0] != '\0')
		e->enhanced[0] = code >= 500 ? '5' : '4';
}

/* As cleanup(8) replies: the code follows from the class, and 2.x.x is no
   refusal but 4.x.x. */
static void
checks_reply(struct table_entry *e)
{
	take_enhanced(e);
	e->code = 550;
	if (e->enhanced[0] == '2')
		e->enhanced[0] = '4';
	if (e->enhanced[0] == '4') {
		e->kind = ENTRY_DEFER;
		e->code = 451;
	}
}

static void
take_reply(struct table_entry *e, enum entry_of of)
{
	switch (e->kind) {
	case ENTRY_REJECT:
		if (of == OF_ACCESS)
			access_reply(e, 554);
		else
			checks_reply(e);
		break;
	case ENTRY_DEFER:
	case ENTRY_DEFER_IF_REJECT:
	case ENTRY_DEFER_IF_PERMIT:
		access_reply(e, 450);
		break;
	default:
		break;
	}
}

/* 4NN text, 5NN text: a code alone is "all digits". */
static bool
is_code(struct slice word, struct slice rest)
{
	return word.len == 3 && is_digits(word) && rest.len > 0 &&
	    (word.p[0] == '4' || word.p[0] == '5');
}

/* Taken for REJECT by who wrote it; cleanup(8) warns, and passes it over. */
#define CODE_IGNORED	"does nothing, as in Postfix: header_checks(5) have " \
			"no codes (write REJECT 5.7.1 and the text)"

/* What is no word. */
static bool
take_number(struct table_entry *e, enum entry_of of, struct slice all,
    struct slice word, const char **warning)
{
	if (of != OF_ACCESS) {
		if (!is_code(word, e->text))
			return false;
		*warning = CODE_IGNORED;
		return true;
	}
	if (is_code(word, e->text)) {
		e->kind = word.p[0] == '5' ? ENTRY_REJECT : ENTRY_DEFER;
		access_reply(e, (word.p[0] - '0') * 100 +
		    (word.p[1] - '0') * 10 + (word.p[2] - '0'));
		return true;
	}
	e->kind = ENTRY_OK;
	return is_digits(all);
}

int
entry_parse_template(struct table_entry *e, enum entry_of of, const char *value,
    const char **why)
{
	struct slice all = skip_white(SLICE_STR(value)), word;
	size_t i;

	if (of == OF_ACCESS)
		all = trimmed(all);
	*e = (struct table_entry){ .kind = ENTRY_DUNNO };
	*why = NULL;
	word = first_word(all, &e->text);
	if (memchr(word.p, TABLE_GROUP, word.len) != NULL ||
	    take_number(e, of, all, word, why))
		return 0;
	for (i = 0; i < NWORDS; i++) {
		if ((words[i].of & 1u << of) == 0 ||
		    !slice_is_nocase(word, words[i].name))
			continue;
		e->kind = words[i].kind;
		take_reply(e, of);
		*why = check_argument(words[i].argument, of, e->text);
		return *why == NULL ? 0 : -1;
	}
	*why = why_no_action(of, word);
	return -1;
}

int
entry_parse(struct table_entry *e, enum entry_of of, const char *value,
    const char **why)
{
	if (strchr(value, TABLE_GROUP) == NULL)
		return entry_parse_template(e, of, value, why);
	*why = "has a control character in it (try text)";
	return -1;
}
