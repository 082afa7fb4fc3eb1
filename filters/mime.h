/*
 * mime - the parts of a message, from a stream of octets (RFC 2045, RFC 2046).
 *
 * A push scanner: it takes pieces of any size, gives the same parts for any
 * split, and keeps nothing of their content. It walks multiparts and attached
 * messages, and decodes base64, quoted-printable and uuencode on the way.
 *
 * A message that is wrong is read as mail clients read it, and what was wrong
 * is a fact: a boundary that never comes ends with the multipart around it or
 * with the message, a header ends where a line is no field, a multipart that
 * is encoded is looked at both as it is and decoded, parts go on behind an end.
 * MIME-Version is not needed. A boundary has a line of its own, with spaces
 * behind it at most; of several that could be meant, the innermost is.
 *
 * Past its limits it goes on as said below, and says so: a sender must not
 * gain by them.
 */
#ifndef FILTERS_MIME_H
#define FILTERS_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define MIME_DEPTH_MAX		50	/* the most for limits.depth */
#define MIME_NAMES_MAX		16	/* file names of one part */
#define MIME_BOUNDARY_MAX	1000	/* octets that are compared */

struct mime_limits {
	unsigned	 depth;		/* parts in parts: what is deeper has
					   content and no parts */
	unsigned	 parts;		/* then nothing more is looked at */
	size_t		 header;	/* octets of the header of one part:
					   the fields behind do not count */
	uint64_t	 decoded;	/* octets of content: the rest is not
					   given */
};

#define MIME_LIMITS	{ .depth = 20, .parts = 1000,			\
			  .header = (size_t)64 << 10,			\
			  .decoded = (uint64_t)1 << 30 }

/* What was wrong: bits of mime_errors(). */
enum mime_error {
	MIME_TOO_DEEP		= 1 << 0,
	MIME_TOO_MANY_PARTS	= 1 << 1,
	MIME_LONG_HEADER	= 1 << 2,
	MIME_TOO_BIG		= 1 << 3,
	MIME_NO_BOUNDARY	= 1 << 4, /* a multipart does not name one */
	MIME_NO_END		= 1 << 5, /* … or does not end with it */
	MIME_AFTER_END		= 1 << 6, /* a part behind the end */
	MIME_SAME_BOUNDARY	= 1 << 7, /* as that of one around it */
	MIME_BAD_HEADER		= 1 << 8, /* ends with what is no field */
	MIME_DUPLICATE_FIELD	= 1 << 9, /* Content-Type, … twice: the first
					     counts, but a multipart before
					     others; all have file names */
	MIME_BAD_TYPE		= 1 << 10, /* no "/": it is text/plain */
	MIME_BAD_ENCODING	= 1 << 11, /* unknown: as it is */
	MIME_ENCODED_PARTS	= 1 << 12, /* a multipart or message is */
	MIME_NERRORS		= 13
};

/* "too-deep", of the bit 1 << i; static. */
const char *mime_error_name(unsigned i);

/* A part; the message itself is one, and the first. */
struct mime_part {
	unsigned	 number;	/* from 1; 0: no part, but text around
					   the parts of a multipart */
	unsigned	 depth;		/* 0: the message */
	const char	*type;		/* "text/plain", in lower case */
	const char	*charset;	/* "" */
	const char	*disposition;	/* "attachment", "inline", "" */
	const struct slice *names;	/* file names, see mime_names() */
	size_t		 nnames;
	bool		 has_parts;	/* … and no content */
	void		*user;		/* the handler's own; NULL at first */
};

/*
 * What a scanner calls: begin() once for each part and, if it has content,
 * data() with its octets decoded, and end(). Text around parts has data() only.
 * Pointers in the part are good until end().
 */
struct mime_handler {
	void	(*begin)(void *arg, struct mime_part *p);
	void	(*data)(void *arg, struct mime_part *p, const char *in,
		    size_t len);
	void	(*end)(void *arg, struct mime_part *p);
};

struct mime;

/* limits are copied; h is borrowed for its life. */
struct mime *mime_new(const struct mime_limits *limits,
    const struct mime_handler *h, void *arg);
/* Frees it, without end(), and leaves NULL; NULL is fine. */
void mime_free(struct mime **m);

/* A field of the message's own header, unfolded; before any mime_body(). */
void mime_header(struct mime *m, struct slice name, struct slice value);
/* The next piece of the body of the message. */
void mime_body(struct mime *m, const char *p, size_t len);
/* The message is over. */
void mime_end(struct mime *m);

/* What was wrong so far, as bits. */
unsigned mime_errors(const struct mime *m);

#endif
