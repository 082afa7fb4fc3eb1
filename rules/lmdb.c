/*
 * lmdb - tables in files of LMDB, FILE.lmdb.
 *
 * Postfix does not use LMDB's own locks: a transaction is under an fcntl(2)
 * lock of the whole file (lmdb_table(5)), so this one is, too. That lock is the
 * process's, and it is gone as soon as the process closes any descriptor of the
 * file: it must be taken on LMDB's own.
 */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <lmdb.h>

#include "base/mem.h"
#include "rules/stored.h"

static int
failed(const struct source *s, int error, char **why)
{
	*why = xasprintf("%s: %s", s->path, mdb_strerror(error));
	return -1;
}

static int
read_cursor(struct stored *t, const struct source *s, MDB_cursor *cursor,
    char **why)
{
	MDB_val key, value;
	int error;

	while ((error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if (stored_add(t, key.mv_data, key.mv_size, value.mv_data,
		    value.mv_size, why) == -1)
			return -1;
	return error == MDB_NOTFOUND ? 0 : failed(s, error, why);
}

static int
read_transaction(struct stored *t, const struct source *s, MDB_env *env,
    char **why)
{
	MDB_cursor *cursor;
	MDB_txn *txn;
	MDB_dbi dbi;
	int error, r = -1;

	if ((error = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn)) != 0)
		return failed(s, error, why);
	if ((error = mdb_dbi_open(txn, NULL, 0, &dbi)) != 0 ||
	    (error = mdb_cursor_open(txn, dbi, &cursor)) != 0) {
		failed(s, error, why);
	} else {
		r = read_cursor(t, s, cursor, why);
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return r;
}

/* Pages behind the end of the file are a signal and not an error: somebody has
   copied half of it. */
static bool
is_complete(MDB_env *env, int fd)
{
	MDB_envinfo info;
	MDB_stat pages;
	struct stat st;

	return mdb_env_info(env, &info) == 0 &&
	    mdb_env_stat(env, &pages) == 0 && fstat(fd, &st) == 0 &&
	    (uint64_t)st.st_size / pages.ms_psize > info.me_last_pgno;
}

static int
lock_shared(int fd)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_SETLK, &lock);
}

static int
read_locked(struct stored *t, const struct source *s, MDB_env *env, char **why)
{
	mdb_filehandle_t fd;

	mdb_env_get_fd(env, &fd);
	if (stored_lock(s, fd, lock_shared, why) == -1)
		return -1;
	if (!is_complete(env, fd))
		return failed(s, MDB_CORRUPTED, why);
	return read_transaction(t, s, env, why);
}

static int
read_lmdb(struct stored *t, const struct source *s, char **why)
{
	struct stat st;
	MDB_env *env;
	int error, r;

	/* LMDB would take a file of no octets for a new database. */
	if (stat(s->path, &st) == 0 && st.st_size == 0)
		return failed(s, MDB_INVALID, why);
	if ((error = mdb_env_create(&env)) != 0)
		return failed(s, error, why);
	error = mdb_env_open(env, s->path, MDB_NOSUBDIR | MDB_RDONLY |
	    MDB_NOLOCK, 0);
	r = error != 0 ? failed(s, error, why) : read_locked(t, s, env, why);
	mdb_env_close(env);
	return r;
}

static void *
lmdb_open(const struct source *s, char **why)
{
	return stored_open(s, read_lmdb, why);
}

const struct table_type table_lmdb = {
	.name	= "lmdb",
	.suffix	= ".lmdb",
	.flags	= TABLE_FOLDS | TABLE_FILE,
	.open	= lmdb_open,
	.close	= stored_close,
	.find	= stored_find,
	.size	= stored_size,
};
