/*
 * quarantine - messages that are kept in a Maildir.
 *
 * Two lists, one lock: what is to be written, and what is done. The thread
 * takes from the first and adds to the second; an eventfd wakes the loop. A job
 * belongs to the list that it is on, or to the thread while it is on none; who
 * waits for it is known to the loop alone.
 */

#include "proxy/quarantine.h"

#include <sys/eventfd.h>
#include <sys/queue.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/spool.h"
#include "proxy/maildir.h"

#define PIECE	65536

struct quarantine_job {
	unsigned		 magic;
#define JOB_MAGIC		 0x90a4a71e
	STAILQ_ENTRY(quarantine_job) next;
	struct spool		*message;	/* ours */
	char			*name;		/* when it is kept; ours */
	int			 error;

	/* The loop's */
	quarantine_fn		*fn;		/* NULL: nobody waits */
	void			*arg;
	struct timer		 deadline;
};

STAILQ_HEAD(jobs, quarantine_job);

struct quarantine {
	const char		*dir, *hostname;
	pthread_t		 thread;
	int			 wake;		/* eventfd: something is done */
	struct event		*on_wake;
	struct maildir		*maildir;	/* the thread's; NULL: not yet */

	pthread_mutex_t		 lock;		/* of what follows */
	pthread_cond_t		 more;
	struct jobs		 todo, done;
	bool			 stop;
};

/* The thread */

/* Everything of the spool; -1 with errno when it cannot be read. */
static int
copy(struct spool *from, struct maildir_file *to)
{
	struct evbuffer *b = evbuffer_new();
	struct evbuffer_iovec v;
	int64_t n;

	if (b == NULL)
		fatal("out of memory");
	while ((n = spool_take(from, b, PIECE)) > 0)
		while (evbuffer_peek(b, -1, NULL, &v, 1) > 0) {
			maildir_write(to, v.iov_base, v.iov_len);
			evbuffer_drain(b, v.iov_len);
		}
	evbuffer_free(b);
	return n < 0 ? -1 : 0;
}

static int
write_message(struct quarantine *q, struct quarantine_job *job)
{
	struct maildir_file *f;
	char *name;

	if (q->maildir == NULL &&
	    (q->maildir = maildir_open(q->dir, q->hostname)) == NULL)
		return -1;
	if ((f = maildir_begin(q->maildir)) == NULL)
		return -1;
	name = xasprintf("%s.%s", maildir_id(f), q->hostname);
	if (copy(job->message, f) == -1) {
		job->error = errno;
		maildir_abort(&f);
		errno = job->error;
	} else if (maildir_commit(&f) == 0) {
		job->name = name;
		return 0;
	}
	free(name);
	return -1;
}

static struct quarantine_job *
next_job(struct quarantine *q)
{
	struct quarantine_job *job = NULL;

	pthread_mutex_lock(&q->lock);
	while (!q->stop && STAILQ_EMPTY(&q->todo))
		pthread_cond_wait(&q->more, &q->lock);
	if (!q->stop) {
		job = STAILQ_FIRST(&q->todo);
		STAILQ_REMOVE_HEAD(&q->todo, next);
	}
	pthread_mutex_unlock(&q->lock);
	return job;
}

static void *
run(void *arg)
{
	struct quarantine *q = arg;
	struct quarantine_job *job;
	const uint64_t one = 1;

	while ((job = next_job(q)) != NULL) {
		if (write_message(q, job) == -1)
			job->error = errno != 0 ? errno : EIO;
		spool_free(&job->message);
		pthread_mutex_lock(&q->lock);
		STAILQ_INSERT_TAIL(&q->done, job, next);
		pthread_mutex_unlock(&q->lock);
		/* It can only fail when the counter is full: then it wakes. */
		if (write(q->wake, &one, sizeof(one)) == -1)
			continue;
	}
	return NULL;
}

/* Signals are the loop's. */
static void
start_thread(struct quarantine *q)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&q->thread, NULL, run, q);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		fatal("cannot start a thread for the quarantine");
}

/* The loop */

static void
free_job(struct quarantine_job *job)
{
	timer_stop(&job->deadline);
	spool_free(&job->message);
	free(job->name);
	job->magic = 0;
	free(job);
}

static void
tell(struct quarantine_job *job, const char *name, int error)
{
	quarantine_fn *fn = job->fn;

	job->fn = NULL;
	timer_stop(&job->deadline);
	if (fn != NULL)
		fn(job->arg, name, error);
}

static void
on_deadline(void *arg)
{
	struct quarantine_job *job;

	OBJ_CAST(job, arg, JOB_MAGIC);
	tell(job, NULL, ETIMEDOUT);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct quarantine *q = arg;
	struct quarantine_job *job;
	struct jobs done = STAILQ_HEAD_INITIALIZER(done);
	uint64_t n;

	(void)what;
	if (read((int)fd, &n, sizeof(n)) == -1)
		return;
	pthread_mutex_lock(&q->lock);
	STAILQ_CONCAT(&done, &q->done);
	pthread_mutex_unlock(&q->lock);
	while ((job = STAILQ_FIRST(&done)) != NULL) {
		STAILQ_REMOVE_HEAD(&done, next);
		tell(job, job->name, job->error);
		free_job(job);
	}
}

struct quarantine *
quarantine_new(struct event_base *base, const char *dir, const char *hostname)
{
	struct quarantine *q = xcalloc(1, sizeof(*q));

	q->dir = dir;
	q->hostname = hostname;
	STAILQ_INIT(&q->todo);
	STAILQ_INIT(&q->done);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->more, NULL);
	q->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->wake == -1 || (q->on_wake = event_new(base, q->wake,
	    EV_READ | EV_PERSIST, on_wake, q)) == NULL)
		fatal("cannot make an eventfd for the quarantine");
	event_add(q->on_wake, NULL);
	start_thread(q);
	return q;
}

static void
free_jobs(struct jobs *jobs)
{
	struct quarantine_job *job;

	while ((job = STAILQ_FIRST(jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(jobs, next);
		free_job(job);
	}
}

void
quarantine_free(struct quarantine **qp)
{
	struct quarantine *q = *qp;

	if (q == NULL)
		return;
	*qp = NULL;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_signal(&q->more);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	free_jobs(&q->todo);
	free_jobs(&q->done);
	maildir_close(&q->maildir);
	event_free(q->on_wake);
	close(q->wake);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->more);
	free(q);
}

struct quarantine_job *
quarantine_keep(struct quarantine *q, struct spool *message, quarantine_fn *fn,
    void *arg)
{
	struct quarantine_job *job = xcalloc(1, sizeof(*job));

	job->magic = JOB_MAGIC;
	job->message = message;
	job->fn = fn;
	job->arg = arg;
	timer_init(&job->deadline, on_deadline, job);
	timer_set(&job->deadline, QUARANTINE_TIMEOUT);
	pthread_mutex_lock(&q->lock);
	STAILQ_INSERT_TAIL(&q->todo, job, next);
	pthread_cond_signal(&q->more);
	pthread_mutex_unlock(&q->lock);
	return job;
}

void
quarantine_forget(struct quarantine_job **job)
{
	if (*job == NULL)
		return;
	OBJ_CHECK(*job, JOB_MAGIC);
	(*job)->fn = NULL;
	timer_stop(&(*job)->deadline);
	*job = NULL;
}
