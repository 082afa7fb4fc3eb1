/*
 * clock - what time it is, and what happens then.
 */

#include "base/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/mem.h"

static struct {
	struct timer	**heap;		/* heap[1] is due first */
	size_t		  n, room;
	struct event	 *wake;
	uint64_t	  wake_ms;	/* when it will fire; 0: not armed */
	uint64_t	  offset_us;	/* clock_advance() adds to it */
	uint64_t	  frozen_us;	/* 0: time passes */
} timers;

uint64_t
clock_us(void)
{
	struct timespec ts;

	if (timers.frozen_us != 0)
		return timers.frozen_us + timers.offset_us;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 +
	    timers.offset_us;
}

uint64_t
clock_ms(void)
{
	return clock_us() / 1000;
}

uint64_t
clock_thread_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct timespec
clock_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

static void
put(struct timer *t, size_t i)
{
	timers.heap[i] = t;
	t->place = i;
}

static void
sift_up(struct timer *t, size_t i)
{
	for (; i > 1 && timers.heap[i / 2]->due_ms > t->due_ms; i /= 2)
		put(timers.heap[i / 2], i);
	put(t, i);
}

static void
sift_down(struct timer *t, size_t i)
{
	size_t child;

	while ((child = 2 * i) <= timers.n) {
		if (child < timers.n &&
		    timers.heap[child + 1]->due_ms < timers.heap[child]->due_ms)
			child++;
		if (timers.heap[child]->due_ms >= t->due_ms)
			break;
		put(timers.heap[child], i);
		i = child;
	}
	put(t, i);
}

/* Have the loop wake us for the first timer; later wake-ups do no harm. */
static void
arm(void)
{
	uint64_t now, wait;
	struct timeval tv;

	if (timers.wake == NULL || timers.n == 0)
		return;
	if (timers.wake_ms != 0 && timers.wake_ms <= timers.heap[1]->due_ms)
		return;
	now = clock_ms();
	timers.wake_ms = timers.heap[1]->due_ms;
	wait = timers.wake_ms > now ? timers.wake_ms - now : 0;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	event_add(timers.wake, &tv);
}

/* A loop with nothing left to wait for may end. */
static void
disarm(void)
{
	if (timers.wake_ms != 0)
		event_del(timers.wake);
	timers.wake_ms = 0;
}

static void
run_due(void)
{
	uint64_t now = clock_ms();
	struct timer *t;

	while (timers.n > 0 && (t = timers.heap[1])->due_ms <= now) {
		timer_stop(t);
		t->fire(t->arg);
	}
	arm();
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	timers.wake_ms = 0;
	run_due();
}

void
clock_start(struct event_base *base)
{
	assert(timers.wake == NULL);
	timers.wake = evtimer_new(base, on_wake, NULL);
	timers.wake_ms = 0;
	arm();
}

void
clock_stop(void)
{
	disarm();
	if (timers.wake != NULL)
		event_free(timers.wake);
	timers.wake = NULL;
	while (timers.n > 0)
		timer_stop(timers.heap[timers.n]);
	free(timers.heap);
	timers.heap = NULL;
	timers.room = 0;
}

void
timer_init(struct timer *t, timer_fn *fire, void *arg)
{
	*t = (struct timer){ .fire = fire, .arg = arg };
}

void
timer_set(struct timer *t, uint64_t after_ms)
{
	uint64_t due = clock_ms() + after_ms, old = t->due_ms;

	t->due_ms = due;
	if (t->place == 0) {
		if (timers.n + 1 >= timers.room) {
			timers.room = timers.room ? timers.room * 2 : 64;
			timers.heap = xrealloc(timers.heap,
			    timers.room * sizeof(timers.heap[0]));
		}
		sift_up(t, ++timers.n);
	} else if (due < old)
		sift_up(t, t->place);
	else
		sift_down(t, t->place);
	arm();
}

void
timer_soon(struct timer *t)
{
	timer_set(t, 0);
	if (timers.wake != NULL)
		event_active(timers.wake, EV_TIMEOUT, 0);
}

void
timer_stop(struct timer *t)
{
	struct timer *last;
	size_t i = t->place;

	if (i == 0)
		return;
	t->place = 0;
	last = timers.heap[timers.n--];
	if (timers.n == 0)
		disarm();
	if (last == t)
		return;
	if (i > 1 && timers.heap[i / 2]->due_ms > last->due_ms)
		sift_up(last, i);
	else
		sift_down(last, i);
}

void
clock_advance(uint64_t ms)
{
	timers.offset_us += ms * 1000;
	disarm();
	run_due();
}

void
clock_freeze(void)
{
	timers.frozen_us = clock_us() - timers.offset_us;
}
