/*
 * chunked - the chunked transfer coding of HTTP and ICAP (RFC 9112 7.1), read
 * strictly.
 *
 *	chunked-body = *( chunk-size [ ext ] CRLF chunk-data CRLF )
 *	               1*"0" [ ext ] CRLF CRLF
 *
 * A size has at most eight hexadecimal digits, an extension at most 256 octets,
 * lines end in CR LF and nothing else, and there are no trailer fields. What is
 * otherwise is CHUNKED_BAD, for good: two readings of a length would be two
 * readings of the answer.
 */
#ifndef FILTERS_CHUNKED_H
#define FILTERS_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum chunked_status {
	CHUNKED_MORE,		/* all input is used */
	CHUNKED_DATA,		/* *data is content; call again */
	CHUNKED_END,		/* the end; what is behind *used is not ours */
	CHUNKED_BAD
};

/* Private; all zeros to begin with. */
struct chunked {
	enum {
		IN_SIZE, IN_EXT, SIZE_LF, IN_DATA, DATA_CR, DATA_LF, LAST_CR,
		LAST_LF, AT_LAST, IS_BAD
	}		 state;
	unsigned	 digits, ext;
	uint64_t	 left;		/* of the chunk */
};

/* Go on with in[0..len). *data is a part of it, of any size. */
enum chunked_status chunked_decode(struct chunked *c, const char *in,
    size_t len, size_t *used, struct slice *data);

#endif
