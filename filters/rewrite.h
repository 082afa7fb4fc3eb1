/*
 * rewrite - the one writer of changed headers: the octets of a header and a
 * list of edits become the octets of the new header.
 *
 * A field that nobody changes keeps its octets, or signatures (DKIM) would
 * break. What is new is written canonically: lines end in CR LF, none is longer
 * than 998 octets, none but the first of a field begins without a space, and
 * there are no controls in it. (EDIT_REPLACE_OCTETS is the exception: what it
 * brings is written as it is.) Where the header ends is what filters/header.h
 * says; a message that goes from one to the other without an empty line gets
 * one, so that what is added is not taken for body, nor body for header.
 *
 * How fields are counted. A filter has seen the header as it is before all these
 * edits, and so its numbers are about that, changed by what the same filter has
 * asked for before; what other filters wanted meanwhile does not move them. Of
 * what two filters want of one field the later wins. To delete all of a name is to delete those
 * of other filters as well. A place to insert counts one more field on top, our
 * Received, whether it is written or not: 0 is above it, 1 below it, 2 below the
 * first field that came (as Postfix has it for milters). Past the end is at the
 * end. Of several at one place the last is the highest.
 *
 * Values (RFC 5322, 6532, 2047). Lines that are folded stay so; a line that
 * begins without a space gets a tab, one of spaces only is left out. Controls
 * become "?", a CR alone becomes a space. Octets above 127 are written as they
 * are in a message with SMTPUTF8, if they are UTF-8; otherwise the words from
 * the first to the last that has one become encoded words, of charset
 * unknown-8bit (RFC 1428) when they are not UTF-8. A value that begins with a
 * space is put behind the colon as it is, any other gets one, unless the edit is
 * tight.
 */
#ifndef FILTERS_REWRITE_H
#define FILTERS_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "filters/txn.h"

#define REWRITE_OCTETS_MAX	((size_t)2 << 20)	/* of the new header */

struct rewrite;

/* authserv_id: fields Authentication-Results of this name are not there, and
   are left out; NULL: all stay. Borrowed. */
struct rewrite *rewrite_new(const char *authserv_id);
/* Frees it and leaves NULL; NULL is fine. */
void rewrite_free(struct rewrite **r);

/* The content, from its start, in pieces. True: the header has ended, or is
   beyond the limits; nothing more is needed. */
bool rewrite_feed(struct rewrite *r, const char *p, size_t len);

struct rewrite_options {
	const char	*received;	/* value of ours; NULL: none */
	size_t		*place;		/* where it is, written or not: so many
					   fields are above it, now and
					   afterwards; NULL: it is on top */
	bool		 smtputf8;
	bool		 replaced;	/* the body is another one: the header
					   is written in any case */
	bool		 body;		/* … and is not empty */
};

enum rewrite_status {
	REWRITE_SAME,		/* nothing is changed by this */
	REWRITE_DONE,
	REWRITE_TOO_BIG		/* or has too many fields */
};

/*
 * Once, after the header was fed, or the whole message. out (of any limit) gets
 * what takes the place of the first *octets of the content: the header with its
 * empty line. Edits of other kinds are passed over.
 */
enum rewrite_status rewrite_header(struct rewrite *r,
    const struct txn_edit *edits, size_t nedits,
    const struct rewrite_options *o, struct buf *out, size_t *octets);

/* "NAME: VALUE" and CR LF, as above. */
void rewrite_field(struct buf *out, const char *name, const char *value,
    bool smtputf8);

#endif
