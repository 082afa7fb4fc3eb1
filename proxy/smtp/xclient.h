/*
 * xclient - the XCLIENT command of Postfix (XCLIENT_README), both ways, and
 * XFORWARD (XFORWARD_README), sending only.
 *
 * What we send carries text that strangers chose (a PTR name, a HELO name), so
 * every value is xtext and is checked before: nothing a client can name may
 * become a command to the backend (nginx CVE-2026-28753).
 */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/net.h"
#include "smtp/ext.h"

#define XCLIENT_VALUE_MAX	255	/* octets of a value, encoded */
#define XCLIENT_LINE_MAX	512	/* a command line with CR LF */

/* Who the client is. A NULL string or a family of 0 is "not known". */
struct xclient {
	struct netaddr	 addr;		/* with its port */
	struct netaddr	 dest;		/* our side of the connection */
	const char	*name;		/* PTR, forward-confirmed */
	bool		 name_tempfail;	/* name is NULL because DNS failed */
	const char	*reverse_name;	/* PTR, not confirmed */
	const char	*helo;
	const char	*proto;		/* "SMTP" or "ESMTP" */
	const char	*login;		/* SASL user; NULL: none */
};

/*
 * Append the command lines, CR LF included, that tell a backend which offers
 * the attributes in offered (1 << xattr; ext_set.xclient or .xforward) who the
 * client is. verb is "XCLIENT" or "XFORWARD". Attributes not offered are not
 * sent. Several lines if one would be too long, each a complete command, ADDR
 * in the last one, and LOGIN with it. An unknown name is [UNAVAILABLE] or
 * [TEMPUNAVAIL]; one that holds anything but letters, digits, ".", "-", "_",
 * that has only digits and dots, or that is too long, is [UNAVAILABLE], and so
 * is any other value that is not known or not fit to be sent, but PROTO, which
 * is left out. IPv6 addresses have the prefix "IPV6:". LOGIN goes only by
 * XCLIENT. Returns the number of lines; 0 if nothing is offered.
 */
int xclient_format(struct buf *out, const char *verb, unsigned offered,
    const struct xclient *x);

/*
 * Parse the argument of an XCLIENT we were sent by a trusted peer and change
 * what it names in *x. Afterwards all strings of *x, named or not, are in
 * store, whose former content is gone; the caller keeps it as long as *x.
 * [UNAVAILABLE] and [TEMPUNAVAIL] clear a value. 0, or -1 with *why: an unknown
 * or repeated attribute, bad xtext, a bad address or port, a name with odd
 * characters, more than store's limit. *x and store are unchanged on failure.
 */
int xclient_parse(struct xclient *x, struct slice arg, struct buf *store,
    const char **why);

#endif
