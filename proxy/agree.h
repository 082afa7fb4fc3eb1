/*
 * agree - a backend that says yes to everything, for rehearsals: it takes any
 * message, and keeps the start of the last one.
 */
#ifndef PROXY_AGREE_H
#define PROXY_AGREE_H

#include <stddef.h>

struct agree;
struct event_base;

/*
 * Listen at a unix socket in a directory of its own, in $TMPDIR or /tmp. NULL
 * with errno.
 */
struct agree *agree_new(struct event_base *base);
/* Takes the directory away and leaves NULL; NULL is fine. */
void agree_free(struct agree **a);
/* The content of the last message, at most AGREE_CONTENT_MAX octets of it; valid
   until the next one. NULL: there was none. */
#define AGREE_CONTENT_MAX	((size_t)4 << 20)
const char *agree_content(struct agree *a, size_t *len);
/* The path of the socket. */
const char *agree_path(const struct agree *a);

#endif
