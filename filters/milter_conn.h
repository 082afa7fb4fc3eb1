/*
 * milter_conn - the octets of one connection to a milter.
 *
 * A question to a milter is a small packet, and so is its answer, eleven times
 * or more for a message. So what is said is written at once, without asking the
 * loop whether it may be, and what comes is read at once: a question costs a
 * write, a wait and a read, where a bufferevent needs four more system calls.
 */
#ifndef FILTERS_MILTER_CONN_H
#define FILTERS_MILTER_CONN_H

#include <stddef.h>

struct evbuffer;
struct event_base;
struct milter_conn;

struct milter_conn_calls {
	/* There is input, see below. The connection may be freed in here. */
	void	(*input)(void *arg);
	/* What waited has been written, except for a little. */
	void	(*written)(void *arg);
	/* It has ended: why is static, or valid until this returns. Nothing
	   else is called after this. */
	void	(*end)(void *arg, const char *why);
};

/* Takes fd, which does not block. calls and arg are borrowed. */
struct milter_conn *milter_conn_new(struct event_base *base, int fd,
    const struct milter_conn_calls *calls, void *arg);
/* Closes it and leaves NULL; NULL is fine. What has not been written is lost. */
void milter_conn_free(struct milter_conn **c);

/* What has come and was not taken off yet. */
struct evbuffer *milter_conn_in(struct milter_conn *c);

/* What is to be said: it waits for a flush. */
struct evbuffer *milter_conn_out(struct milter_conn *c);
/* Write what there is; what the milter does not take now follows when it does.
   Calls nothing: an error is told by the loop. */
void milter_conn_flush(struct milter_conn *c);
/* The same as soon as the loop is back. */
void milter_conn_flush_soon(struct milter_conn *c);

#endif
