/*
 * threads - a few of them, and two queues: what is to be done, what is over.
 */

#include "base/threads.h"

#include <sys/eventfd.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"

/* PCRE2 brings its own; libarchive and libmagic want more than the least. */
#define STACK		((size_t)2 << 20)

STAILQ_HEAD(tasks, task);

struct threads {
	int			 fd;		/* ours: something is over */
	struct event		*event;		/* ours */
	size_t			 n, running;	/* threads; tasks */
	struct thread {
		struct threads	*all;
		pthread_t	 id;
	}			 v[THREADS_MAX];

	pthread_mutex_t		 lock;		/* of what follows */
	pthread_cond_t		 more;
	struct tasks		 waiting, over;
	bool			 stopping;
};

static struct task *
take(struct tasks *q)
{
	struct task *task = STAILQ_FIRST(q);

	if (task != NULL)
		STAILQ_REMOVE_HEAD(q, next);
	return task;
}

/* A thread */

static void
put_over(struct threads *t, struct task *task)
{
	uint64_t one = 1;

	pthread_mutex_lock(&t->lock);
	STAILQ_INSERT_TAIL(&t->over, task, next);
	pthread_mutex_unlock(&t->lock);
	/* It can only fail when it has been written 2^64 times. */
	if (write(t->fd, &one, sizeof(one)) == -1)
		return;
}

/* NULL: it is time to go. */
static struct task *
wait_for_task(struct threads *t)
{
	struct task *task = NULL;

	pthread_mutex_lock(&t->lock);
	while (!t->stopping && (task = take(&t->waiting)) == NULL)
		pthread_cond_wait(&t->more, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return task;
}

static void *
run(void *arg)
{
	struct thread *self = arg;
	struct threads *t = self->all;
	struct task *task;

	while ((task = wait_for_task(t)) != NULL) {
		task->work(task->arg, (unsigned)(self - t->v));
		put_over(t, task);
	}
	return NULL;
}

/* Signals are for the loop: the thread inherits that all are blocked. */
static bool
start(struct threads *t)
{
	struct thread *self = &t->v[t->n];
	sigset_t all, before;
	pthread_attr_t attr;
	int error;

	self->all = t;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&self->id, &attr, run, self);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	t->n += error == 0;
	return error == 0;
}

/* The loop */

/* A task that is told of may bring the next. */
static void
on_over(evutil_socket_t fd, short what, void *arg)
{
	struct threads *t = arg;
	struct task *task;
	struct tasks over;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) == -1)
		return;
	STAILQ_INIT(&over);
	pthread_mutex_lock(&t->lock);
	STAILQ_CONCAT(&over, &t->over);
	pthread_mutex_unlock(&t->lock);
	while ((task = take(&over)) != NULL) {
		if (--t->running == 0)
			event_del(t->event);
		task->done(task->arg);
	}
}

struct threads *
threads_new(struct event_base *base)
{
	struct threads *t = xcalloc(1, sizeof(*t));

	t->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->fd == -1)
		fatal("no descriptor for threads");
	t->event = event_new(base, t->fd, EV_READ | EV_PERSIST, on_over, t);
	if (t->event == NULL)
		fatal("out of memory");
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->more, NULL);
	STAILQ_INIT(&t->waiting);
	STAILQ_INIT(&t->over);
	return t;
}

/* A second thread starts when the first has something to do. Without any, the
   loop has to do it itself. */
void
threads_run(struct threads *t, struct task *task)
{
	if (t->running++ == 0)
		event_add(t->event, NULL);
	if (t->n < THREADS_MAX && t->running > t->n && !start(t) &&
	    t->n == 0) {
		task->work(task->arg, 0);
		put_over(t, task);
		return;
	}
	pthread_mutex_lock(&t->lock);
	STAILQ_INSERT_TAIL(&t->waiting, task, next);
	pthread_mutex_unlock(&t->lock);
	pthread_cond_signal(&t->more);
}

void
threads_free(struct threads **tp)
{
	struct threads *t = *tp;
	struct task *task;
	size_t i;

	if (t == NULL)
		return;
	*tp = NULL;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_mutex_unlock(&t->lock);
	pthread_cond_broadcast(&t->more);
	for (i = 0; i < t->n; i++)
		pthread_join(t->v[i].id, NULL);
	STAILQ_CONCAT(&t->over, &t->waiting);
	while ((task = take(&t->over)) != NULL)
		task->done(task->arg);
	event_free(t->event);
	close(t->fd);
	pthread_cond_destroy(&t->more);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
