/*
 * addrlist - mail addresses in From, To, Cc, Reply-To and the like (RFC 5322
 * section 3.4), as mail clients read them.
 *
 * Groups, comments, quotes, source routes and the obsolete spaces are
 * understood. What is wrong is read as far as it goes: an angle bracket
 * without its other half, two addresses without a comma.
 */
#ifndef FILTERS_ADDRLIST_H
#define FILTERS_ADDRLIST_H

#include "base/buf.h"

#define ADDRLIST_ADDRESS_MAX	1000	/* octets; a longer one is none */

/*
 * Call fn for each address of an unfolded value: LOCAL@DOMAIN without spaces
 * and comments; a local part in quotes keeps them. The slice dies when fn
 * returns.
 */
void addrlist_parse(struct slice value,
    void (*fn)(void *arg, struct slice address), void *arg);

#endif
