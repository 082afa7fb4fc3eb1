/*
 * stored - what postmap(1) stored: hash, btree, lmdb, cdb.
 *
 * All of it is read into an index when the table is opened, and the file is
 * closed again. Postfix looks into the file each time, and so shares it with
 * whoever writes it; here a look-up can neither wait for a writer's lock nor
 * see a half-written file, nor end the process when somebody truncates it, and
 * the workers share the memory that was there before they were forked.
 *
 * The files hold keys that postmap has folded. Whether it stored keys and
 * values with a NUL behind them depends on the kind and on its options -n and
 * -N; that NUL is no part of either.
 */
#ifndef RULES_STORED_H
#define RULES_STORED_H

#include <stddef.h>

#include "rules/index.h"
#include "rules/table_impl.h"

struct stored;

/* For a reader: one key and its value. -1 with *why: this is no use. */
int stored_add(struct stored *t, const void *key, size_t keylen,
    const void *value, size_t valuelen, char **why);

/*
 * Make the table: read() calls stored_add() for everything in the file, and
 * returns 0, or -1 with *why.
 */
typedef int stored_read_fn(struct stored *t, const struct source *s,
    char **why);
void *stored_open(const struct source *s, stored_read_fn *read, char **why);

/*
 * Wait until lock() gets its lock, a few seconds, or not at all unless the
 * source is patient. lock() returns -1 with errno EAGAIN or EACCES as long as
 * somebody writes. -1 with *why.
 */
typedef int stored_lock_fn(int fd);
int stored_lock(const struct source *s, int fd, stored_lock_fn *lock,
    char **why);

/* For the kinds' struct table_type. */
void stored_close(void *priv);
enum table_result stored_find(void *priv, struct query *q);
size_t stored_size(const void *priv);

#endif
