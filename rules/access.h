/*
 * access - the right side of an access(5) table: what Postfix does with it,
 * for a proxy.
 *
 * Pure: text in, struct out. Names of actions are taken in any case.
 */
#ifndef RULES_ACCESS_H
#define RULES_ACCESS_H

#include "base/buf.h"

enum access_kind {
	ACCESS_DUNNO,		/* as if the key were not there */
	ACCESS_OK,		/* OK, RELAY, all digits */
	ACCESS_REJECT,		/* REJECT, 5NN */
	ACCESS_DEFER,		/* DEFER, 4NN */
	ACCESS_DEFER_IF_REJECT,	/* 4NN if a later rule rejects */
	ACCESS_DEFER_IF_PERMIT,	/* 4NN if no later rule rejects */
	ACCESS_DISCARD,
	ACCESS_HOLD,
	ACCESS_PREPEND,		/* text is "NAME: value" */
	ACCESS_REDIRECT,	/* text is an address */
	ACCESS_BCC,		/* text is an address */
	ACCESS_FILTER,		/* text is "transport:destination" */
	ACCESS_INFO,
	ACCESS_WARN
};

struct access_action {
	enum access_kind	kind;
	int			code;		/* of a reply, 0: the default */
	char			enhanced[12];	/* "5.7.1", or "" */
	struct slice		text;		/* in value; may be empty */
};

/*
 * Parse value. 0; -1 with *why (static) when it is nothing a proxy can do: the
 * name of a Postfix restriction, an unknown word, a wrong argument.
 */
int access_parse(struct access_action *a, const char *value,
    const char **why);

/*
 * "5.7.1 text" (RFC 3463) → enhanced, and text without it. The class must be
 * that of class ('4', '5', or 0 for any): another one is corrected to it, as
 * Postfix does. No enhanced code: enhanced is "".
 */
void enhanced_parse(struct slice *text, char class, char enhanced[12]);

#endif
