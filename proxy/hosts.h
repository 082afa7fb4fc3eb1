/*
 * hosts - the names that /etc/hosts gives to addresses (hosts(5)).
 *
 * Only this direction, because it is the one a mail server asks: Postfix
 * finds a client's name with getnameinfo(3), which looks here before DNS. The
 * file is read once, at start; it is root's, so it is not hostile, but it may
 * be large (lists of blocked names) and it may be wrong.
 */
#ifndef PROXY_HOSTS_H
#define PROXY_HOSTS_H

#include "base/net.h"

struct hosts;

/* A line that makes no sense is skipped, an unreadable file is an empty one. */
struct hosts *hosts_load(const char *path);
void hosts_free(struct hosts **h);

/*
 * The first name on the first line for this address, in lower case, or NULL. A
 * name that is no host name (host_name_canonical()) is not taken from the
 * file.
 */
const char *hosts_name(const struct hosts *h, const struct netaddr *addr);

#define HOST_NAME_MAX_OCTETS	255

/*
 * Copy p[0..len) to out in lower case, without a final dot. 0, or -1 if it is
 * not fit to be the name of a client: labels of 1 to 63 letters, digits,
 * hyphens and underscores, no hyphen at the ends of one (RFC 1123 section
 * 2.1), and the last label no number, so that no name reads like an address.
 */
int host_name_canonical(char out[HOST_NAME_MAX_OCTETS + 1], const char *p,
    size_t len);

#endif
