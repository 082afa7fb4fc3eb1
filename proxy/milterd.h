/*
 * milterd - the chain as a milter: what "vratar milter" runs.
 *
 * Two processes. The one that was started (milterd_keeper.c) only hands
 * signals on, because libmilter takes SIGHUP, SIGTERM and SIGINT of its own
 * process for itself, and starts the other one again if that has crashed. The
 * other one has one loop, where chain, filters and rules are, and the threads
 * of libmilter, which wait for it (milterd_gate.c).
 *
 *	SIGTERM, SIGINT	stop: messages under way end, at most drain-timeout
 *	SIGHUP		reload: new sessions use the new configuration
 *	SIGUSR1		open the log again
 */
#ifndef PROXY_MILTERD_H
#define PROXY_MILTERD_H

#include <stdbool.h>

struct conf_options;

struct milterd_options {
	const struct conf_options *conf;	/* conf->milter is the socket */
	const char	*listener;	/* whose chain; NULL: the first that has
					   one */
	bool		 foreground;	/* the log goes to stderr */
};

/* The whole life. Returns the exit status: 0 after a signal, 1 when it could
   not start, 2 when the configuration has mistakes. */
int milterd_run(const struct milterd_options *o);

/* "unix:PATH" or "inet:PORT@HOST"? NULL, or what is wrong with it (static). */
const char *milterd_bad_socket(const char *socket);

#endif
