/*
 * stored - what postmap(1) stored: hash, btree, lmdb, cdb.
 */

#include "rules/stored.h"

#include <sys/stat.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"

#define KEY_MAX		4096
#define LOCK_TRIES	500
#define LOCK_PAUSE_MS	10

struct stored {
	struct index	 index;
	const struct source *source;	/* while it is read */
};

/* Up to the first NUL, as a C program that wrote it reads it. */
static size_t
length(const char *p, size_t len)
{
	const char *end = len > 0 ? memchr(p, '\0', len) : NULL;

	return end != NULL ? (size_t)(end - p) : len;
}

/* The index has the value with a NUL behind it. */
static void
check_value(const struct stored *t, const char *key, size_t keylen)
{
	struct report *r = t->source->report;

	if (r->use.check != NULL)
		report_value(r, t->source->path, 0, key, keylen,
		    index_find(&t->index, key, keylen));
}

int
stored_add(struct stored *t, const void *key, size_t keylen,
    const void *value, size_t valuelen, char **why)
{
	keylen = length(key, keylen);
	valuelen = length(value, valuelen);
	/* No key that is looked up is so long, or empty. */
	if (keylen == 0 || keylen > KEY_MAX)
		return 0;
	if (index_add(&t->index, key, keylen, value, valuelen) != INDEX_FULL) {
		check_value(t, key, keylen);
		return 0;
	}
	*why = xstrdup("more than 4 GB of keys and values");
	return -1;
}

/* Whoever edits the text and forgets postmap wonders why nothing changes. */
static void
warn_if_old(const struct source *s)
{
	struct stat text, stored;

	if (stat(s->argument, &text) == -1 || stat(s->path, &stored) == -1)
		return;
	if (text.st_mtim.tv_sec > stored.st_mtim.tv_sec)
		report_warn(s->report, "file=%s older-than=%s (run "
		    "postmap(1))", s->path, s->argument);
}

void *
stored_open(const struct source *s, stored_read_fn *read, char **why)
{
	struct stored *t = xcalloc(1, sizeof(*t));

	index_init(&t->index);
	t->source = s;
	if (read(t, s, why) == -1) {
		stored_close(t);
		return NULL;
	}
	index_done(&t->index);
	t->source = NULL;
	warn_if_old(s);
	return t;
}

int
stored_lock(const struct source *s, int fd, stored_lock_fn *lock, char **why)
{
	struct timespec pause = { 0, LOCK_PAUSE_MS * 1000000L };
	int tries = s->patient ? LOCK_TRIES : 1;

	while (lock(fd) == -1) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EACCES) {
			*why = why_errno(s->path, errno);
			return -1;
		}
		if (--tries == 0) {
			*s->busy = true;
			*why = xasprintf("%s: somebody is writing it", s->path);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

void
stored_close(void *priv)
{
	struct stored *t = priv;

	index_fini(&t->index);
	free(t);
}

enum table_result
stored_find(void *priv, struct query *q)
{
	struct stored *t = priv;

	q->value = index_find(&t->index, q->key, q->len);
	return q->value != NULL ? TABLE_FOUND : TABLE_NOT_FOUND;
}

size_t
stored_size(const void *priv)
{
	const struct stored *t = priv;

	return t->index.n;
}
