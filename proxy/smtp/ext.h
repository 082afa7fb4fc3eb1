/*
 * ext - ESMTP keywords as a set: what a server offers in its EHLO reply, and
 * what we can offer because both sides can do it.
 */
#ifndef SMTP_EXT_H
#define SMTP_EXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "smtp/reply.h"

enum ext_id {
#define EXT(id, keyword, who)	EXT_##id,
#include "smtp/ext.def"
#undef EXT
	EXT_COUNT
};

#define EXT_BIT(id)	(1u << EXT_##id)

/* SASL mechanisms that survive a relay which ends TLS: no EXTERNAL, no GSSAPI,
   no channel binding (-PLUS). */
enum auth_mech {
	AUTH_PLAIN, AUTH_LOGIN, AUTH_XOAUTH2, AUTH_OAUTHBEARER,
	AUTH_SCRAM_SHA_1, AUTH_SCRAM_SHA_256, AUTH_SCRAM_SHA_512,
	AUTH_MECHS
};

/* Attributes of XCLIENT; the first seven of XFORWARD as well (plus IDENT and
   SOURCE, which we do not send). */
enum xattr {
	XATTR_NAME, XATTR_ADDR, XATTR_PORT, XATTR_PROTO, XATTR_HELO,
	XATTR_IDENT, XATTR_SOURCE, XATTR_LOGIN, XATTR_DESTADDR, XATTR_DESTPORT,
	XATTR_REVERSE_NAME,
	XATTRS
};

struct ext_set {
	unsigned	bits;			/* EXT_BIT() */
	unsigned	auth;			/* 1 << auth_mech */
	unsigned	xclient, xforward;	/* 1 << xattr */
	uint64_t	size;			/* SIZE; 0: none given */
	unsigned	rcptmax, mailmax, rcptdomainmax; /* LIMITS; 0: none */
	unsigned	deliverby_min;		/* seconds; 0: none given */
	char		mt_priority[16];	/* profile name; "" none */
};

static inline bool
ext_has(const struct ext_set *e, unsigned bits)
{
	return (e->bits & bits) == bits;
}

/*
 * Read an EHLO reply (code 250; the first line is the name). Keywords in any
 * case, "AUTH=PLAIN" of old servers as "AUTH PLAIN"; a keyword with a broken
 * parameter counts as not offered.
 */
void ext_parse(struct ext_set *e, const struct reply *ehlo);

/* What we offer ourselves, and what stands in the way, at this moment. */
struct ext_ours {
	uint64_t	size;		/* our own limit; 0: none */
	unsigned	rcptmax;	/* our own limit */
	bool		starttls;	/* offer it: available, not yet used */
	bool		tls;		/* the session is encrypted: REQUIRETLS */
	bool		auth;		/* AUTH may be shown here and now */
	unsigned	xclient;	/* attributes; 0: do not offer XCLIENT */
	bool		binary;		/* BODY=BINARYMIME may be offered */
};

/*
 * What a client gets: ours ∩ the backend's (NULL: the backend is unknown, so
 * only what needs no backend). SMTPUTF8 only together with 8BITMIME (RFC 6531
 * 3.1), BINARYMIME only when the backend has CHUNKING. SIZE is the smaller of
 * the two limits. LIMITS is the smaller of both, without MAILMAX (we count
 * transactions for no one).
 */
void ext_intersect(struct ext_set *out, const struct ext_ours *ours,
    const struct ext_set *backend);

/* Append ours as lines "\nKEYWORD params" behind hostname in r (code 250). */
void ext_format(const struct ext_set *e, const char *hostname,
    struct reply *r);

/* "PLAIN", … The index, or -1 for a mechanism that cannot be relayed. */
int auth_mech_find(struct slice name);
const char *auth_mech_name(enum auth_mech m);
int xattr_find(struct slice name);
const char *xattr_name(enum xattr a);

#endif
