/*
 * xtext - "+HH" encoding (RFC 3461 section 4), as ESMTP parameters and the
 * XCLIENT command use it.
 *
 *	xtext   = *( xchar / hexchar )
 *	xchar   = any ASCII between "!" and "~" except "+" and "="
 *	hexchar = "+" and two upper-case hexadecimal digits
 */

#include "smtp/xtext.h"

static bool
is_xchar(char c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

static int
hex_value(char c, bool lower_ok)
{
	return lower_ok || c < 'a' ? hex_digit(c) : -1;
}

/*
 * Decode what p[0..len) starts with into *octet. Returns the length of the
 * encoded form, 1 or 3; 0 if it is none.
 */
static size_t
decode_octet(const char *p, size_t len, bool lower_ok, unsigned char *octet)
{
	int high, low;

	if (is_xchar(*p)) {
		*octet = (unsigned char)*p;
		return 1;
	}
	if (*p != '+' || len < 3)
		return 0;
	high = hex_value(p[1], lower_ok);
	low = hex_value(p[2], lower_ok);
	if (high < 0 || low < 0)
		return 0;
	*octet = (unsigned char)(high << 4 | low);
	return 3;
}

bool
xtext_is_valid(const char *p, size_t len)
{
	unsigned char octet;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = decode_octet(p, len, false, &octet);
		if (n == 0 || octet == 0)
			return false;
	}
	return true;
}

void
xtext_encode(struct buf *out, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (is_xchar(p[i]))
			buf_addc(out, p[i]);
		else
			buf_addf(out, "+%02X", (unsigned char)p[i]);
	}
}

/* Looks at everything first: a failure must not leave half a value behind. */
int
xtext_decode(struct buf *out, const char *p, size_t len)
{
	unsigned char octet;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = decode_octet(p + i, len - i, true, &octet);
		if (n == 0 || octet < ' ' || octet == 0x7f)
			return -1;
	}
	for (i = 0; i < len; i += n) {
		n = decode_octet(p + i, len - i, true, &octet);
		buf_addc(out, (char)octet);
	}
	return 0;
}
