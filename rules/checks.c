/*
 * checks - the right side of header_checks(5) and body_checks(5) tables.
 */

#include "rules/checks.h"

#include <string.h>

#include "rules/access.h"

enum argument { NONE, TEXT, ADDRESS, LINE, FILTER };

static const struct {
	const char	*name;
	enum checks_kind kind;
	enum argument	 argument;
} words[] = {
	{ "DUNNO",	CHECKS_DUNNO,	NONE },
	{ "OK",		CHECKS_DUNNO,	NONE },
	{ "REJECT",	CHECKS_REJECT,	TEXT },
	{ "DISCARD",	CHECKS_DISCARD,	TEXT },
	{ "FILTER",	CHECKS_FILTER,	FILTER },
	{ "HOLD",	CHECKS_HOLD,	TEXT },
	{ "IGNORE",	CHECKS_IGNORE,	NONE },
	{ "STRIP",	CHECKS_STRIP,	TEXT },
	{ "INFO",	CHECKS_INFO,	TEXT },
	{ "WARN",	CHECKS_WARN,	TEXT },
	{ "PASS",	CHECKS_PASS,	TEXT },
	{ "PREPEND",	CHECKS_PREPEND,	LINE },
	{ "REDIRECT",	CHECKS_REDIRECT, ADDRESS },
	{ "BCC",	CHECKS_BCC,	ADDRESS },
	{ "REPLACE",	CHECKS_REPLACE,	LINE },
};

#define NWORDS	(sizeof(words) / sizeof(words[0]))

static bool
is_white(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice
skip_white(struct slice s)
{
	while (s.len > 0 && is_white(s.p[0]))
		s = SLICE(s.p + 1, s.len - 1);
	return s;
}

static bool
is_header(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] > ' ' && s.p[n] < 0x7f && s.p[n] != ':')
		n++;
	return n > 0 && n < s.len && s.p[n] == ':';
}

static bool
is_address(struct slice s)
{
	const char *sign = s.len > 0 ? memrchr(s.p, '@', s.len) : NULL;
	size_t i;

	for (i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] <= ' ')
			return false;
	return sign != NULL && sign > s.p && sign < s.p + s.len - 1;
}

/* NULL when the argument is good. */
static const char *
check_argument(enum argument argument, struct slice text, bool header)
{
	switch (argument) {
	case ADDRESS:
		return is_address(text) ? NULL : "needs user@domain";
	case LINE:
		if (text.len == 0)
			return "needs a text";
		return !header || is_header(text) ? NULL :
		    "needs \"NAME: value\"";
	case FILTER:
		return text.len > 1 && memchr(text.p, ':', text.len) != NULL ?
		    NULL : "needs transport:destination";
	case NONE:
	case TEXT:
		break;
	}
	return NULL;
}

/* As cleanup(8) replies: 550 5.7.1, or 4NN when the text starts with 4.x.x. */
static void
take_reply(struct checks_action *a)
{
	enhanced_parse(&a->text, 0, a->enhanced);
	if (a->enhanced[0] == '2')
		a->enhanced[0] = '5';
	a->code = a->enhanced[0] == '4' ? 450 : 550;
}

int
checks_parse(struct checks_action *a, const char *value, bool header,
    const char **why)
{
	struct slice s = skip_white(SLICE_STR(value)), word;
	size_t n = 0, i;

	while (n < s.len && !is_white(s.p[n]))
		n++;
	word = SLICE(s.p, n);
	*a = (struct checks_action){
	    .text = skip_white(SLICE(s.p + n, s.len - n)) };
	for (i = 0; i < NWORDS; i++) {
		if (!slice_is_nocase(word, words[i].name))
			continue;
		a->kind = words[i].kind;
		if (a->kind == CHECKS_REJECT)
			take_reply(a);
		*why = check_argument(words[i].argument, a->text, header);
		return *why == NULL ? 0 : -1;
	}
	*why = s.len == 0 ? "is empty" : "is no action of header_checks(5)";
	return -1;
}
