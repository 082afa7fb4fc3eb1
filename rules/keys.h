/*
 * keys - the order in which Postfix looks up the parts of a thing.
 *
 * A table of fixed strings is asked for a whole address first, then for its
 * parts. A table of patterns, and a remote one, is asked for the whole only:
 * the first key of each list is the whole. What a part is depends on what the
 * table is for, so there is one function for each use.
 */
#ifndef RULES_KEYS_H
#define RULES_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct keys {
	struct buf	text;	/* NUL-terminated, one behind the other */
};

void keys_init(struct keys *k);
void keys_fini(struct keys *k);

/* Just this one. */
void keys_one(struct keys *k, const char *key, size_t len);

/*
 * Recipients (relay_recipient_maps in postconf(5)): user+ext@domain,
 * user@domain, @domain. local has no quotes; what needs them gets them, as
 * addresses are written into tables. delimiter is a set of characters ("+-"),
 * "" or NULL for none.
 */
void keys_recipient(struct keys *k, const char *local, const char *domain,
    const char *delimiter);

/*
 * access(5), an address: user+ext@domain, user@domain, domain and its parents,
 * user+ext@, user@. parents_match: parent_domain_matches_subdomains holds
 * smtpd_access_maps, Postfix's default: the parents of a.b.c are b.c and c;
 * otherwise they are .b.c and .c.
 */
void keys_access_address(struct keys *k, const char *local,
    const char *domain, const char *delimiter, bool parents_match);
/* access(5), the name of a host: it and its parents. */
void keys_access_host(struct keys *k, const char *name, bool parents_match);
/* access(5), an address: 192.0.2.1, 192.0.2, 192.0, 192; 2001:db8::1, … */
void keys_access_ip(struct keys *k, const char *ip);

/* The first key when *at is 0, then the next; NULL after the last. */
const char *keys_next(const struct keys *k, size_t *at);

#endif
