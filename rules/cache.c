/*
 * cache - files with a hash for a name, and one of their content in front.
 *
 * The hash in front covers the name as well: a file that was renamed is as
 * useless as one that was cut. The time of a file is that of its last use. Two
 * processes may use a directory: the most that one can do to the other is to
 * delete a file that it could have used.
 */

#include "rules/cache.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define SUM		32
#define NAME_ROOM	(2 * CACHE_KEY + 40)

#define DAY		(24 * 60 * 60)

static const char *directory;	/* borrowed */
static bool put;		/* something, there */

static void
complain(const char *name, const char *problem)
{
	char quoted[1024];

	log_warn(0, "cache directory=%s file=%s problem=\"%s\"",
	    log_quote(quoted, sizeof(quoted), directory, strlen(directory),
	    250), name, problem);
}

static void
name_of(char name[NAME_ROOM], const unsigned char key[CACHE_KEY])
{
	size_t i;

	for (i = 0; i < CACHE_KEY; i++)
		snprintf(name + 2 * i, 3, "%02x", key[i]);
}

static void
sum_of(unsigned char sum[SUM], const unsigned char key[CACHE_KEY],
    struct slice content)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) ||
	    !EVP_DigestUpdate(ctx, key, CACHE_KEY) ||
	    !EVP_DigestUpdate(ctx, content.p, content.len) ||
	    !EVP_DigestFinal_ex(ctx, sum, NULL))
		fatal("no SHA-256");
	EVP_MD_CTX_free(ctx);
}

/* Root's or ours, and for nobody else to write. */
static bool
is_safe(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) &&
	    (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* -1: it is said why, once. */
static int
open_directory(void)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1) {
		complain("-", strerror(errno));
	} else if (!is_safe(&st)) {
		complain("-", "somebody else can write there");
	} else {
		return fd;
	}
	if (fd != -1)
		close(fd);
	directory = NULL;
	return -1;
}

/* Reading */

static bool
read_all(int fd, size_t size, char *p)
{
	ssize_t n;

	while (size > 0) {
		n = read(fd, p, size);
		if (n <= 0 && !(n == -1 && errno == EINTR))
			return false;
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
	return true;
}

/* NULL, or what is wrong with the file. */
static const char *
read_file(int fd, const unsigned char key[CACHE_KEY], struct buf *out)
{
	unsigned char want[SUM], sum[SUM];
	const char *problem = NULL;
	struct stat st;
	size_t size;
	char *p;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || !is_safe(&st))
		return "it is not ours";
	if (st.st_size < SUM || (size_t)st.st_size > CACHE_FILE_MAX)
		return "it has no such size";
	size = (size_t)st.st_size - SUM;
	p = xmalloc(size + 1);
	if (!read_all(fd, SUM, (char *)want) || !read_all(fd, size, p)) {
		problem = "it cannot be read";
	} else {
		sum_of(sum, key, SLICE(p, size));
		if (memcmp(sum, want, SUM) != 0)
			problem = "it is damaged";
		else
			buf_add(out, p, size);
	}
	free(p);
	return problem;
}

/* It is in use; once a day that is worth a write. */
static void
note_use(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_mtime < clock_wall().tv_sec - DAY)
		futimens(fd, NULL);
}

bool
cache_get(const unsigned char key[CACHE_KEY], struct buf *out)
{
	char name[NAME_ROOM];
	const char *problem;
	int dir, fd;

	buf_reset(out);
	if (directory == NULL || (dir = open_directory()) == -1)
		return false;
	name_of(name, key);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		problem = errno == ENOENT ? NULL : strerror(errno);
	else
		problem = read_file(fd, key, out);
	if (problem != NULL)
		complain(name, problem);
	else if (fd != -1)
		note_use(fd);
	if (fd != -1)
		close(fd);
	close(dir);
	return fd != -1 && problem == NULL && !out->failed;
}

/* Writing */

static bool
write_all(int fd, const char *p, size_t size)
{
	ssize_t n;

	while (size > 0) {
		n = write(fd, p, size);
		if (n == -1 && errno != EINTR)
			return false;
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
	return true;
}

/* Under another name first. What a crash leaves behind is no file that is ever
   looked for. */
static bool
write_file(int dir, const char *name, const unsigned char sum[SUM],
    struct slice content)
{
	char draft[NAME_ROOM + 30];
	bool ok;
	int fd, error;

	snprintf(draft, sizeof(draft), "%s.%ld", name, (long)getpid());
	unlinkat(dir, draft, 0);
	fd = openat(dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	if (fd == -1)
		return false;
	ok = write_all(fd, (const char *)sum, SUM) &&
	    write_all(fd, content.p, content.len);
	error = errno;
	if (close(fd) == -1 && ok) {
		ok = false;
		error = errno;
	}
	if (ok && renameat(dir, draft, dir, name) == 0)
		return true;
	if (ok)
		error = errno;
	unlinkat(dir, draft, 0);
	errno = error;
	return false;
}

void
cache_put(const unsigned char key[CACHE_KEY], struct slice content)
{
	unsigned char sum[SUM];
	char name[NAME_ROOM];
	int dir;

	if (directory == NULL || content.len > CACHE_FILE_MAX - SUM ||
	    (dir = open_directory()) == -1)
		return;
	name_of(name, key);
	sum_of(sum, key, content);
	if (write_file(dir, name, sum, content))
		put = true;
	else
		complain(name, strerror(errno));
	close(dir);
}

/* Deleting */

/* A file of ours, or its draft: a key, and perhaps the number of a process. */
static bool
is_name(const char *name)
{
	size_t n = strspn(name, "0123456789abcdef");

	return n == 2 * CACHE_KEY && (name[n] == '\0' || (name[n] == '.' &&
	    name[n + 1] != '\0' &&
	    name[n + 1 + strspn(name + n + 1, "0123456789")] == '\0'));
}

static bool
is_old(int dir, const char *name)
{
	time_t limit = clock_wall().tv_sec - CACHE_DAYS * DAY;
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_mtime < limit;
}

static void
sweep(void)
{
	struct dirent *e;
	int fd;
	DIR *d;

	if (directory == NULL || (fd = open_directory()) == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (is_name(e->d_name) && is_old(fd, e->d_name))
			unlinkat(fd, e->d_name, 0);
	closedir(d);
}

/* At the end of a load all that is in use has been used, and only then. */
void
cache_at(const char *dir)
{
	if (put)
		sweep();
	put = false;
	directory = dir;
}
