/*
 * checks - the right side of header_checks(5) and body_checks(5) tables.
 *
 * Pure: text in, struct out. Names of actions are taken in any case.
 */
#ifndef RULES_CHECKS_H
#define RULES_CHECKS_H

#include <stdbool.h>

#include "base/buf.h"

enum checks_kind {
	CHECKS_DUNNO,		/* and OK, as in Postfix */
	CHECKS_REJECT,
	CHECKS_DISCARD,
	CHECKS_FILTER,		/* text is "transport:destination" */
	CHECKS_HOLD,
	CHECKS_IGNORE,		/* delete the line, silently */
	CHECKS_STRIP,		/* … and log it */
	CHECKS_INFO,
	CHECKS_WARN,
	CHECKS_PASS,		/* no more checks for this message */
	CHECKS_PREPEND,		/* text goes in front of the line */
	CHECKS_REDIRECT,	/* text is an address */
	CHECKS_BCC,		/* text is an address */
	CHECKS_REPLACE		/* text takes the place of the line */
};

struct checks_action {
	enum checks_kind	kind;
	int			code;		/* REJECT 550, unless 4.x.x */
	char			enhanced[12];	/* "5.7.1", or "" */
	struct slice		text;		/* in value; may be empty */
};

/*
 * Parse value. header: the line is a header field, so PREPEND and REPLACE need
 * "NAME: value". 0; -1 with *why (static).
 */
int checks_parse(struct checks_action *a, const char *value, bool header,
    const char **why);

#endif
