/*
 * buf - a growing buffer that knows when it is too big; views of octets.
 */

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool
slice_is(struct slice a, const char *s)
{
	return strlen(s) == a.len && (a.len == 0 || memcmp(a.p, s, a.len) == 0);
}

/* Not tolower(3): in a Turkish locale "MAIL" is not "mail". */
static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool
slice_is_nocase(struct slice a, const char *s)
{
	size_t i;

	if (strlen(s) != a.len)
		return false;
	for (i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(s[i]))
			return false;
	return true;
}

void
slice_drop(struct slice *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

void
buf_init(struct buf *b, size_t limit)
{
	static char empty[1];

	*b = (struct buf){ .p = empty, .limit = limit };
}

void
buf_fini(struct buf *b)
{
	if (b->room > 0)
		free(b->p);
	buf_init(b, b->limit);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->room > 0)
		b->p[0] = '\0';
}

/* Make room for len more octets and the NUL, or set "failed". */
static bool
reserve(struct buf *b, size_t len)
{
	size_t room;

	if (b->failed || len > b->limit - b->len) {
		b->failed = true;
		return false;
	}
	if (b->len + len + 1 <= b->room)
		return true;
	room = b->room ? b->room : 64;
	while (room < b->len + len + 1)
		room *= 2;
	b->p = xrealloc(b->room ? b->p : NULL, room);
	b->room = room;
	return true;
}

void
buf_add(struct buf *b, const void *p, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len > 0)
		memcpy(b->p + b->len, p, len);
	b->len += len;
	b->p[b->len] = '\0';
}

void
buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !reserve(b, (size_t)n)) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void
buf_add_percent(struct buf *b, struct slice s)
{
	int high, low;

	for (; s.len > 0; slice_drop(&s, 1)) {
		high = s.len > 2 && *s.p == '%' ? hex_digit(s.p[1]) : -1;
		low = high >= 0 ? hex_digit(s.p[2]) : -1;
		if (low >= 0) {
			buf_addc(b, (char)(high << 4 | low));
			slice_drop(&s, 2);
		} else
			buf_addc(b, *s.p);
	}
}
