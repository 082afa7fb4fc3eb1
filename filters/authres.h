/*
 * authres - whose word is a field Authentication-Results (RFC 8601)?
 */
#ifndef FILTERS_AUTHRES_H
#define FILTERS_AUTHRES_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Is the authserv-id of this value (folded or not) id? Comments are skipped, a
 * quoted string is unquoted, case does not matter, and the version or whatever
 * else may follow it is not looked at. (RFC 8601 2.2, 5)
 */
bool authres_is_from(struct slice value, const char *id);

#endif
