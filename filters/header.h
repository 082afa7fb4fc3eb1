/*
 * header - the fields of a message header from a stream of octets (RFC 5322
 * section 2.2), as a backend would read them.
 *
 * The header ends at the first empty line, or in front of the first line that
 * is neither a field nor the continuation of one: that line is body, as it is
 * for Postfix. A LF ends a line with or without CR (a message with a bare LF
 * is refused elsewhere, unless it is BINARYMIME). Lines "From " at the very
 * start, as mailbox files have them, are no fields and do not end the header.
 *
 * The parser takes pieces of any size and gives the same fields for any
 * split. What it keeps is limited; past the limits it says HEADER_TOO_BIG and
 * nothing else any more.
 */
#ifndef FILTERS_HEADER_H
#define FILTERS_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "filters/filter.h"

#define HEADER_FIELD_MAX	((size_t)256 << 10)	/* octets of a field */
#define HEADER_OCTETS_MAX	((size_t)1 << 20)	/* … of all */
#define HEADER_FIELDS_MAX	1000

enum header_status {
	HEADER_MORE,		/* all input is used */
	HEADER_FIELD,		/* *h is the next field; call again */
	HEADER_END,		/* the rest of the input is body */
	HEADER_TOO_BIG
};

/* Private. */
struct header_parser {
	enum { AT_START, IN_FIELDS, AT_END, OVER_LIMIT } state;
	struct buf	 text;		/* of one field, so far */
	size_t		 done;		/* octets of its complete lines */
	bool		 given;		/* the caller has had it */
	struct buf	 value;		/* unfolded */
	struct buf	 names;		/* all so far, lower case, with NUL */
	uint32_t	*hashes;	/* of each; ours */
	size_t		*starts;	/* of each in names; ours */
	size_t		 nfields, octets;
};

void header_init(struct header_parser *p);
void header_fini(struct header_parser *p);

/*
 * Go on with in[0..len). *used is how much was taken. *h is valid until the
 * next call. At HEADER_END *rest is what was taken and is body all the same:
 * it goes before in[*used..len).
 */
enum header_status header_parse(struct header_parser *p, const char *in,
    size_t len, size_t *used, struct header *h, struct slice *rest);
/* The message is over: call until HEADER_END (or HEADER_TOO_BIG). */
enum header_status header_finish(struct header_parser *p, struct header *h,
    struct slice *rest);
/*
 * How many octets of the input, the last that were taken, are the field that
 * was just given, with its line ends; or at HEADER_END the empty line: 0 when
 * there is none.
 */
size_t header_octets(const struct header_parser *p);
/* The field that was just given is none: nth does not count it. */
void header_forget(struct header_parser *p);

#endif
