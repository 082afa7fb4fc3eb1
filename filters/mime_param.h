/*
 * mime_param - values of Content-Type and Content-Disposition: the type and
 * its parameters (RFC 2045 section 5.1, RFC 2183, RFC 2231), as they come.
 *
 * Parameters are read as mail clients read them: encoded words in quotes,
 * spaces without quotes, quotes without an end, comments, raw 8 bit. Where
 * clients differ about a file name (name= or filename=, with or without the
 * "*" of RFC 2231, the first or the last), each of them is a name.
 *
 * Values are unfolded. All results are UTF-8.
 */
#ifndef FILTERS_MIME_PARAM_H
#define FILTERS_MIME_PARAM_H

#include <stdbool.h>

#include "base/buf.h"

#define MIME_NAME_MAX	1024	/* octets of a file name */

/* The first word, in lower case: "text/plain", "attachment". */
void mime_word(struct slice value, struct buf *out);

/* The first parameter called name. False: there is none. */
bool mime_param(struct slice value, const char *name, struct buf *out);

/*
 * Call fn for each file name that the parameters called name make. In it,
 * control characters are "?"; spaces and dots at its end, which Windows drops,
 * are dropped, and what follows a NUL makes a name of its own. Path separators
 * stay. It is never empty, and dies when fn returns.
 */
void mime_names(struct slice value, const char *name,
    void (*fn)(void *arg, struct slice file), void *arg);

/* The same for a name that is not from a parameter, such as one inside of an
   archive. */
void mime_name(struct slice raw, void (*fn)(void *arg, struct slice file),
    void *arg);

#endif
