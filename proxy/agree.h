/*
 * agree - a backend that says yes to everything, for rehearsals: it takes any
 * message and keeps none.
 */
#ifndef PROXY_AGREE_H
#define PROXY_AGREE_H

struct agree;
struct event_base;

/*
 * Listen at a unix socket in a directory of its own, in $TMPDIR or /tmp. NULL
 * with errno.
 */
struct agree *agree_new(struct event_base *base);
/* Takes the directory away and leaves NULL; NULL is fine. */
void agree_free(struct agree **a);
/* The path of the socket. */
const char *agree_path(const struct agree *a);

#endif
