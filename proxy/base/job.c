/*
 * job - something long and pure, done by a thread of its own.
 */

#include "base/job.h"

#include <sys/resource.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

#define NICE	10

struct job {
	pthread_t	 thread;
	void		(*fn)(void *arg);
	void		*arg;
	atomic_bool	 done;
};

static void *
run(void *arg)
{
	struct job *j = arg;

	/* On Linux this is about the thread alone. Nobody waits for it: the
	   loops of all workers go first. */
	setpriority(PRIO_PROCESS, 0, NICE);
	j->fn(j->arg);
	atomic_store(&j->done, true);
	return NULL;
}

/* Signals are for the loop: the thread inherits that all are blocked. */
struct job *
job_start(void (*fn)(void *arg), void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));
	sigset_t all, before;
	int error;

	j->fn = fn;
	j->arg = arg;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&j->thread, NULL, run, j);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return j;
	free(j);
	return NULL;
}

bool
job_is_done(const struct job *j)
{
	return atomic_load(&j->done);
}

void
job_wait(struct job **j)
{
	if (*j == NULL)
		return;
	pthread_join((*j)->thread, NULL);
	free(*j);
	*j = NULL;
}
