/*
 * chunked - the chunked transfer coding of HTTP and ICAP.
 */

#include "filters/chunked.h"

#define DIGITS_MAX	8
#define EXT_MAX		256

static int
after_size(struct chunked *c, char octet)
{
	if (c->digits == 0)
		return IS_BAD;
	if (octet == '\r')
		return SIZE_LF;
	return octet == ';' || octet == ' ' || octet == '\t' ? IN_EXT : IS_BAD;
}

static int
in_size(struct chunked *c, char octet)
{
	int digit = hex_digit(octet);

	if (digit == -1)
		return after_size(c, octet);
	if (++c->digits > DIGITS_MAX)
		return IS_BAD;
	c->left = c->left * 16 + (uint64_t)digit;
	return IN_SIZE;
}

static int
in_ext(struct chunked *c, char octet)
{
	if (octet == '\r')
		return SIZE_LF;
	return octet == '\n' || octet == '\0' || ++c->ext > EXT_MAX ? IS_BAD :
	    IN_EXT;
}

/* Behind a chunk's data: the next one begins. */
static int
next_chunk(struct chunked *c)
{
	c->digits = c->ext = 0;
	c->left = 0;
	return IN_SIZE;
}

/* The state after this octet, which is none of the content. */
static int
step(struct chunked *c, char octet)
{
	switch (c->state) {
	case IN_SIZE:
		return in_size(c, octet);
	case IN_EXT:
		return in_ext(c, octet);
	case SIZE_LF:
		return octet != '\n' ? IS_BAD : c->left > 0 ? IN_DATA :
		    LAST_CR;
	case DATA_CR:
		return octet == '\r' ? DATA_LF : IS_BAD;
	case DATA_LF:
		return octet == '\n' ? next_chunk(c) : IS_BAD;
	case LAST_CR:
		return octet == '\r' ? LAST_LF : IS_BAD;
	case LAST_LF:
		return octet == '\n' ? AT_LAST : IS_BAD;
	case IN_DATA:
	case AT_LAST:
	case IS_BAD:
		break;
	}
	return IS_BAD;
}

static enum chunked_status
take_data(struct chunked *c, const char *in, size_t len, size_t *used,
    struct slice *data)
{
	size_t n = len - *used < c->left ? len - *used : (size_t)c->left;

	*data = SLICE(in + *used, n);
	*used += n;
	c->left -= n;
	if (c->left == 0)
		c->state = DATA_CR;
	return CHUNKED_DATA;
}

enum chunked_status
chunked_decode(struct chunked *c, const char *in, size_t len, size_t *used,
    struct slice *data)
{
	*used = 0;
	while (c->state != IS_BAD && c->state != AT_LAST && *used < len) {
		if (c->state == IN_DATA)
			return take_data(c, in, len, used, data);
		c->state = step(c, in[(*used)++]);
	}
	return c->state == IS_BAD ? CHUNKED_BAD :
	    c->state == AT_LAST ? CHUNKED_END : CHUNKED_MORE;
}
