/*
 * entry - the right side of a table of Postfix: access(5), header_checks(5),
 * body_checks(5).
 *
 * Pure: text in, struct out. Names of actions are taken in any case. What only
 * Postfix can do (FILTER, restrictions and their classes) is a mistake: taking
 * it for DUNNO would let in what the table was made to keep out.
 */
#ifndef RULES_ENTRY_H
#define RULES_ENTRY_H

#include "base/buf.h"

/* Whose right side it is. */
enum entry_of { OF_ACCESS, OF_HEADER, OF_BODY };

enum entry_kind {
	ENTRY_DUNNO,		/* as if the key were not there; checks: OK */
	ENTRY_OK,		/* access: OK, RELAY, all digits */
	ENTRY_REJECT,		/* REJECT; access: 5NN, too */
	ENTRY_DEFER,		/* DEFER, 4NN; checks: REJECT 4.x.x */
	ENTRY_DEFER_IF_REJECT,	/* if a later rule rejects */
	ENTRY_DEFER_IF_PERMIT,	/* if no later rule rejects */
	ENTRY_DISCARD,
	ENTRY_HOLD,
	ENTRY_PREPEND,		/* text is "NAME: value"; body: a line */
	ENTRY_REDIRECT,		/* text is an address */
	ENTRY_BCC,		/* text is an address */
	ENTRY_INFO,
	ENTRY_WARN,
	/* Checks only: */
	ENTRY_IGNORE,		/* delete the line, silently */
	ENTRY_STRIP,		/* … and log it */
	ENTRY_PASS,		/* no more checks for this message */
	ENTRY_REPLACE		/* text takes the place of the line */
};

struct table_entry {
	enum entry_kind	kind;
	int		code;		/* of a reply */
	char		enhanced[12];	/* "5.7.1", or "": the default */
	struct slice	text;		/* in value; may be empty */
};

/*
 * Parse value. -1 with *why (static; what is wrong, and in parentheses what
 * would be right: "needs user@domain (try …)") when it is nothing that a proxy
 * can do. 0, with *why NULL, or a warning of the same form: the entry does
 * nothing, and neither does it in Postfix.
 */
int entry_parse(struct table_entry *e, enum entry_of of, const char *value,
    const char **why);

/*
 * The same for a value with TABLE_GROUP in it (table.h): what depends on that
 * is good. When the action itself does, it is DUNNO.
 */
int entry_parse_template(struct table_entry *e, enum entry_of of, const char *value,
    const char **why);

/* Might it be a mail address? One with TABLE_GROUP in it might. */
bool entry_is_address(struct slice s);

/*
 * access(5), ENHANCED STATUS CODES: a table may be about senders, recipients
 * or neither, and an address status (x.1.x) becomes that of the address which
 * was looked up, as smtpd(8) does it.
 */
enum entry_subject { ABOUT_CLIENT, ABOUT_SENDER, ABOUT_RECIPIENT };
void entry_fix_enhanced(char enhanced[12], enum entry_subject about);

#endif
