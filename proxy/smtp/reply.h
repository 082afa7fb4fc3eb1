/*
 * reply - SMTP replies (RFC 5321 section 4.2, RFC 2034, RFC 3463).
 *
 * The parser believes nobody: it takes octets of the next MTA in pieces of any
 * size, bounds every line and their number, and says what is wrong. The
 * formatter is the only place that writes replies to a client, so it is the
 * only place that has to keep CR, LF and other controls out of them.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define REPLY_LINES_MAX	128	/* EHLO of a talkative MTA has 25 */
#define REPLY_LINE_MAX	2048	/* RFC 5321 4.5.3.1.5 says 512; MTAs differ */
#define REPLY_TEXT_MAX	16384	/* all lines together */

struct reply {
	int		code;		/* 200 to 599 */
	struct buf	text;		/* lines without code, separated by LF;
					   printable or UTF-8, nothing else */
	int		lines;
};

void reply_init(struct reply *r);
void reply_fini(struct reply *r);
void reply_reset(struct reply *r);

static inline bool
reply_is_positive(const struct reply *r)
{
	return r->code / 100 == 2;
}

enum reply_status {
	REPLY_MORE,
	REPLY_DONE,		/* octets after *used belong to the next one */
	REPLY_BAD		/* *why: static text */
};

/*
 * Go on parsing with p[0..len), which starts where the last call's *used
 * ended; r was reset before the first call and holds the lines so far. Only
 * complete lines are consumed. Lines may end in LF alone (old servers do); a TAB
 * in the text becomes a space, other controls and what is no UTF-8 become "?".
 * BAD: not three digits 200–599 and then space, "-" or the line end; a code
 * that changes inside a reply; a line or a reply beyond the limits above.
 */
enum reply_status reply_parse(struct reply *r, const char *p, size_t len,
    size_t *used, const char **why);

/*
 * Does this line of text start with an enhanced code that fits the basic code
 * (same class; RFC 2034 section 4)? Returns its length ("5.1.1" → 5) or 0.
 */
size_t reply_enhanced(int code, const char *line, size_t len);

/*
 * Append to out what a client gets: the same code on every line, "-" on all
 * but the last, and, unless bare, an enhanced code on every line of a 2xx,
 * 4xx or 5xx: the line's own, or the one of the first line that has one, or
 * X.0.0; always with the class of the code. Lines are cut so that none has more
 * than 512 octets (but a challenge, 334, stays whole). A reply without lines
 * gets one. bare: for the greeting, HELO, EHLO and clients that did not say
 * EHLO. The code must be within 200 to 599.
 */
void reply_format(const struct reply *r, bool bare, struct buf *out);

/*
 * Set a reply of our own: one line, or several separated by LF. The text
 * begins with its enhanced code where one belongs. Controls become "?", and
 * what is longer than REPLY_LINE_MAX is cut.
 */
void reply_set(struct reply *r, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
