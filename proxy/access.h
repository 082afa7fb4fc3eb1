/*
 * access - who may send to whom: relay-domains and recipients.
 *
 * relay-domains are the domains this proxy takes mail for from anybody; where
 * it is not set, the backend decides, knowing who the client is. A local part
 * that names a domain of its own (user%far@ours) is not in them. recipients is
 * the list of addresses there are in those domains. postmaster passes both
 * wherever the domain is ours (RFC 5321 4.5.1); senders are not looked at, so
 * the null sender passes (4.5.5).
 */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "smtp/address.h"

struct conf;

/*
 * May this recipient be forwarded? Returns NULL, or the reply ("550 5.1.1 …";
 * in out, which has room for outlen octets), and in *by the setting that
 * refused. authenticated: the client logged in; then the rest of the world is
 * open to it.
 */
const char *access_rcpt(const struct conf *c, const struct address *to,
    bool authenticated, char *out, size_t outlen, const char **by);

#endif
