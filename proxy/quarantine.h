/*
 * quarantine - messages that are kept in a Maildir instead of being delivered.
 *
 * A message that the client is told is kept must be on the disk by then, and
 * fsync(2) may take as long as the disk likes. So one thread of the worker does
 * the writing: it gets a message as a whole, which is its own from then on,
 * knows no session, and its answer comes through the loop. The directories are
 * opened with the first message, by the user that the worker runs as.
 */
#ifndef PROXY_QUARANTINE_H
#define PROXY_QUARANTINE_H

struct event_base;
struct quarantine;
struct quarantine_job;
struct spool;

/*
 * The message is on the disk, in new/, under this name; or name is NULL, and
 * error says why it is not, ETIMEDOUT if nobody knows yet.
 */
typedef void quarantine_fn(void *arg, const char *name, int error);

/* dir (absolute) and hostname are borrowed. */
struct quarantine *quarantine_new(struct event_base *base, const char *dir,
    const char *hostname);
/* Ends when the message that is being written is; fn of jobs that are left is
   not called. Leaves NULL; NULL is fine. */
void quarantine_free(struct quarantine **q);

#define QUARANTINE_TIMEOUT	120000	/* ms */

/*
 * Keep all of the spool, which was not taken from, and is the quarantine's from
 * now on. fn is called once, later, from the loop, and at the latest after
 * QUARANTINE_TIMEOUT; the job is gone then.
 */
struct quarantine_job *quarantine_keep(struct quarantine *q,
    struct spool *message, quarantine_fn *fn, void *arg);
/* fn is not to be called any more; the message may be kept all the same.
   Leaves NULL; NULL is fine. */
void quarantine_forget(struct quarantine_job **job);

#endif
