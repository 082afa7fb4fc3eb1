/*
 * threads - a few of them, for what is long and pure while the loop goes on.
 *
 * A task gets what it needs by arg, and nobody else touches that until it is
 * over: no session, no log (its buffers are the loop's), no timer. The loop
 * hears of the end by a descriptor, and not by looking now and then. Threads
 * start with the first task and wait for the next; signals are not for them.
 */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include <sys/queue.h>

struct event_base;
struct threads;

#define THREADS_MAX	2

/* Embedded in its owner, who fills the first three. */
struct task {
	/* thread is below THREADS_MAX: no other task has the same at a time. */
	void		(*work)(void *arg, unsigned thread);
	/* On the loop, and never before threads_run() has returned. */
	void		(*done)(void *arg);
	void		*arg;
	STAILQ_ENTRY(task) next;
};

struct threads *threads_new(struct event_base *base);
/* Waits for those that work, calls done() for every task, also for those that
   have not begun, and leaves NULL; NULL is fine. */
void threads_free(struct threads **t);

/* Tasks begin in the order in which they come. */
void threads_run(struct threads *t, struct task *task);

#endif
