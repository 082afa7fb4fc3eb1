/*
 * job - something long and pure, done by a thread of its own while the loop
 * goes on, and after it: nobody waits for a job. (For tasks of a session there
 * is threads.h.)
 *
 * The function gets what it needs by arg, and nobody else touches that until
 * the job is done: no session, no log (its buffers are the loop's), no clock.
 * Who started it asks now and then whether it is done.
 */
#ifndef BASE_JOB_H
#define BASE_JOB_H

#include <stdbool.h>

struct job;

/* NULL: there is no thread to be had; then the caller does it himself. */
struct job *job_start(void (*fn)(void *arg), void *arg);
/* What it wrote can be read. */
bool job_is_done(const struct job *j);
/* Waits until it is done, frees it and leaves NULL; NULL is fine. */
void job_wait(struct job **j);

#endif
