/*
 * proxyhdr - the PROXY protocol, versions 1 and 2, both ways.
 *
 * Source: "The PROXY protocol", HAProxy doc/proxy-protocol.txt (2.1 text,
 * 2.2 binary, 2.2.3 CRC32C, 2.2.6 SSL). Pure: octets in, struct out.
 */
#ifndef BASE_PROXYHDR_H
#define BASE_PROXYHDR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/net.h"

#define PROXYHDR_MAX	4096	/* a longer version 2 header is PROXYHDR_BAD */

enum proxyhdr_status {
	PROXYHDR_MORE,		/* a prefix of a header; read on */
	PROXYHDR_DONE,
	PROXYHDR_BAD		/* no header, or a broken one: *why says */
};

struct proxyhdr {
	bool		local;		/* v2 LOCAL, v1/v2 UNKNOWN/UNSPEC: keep
					   the addresses of the connection */
	struct netaddr	src, dst;	/* unless local; AF_UNIX is possible,
					   and has no path */
};

/*
 * Parse the header at the start of what a connection sent. On DONE *used is
 * its length. *why is static text. A v2 header with a CRC32C TLV is verified;
 * unknown commands and families, and datagrams, are BAD; TLVs are checked for
 * their lengths and otherwise ignored. Call it again with more, from the start,
 * after MORE.
 */
enum proxyhdr_status proxyhdr_parse(struct proxyhdr *h, const char *p,
    size_t len, size_t *used, const char **why);

/* What TLS the client used, for the SSL TLV of version 2. */
struct proxyhdr_tls {
	const char	*version;	/* "TLSv1.3"; NULL: no TLS, no TLV */
	const char	*cipher;
};

/*
 * Append a header for src → dst to out. version is 1 or 2; tls may be NULL and
 * is used by 2 only. Families that differ or are not IP: UNKNOWN (v1),
 * UNSPEC (v2).
 */
void proxyhdr_format(struct buf *out, int version, const struct netaddr *src,
    const struct netaddr *dst, const struct proxyhdr_tls *tls);

#endif
