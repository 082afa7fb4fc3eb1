/*
 * milterd_gate - the way from libmilter's threads to the loop and back.
 *
 * libmilter calls from any of its threads, but for one session never from two
 * at a time, and wants the answer as the result. So a callback puts its session
 * into a queue, wakes the loop up, and waits.
 *
 * A thread logs nothing: the log is the loop's.
 */

#include <sys/eventfd.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <libmilter/mfapi.h>

#include "proxy/milterd_impl.h"

#define PROGRESS_S	5	/* Postfix waits 30 s for each word */
#define STUCK_S		900	/* longer than any deadline of the loop's */

/* One in a process, as libmilter is. */
static struct {
	struct milterd		*m;
	pthread_mutex_t		 lock;		/* of all below, and of done
						   in a session */
	STAILQ_HEAD(, milterd_session) queue;
	bool			 closed;
	int			 fd;		/* an eventfd: wake the loop up */
	struct event		*event;		/* ours */
	bool			 ended;		/* libmilter has */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

/* The loop's side */

static struct milterd_session *
next_call(void)
{
	struct milterd_session *s;

	pthread_mutex_lock(&gate.lock);
	s = STAILQ_FIRST(&gate.queue);
	if (s != NULL)
		STAILQ_REMOVE_HEAD(&gate.queue, waiting);
	pthread_mutex_unlock(&gate.lock);
	return s;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct milterd_session *s;
	bool ended;
	uint64_t n;

	(void)what, (void)arg;
	if (read(fd, &n, sizeof(n)) == -1 && errno != EAGAIN)
		fatal("eventfd: %s", strerror(errno));
	while ((s = next_call()) != NULL)
		milterd_serve(gate.m, s);
	pthread_mutex_lock(&gate.lock);
	ended = gate.ended;
	pthread_mutex_unlock(&gate.lock);
	if (ended && !gate.m->over) {
		if (!gate.m->stopping)
			log_error(0, "milter-ended problem=\"libmilter has "
			    "stopped by itself\"");
		gate.m->status = gate.m->stopping ? 0 : 1;
		gate.m->over = true;
	}
}

void
gate_answer(struct milterd_session *s)
{
	pthread_mutex_lock(&gate.lock);
	s->done = true;
	pthread_cond_signal(&s->answered);
	pthread_mutex_unlock(&gate.lock);
}

static void
wake(void)
{
	uint64_t one = 1;

	/* It cannot be full. */
	if (write(gate.fd, &one, sizeof(one)) == -1)
		abort();
}

/* The thread's side */

static struct timespec
in_seconds(int s)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += s;
	return t;
}

/* Wait for the answer, the lock held; at the end of a message the MTA is told
   that we are alive. */
static void
await(struct milterd_session *s, SMFICTX *ctx)
{
	bool eom = s->call.event == ON_EOM;
	struct timespec until;
	int waited = 0, step = eom ? PROGRESS_S : STUCK_S;

	until = in_seconds(step);
	while (!s->done) {
		if (pthread_cond_timedwait(&s->answered, &gate.lock, &until) !=
		    ETIMEDOUT)
			continue;
		/* Every question has its deadline in the loop: it does not
		   turn any more. Who is in front of us starts another. */
		if ((waited += step) >= STUCK_S)
			abort();
		pthread_mutex_unlock(&gate.lock);
		smfi_progress(ctx);
		pthread_mutex_lock(&gate.lock);
		until = in_seconds(step);
	}
}

bool
gate_ask(struct milterd_session *s, SMFICTX *ctx, enum milterd_event event)
{
	bool first;

	free(s->call.reply);
	s->call.reply = NULL;
	s->call.event = event;
	s->call.verdict = V_CONTINUE;
	s->done = false;
	pthread_mutex_lock(&gate.lock);
	if (gate.closed) {
		pthread_mutex_unlock(&gate.lock);
		return false;
	}
	first = STAILQ_EMPTY(&gate.queue);
	STAILQ_INSERT_TAIL(&gate.queue, s, waiting);
	if (first)
		wake();
	await(s, ctx);
	pthread_mutex_unlock(&gate.lock);
	return true;
}

/* Life */

static void *
run_libmilter(void *arg)
{
	(void)arg;
	smfi_main();
	pthread_mutex_lock(&gate.lock);
	gate.ended = true;
	pthread_mutex_unlock(&gate.lock);
	wake();
	return NULL;
}

void
gate_init(struct milterd *m)
{
	gate.m = m;
	STAILQ_INIT(&gate.queue);
	callbacks_register();
	gate.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (gate.fd == -1)
		fatal("eventfd: %s", strerror(errno));
	gate.event = event_new(m->base, gate.fd, EV_READ | EV_PERSIST, on_wake,
	    NULL);
	if (gate.event == NULL || event_add(gate.event, NULL) == -1)
		fatal("out of memory");
}

int
gate_open(void)
{
	sigset_t all, before;
	pthread_t thread;
	int r;

	/* Signals are for the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, NULL, run_libmilter, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_detach(thread);
	return r == 0 ? 0 : -1;
}

/*
 * Not smfi_stop(): it waits until the listener has waited for its next
 * connection, up to five seconds in which MTAs are not answered. The end of the
 * process closes everything as well.
 */
void
gate_close(void)
{
	struct milterd_session *s;

	pthread_mutex_lock(&gate.lock);
	gate.closed = true;
	pthread_mutex_unlock(&gate.lock);
	while ((s = next_call()) != NULL) {
		s->call.verdict = V_TEMPFAIL;
		gate_answer(s);
	}
	event_free(gate.event);
	gate.event = NULL;
}
