/*
 * codec - base64 and quoted-printable (RFC 2045 section 6), uuencode: from
 * text to octets, in pieces of any size.
 *
 * As lenient as mail clients are, because what they show is what counts. In
 * base64, whatever is not of its alphabet is skipped, padding may be missing,
 * and behind padding the next text begins. In quoted-printable, "=" that
 * begins no octet and no soft line break stays, and spaces at the end of a
 * line go.
 */
#ifndef FILTERS_CODEC_H
#define FILTERS_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_kind {
	CODEC_NONE,		/* 7bit, 8bit, binary, and what is unknown */
	CODEC_BASE64,
	CODEC_QP
};

#define CODEC_HELD_MAX	80	/* octets that may wait for their line's end */

/* Private. */
struct codec {
	enum codec_kind	 kind;
	uint32_t	 bits;		/* base64: so far … */
	unsigned	 nbits;
	char		 held[CODEC_HELD_MAX];	/* quoted-printable */
	size_t		 nheld;
	bool		 after_equal;	/* held begins with "=" */
};

void codec_init(struct codec *c, enum codec_kind kind);
/*
 * Decode in[0..len) to out, which has room for len + CODEC_HELD_MAX octets and
 * does not overlap in. Returns how many were written.
 */
size_t codec_decode(struct codec *c, const char *in, size_t len, char *out);
/* The input has ended: the rest, at most CODEC_HELD_MAX octets. */
size_t codec_finish(struct codec *c, char *out);

/*
 * One line of uuencoded text, without its end, to out (room for 64 octets).
 * Returns how many octets it holds, 0 for the line that ends it, -1 when it is
 * no such line.
 */
int codec_uu_line(const char *line, size_t len, char *out);

#endif
