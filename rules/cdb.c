/*
 * cdb - tables in constant databases, FILE.cdb.
 *
 * postmap(1) writes a new file and renames it, so there is nothing to lock.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cdb.h>

#include "base/mem.h"
#include "rules/stored.h"

static int
read_records(struct stored *t, const struct source *s, struct cdb *c,
    char **why)
{
	const void *key, *value;
	unsigned at;
	int r;

	cdb_seqinit(&at, c);
	while ((r = cdb_seqnext(&at, c)) > 0) {
		key = cdb_getkey(c);
		value = cdb_getdata(c);
		if (key == NULL || value == NULL) {
			r = -1;
			break;
		}
		if (stored_add(t, key, cdb_keylen(c), value, cdb_datalen(c),
		    why) == -1)
			return -1;
	}
	if (r == 0)
		return 0;
	*why = xasprintf("%s: no constant database", s->path);
	return -1;
}

static int
read_cdb(struct stored *t, const struct source *s, char **why)
{
	struct cdb c;
	int fd, r;

	if ((fd = open(s->path, O_RDONLY | O_CLOEXEC)) == -1) {
		*why = why_errno(s->path, errno);
		return -1;
	}
	if (cdb_init(&c, fd) == -1) {
		*why = xasprintf("%s: no constant database", s->path);
		r = -1;
	} else {
		r = read_records(t, s, &c, why);
		cdb_free(&c);
	}
	close(fd);
	return r;
}

static void *
cdb_table_open(const struct source *s, char **why)
{
	return stored_open(s, read_cdb, why);
}

const struct table_type table_cdb = {
	.name	= "cdb",
	.suffix	= ".cdb",
	.flags	= TABLE_FOLDS | TABLE_FILE,
	.open	= cdb_table_open,
	.close	= stored_close,
	.find	= stored_find,
	.size	= stored_size,
};
