/*
 * master - the process that was started: it reads the configuration, binds the
 * listeners and keeps workers running. It handles no mail.
 *
 *	SIGTERM, SIGINT	stop: workers drain, at most drain-timeout
 *	SIGHUP		reload: a new crew of workers takes over
 *	SIGUSR1		open the log again
 *	SIGUSR2		upgrade: a new binary takes over
 */
#ifndef PROXY_MASTER_H
#define PROXY_MASTER_H

#include <stdbool.h>

struct conf_options;

struct master_options {
	const struct conf_options *conf;
	bool		 foreground;	/* the log goes to stderr */
	char		**argv;		/* the verb and what follows: to start
					   a new binary with */
};

/* The master's whole life. Returns the exit status: 0 after a signal, 1 when
   it could not start, 2 when the configuration has mistakes. */
int master_run(const struct master_options *o);

#endif
