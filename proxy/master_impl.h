/*
 * master_impl - what the files of the master share, and nobody else includes.
 *
 * A crew is the workers of one configuration. At most one serves, at most one
 * is starting, and any number drain:
 *
 *	start, reload ──▶ starting ──▶ serving ──▶ retired, draining ──▶ freed
 *			      └── one of its workers dies ──▶┘
 *
 * A crew serves when all its workers are ready; until then the one before it
 * goes on, and a crew that does not get there changes nothing. A reload is over
 * when the crew before does not accept clients any more.
 *
 * Callbacks note what happened, in the members of struct master; what follows
 * from it is done by master_step(), outside of all callbacks. So nothing is
 * freed under the feet of a caller, and fork() finds no callback half done.
 */
#ifndef PROXY_MASTER_IMPL_H
#define PROXY_MASTER_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"

struct channel;
struct conf;
struct control;
struct crew;
struct event;
struct event_base;
struct master_options;
struct sockets;

struct member {
	struct crew	*crew;		/* borrowed */
	pid_t		 pid;		/* 0: none at the moment */
	struct channel	*channel;	/* ours */
	bool		 ready;
	bool		 closed;	/* no new client comes to it */
	bool		 asked;		/* owes us an "ok" */
};

enum crew_state { CREW_STARTING, CREW_SERVING, CREW_RETIRED, CREW_DRAINING };

struct crew {
	unsigned	 magic;
#define CREW_MAGIC	 0xc4e30a11
	struct master	*master;	/* borrowed */
	struct crew	*next;
	enum crew_state	 state;
	struct conf	*conf;		/* ours */
	struct sockets	*sockets;	/* ours */
	struct member	*members;	/* one for each slot; ours */
	size_t		 n;
	struct timer	 deadline;	/* to be ready, or to be gone */
	bool		 late;		/* it has passed */
};

/* What has been asked for and is not done yet. */
enum { TODO_STOP = 1, TODO_RELOAD = 2, TODO_REOPEN = 4, TODO_UPGRADE = 8 };

#define MASTER_SIGNALS	8
#define BURST_DEATHS	6	/* more than 5 … */
#define BURST_MS	10000	/* … in 10 s: */
#define RESPAWN_MS	1000	/* wait so long before the next start */

struct master {
	unsigned	 magic;
#define MASTER_MAGIC	 0x3a57e400
	const struct master_options *options;
	char		*exe;		/* our binary, as of start; ours */
	struct event_base *base;	/* ours */
	struct event	*signals[MASTER_SIGNALS]; /* ours */
	unsigned	 todo;
	bool		 stopping;
	bool		 handed_over;	/* a new master has our sockets */
	int		 status;	/* exit status */

	struct crew	*crews;		/* all; ours */
	struct crew	*serving, *starting;	/* in crews, or NULL */
	struct crew	*leaving;	/* was serving; may accept still */
	uint64_t	 deaths[BURST_DEATHS];	/* when, as a ring */
	size_t		 ndeaths;
	struct timer	 respawn;	/* set: start no worker before */

	struct control	*control;	/* ours */
	bool		 reload_asked;	/* over control: answer when done */
	struct {
		unsigned	 waiting;	/* members that owe an "ok" */
		uint64_t	 sum;		/* of what they said with it */
		uint64_t	 clock_ms;	/* 0: they count sessions */
		struct timer	 deadline;
	}		 ask;

	pid_t		 heir;		/* a new master that starts; 0 */
	struct channel	*heir_channel;	/* ours */
	struct timer	 heir_deadline;
	struct channel	*predecessor;	/* the old master; ours */
};

/* master.c */

/* In a child: give back all that the master holds, but touch nothing that the
   master still uses. */
void master_forget(struct master *m);
/* A reload is over; problem NULL: it went well. */
void master_reloaded(struct master *m, const char *problem);

/* master_crew.c: workers */

/* Start workers. conf and sockets are ours from now on. */
struct crew *crew_start(struct master *m, struct conf *conf,
    struct sockets *sockets);
bool crew_is_ready(const struct crew *c);
/* Nobody comes in any more / nobody is left. */
bool crew_is_closed(const struct crew *c);
bool crew_is_gone(const struct crew *c);
/* Let clients in. */
void crew_serve(struct crew *c);
/* Let go of its sockets, let its sessions end by themselves, and then its
   workers: another crew serves. */
void crew_retire(struct crew *c);
/* The same, but sessions hear 421, and drain-timeout ends them. */
void crew_drain(struct crew *c);
/* Not any longer. */
void crew_kill(struct crew *c);
/* Not for a crew that has workers, except in a child. */
void crew_free(struct crew **c);
/* Start those of the serving crew that have died, unless it happens too
   often. */
void crew_respawn(struct master *m);
/* A child has died. False: it was none of ours. */
bool crew_died(struct master *m, pid_t pid, int status);

/* master_control.c: commands */

void control_init(struct master *m);
/* Have the control socket that conf says. 0, or -1 and it is logged. */
int control_setup(struct master *m, const struct conf *conf);
/* A member said "ok …", or cannot any more (NULL). */
void control_heard(struct master *m, struct member *w, const char *line);

/* master_upgrade.c: a new binary */

void upgrade_init(struct master *m);
/* Start it, with our sockets. */
void upgrade_start(struct master *m);
/* The heir has died. */
void upgrade_died(struct master *m, int status);
/* We are not to be replaced any more. */
void upgrade_cancel(struct master *m);

#endif
