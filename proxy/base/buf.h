/*
 * buf - a growing buffer that knows when it is too big; views of octets.
 *
 * A buf is created with its limit. An append that would pass the limit
 * changes nothing and sets "failed", which stays set until buf_reset(): ten
 * appends need one test at the end. The content is always NUL-terminated
 * (the NUL is not counted), so that b->p is a C string when no NUL was put in.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

/* A view: valid until the next call on its owner. Not NUL-terminated. */
struct slice {
	const char	*p;
	size_t		 len;
};

#define SLICE(s, n)	((struct slice){ (s), (n) })
#define SLICE_STR(s)	((struct slice){ (s), strlen(s) })

/* Same octets / the same but for the case of ASCII letters. */
bool slice_is(struct slice a, const char *s);
bool slice_is_nocase(struct slice a, const char *s);
/* Take n octets off its front; it has as many. */
void slice_drop(struct slice *s, size_t n);

/* The value of a hexadecimal digit, or -1. */
int hex_digit(char c);

struct buf {
	char	*p;		/* ours; "" before the first append */
	size_t	 len;
	size_t	 room;		/* allocated octets */
	size_t	 limit;		/* most octets of content */
	bool	 failed;	/* an append did not fit */
};

/* Allocates nothing yet. */
void buf_init(struct buf *b, size_t limit);
/* Frees the memory; the buf may be used again after buf_init(). */
void buf_fini(struct buf *b);
/* Empty, not failed; keeps the memory. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, const void *p, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Each "%XX" as the octet that it stands for; what is none as it is. */
void buf_add_percent(struct buf *b, struct slice s);

#endif
