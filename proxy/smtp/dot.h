/*
 * dot - what the content of a message is: dot transparency (RFC 5321 section
 * 4.5.2), line ends (2.3.8), and everything about octets that decides how
 * the content may travel.
 *
 * The decoder turns the octets a client sends after 354 into content: it
 * removes the leading dot of dot-stuffed lines and finds the end. End of data
 * is CR LF "." CR LF (or "." CR LF as the very first line) and nothing else. A
 * bare CR or a bare LF never ends a line: treating LF "." LF as the end is
 * what makes SMTP smuggling work. It keeps a few words of state and no data, so
 * it may be fed in pieces of any size and gives the same result for any split.
 *
 * dot_pass() looks at BDAT content (RFC 3030) in the same way, where dots mean
 * nothing and the end is counted, not found.
 *
 * With normalize set, the output is canonical whatever came in: a bare LF
 * becomes CR LF, a bare CR becomes a space. It is not used for BINARYMIME.
 */
#ifndef SMTP_DOT_H
#define SMTP_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dot_status {
	DOT_MORE,		/* all input consumed, the end is not in sight */
	DOT_END			/* end of data; input after *used is a command */
};

struct dot {
	int		state;		/* private */
	bool		normalize;
	bool		bare_cr;	/* saw a CR without LF */
	bool		bare_lf;	/* saw a LF without CR */
	bool		nul;		/* saw a NUL */
	bool		eight_bit;	/* saw an octet above 127 */
	bool		ends_in_crlf;	/* the output so far ends in CR LF or is
					   empty */
	uint64_t	dotted;		/* output lines that start with a dot,
					   behind any LF: what dot_encode()
					   adds; 0: it has nothing to do */
	size_t		line;		/* private: octets in this line */
	size_t		longest;	/* longest output line so far, up to any
					   LF and with its end */
};

/* Prepare for the first octet. Also resets a used decoder. */
void dot_init(struct dot *d, bool normalize);

/*
 * Decode inlen octets from in to out, which has room for dot_room(inlen)
 * octets and does not overlap in. Stores the octets written in *outlen and the
 * octets consumed in *used; after DOT_END *used may be less than inlen, and the
 * output as a whole is empty or ends in CR LF. Cannot fail.
 */
enum dot_status dot_decode(struct dot *d, const char *in, size_t inlen,
    char *out, size_t *outlen, size_t *used);
/* The same for a piece of BDAT content; returns the octets written. */
size_t dot_pass(struct dot *d, const char *in, size_t inlen, char *out);
/* At the end of BDAT content: writes a CR that was withheld (as a bare CR or
   its replacement); returns the octets written, 0 or 1. */
size_t dot_pass_end(struct dot *d, char *out);

/* A LF may become two octets, and a CR of the last call may come now. */
static inline size_t
dot_room(size_t inlen)
{
	return 2 * inlen + 2;
}

/*
 * Stuff content for DATA: *at_bol is true at the start of a line; keep it
 * between pieces, true before the first. out has room for 2 * inlen octets.
 * The content is canonical (CR LF only). Returns the octets written. The
 * caller adds ".\r\n" at the end, with "\r\n" in front unless *at_bol. Should
 * a bare LF be in it by mistake, a dot behind it is stuffed too.
 */
size_t dot_encode(bool *at_bol, const char *in, size_t inlen, char *out);

#endif
