/*
 * checks_scan - a message as header_checks(5) and body_checks(5) see it.
 *
 * Postfix has an idea of its own about what in a message is a header and what
 * is body, and administrators have tables that rely on it. This is that idea,
 * as Postfix 3.7 was seen to have it; filters that want to know what a message
 * means look elsewhere.
 *
 *  -	Lines are taken in pieces of 2048 octets. A piece that begins a header
 *	must have the colon in it, and no octets in front of it but printable
 *	ASCII and, behind the name, spaces, which are removed.
 *  -	The lines of a header are joined by "\n". When it has header_size
 *	octets, further pieces are left out.
 *  -	A header ends with what is neither a header nor the continuation of
 *	one: an empty line, or the first line of the body. At the start of a
 *	message a line that begins with a space is body, and a line "From "
 *	(or ">From ") is a header "X-Mailbox-Line: From ".
 *  -	A multipart has its boundaries in Content-Type, all that are there. A
 *	line that begins with "--" and the octets of a boundary is one, whatever
 *	follows; it is body, and headers of a part come behind it.
 *  -	message/rfc822 and message/global have another header inside, if there
 *	is an empty line in front of it; in a multipart/digest that is what a
 *	part is.
 *  -	A NUL is the end of what is looked at in a line.
 *
 * Pure, and pushed: any way to cut the input gives the same lines.
 */
#ifndef FILTERS_CHECKS_SCAN_H
#define FILTERS_CHECKS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Parameters of Postfix, with its defaults (postconf(5)). */
#define SCAN_LINE		((size_t)2048)	/* line_length_limit */
#define SCAN_HEADER_SIZE	((size_t)102400) /* header_size_limit */
#define SCAN_BODY_SIZE		((size_t)51200)	/* body_checks_size_limit */
#define SCAN_NESTING		102		/* mime_nesting_limit is 100,
						   and this many fit */
/* A body line is that long at most (a multiple of SCAN_LINE). */
#define SCAN_WHOLE_LINE		((size_t)65536)

enum scan_class {
	SCAN_PRIMARY,		/* header_checks */
	SCAN_MIME,		/* mime_header_checks */
	SCAN_NESTED,		/* nested_header_checks */
	SCAN_BODY,		/* body_checks */
	SCAN_NONE		/* no table: only the line is of interest */
};

struct scan_line {
	enum scan_class	 class;
	bool		 top;		/* in the message's own header */
	struct slice	 text;		/* as tables see it; never empty unless
					   SCAN_NONE */
	uint64_t	 offset;	/* of its octets in the content … */
	size_t		 len;		/* … and how many, line ends included */
	bool		 ended;		/* they end with a line end */
	/* With whole lines: the body line that this is the start of; else
	   empty, with p NULL. */
	struct slice	 line;
};

enum scan_status {
	SCAN_MORE,		/* all input is used */
	SCAN_FOUND		/* *l is the next; call again */
};

/* Private. */
struct scan_boundary {
	char		*text;		/* ours */
	size_t		 len;
	bool		 digest;	/* its parts are messages */
};

struct checks_scan {
	bool		 whole_lines, no_mime;
	enum { SCAN_IN_TOP, SCAN_IN_PART, SCAN_IN_MESSAGE, SCAN_IN_BODY }
			 state;
	bool		 first;		/* no line but "From " yet */
	bool		 continued;	/* the last piece did not end its line */
	bool		 message;	/* the part is one, so far */
	struct scan_boundary boundaries[SCAN_NESTING];	/* inner ones last */
	unsigned	 nboundaries;
	bool		 too_deep;
	uint64_t	 body_offset;	/* in the part, as Postfix counts */
	uint64_t	 body_at;	/* where the body begins … */
	bool		 no_empty_line;	/* … with nothing in front of it */
	bool		 separator;	/* this line is what is in front */

	/* The line that is being looked at, or as much as is allowed of it */
	struct buf	 line;		/* its start, from earlier input */
	bool		 goes_on;	/* it is not the first part of it */
	bool		 complete;	/* all of it is in line */
	bool		 ended;		/* … and its end was there */
	size_t		 end;		/* octets of that */
	uint64_t	 at;		/* of the line, in the content */
	size_t		 done;		/* octets that were taken as pieces */
	bool		 given;		/* whole, to the caller */

	struct buf	 header;	/* text of a header, so far */
	bool		 header_given;	/* the caller has it */
	uint64_t	 header_at;
	struct buf	 scratch;
};

/*
 * Prepare for the first octet. whole_lines: give body lines as they are, too,
 * those of the headers of parts and empty ones included. no_mime: all behind
 * the message's own header is body (disable_mime_input_processing).
 */
void checks_scan_init(struct checks_scan *s, bool whole_lines, bool no_mime);
void checks_scan_fini(struct checks_scan *s);

/*
 * Go on with in[0..len). *used is how much of it was taken. *l, with all it
 * points to, is valid until the next call, and as long as in is.
 */
enum scan_status checks_scan(struct checks_scan *s, const char *in, size_t len,
    size_t *used, struct scan_line *l);
/* The message is over: call until SCAN_MORE. */
enum scan_status checks_scan_finish(struct checks_scan *s,
    struct scan_line *l);

/* Parts are nested so deep that Postfix refuses the message. */
bool checks_scan_is_too_deep(const struct checks_scan *s);
/*
 * The body has begun at *at of the content without an empty line in front of
 * it: who changes its first line has to see to it that it stays body.
 */
bool checks_scan_lacks_empty_line(const struct checks_scan *s, uint64_t *at);

#endif
