/* The clock: time that a test can move, and timers in the right order. */

#include <stdint.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "tap.h"

#define N 200

static struct timer timers[N];
static uint64_t due[N];		/* 0: not set; the model of the heap */
static uint64_t last_fired;
static int wrong, fired;

static void
on_fire(void *arg)
{
	size_t i = (size_t)((struct timer *)arg - timers);

	/* Due, not before the one before it, and no longer set. */
	if (due[i] == 0 || due[i] > clock_ms() || due[i] < last_fired ||
	    timers[i].place != 0)
		wrong++;
	last_fired = due[i];
	due[i] = 0;
	fired++;
}

/* Those that were due when it was now, and have not fired. */
static int
overdue(uint64_t now)
{
	int i, n = 0;

	for (i = 0; i < N; i++)
		n += due[i] != 0 && due[i] <= now;
	return n;
}

static void
set_one(int i, uint64_t after)
{
	timer_set(&timers[i], after);
	due[i] = timers[i].due_ms;
	if (due[i] < last_fired)
		last_fired = 0;
}

/* Nothing fires early, late, twice or after it was stopped. */
static void
test_random(void)
{
	uint64_t now, ms;
	int round, i;

	srand(1);
	for (i = 0; i < N; i++)
		timer_init(&timers[i], on_fire, &timers[i]);
	for (round = 0; round < 20000; round++) {
		i = rand() % N;
		if (rand() % 4 == 0) {
			timer_stop(&timers[i]);
			due[i] = 0;
		} else {
			set_one(i, (uint64_t)(1 + rand() % 5000));
		}
		if (rand() % 8 == 0) {
			last_fired = 0;
			ms = (uint64_t)(rand() % 1000);
			now = clock_ms() + ms;
			clock_advance(ms);
			wrong += overdue(now);
		}
	}
	is_int(wrong, 0, "each fires when it is due, in order");
	ok(fired > 1000, "and they do fire");
	now = clock_ms() + 6000;
	clock_advance(6000);
	is_int(overdue(now), 0, "all that is left fires in the end");
	for (i = 0; i < N; i++)
		wrong += timers[i].place != 0;
	is_int(wrong, 0, "and is not set any more");
}

static int count;
static struct timer self, other;

static void
on_self(void *arg)
{
	(void)arg;
	if (++count < 3)
		timer_set(&self, 10000);
	timer_stop(&other);
}

static void
on_other(void *arg)
{
	(void)arg;
	count += 100;
}

static void
test_from_inside(void)
{
	timer_init(&self, on_self, NULL);
	timer_init(&other, on_other, NULL);
	timer_stop(&self);
	is_int((long long)self.place, 0, "stopping what is not set is fine");
	/* Real time passes as well: seconds leave room for it. */
	timer_set(&self, 10000);
	timer_set(&other, 10000);
	clock_advance(5000);
	is_int(count, 0, "not yet");
	clock_advance(6000);
	is_int(count, 1, "a timer may stop its neighbour and set itself");
	clock_advance(11000);
	clock_advance(11000);
	clock_advance(100000);
	is_int(count, 3, "as long as it wants to");
}

static void
on_break(void *base)
{
	count++;
	event_base_loopbreak(base);
}

/* The one place where time really passes: some milliseconds of it. */
static void
test_loop(void)
{
	struct event_base *base = event_base_new();
	struct timer t, never;
	uint64_t start;

	timer_init(&t, on_break, base);
	timer_init(&never, on_other, NULL);
	timer_set(&t, 5);
	clock_start(base);
	start = clock_ms();
	count = 0;
	event_base_dispatch(base);
	is_int(count, 1, "the loop fires a timer that was set before");
	ok(clock_ms() - start >= 4, "in time");
	timer_set(&t, 3600000);
	timer_set(&t, 2);
	event_base_dispatch(base);
	is_int(count, 2, "a timer that is moved forward");
	timer_set(&never, 3600000);
	timer_stop(&never);
	is_int(event_base_dispatch(base), 1,
	    "a loop without a timer has nothing to wait for");
	timer_set(&never, 3600000);
	timer_set(&t, 7200000);
	clock_advance(1);
	clock_stop();
	is_int((long long)never.place, 0, "clock_stop() stops all");
	is_int(event_base_dispatch(base), 1, "and leaves nothing in the loop");
	is_int(count, 2, "nothing fires then");
	clock_start(base);
	timer_set(&t, 0);
	event_base_dispatch(base);
	is_int(count, 3, "it can be started again; 0 is at once");
	clock_stop();
	event_base_free(base);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	timer_soon(&self);
}

/* What an event sets off happens in the same turn of the loop. */
static void
test_soon(void)
{
	struct event_base *base = event_base_new();
	struct event *event = event_new(base, -1, 0, on_event, NULL);

	clock_start(base);
	count = 2;
	timer_init(&self, on_self, NULL);
	timer_init(&other, on_other, NULL);
	timer_set(&other, 3600000);
	event_active(event, 0, 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	is_int(count, 3, "soon is in this turn");
	count = 2;
	timer_soon(&self);
	timer_stop(&self);
	event_base_loop(base, EVLOOP_NONBLOCK);
	is_int(count, 2, "and may be stopped");
	event_free(event);
	clock_stop();
	event_base_free(base);
}

static void
test_freeze(void)
{
	uint64_t start;

	clock_freeze();
	start = clock_us();
	while (clock_wall().tv_nsec % 2000000 < 1000000)
		;
	while (clock_wall().tv_nsec % 2000000 > 1000000)
		;
	ok(clock_us() == start, "time stands still");
	clock_advance(5);
	ok(clock_us() == start + 5000, "but for what the test says");
}

int
main(void)
{
	uint64_t before = clock_us(), ms = clock_ms();

	ok(ms >= before / 1000 && ms <= before / 1000 + 1000,
	    "one clock, two units");
	clock_advance(86400000);
	ok(clock_us() - before >= 86400000000, "it can be moved");
	ok(clock_wall().tv_sec > 1700000000, "wall time");
	test_random();
	test_from_inside();
	test_loop();
	test_soon();
	clock_stop();
	test_freeze();
	return tap_done();
}
