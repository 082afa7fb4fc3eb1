/*
 * spool - the content of one message: memory first, then an unlinked file.
 *
 * Content goes in at the end and comes out from the start, once. Up to the
 * memory limit it stays in an evbuffer, whose chains are moved out without a
 * copy; past it everything is in a file in the spool directory that has no
 * name, so that nothing is left behind whatever happens to the process.
 * Nobody else holds whole messages.
 */
#ifndef BASE_SPOOL_H
#define BASE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct evbuffer;
struct spool;

/* dir is borrowed for the life of the spool. */
struct spool *spool_new(const char *dir, size_t memory_limit);
/* Frees it and leaves NULL; NULL is fine. */
void spool_free(struct spool **s);

/*
 * Append what is in from, leaving it empty. 0; or -1 with errno when the file
 * cannot be made or written (ENOSPC: no room): the spool is then only good for
 * spool_free(). SIGXFSZ must be ignored, or a file that is too large for the
 * process ends it.
 */
int spool_add(struct spool *s, struct evbuffer *from);

/*
 * Copy the octets at this offset, at most len, to out; nothing was taken yet.
 * Returns how many, 0 at the end, -1 with errno when the file cannot be read.
 */
int64_t spool_peek(const struct spool *s, uint64_t at, void *out, size_t len);
/*
 * What is in "with", left empty, takes the place of the first n octets, which
 * are there and were not taken. It is held in memory whatever the limit is;
 * the rest is not moved.
 */
void spool_replace(struct spool *s, uint64_t n, struct evbuffer *with);

/* Octets added so far, and not replaced. */
uint64_t spool_size(const struct spool *s);
/* Octets not yet taken. */
uint64_t spool_left(const struct spool *s);

/*
 * Move the next octets, at most about max, to the end of to. Memory content is
 * moved by whole chains and may be more than max. Returns how many, 0 at the
 * end, -1 with errno when the file cannot be read.
 */
int64_t spool_take(struct spool *s, struct evbuffer *to, size_t max);

/*
 * Put all that was added at the end of to without taking it, and without
 * copying or reading it where to drains to a file descriptor. Nothing was
 * replaced, and nothing is added or taken afterwards, but this may be done
 * again. 0, or -1 with errno.
 */
int spool_refer(struct spool *s, struct evbuffer *to);

#endif
