/*
 * packed - names of the files in an archive: zip, 7z, rar, cab, tar, ISO
 * images and more, and what gzip and its like make of one file.
 *
 * An archive is content from a stranger and made to cost: the limits below are
 * for all archives of a message together, and what is past them is a fact and
 * no more work. Nothing is written anywhere, and no other program is run.
 */
#ifndef FILTERS_PACKED_H
#define FILTERS_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define PACKED_DEPTH_MAX	3	/* archives in archives */
#define PACKED_FILES_MAX	1000	/* all together */
#define PACKED_OCTETS_MAX	((size_t)16 << 20)	/* unpacked to find
							   them; what is slow
							   to unpack counts … */
#define PACKED_SLOW		4	/* … as so many */
#define PACKED_LOOK		((size_t)33 << 10)	/* octets that tell */

enum packed_fact {
	PACKED_ENCRYPTED	= 1 << 0,
	PACKED_BROKEN		= 1 << 1,	/* or not understood */
	PACKED_TOO_DEEP		= 1 << 2,
	PACKED_TOO_BIG		= 1 << 3	/* not all of it was seen */
};

/* What the archives of one message have cost so far; zeros at first. */
struct packed_cost {
	unsigned	 nfiles;
	size_t		 noctets;
};

/* Does it begin as an archive does? PACKED_LOOK octets are enough to say. */
bool packed_is(const char *p, size_t len);
/* Is it the name of one? */
bool packed_has_name(struct slice name);

/*
 * Call fn for the name of each file in it, folders included, as it stands
 * there; the name dies when fn returns. Adds to *cost, and stops when that is
 * at its limit. Returns facts, as bits.
 */
unsigned packed_names(const char *p, size_t len, struct packed_cost *cost,
    void (*fn)(void *arg, struct slice name), void *arg);

#endif
