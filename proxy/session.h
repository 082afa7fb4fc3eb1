/*
 * session - one SMTP conversation with a client, from accept to close.
 *
 * See proxy/README.md for its states and for what waits for what.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <stdint.h>

#include "base/net.h"

struct conf_listener;
struct session;
struct worker;

/*
 * Start on a connected, non-blocking socket, which is ours from now on. peer
 * and local are the ends of the connection as the kernel sees them. It adds
 * itself to w->sessions and ends by worker_session_ended().
 */
struct session *session_new(struct worker *w, const struct conf_listener *l,
    int fd, const struct netaddr *peer, const struct netaddr *local);

/*
 * We are shutting down: answer 421 4.3.2 at the next moment that is no lie
 * (not while a message is on its way to the backend) and close.
 */
void session_drain(struct session *s);
/* The deadline of the drain has passed: 421 4.3.2 and close, wherever we are. */
void session_abort(struct session *s);

/* An id for a session of this process, unlike those of all others. */
uint64_t session_new_id(void);

/* The neighbour in w->sessions. */
struct session *session_next(const struct session *s);

#endif
