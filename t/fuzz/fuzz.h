/*
 * fuzz - what the fuzzers share.
 *
 * Each of them is one entry point for libFuzzer (see "make fuzz"). Sanitizers
 * find what a parser does to memory; the asserts here say what must be true
 * of its result whatever came in: pieces give the same as the whole, what was
 * accepted is accepted again, and nothing that we write can be two lines.
 */
#ifndef T_FUZZ_H
#define T_FUZZ_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first octets of the input are choices, the rest is for the parser. */
struct input {
	const char	*p;
	size_t		 len;
};

static inline unsigned
take(struct input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return (unsigned char)*in->p++;
}

static inline unsigned
take32(struct input *in)
{
	unsigned n = take(in);

	n = n << 8 | take(in);
	n = n << 8 | take(in);
	return n << 8 | take(in);
}

/* Does s lie inside p[0..len)? An empty slice may point anywhere. */
static inline bool
is_inside(struct slice s, const char *p, size_t len)
{
	return s.len == 0 || (s.p >= p && s.p + s.len <= p + len);
}

/* No octet that could end a line, move a cursor or end a string. */
static inline bool
is_printable(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7f)
			return false;
	return true;
}

#endif
