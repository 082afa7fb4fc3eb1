/*
 * lookup - look something up in a table, and wait if that takes time.
 *
 * The tables themselves never wait (rules/table.h). This asks those that live
 * behind a socket, socketmap and tcp, on the event loop: a few connections to
 * each server, kept open, one question on each at a time; the other questions
 * stand in a queue. Each look-up has a deadline, and whatever goes wrong with a
 * server is TABLE_FAILED: never a hang, never "not found".
 *
 * A table that is not remote is answered as well, so that a caller who cannot
 * know needs one way only. Who knows (table_is_remote()) saves a turn of the
 * loop with table_find_keys().
 */
#ifndef FILTERS_LOOKUP_H
#define FILTERS_LOOKUP_H

#include <stdint.h>

#include "rules/table.h"

struct event_base;
struct keys;
struct lookup;
struct lookup_client;

/*
 * A client for one table on one loop; t must outlive it. Host names are
 * resolved here, blocking: at start-up only. NULL with *why (ours to free).
 */
struct lookup_client *lookup_client_new(struct event_base *base,
    struct table *t, char **why);
/* Look-ups that still wait are forgotten. Not from inside done(). */
void lookup_client_free(struct lookup_client **c);

/* value is "" unless r is TABLE_FOUND; valid during the call. */
typedef void lookup_fn(void *arg, enum table_result r, const char *value);

/*
 * Look the first of these keys up that there is; k is copied. done() is called
 * once, within timeout_ms, from the loop and never from inside this call, and
 * the look-up is gone then.
 */
struct lookup *lookup(struct lookup_client *c, const struct keys *k,
    uint64_t timeout_ms, lookup_fn *done, void *arg);
/* Forget it: done() will not be called. */
void lookup_cancel(struct lookup **l);

#endif
