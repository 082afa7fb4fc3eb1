/* Tasks are done by threads that get no signals, and the loop hears of each. */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <event2/event.h>

#include "base/threads.h"
#include "tap.h"

#define TASKS	50

static struct event_base *base;
static struct threads *threads;
static pthread_t loop;
static unsigned ndone;
static atomic_uint busy[THREADS_MAX], wrong;

struct job {
	struct task	 task;
	int		 in, out;
	bool		 blocked, elsewhere, told;
	unsigned	 again;		/* to be done so often more */
};

static void
work(void *arg, unsigned thread)
{
	struct job *j = arg;
	sigset_t now;

	if (thread >= THREADS_MAX || atomic_fetch_add(&busy[thread], 1) != 0)
		atomic_fetch_add(&wrong, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	j->blocked = sigismember(&now, SIGTERM) == 1;
	j->elsewhere = !pthread_equal(pthread_self(), loop);
	j->out = j->in + 1;
	if (thread < THREADS_MAX)
		atomic_fetch_sub(&busy[thread], 1);
}

static void
done(void *arg)
{
	struct job *j = arg;

	ndone++;
	j->told = pthread_equal(pthread_self(), loop);
	if (j->again-- > 0)
		threads_run(threads, &j->task);
	else
		j->again = 0;
}

static void
run(struct job *j, int in, unsigned again)
{
	*j = (struct job){ .in = in, .again = again,
	    .task = { .work = work, .done = done, .arg = j } };
	threads_run(threads, &j->task);
}

int
main(void)
{
	struct job j, many[TASKS];
	unsigned i, good = 0;
	sigset_t now;

	loop = pthread_self();
	base = event_base_new();
	threads = threads_new(base);
	run(&j, 41, 0);
	is_int((int)ndone, 0, "nothing is told before the loop turns");
	event_base_dispatch(base);
	ok(ndone == 1 && j.told, "it is told, and the loop has nothing to do");
	is_int(j.out, 42, "what it wrote is there");
	ok(j.elsewhere && j.blocked, "a thread did it; signals are not for it");
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	ok(!sigismember(&now, SIGTERM), "they still are for us");

	run(&j, 1, 3);
	event_base_dispatch(base);
	is_int((int)ndone, 5, "one may be run again when it is told of");

	ndone = 0;
	for (i = 0; i < TASKS; i++)
		run(&many[i], (int)i, 0);
	event_base_dispatch(base);
	for (i = 0; i < TASKS; i++)
		good += many[i].told && many[i].out == (int)i + 1;
	ok(ndone == TASKS && good == TASKS, "so it is with many");
	is_int((int)wrong, 0, "a number is one thread's");

	ndone = 0;
	for (i = 0; i < TASKS; i++)
		run(&many[i], (int)i, 0);
	threads_free(&threads);
	is_int((int)ndone, TASKS, "at the end all are told of, begun or not");
	threads = threads_new(base);
	threads_free(&threads);
	ok(threads == NULL, "threads that never ran");
	threads_free(&threads);
	event_base_free(base);
	return tap_done();
}
