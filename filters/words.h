/*
 * words - encoded words of header fields (RFC 2047) to UTF-8.
 *
 * As mail clients read them: in the middle of a word and in quotes as well,
 * with spaces inside, without padding, with half a character in one and the
 * other half in the next. What is not encoded and no UTF-8 becomes U+FFFD; what
 * looks like an encoded word and is none stays as it is.
 */
#ifndef FILTERS_WORDS_H
#define FILTERS_WORDS_H

#include "base/buf.h"

/* Add in, decoded, to out. The result may hold any control character. */
void words_decode(struct slice in, struct buf *out);

#endif
