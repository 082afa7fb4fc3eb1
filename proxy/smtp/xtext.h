/*
 * xtext - "+HH" encoding (RFC 3461 section 4), as ESMTP parameters and the
 * XCLIENT command use it.
 */
#ifndef SMTP_XTEXT_H
#define SMTP_XTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Is it well-formed: "!" to "~" without "+" and "=", or "+" and two upper-case
   hexadecimal digits? Empty is well-formed; +00 is not. */
bool xtext_is_valid(const char *p, size_t len);
/* Append the encoded form of any octets. */
void xtext_encode(struct buf *out, const char *p, size_t len);
/*
 * Append the decoded form. 0, or -1 if it is not well-formed or decodes to a
 * NUL or another control character. Lower-case digits are read as well
 * (Postfix sends them).
 */
int xtext_decode(struct buf *out, const char *p, size_t len);

#endif
