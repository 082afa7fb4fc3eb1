/* A job runs in a thread that gets no signals, and tells when it is done. */

#include <poll.h>
#include <signal.h>

#include "base/job.h"
#include "tap.h"

struct work {
	int	 in, out;
	bool	 blocked;
};

static void
work(void *arg)
{
	struct work *w = arg;
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	w->blocked = sigismember(&now, SIGTERM) == 1;
	w->out = w->in + 1;
}

int
main(void)
{
	struct work w = { .in = 41 };
	struct job *j = job_start(work, &w);
	sigset_t now;
	int tries;

	if (!ok(j != NULL, "a thread"))
		return tap_done();
	for (tries = 0; tries < 10000 && !job_is_done(j); tries++)
		poll(NULL, 0, 1);
	ok(job_is_done(j), "it is done");
	job_wait(&j);
	ok(j == NULL, "and gone");
	is_int(w.out, 42, "what it wrote is there");
	ok(w.blocked, "signals are not for it");
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	ok(!sigismember(&now, SIGTERM), "they still are for us");
	j = job_start(work, &w);
	job_wait(&j);
	is_int(w.out, 42, "waiting waits for the end");
	job_wait(&j);
	ok(j == NULL, "nothing to wait for is fine");
	return tap_done();
}
