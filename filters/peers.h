/*
 * peers - the servers that one filter asks: their addresses, connections to
 * them, and whether they were there the last time.
 *
 * Several addresses are tried in the order in which they are written. One that
 * could not be reached is down: for retry-after nobody tries it, so that a dead
 * server costs one connect-timeout and not one for each message; then one
 * connection tries whether it is back, and the others go on as before. Only
 * connecting counts. What a server does with a message does not, or a message
 * made to be slow would take the filter away from all others.
 */
#ifndef FILTERS_PEERS_H
#define FILTERS_PEERS_H

#include <sys/socket.h>
#include <stdint.h>

#include "base/setting.h"

struct dial;
struct event_base;
struct peers;

/* Goes into the settings of a filter, under the name peers. */
struct peers_settings {
	struct setting_list	 address;
	uint64_t		 connect_timeout, retry_after;	/* ms */
};

#define PEERS_SETTINGS(struct_, default_)				\
	SETTING(struct_, peers.address, "address", LIST,		\
	    .help = "Where the server is: HOST:PORT or unix:PATH. "	\
	    "Of several, the next is tried when one cannot be reached. " \
	    "Unset: " default_ "."),					\
	PEERS_TIME_SETTINGS(struct_)

#define PEERS_TIME_SETTINGS(struct_)						\
	SETTING(struct_, peers.connect_timeout, "connect-timeout",	\
	    DURATION, .def = "2s", .min = "10ms", .max = "1m",		\
	    .help = "How long a connection to the server may take."),	\
	SETTING(struct_, peers.retry_after, "retry-after", DURATION,	\
	    .def = "10s", .min = "100ms", .max = "1h",			\
	    .help = "A server that could not be reached is not tried "	\
	    "again for so long, not even by the next message; if there " \
	    "is no other, the filter fails at once, and on-failure says " \
	    "what follows.")

/*
 * In setup(): name is that of the filter, for the log; unset stands for an
 * address that is not set. s and name are borrowed. NULL with *why (ours to
 * free) when an address makes no sense.
 */
struct peers *peers_new(const struct peers_settings *s, const char *name,
    const char *unset, char **why);
/* Frees it and leaves NULL; NULL is fine. */
void peers_free(struct peers **p);
/* In start(): looks up host names, blocking. A name without an address is
   logged, and that server is none. */
void peers_start(struct peers *p, struct event_base *base);

/* The caller's servers have to greet: being connected does not say that one
   works, and peers_worked() is called when it has. In setup(). */
void peers_must_greet(struct peers *p);

/*
 * Connect to the first that can be reached. fn is called once, from the loop:
 * with a connection (a socket that does not block, the caller's from now on),
 * or with -1 and why not (until it returns).
 */
typedef void dial_fn(void *arg, int fd, const char *why);
struct dial *peers_dial(struct peers *p, dial_fn *fn, void *arg);
/* Forget it: fn will not be called. NULL is fine. */
void dial_cancel(struct dial **d);

/* The loop of peers_start(). */
struct event_base *peers_base(const struct peers *p);
/* In fn: which of them it is. Somebody who accepts and then says nothing that
   makes sense to anybody has failed as well (peers_failed()). */
int peers_reached(const struct peers *p);

/*
 * For a caller who connects by himself: the next to try, or -1 when all are
 * down; what came of it, which is to be told for each; and its address.
 */
int peers_pick(struct peers *p);
void peers_worked(struct peers *p, int i);
void peers_failed(struct peers *p, int i, const char *why);
const struct sockaddr *peers_address(const struct peers *p, int i,
    socklen_t *len);

#endif
