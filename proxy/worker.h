/*
 * worker - one unprivileged process with one event loop: it accepts on the
 * sockets of its slot, runs sessions, and ends when the master says so.
 *
 * Everything a session shares with its neighbours hangs here. There is one
 * struct worker in a process, handed to whoever needs it.
 *
 * What the master says over the channel, in lines: "serve", "retire", "drain",
 * "sessions", "clock MS" (let time pass, for tests), "reopen" (the log). We say
 * "ready" once, when nothing can fail any more; "closed" after "retire" or
 * "drain", when no new client will come to us; "ok N" or "ok" after "sessions"
 * and "clock".
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "filters/filter.h"

struct channel;
struct children;
struct conf;
struct event_base;
struct listener;
struct lookup_client;
struct pool;
struct quarantine;
struct resolver;
struct session;

struct worker {
	unsigned		 magic;
#define WORKER_MAGIC		 0x30b4e201
	struct event_base	*base;
	const struct conf	*conf;
	const struct worker_socket *sockets;	/* borrowed; the fds are ours
						   until a listener has them */
	size_t			 nsockets;
	struct listener		**listeners;	/* ours; while we serve */
	size_t			 nlisteners;
	struct pool		**pools;	/* as conf->backends; ours */
	struct resolver		*resolver;	/* ours */
	struct quarantine	*quarantine;	/* ours; NULL: not yet needed */
	struct children		*children;	/* "exec:" backends; ours, or
						   NULL */
	struct lookup_client	*recipients;	/* of a remote table; ours; NULL:
						   none, or it failed */
	struct filter_worker	 filters;	/* what filters get of us */
	bool			 filters_started;
	struct session		*sessions;	/* all, linked; theirs */
	size_t			 nsessions;	/* their number; theirs */
	bool			 retired;	/* nobody comes any more */
	bool			 draining;	/* sessions end at their next
						   chance, with 421 */
	bool			 done;		/* the last one has ended */
	bool			 hurry;		/* and at the deadline whatever
						   they do */
	struct timer		 drain_deadline;
	struct channel		*channel;	/* to the master; ours */
};

/* A listening socket and the index of its block in conf->listeners. */
struct worker_socket {
	int	fd;
	size_t	listener;
};

/*
 * A worker's whole life, in the child after fork: loop until drained.
 * sockets and the channel (our end of a socketpair with the master, whose EOF
 * means drain: the master died) are ours from now on; the array is not.
 * Returns the exit status.
 */
int worker_run(const struct conf *conf, const struct worker_socket *sockets,
    size_t nsockets, int channel);

/* Tell the filters, and the table of recipients, of the loop; w->resolver is
   there. And of the end. */
void worker_start_filters(struct worker *w);
void worker_stop_filters(struct worker *w);

/* A session has left the list: accept again if we had stopped at the limit,
   and leave the loop if we drain and it was the last. */
void worker_session_ended(struct worker *w);
/* No more sessions now. */
bool worker_is_full(const struct worker *w);

#endif
