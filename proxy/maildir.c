/*
 * maildir - keep messages in a Maildir so that none is lost.
 *
 * Writing is blocking: the sink that uses this is for tests and for trying
 * out, and a message that is on the disk when 250 goes out is worth more
 * there than speed. Names are relative to open directories, so the Maildir
 * may be moved while we run.
 */

#include "proxy/maildir.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct maildir {
	int	 tmp, new;	/* the directories */
	char	*hostname;	/* ours */
	unsigned count;		/* files begun */
};

struct maildir_file {
	struct maildir	*dir;	/* borrowed; outlives us */
	FILE		*out;	/* ours */
	int		 error;	/* errno of the first write that failed */
	char		*id;	/* ours */
	char		*name;	/* ours */
};

/* A directory below at, made if it is not there. -1 with errno. */
static int
open_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0700) == -1 && errno != EEXIST)
		return -1;
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Close what is open; errno stays what it was. */
static void
close_fd(int fd)
{
	int saved = errno;

	if (fd != -1)
		close(fd);
	errno = saved;
}

/* '/' and ':' have a meaning in the names of a Maildir. */
static char *
safe_hostname(const char *hostname)
{
	char *copy = xstrdup(hostname), *p;

	for (p = copy; *p != '\0'; p++)
		if (*p == '/' || *p == ':' || *p <= ' ')
			*p = '_';
	return copy;
}

struct maildir *
maildir_open(const char *dir, const char *hostname)
{
	struct maildir *m;
	int top, cur = -1, tmp = -1, new = -1;

	if ((top = open_dir(AT_FDCWD, dir)) == -1)
		return NULL;
	if ((cur = open_dir(top, "cur")) != -1 &&
	    (tmp = open_dir(top, "tmp")) != -1)
		new = open_dir(top, "new");
	close_fd(top);
	close_fd(cur);
	if (new == -1) {
		close_fd(tmp);
		return NULL;
	}
	m = xcalloc(1, sizeof(*m));
	m->tmp = tmp;
	m->new = new;
	m->hostname = safe_hostname(hostname);
	return m;
}

void
maildir_close(struct maildir **m)
{
	if (*m == NULL)
		return;
	close((*m)->tmp);
	close((*m)->new);
	free((*m)->hostname);
	free(*m);
	*m = NULL;
}

static void
file_free(struct maildir_file **f)
{
	if ((*f)->out != NULL)
		fclose((*f)->out);
	free((*f)->id);
	free((*f)->name);
	free(*f);
	*f = NULL;
}

struct maildir_file *
maildir_begin(struct maildir *m)
{
	struct maildir_file *f = xcalloc(1, sizeof(*f));
	struct timespec now = clock_wall();
	int fd, error;

	f->dir = m;
	/* Time, microseconds, process and count: what makes a name unique. */
	f->id = xasprintf("%lld.M%06ldP%ldQ%u", (long long)now.tv_sec,
	    now.tv_nsec / 1000, (long)getpid(), ++m->count);
	f->name = xasprintf("%s.%s", f->id, m->hostname);
	fd = openat(m->tmp, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600);
	if (fd != -1 && (f->out = fdopen(fd, "w")) != NULL)
		return f;
	error = errno;
	if (fd != -1) {
		close(fd);
		unlinkat(m->tmp, f->name, 0);
	}
	file_free(&f);
	errno = error;
	return NULL;
}

const char *
maildir_id(const struct maildir_file *f)
{
	return f->id;
}

void
maildir_write(struct maildir_file *f, const void *p, size_t len)
{
	if (f->error == 0 && len > 0 && fwrite(p, 1, len, f->out) != len)
		f->error = errno ? errno : EIO;
}

/* All of it on the disk. */
static int
sync_file(struct maildir_file *f)
{
	int closed;

	if (f->error != 0) {
		errno = f->error;
		return -1;
	}
	if (fflush(f->out) != 0 || fsync(fileno(f->out)) == -1)
		return -1;
	closed = fclose(f->out);
	f->out = NULL;
	return closed == 0 ? 0 : -1;
}

int
maildir_commit(struct maildir_file **file)
{
	struct maildir_file *f = *file;
	struct maildir *m = f->dir;
	int error;

	if (sync_file(f) == -1 ||
	    renameat(m->tmp, f->name, m->new, f->name) == -1) {
		error = errno;
		maildir_abort(file);
		errno = error;
		return -1;
	}
	/* A rename that is not on the disk is undone by a power failure. */
	if (fsync(m->new) == -1) {
		error = errno;
		unlinkat(m->new, f->name, 0);
		file_free(file);
		errno = error;
		return -1;
	}
	file_free(file);
	return 0;
}

void
maildir_abort(struct maildir_file **f)
{
	if (*f == NULL)
		return;
	unlinkat((*f)->dir->tmp, (*f)->name, 0);
	file_free(f);
}
