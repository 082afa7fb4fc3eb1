/*
 * hash, btree - tables in files of Berkeley DB, FILE.db.
 *
 * postmap(1) writes the file in place, with flock(2) on it; so this reads it
 * under a shared one.
 */

#include <sys/file.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <db.h>

#include "base/mem.h"
#include "rules/stored.h"

/* Many pairs for one call; more than any page. */
#define BULK	(1024 * 1024)

/* Messages are ours to write; the library's own would go to standard error. */
static void
say_nothing(const DB_ENV *env, const char *prefix, const char *message)
{
	(void)env;
	(void)prefix;
	(void)message;
}

/* db_strerror(3) knows errno, too. */
static int
failed(const struct source *s, int error, char **why)
{
	*why = xasprintf("%s: %s", s->path, error == EINVAL ?
	    "no database of this kind" : db_strerror(error));
	return -1;
}

static int
take_bulk(struct stored *t, DBT *data, char **why)
{
	void *at, *key, *value;
	size_t keylen, valuelen;

	DB_MULTIPLE_INIT(at, data);
	for (;;) {
		DB_MULTIPLE_KEY_NEXT(at, data, key, keylen, value, valuelen);
		if (at == NULL)
			return 0;
		if (stored_add(t, key, keylen, value, valuelen, why) == -1)
			return -1;
	}
}

static int
read_all(struct stored *t, const struct source *s, DB *db, char **why)
{
	DBT key = { 0 }, data = { 0 };
	int error, r = 0;
	DBC *cursor;

	if ((error = db->cursor(db, NULL, &cursor, 0)) != 0)
		return failed(s, error, why);
	data.flags = DB_DBT_USERMEM;
	data.ulen = BULK;
	data.data = xmalloc(BULK);
	while (r == 0 && (error = cursor->get(cursor, &key, &data,
	    DB_NEXT | DB_MULTIPLE_KEY)) != DB_NOTFOUND) {
		if (error == DB_BUFFER_SMALL) {
			data.ulen *= 2;
			data.data = xrealloc(data.data, data.ulen);
		} else if (error != 0) {
			r = failed(s, error, why);
		} else {
			r = take_bulk(t, &data, why);
		}
	}
	cursor->close(cursor);
	free(data.data);
	return r;
}

static int
read_database(struct stored *t, const struct source *s, DBTYPE type,
    char **why)
{
	int error, r;
	DB *db;

	if ((error = db_create(&db, NULL, 0)) != 0)
		return failed(s, error, why);
	db->set_errcall(db, say_nothing);
	error = db->open(db, NULL, s->path, NULL, type, DB_RDONLY, 0);
	r = error != 0 ? failed(s, error, why) : read_all(t, s, db, why);
	db->close(db, DB_NOSYNC);
	return r;
}

static int
lock_shared(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB);
}

static int
read_locked(struct stored *t, const struct source *s, DBTYPE type, char **why)
{
	int fd, r;

	if ((fd = open(s->path, O_RDONLY | O_CLOEXEC)) == -1) {
		*why = why_errno(s->path, errno);
		return -1;
	}
	r = stored_lock(s, fd, lock_shared, why);
	if (r == 0)
		r = read_database(t, s, type, why);
	close(fd);
	return r;
}

static int
read_hash(struct stored *t, const struct source *s, char **why)
{
	return read_locked(t, s, DB_HASH, why);
}

static int
read_btree(struct stored *t, const struct source *s, char **why)
{
	return read_locked(t, s, DB_BTREE, why);
}

static void *
hash_open(const struct source *s, char **why)
{
	return stored_open(s, read_hash, why);
}

static void *
btree_open(const struct source *s, char **why)
{
	return stored_open(s, read_btree, why);
}

const struct table_type table_hash = {
	.name	= "hash",
	.suffix	= ".db",
	.flags	= TABLE_FOLDS | TABLE_FILE,
	.open	= hash_open,
	.close	= stored_close,
	.find	= stored_find,
	.size	= stored_size,
};

const struct table_type table_btree = {
	.name	= "btree",
	.suffix	= ".db",
	.flags	= TABLE_FOLDS | TABLE_FILE,
	.open	= btree_open,
	.close	= stored_close,
	.find	= stored_find,
	.size	= stored_size,
};
