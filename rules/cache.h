/*
 * cache - what takes long to compile, kept in files.
 *
 * A file is named by a hash of all that its content was made of, so it is never
 * wrong, only unused; any of them may be deleted at any time. The directory is
 * root's or ours, and nobody else can write there: what is in it is not looked
 * at as something hostile. A file that is damaged, or another one under this
 * name, is not used.
 */
#ifndef RULES_CACHE_H
#define RULES_CACHE_H

#include <stdbool.h>

#include "base/buf.h"

#define CACHE_KEY	32		/* octets: SHA-256 */
#define CACHE_FILE_MAX	((size_t)256 << 20)

#define CACHE_DAYS	14		/* unused: then it is deleted */

/* From now on files are there; NULL, as at first: nowhere. The name is borrowed
   until the next call. When the directory cannot be used, that is logged, and
   nothing is kept. A call after something was put deletes what is old there. */
void cache_at(const char *directory);

/* The content that was put under this key; out is reset before. False: there
   is none, or none that can be used; the latter is logged. */
bool cache_get(const unsigned char key[CACHE_KEY], struct buf *out);
/* Keep it, readable by ourselves only. What goes wrong is logged. */
void cache_put(const unsigned char key[CACHE_KEY], struct slice content);

#endif
