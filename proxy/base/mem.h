/*
 * mem - memory that is there, or no return at all.
 *
 * A call of these functions either succeeds or ends the process with a log
 * line: a mail proxy without memory for a command has nothing sensible left
 * to say, the master starts a new worker, and no accepted message is ours to
 * lose. Sizes that a peer controls are limited before they come here.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);		/* zeroed */
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);	/* always NUL-terminated */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
