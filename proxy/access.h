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

#include "rules/table.h"
#include "smtp/address.h"

struct conf;
struct keys;

/* Why not. */
struct access_refusal {
	char		 reply[ADDRESS_ROOM + 128];	/* "550 5.1.1 …" */
	const char	*by;		/* the setting that refused */
};

enum access {
	ACCESS_YES,
	ACCESS_NO,		/* there is a refusal */
	ACCESS_ASK		/* recipients is a remote table: look the keys
				   up in it, and then access_found() */
};

/*
 * May this recipient be forwarded? authenticated: the client logged in; then
 * the rest of the world is open to it. keys is for ACCESS_ASK (rules/keys.h).
 */
enum access access_rcpt(const struct conf *c, const struct address *to,
    bool authenticated, struct keys *keys, struct access_refusal *why);
/* The same when the table has answered; never ACCESS_ASK. */
enum access access_found(const struct address *to, enum table_result r,
    struct access_refusal *why);

#endif
