/*
 * fold - keys without the difference between capital and small letters.
 */

#include "rules/fold.h"

#include <stdint.h>
#include <stdlib.h>

#include <unicase.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/utf8.h"

static size_t
ascii_prefix(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && (unsigned char)p[i] < 0x80; i++)
		;
	return i;
}

bool
is_utf8(const char *p, size_t len)
{
	size_t i = ascii_prefix(p, len), n;

	for (; i < len; i += n)
		if ((n = utf8_length(p + i, len - i)) == 0)
			return false;
	return true;
}

static void
fold_ascii(struct buf *b, const char *p, size_t len)
{
	size_t i, at = b->len;

	buf_add(b, p, len);
	if (b->failed)
		return;
	for (i = at; i < b->len; i++)
		if (b->p[i] >= 'A' && b->p[i] <= 'Z')
			b->p[i] = (char)(b->p[i] + 'a' - 'A');
}

int
fold(struct buf *b, const char *p, size_t len)
{
	uint8_t *folded;
	size_t n;

	if (ascii_prefix(p, len) == len) {
		fold_ascii(b, p, len);
		return 0;
	}
	if (!is_utf8(p, len))
		return -1;
	folded = u8_casefold((const uint8_t *)p, len, NULL, NULL, NULL, &n);
	if (folded == NULL)
		fatal("out of memory");
	buf_add(b, folded, n);
	free(folded);
	return 0;
}
