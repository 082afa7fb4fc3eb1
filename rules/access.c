/*
 * access - the right side of an access(5) table.
 *
 * Postfix also takes names of restrictions there ("permit_mynetworks") and of
 * restriction classes. Those are Postfix's own program; taking them for DUNNO
 * would let in what the table was made to keep out, so they are errors.
 */

#include "rules/access.h"

#include <ctype.h>
#include <string.h>

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
trimmed(struct slice s)
{
	while (s.len > 0 && is_white(s.p[0]))
		s = SLICE(s.p + 1, s.len - 1);
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
	*rest = trimmed(SLICE(s.p + n, s.len - n));
	return SLICE(s.p, n);
}

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

void
enhanced_parse(struct slice *text, char class, char enhanced[12])
{
	size_t n = enhanced_length(*text);

	enhanced[0] = '\0';
	if (n == 0 || (n < text->len && !is_white(text->p[n])))
		return;
	memcpy(enhanced, text->p, n);
	enhanced[n] = '\0';
	if (class != 0)
		enhanced[0] = class;
	*text = trimmed(SLICE(text->p + n, text->len - n));
}

enum argument { NONE, TEXT, ADDRESS, HEADER, FILTER };

static const struct {
	const char	*name;
	enum access_kind kind;
	enum argument	 argument;
} words[] = {
	{ "OK",			ACCESS_OK,		NONE },
	{ "RELAY",		ACCESS_OK,		NONE },
	{ "DUNNO",		ACCESS_DUNNO,		NONE },
	{ "REJECT",		ACCESS_REJECT,		TEXT },
	{ "DEFER",		ACCESS_DEFER,		TEXT },
	{ "DEFER_IF_REJECT",	ACCESS_DEFER_IF_REJECT,	TEXT },
	{ "DEFER_IF_PERMIT",	ACCESS_DEFER_IF_PERMIT,	TEXT },
	{ "DISCARD",		ACCESS_DISCARD,		TEXT },
	{ "HOLD",		ACCESS_HOLD,		TEXT },
	{ "INFO",		ACCESS_INFO,		TEXT },
	{ "WARN",		ACCESS_WARN,		TEXT },
	{ "PREPEND",		ACCESS_PREPEND,		HEADER },
	{ "REDIRECT",		ACCESS_REDIRECT,	ADDRESS },
	{ "BCC",		ACCESS_BCC,		ADDRESS },
	{ "FILTER",		ACCESS_FILTER,		FILTER },
};

#define NWORDS	(sizeof(words) / sizeof(words[0]))

static char
reply_class(enum access_kind kind)
{
	switch (kind) {
	case ACCESS_REJECT:
		return '5';
	case ACCESS_DEFER:
	case ACCESS_DEFER_IF_REJECT:
	case ACCESS_DEFER_IF_PERMIT:
		return '4';
	default:
		return 0;
	}
}

static bool
is_address(struct slice s)
{
	const char *sign = s.len > 0 ? memrchr(s.p, '@', s.len) : NULL;
	size_t i;

	for (i = 0; i < s.len; i++)
		if (is_white(s.p[i]) || (unsigned char)s.p[i] < 0x20)
			return false;
	return sign != NULL && sign > s.p && sign < s.p + s.len - 1;
}

static bool
is_header(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] > ' ' && s.p[n] < 0x7f && s.p[n] != ':')
		n++;
	return n > 0 && n < s.len && s.p[n] == ':';
}

/* NULL when the argument is good. */
static const char *
check_argument(enum argument argument, struct slice text)
{
	switch (argument) {
	case ADDRESS:
		return is_address(text) ? NULL : "needs user@domain";
	case HEADER:
		return is_header(text) ? NULL : "needs \"NAME: value\"";
	case FILTER:
		return text.len > 1 && memchr(text.p, ':', text.len) != NULL ?
		    NULL : "needs transport:destination";
	case NONE:
	case TEXT:
		break;
	}
	return NULL;
}

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

/* 4NN text, 5NN text: a code alone is "all digits". */
static bool
is_code(struct slice word, struct slice rest)
{
	return word.len == 3 && is_digits(word) && rest.len > 0 &&
	    (word.p[0] == '4' || word.p[0] == '5');
}

static void
take_code(struct access_action *a, struct slice word, struct slice rest)
{
	a->kind = word.p[0] == '5' ? ACCESS_REJECT : ACCESS_DEFER;
	a->code = (word.p[0] - '0') * 100 + (word.p[1] - '0') * 10 +
	    (word.p[2] - '0');
	a->text = rest;
	enhanced_parse(&a->text, word.p[0], a->enhanced);
}

int
access_parse(struct access_action *a, const char *value, const char **why)
{
	struct slice all = trimmed(SLICE_STR(value)), rest, word;
	size_t i;

	*a = (struct access_action){ .text = SLICE("", 0) };
	word = first_word(all, &rest);
	if (is_code(word, rest)) {
		take_code(a, word, rest);
		return 0;
	}
	if (is_digits(all)) {
		a->kind = ACCESS_OK;
		return 0;
	}
	for (i = 0; i < NWORDS; i++) {
		if (!slice_is_nocase(word, words[i].name))
			continue;
		a->kind = words[i].kind;
		a->text = rest;
		if (reply_class(a->kind) != 0)
			enhanced_parse(&a->text, reply_class(a->kind),
			    a->enhanced);
		*why = check_argument(words[i].argument, rest);
		return *why == NULL ? 0 : -1;
	}
	*why = all.len == 0 ? "is empty" : is_restriction(word) ?
	    "is a restriction of Postfix, which only Postfix can apply" :
	    "is no action of access(5)";
	return -1;
}
