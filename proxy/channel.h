/*
 * channel - lines of text between two of our own processes.
 *
 * Used between the master and each worker (a socketpair), between an old and
 * a new master (the same), and for the clients of the control socket. Both
 * ends are ours or root's, so lines are short and few: they are written at
 * once, and a peer that does not read them is a broken peer.
 */
#ifndef PROXY_CHANNEL_H
#define PROXY_CHANNEL_H

#include <stdbool.h>

struct channel;
struct event_base;

/* One line without its LF. The channel must not be freed in here. */
typedef void channel_line_fn(void *arg, const char *line);
/* The peer is gone or sent a line that is too long; nothing more will come.
   The channel may be freed in here. */
typedef void channel_end_fn(void *arg);

/* fd: a connected stream socket, ours from now on. */
struct channel *channel_new(struct event_base *base, int fd,
    channel_line_fn *on_line, channel_end_fn *on_end, void *arg);
/* Closes the socket and leaves NULL; NULL is fine. */
void channel_free(struct channel **c);

/* Send one line; the LF is added. False: the peer does not take it. */
bool channel_say(struct channel *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Between these two on_line is not called; lines wait. */
void channel_pause(struct channel *c);
void channel_resume(struct channel *c);

#endif
