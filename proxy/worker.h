/*
 * worker - one unprivileged process with one event loop: it accepts on the
 * sockets of its slot, runs sessions, and ends when the master says so.
 *
 * Everything a session shares with its neighbours hangs here. There is one
 * struct worker in a process, handed to whoever needs it.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct event_base;
struct listener;
struct pool;
struct resolver;
struct session;

struct worker {
	unsigned		 magic;
#define WORKER_MAGIC		 0x30b4e201
	struct event_base	*base;
	const struct conf	*conf;
	struct listener		**listeners;	/* as conf->listeners; ours */
	struct pool		**pools;	/* as conf->backends; ours */
	struct resolver		*resolver;	/* ours */
	struct session		*sessions;	/* all, linked; theirs */
	size_t			 nsessions;
	bool			 draining;	/* SIGTERM or reload: sessions
						   end at their next chance */
};

/*
 * A worker's whole life, in the child after fork: loop until drained.
 * fds[i] is the listening socket for conf->listeners[i]. channel is our end of
 * a socketpair with the master: lines "drain", "clock MS"; we write "ready";
 * its EOF (the master died) means drain. Returns the exit status.
 */
int worker_run(const struct conf *conf, const int *fds, int channel);

/* A session has ended: accept again if we had stopped at the limit, and leave
   the loop if we drain and it was the last. */
void worker_session_ended(struct worker *w);

#endif
