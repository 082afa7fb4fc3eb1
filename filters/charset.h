/*
 * charset - text of any character set to UTF-8, in pieces of any size.
 *
 * Nothing fails: what is no character becomes U+FFFD. As browsers and mail
 * clients do it, ISO 8859-1 is read as Windows-1252; text that says US-ASCII,
 * nothing, or what nobody knows, is read as UTF-8.
 */
#ifndef FILTERS_CHARSET_H
#define FILTERS_CHARSET_H

#include <iconv.h>
#include <stdbool.h>

#include "base/buf.h"

#define CHARSET_NAME_MAX	40

/* Private. */
struct charset {
	iconv_t		 cd;		/* (iconv_t)-1: UTF-8 */
	char		 held[16];	/* the start of a character */
	size_t		 nheld;
};

/* Prepare for text that is said to be in the character set name. */
void charset_init(struct charset *c, struct slice name);
/* Convert in[0..len) and add it to out. */
void charset_convert(struct charset *c, const char *in, size_t len,
    struct buf *out);
/* The text has ended: half a character becomes U+FFFD. Frees what it has. */
void charset_fini(struct charset *c, struct buf *out);

/* All at once. */
void charset_text(struct slice name, const char *in, size_t len,
    struct buf *out);

/* The same octets, and U+FFFD for what is not UTF-8. */
void charset_repair(const char *in, size_t len, struct buf *out);

#endif
