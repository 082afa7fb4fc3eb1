/*
 * clock - what time it is, and what happens then.
 *
 * The only caller of clock_gettime(). Monotonic time decides about
 * deadlines; wall time goes into logs and headers. Tests move the monotonic
 * clock forward (clock_advance) instead of sleeping, so every deadline of
 * the program is a struct timer here and not a libevent timeout.
 *
 * Timers are a binary heap beside one libevent timeout; setting one makes no
 * system call. The struct is embedded in its owner, which stops it before it
 * is freed.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct event_base;

typedef void timer_fn(void *arg);

struct timer {
	uint64_t	 due_ms;	/* clock_ms() at which it fires */
	size_t		 place;		/* in the heap, from 1; 0: not set */
	timer_fn	*fire;
	void		*arg;
};

/* Milliseconds since some fixed moment; never goes back. */
uint64_t clock_ms(void);
/* The same in microseconds, for durations in logs. */
uint64_t clock_us(void);
/* What this thread has had of the processor; nothing moves it. */
uint64_t clock_thread_us(void);
/* Wall time. */
struct timespec clock_wall(void);

/* Let timers fire on this loop. Once per process; a child of a process that
   called it calls clock_stop() first. */
void clock_start(struct event_base *base);
/* Give back what clock_start() took; timers that are set never fire. */
void clock_stop(void);

void timer_init(struct timer *t, timer_fn *fire, void *arg);
/* Fire once, after_ms from now; a timer that is set is moved. */
void timer_set(struct timer *t, uint64_t after_ms);
/* The same with 0, before the loop waits for anything: what it has read makes
   something happen in the same turn, without asking the kernel once more. One
   that sets itself again like this would keep the loop from everybody else. */
void timer_soon(struct timer *t);
/* No-op if it is not set. */
void timer_stop(struct timer *t);

static inline bool
timer_is_set(const struct timer *t)
{
	return t->place != 0;
}

/* For tests: let ms milliseconds pass, and fire what is due. */
void clock_advance(uint64_t ms);
/* For tests that count them: from now on no time passes by itself. */
void clock_freeze(void);

#endif
