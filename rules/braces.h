/*
 * braces - lists in the names of tables: inline:{ a=1, {b = two words} }.
 *
 * Postfix writes lists within braces. Items are separated by white space and
 * commas, and what is within braces is one item, whatever it holds.
 */
#ifndef RULES_BRACES_H
#define RULES_BRACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* ASCII, whatever the locale says. */
bool is_white(char c);
bool is_alnum(char c);
/* Without the white space at both ends. */
struct slice trim(struct slice s);

/*
 * Is all of it one pair of braces? Then *inside is what they hold, without
 * white space at its ends. The braces within need not be balanced beyond the
 * first that closes the first one.
 */
bool braces_open(struct slice s, struct slice *inside);

/*
 * Cut the next item off *rest. False when there is none. An item that starts
 * with a brace that is never closed goes to the end.
 */
bool braces_next(struct slice *rest, struct slice *item);

#endif
