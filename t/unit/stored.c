/* hash, btree, lmdb and cdb: files made with the libraries, with and without a
   NUL behind keys and values, locked, broken and empty. */

#include "rules/table.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cdb.h>
#include <db.h>
#include <lmdb.h>

#include "base/mem.h"
#include "tap.h"

static char dir[] = "/tmp/vratar-stored-XXXXXX";

static const char *const pairs[][2] = {
	{ "user@example.org", "OK" },
	{ "@example.net", "all of them" },
	{ "empty", "" },
	{ "UPPER", "no look-up is for this" },
	{ "j\xc3\xb6rg", "utf-8" },
	{ "bad value", "\xff" },
};

#define NPAIRS	(sizeof(pairs) / sizeof(pairs[0]))

static char *
file(const char *suffix)
{
	return xasprintf("%s/table%s", dir, suffix);
}

static void
check(bool good, const char *what)
{
	if (good)
		return;
	printf("Bail out! %s\n", what);
	exit(1);
}

static void
make_db(DBTYPE type, size_t nul, int many)
{
	DBT key = { 0 }, value = { 0 };
	char *path = file(".db"), name[40];
	size_t i;
	DB *db;
	int n;

	unlink(path);
	check(db_create(&db, NULL, 0) == 0, "db_create");
	check(db->open(db, NULL, path, NULL, type, DB_CREATE | DB_TRUNCATE,
	    0644) == 0, path);
	for (i = 0; i < NPAIRS; i++) {
		key.data = (void *)(uintptr_t)pairs[i][0];
		key.size = (u_int32_t)(strlen(pairs[i][0]) + nul);
		value.data = (void *)(uintptr_t)pairs[i][1];
		value.size = (u_int32_t)(strlen(pairs[i][1]) + nul);
		check(db->put(db, NULL, &key, &value, 0) == 0, "put");
	}
	for (n = 0; n < many; n++) {
		snprintf(name, sizeof(name), "key%d", n);
		key.data = value.data = name;
		key.size = value.size = (u_int32_t)strlen(name);
		check(db->put(db, NULL, &key, &value, 0) == 0, "put");
	}
	db->close(db, 0);
	free(path);
}

static void
make_hash(size_t nul, int many)
{
	make_db(DB_HASH, nul, many);
}

static void
make_btree(size_t nul, int many)
{
	make_db(DB_BTREE, nul, many);
}

static void
make_lmdb(size_t nul, int many)
{
	char *path = file(".lmdb"), name[40];
	MDB_val key, value;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t i;
	int n;

	unlink(path);
	check(mdb_env_create(&env) == 0 &&
	    mdb_env_set_mapsize(env, 1 << 26) == 0 &&
	    mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0644) == 0 &&
	    mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
	    mdb_dbi_open(txn, NULL, 0, &dbi) == 0, path);
	for (i = 0; i < NPAIRS; i++) {
		key.mv_data = (void *)(uintptr_t)pairs[i][0];
		key.mv_size = strlen(pairs[i][0]) + nul;
		value.mv_data = (void *)(uintptr_t)pairs[i][1];
		value.mv_size = strlen(pairs[i][1]) + nul;
		check(mdb_put(txn, dbi, &key, &value, 0) == 0, "mdb_put");
	}
	for (n = 0; n < many; n++) {
		snprintf(name, sizeof(name), "key%d", n);
		key.mv_data = value.mv_data = name;
		key.mv_size = value.mv_size = strlen(name);
		check(mdb_put(txn, dbi, &key, &value, 0) == 0, "mdb_put");
	}
	check(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
	mdb_env_close(env);
	free(path);
}

static void
make_cdb(size_t nul, int many)
{
	char *path = file(".cdb"), name[40];
	struct cdb_make c;
	size_t i;
	int n, fd;

	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	check(fd != -1 && cdb_make_start(&c, fd) == 0, path);
	for (i = 0; i < NPAIRS; i++)
		check(cdb_make_add(&c, pairs[i][0],
		    (unsigned)(strlen(pairs[i][0]) + nul), pairs[i][1],
		    (unsigned)(strlen(pairs[i][1]) + nul)) == 0, "cdb");
	for (n = 0; n < many; n++) {
		snprintf(name, sizeof(name), "key%d", n);
		check(cdb_make_add(&c, name, (unsigned)strlen(name), name,
		    (unsigned)strlen(name)) == 0, "cdb");
	}
	check(cdb_make_finish(&c) == 0, "cdb_make_finish");
	close(fd);
	free(path);
}

static const struct {
	const char	*type, *suffix;
	void		(*make)(size_t nul, int many);
	bool		 locked;
} kinds[] = {
	{ "hash", ".db", make_hash, true },
	{ "btree", ".db", make_btree, true },
	{ "lmdb", ".lmdb", make_lmdb, true },
	{ "cdb", ".cdb", make_cdb, false },
};

#define NKINDS	(sizeof(kinds) / sizeof(kinds[0]))

static struct table *
open_kind(const char *type, char **why)
{
	char *spec = xasprintf("%s:%s/table", type, dir);
	struct table *t = table_open(spec, why);

	free(spec);
	return t;
}

static const char *
find(struct table *t, const char *key)
{
	const char *value = NULL;

	switch (table_find(t, key, strlen(key), &value)) {
	case TABLE_FOUND:
		return value;
	case TABLE_NOT_FOUND:
		return NULL;
	case TABLE_FAILED:
	case TABLE_LIMIT:
		break;
	}
	return "(failed)";
}

static void
test_pairs(size_t k, size_t nul)
{
	char *why = NULL;
	struct table *t;

	kinds[k].make(nul, 0);
	t = open_kind(kinds[k].type, &why);
	if (!ok(t != NULL, "%s, %s NUL", kinds[k].type, nul ? "with" :
	    "without")) {
		printf("# %s\n", why);
		return;
	}
	is_int((long long)table_size(t), NPAIRS, "  keys");
	is_str(find(t, "User@Example.ORG"), "OK", "  a key is folded");
	is_str(find(t, "@example.net"), "all of them", "  a value of words");
	is_str(find(t, "empty"), "", "  an empty value");
	is_str(find(t, "UPPER"), NULL, "  a stored key is not");
	is_str(find(t, "J\xc3\x96RG"), "utf-8", "  UTF-8");
	is_str(find(t, "bad value"), "(failed)", "  a value that is not UTF-8");
	is_str(find(t, "user@example.or"), NULL, "  a part of a key");
	is_str(find(t, "nobody"), NULL, "  no key");
	table_free(&t);
}

static void
test_many(size_t k)
{
	enum { N = 30000 };
	int i, found = 0;
	char key[40], *why;
	struct table *t;
	const char *value;

	kinds[k].make(0, N);
	t = open_kind(kinds[k].type, &why);
	is_int((long long)table_size(t), N + NPAIRS, "  many");
	for (i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		value = find(t, key);
		found += value != NULL && strcmp(value, key) == 0;
	}
	is_int(found, N, "  all found");
	table_free(&t);
}

static void
spew(const char *path, const char *octets, size_t len)
{
	FILE *f = fopen(path, "w");

	check(f != NULL && fwrite(octets, 1, len, f) == len &&
	    fclose(f) == 0, path);
}

/* Files that are none. Whatever the library says, there is no table. */
static void
test_broken(size_t k)
{
	char *path = file(kinds[k].suffix), *why, *prefix, junk[5000];
	struct table *t;
	struct stat st;
	size_t i;

	prefix = xasprintf("%s: ", path);
	for (i = 0; i < sizeof(junk); i++)
		junk[i] = (char)(i * 7 + i / 256);
	unlink(path);
	t = open_kind(kinds[k].type, &why);
	ok(t == NULL && strncmp(why, prefix, strlen(prefix)) == 0,
	    "  no file: %s", why);
	free(why);
	spew(path, "", 0);
	t = open_kind(kinds[k].type, &why);
	ok(t == NULL && strncmp(why, prefix, strlen(prefix)) == 0,
	    "  empty: %s", why);
	free(why);
	spew(path, junk, sizeof(junk));
	t = open_kind(kinds[k].type, &why);
	ok(t == NULL && strncmp(why, prefix, strlen(prefix)) == 0,
	    "  junk: %s", why);
	free(why);
	/* Half a file may still be one, with fewer keys. */
	kinds[k].make(0, 3000);
	check(stat(path, &st) == 0 && truncate(path, st.st_size / 2) == 0,
	    "truncate");
	t = open_kind(kinds[k].type, &why);
	ok(t == NULL || table_size(t) <= 3000 + NPAIRS, "  half a file");
	if (t == NULL)
		free(why);
	table_free(&t);
	free(prefix);
	free(path);
}

/* Another process, because an fcntl(2) lock does not stop its own. Returns its
   id; it holds the lock until the pipe is closed. */
static pid_t
lock_elsewhere(const char *path, bool posix, int *hold)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int ready[2], stay[2], fd;
	char c = 0;
	pid_t pid;

	check(pipe(ready) == 0 && pipe(stay) == 0, "pipe");
	if ((pid = fork()) == 0) {
		close(stay[1]);
		fd = open(path, O_RDWR);
		if ((posix ? fcntl(fd, F_SETLK, &lock) :
		    flock(fd, LOCK_EX)) == 0)
			c = 'y';
		(void)!write(ready[1], &c, 1);
		(void)!read(stay[0], &c, 1);
		_exit(0);
	}
	close(stay[0]);
	check(read(ready[0], &c, 1) == 1 && c == 'y', "lock");
	close(ready[0]);
	close(ready[1]);
	*hold = stay[1];
	return pid;
}

/* Whoever writes has a lock, and a table that is opened now waits for it. */
static void
test_locked(size_t k)
{
	char *path = file(kinds[k].suffix), *why = NULL;
	struct table *t;
	int hold, r, child;
	pid_t pid, opener;

	kinds[k].make(0, 0);
	pid = lock_elsewhere(path, strcmp(kinds[k].type, "lmdb") == 0, &hold);
	if ((opener = fork()) == 0) {
		close(hold);
		t = open_kind(kinds[k].type, &why);
		_exit(t != NULL ? 0 : 1);
	}
	/* It has not read while the lock is there, or it has ended by now. */
	is_int(waitpid(opener, &child, WNOHANG), 0, "  waits for a lock");
	close(hold);
	waitpid(pid, &r, 0);
	waitpid(opener, &child, 0);
	is_int(child, 0, "  until it is gone");
	free(path);
}

int
main(void)
{
	struct table *t;
	char *path;
	size_t k;

	check(mkdtemp(dir) != NULL, "mkdtemp");
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (k = 0; k < NKINDS; k++) {
		test_pairs(k, 0);
		test_pairs(k, 1);
		test_many(k);
		test_broken(k);
		if (kinds[k].locked)
			test_locked(k);
		path = file(kinds[k].suffix);
		unlink(path);
		free(path);
	}
	/* One is no other. */
	make_hash(0, 0);
	t = open_kind("btree", &path);
	ok(t == NULL, "a hash is no btree: %s", path);
	free(path);
	path = file(".db");
	unlink(path);
	free(path);
	rmdir(dir);
	return tap_done();
}
