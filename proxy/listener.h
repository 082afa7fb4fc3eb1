/*
 * listener - accept client connections on one socket of this worker.
 *
 * Accepting stops when the session limit is reached (or file descriptors run
 * out) and starts again when a session ends, so that waiting clients stay in
 * the kernel's queue, where they cost us nothing.
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include <stdbool.h>

struct conf_listener;
struct listener;
struct worker;

/*
 * Master, before fork: sockets for one "listen" block, one for each of n
 * worker slots, with SO_REUSEPORT, all on the same port, backlog SOMAXCONN.
 * A unix socket is one socket, dup'ed. Port 0 takes a free port. Stores fds,
 * close-on-exec and non-blocking, and the real address as "ADDR:PORT" in name
 * (room NETADDR_TEXT). 0, or -1 with *why (ours to free).
 */
int listener_bind(const struct conf_listener *c, int *fds, int n, char *name,
    char **why);

/* Worker: accept on fd (ours from now on) and make sessions. */
struct listener *listener_new(struct worker *w, const struct conf_listener *c,
    int fd);
void listener_free(struct listener **l);
/* Stop and go on accepting. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);

#endif
