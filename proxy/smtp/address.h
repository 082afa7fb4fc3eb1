/*
 * address - mailboxes and paths of RFC 5321 sections 4.1.2 and 4.1.3, with
 * the international forms of RFC 6531 section 3.3.
 *
 * Strict: what the grammar does not produce is refused. The result is our own
 * serialisation, and the backend gets that and never the client's octets: a
 * filter and the backend cannot read an address differently.
 *	- a quoted local part that needs no quotes loses them, and inside quotes
 *	  only what must be quoted has a backslash;
 *	- a source route is read and dropped (RFC 5321 appendix C);
 *	- the case of the local part and of the domain is kept;
 *	- an international label is written as its U-label (RFC 5890), so that
 *	  what UTS #46 maps is mapped before anyone else looks at it; a label
 *	  that came as an A-label ("xn--") is checked and stays one;
 *	- an IPv4 literal is written without leading zeros, an IPv6 literal as
 *	  the client wrote it, after a check.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define ADDRESS_ROOM	1024	/* no limit below may exceed this */

/* RFC 5321 4.5.3.1.1 to .3, in octets; the settings of the same names; and
   what else is taken that the grammar has not. */
struct address_limits {
	size_t	local_part;	/* 64 */
	size_t	domain;		/* 255 */
	size_t	path;		/* 256, with "<" and ">" */
	bool	odd_dots;	/* take a..b@c for "a..b"@c */
};

struct address {
	char	text[ADDRESS_ROOM];	/* canonical, without <>: "" for the
					   null sender, "Postmaster" for the
					   one without a domain */
	size_t	len;
	size_t	local_len;		/* octets of the local part in text,
					   quotes included */
	bool	literal;		/* the domain is an address literal */
	bool	utf8;			/* needs SMTPUTF8: there was UTF-8 in
					   what the client sent */
};

/* The domain, or "" when there is none. Points into a. */
const char *address_domain(const struct address *a);
/* Local part "postmaster" in any case, with any domain or none. */
bool address_is_postmaster(const struct address *a);
/*
 * The local part without quotes and backslashes, for tables and rules.
 * Returns out, which has room for ADDRESS_ROOM octets.
 */
char *address_local(const struct address *a, char *out);
/*
 * The domain in ASCII (A-labels, lower case), through libidn2; a literal as it
 * is; "" when there is none. Returns out (ADDRESS_ROOM), or NULL when it is no
 * valid domain, which does not happen to an address that was parsed here.
 */
char *address_ascii_domain(const struct address *a, char *out);

enum path_kind {
	PATH_REVERSE,		/* MAIL: "<>" allowed, bare postmaster not */
	PATH_FORWARD		/* RCPT: "<Postmaster>" allowed, "<>" not */
};

/*
 * Parse the path at the start of p[0..len): "<" [ A-d-l ":" ] Mailbox ">",
 * and behind it a space or nothing. On success 0, *used is its length with the
 * ">" and a is complete. Otherwise -1, a is empty, *used is about where the
 * trouble is, and *why is static text that fits behind "501 5.1.3 ": "domain
 * label starts with a hyphen". utf8_ok: SMTPUTF8 was given (MAIL: is a
 * parameter that comes behind the path, so pass true there and look at
 * a->utf8). UTF-8 must be valid, without controls, and U-labels and A-labels
 * must pass libidn2 (IDNA 2008, UTS #46 non-transitional). Control characters
 * and NUL never pass.
 */
int address_parse_path(struct address *a, enum path_kind kind, const char *p,
    size_t len, bool utf8_ok, const struct address_limits *limits,
    size_t *used, const char **why);

/* A Mailbox alone, without <>, all of p[0..len): for tables and settings.
   UTF-8 is welcome. */
int address_parse_mailbox(struct address *a, const char *p, size_t len,
    const struct address_limits *limits, const char **why);

/*
 * The argument of EHLO/HELO: Domain or address-literal (4.1.1.1). Lenient as
 * servers must be (4.1.4: never refused for its content): true when it holds
 * only printable ASCII without space and <>()" and has between 1 and 255
 * octets. No UTF-8: whether the message may have any is not known yet, and RFC
 * 6531 3.7.1 wants A-labels here.
 */
bool helo_is_safe(const char *p, size_t len);

#endif
