/*
 * listener - accept client connections on one socket of this worker.
 *
 * Accepting stops when the session limit is reached (or file descriptors run
 * out) and starts again when a session ends, so that waiting clients stay in
 * the kernel's queue, where they cost us nothing.
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

struct conf_listener;
struct listener;
struct worker;

/* Accept on fd (ours from now on; it listens already) and make sessions. */
struct listener *listener_new(struct worker *w, const struct conf_listener *c,
    int fd);
/* Leaves NULL; NULL is fine. The socket lives on with the master. */
void listener_free(struct listener **l);
/* A session has ended: go on if we had stopped. */
void listener_resume(struct listener *l);

#endif
