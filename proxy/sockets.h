/*
 * sockets - the listening sockets, as the master keeps them.
 *
 * They are bound once and live as long as the address is in the
 * configuration: over the death of workers, over a reload, and over an upgrade
 * to a new binary. What waits in their queues waits through all of that.
 *
 * TCP: one socket for each worker, with SO_REUSEPORT, so that the kernel
 * spreads the connections and no two workers wake up for one. A unix socket,
 * and one that came from systemd, is a single one that all workers share.
 *
 * They are bound when a set is made and listen when it is going to be served: a
 * socket that listens gets its share of the connections, and a crew that does
 * not get ready must not have any.
 *
 * A set is never changed. A new one is made from the configuration and from
 * the set we have, with duplicates of the descriptors they share: until the
 * new one works, the old one is still whole.
 */
#ifndef PROXY_SOCKETS_H
#define PROXY_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct conf;
struct sockets;
struct worker_socket;

/*
 * What this process was started with (LISTEN_FDS); empty if that was nothing.
 * Stores in *master the channel to the older vratar that we replace, or -1.
 */
struct sockets *sockets_inherit(int *master);

/*
 * Sockets for all "listen" blocks and workers of conf. Those in have (NULL is
 * fine) that belong to a block, by name or by local address, are used again.
 * NULL with *why (ours to free).
 */
struct sockets *sockets_open(const struct conf *conf,
    const struct sockets *have, char **why);
/* Clients may come. 0, or -1 with *why (ours to free). */
int sockets_listen(const struct sockets *s, char **why);
/* Closes the descriptors and leaves NULL; NULL is fine. */
void sockets_free(struct sockets **s);

/* The real address of listen block i: "192.0.2.1:25", "unix:PATH". */
const char *sockets_name(const struct sockets *s, size_t i);

/* Say which ones in s have no place in now. */
void sockets_warn_unused(const struct sockets *s, const struct sockets *now);
/* Remove the files of our unix sockets in s that are not in now (or NULL). */
void sockets_unlink(const struct sockets *s, const struct sockets *now);

/*
 * In the worker, after fork: those of its slot, their descriptors taken out of
 * s. If there are fewer workers now than sockets, some get several, since a
 * socket that nobody serves would lose who waits there. Ours to free.
 */
struct worker_socket *sockets_take(struct sockets *s, size_t slot,
    size_t nworkers, size_t *n);

/*
 * For the next process: all descriptors, borrowed, in an array that is ours to
 * free and has room for one more; and their names as in LISTEN_FDNAMES, with
 * colons between, ours to free too.
 */
size_t sockets_export(const struct sockets *s, int **fds, char **names);
/* The name there for the channel to the old master. */
#define SOCKETS_MASTER	"vratar-master"

/*
 * A unix socket, bound and ready for listen(). A file left by a process that is gone is replaced;
 * one that somebody listens at only if replace is true. Returns the
 * descriptor, or -1 with *why (ours to free).
 */
int sockets_unix(const char *path, mode_t mode, bool replace, char **why);

#endif
