/*
 * maildir - a message is whole and in new/, or it is nowhere.
 */

#include "proxy/maildir.h"

#include <sys/resource.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tap.h"

static char dir[] = "/tmp/vratar-maildir-XXXXXX";

/* How many files are in dir/sub; the path of the last one in path. */
static int
count(const char *sub, char path[4096])
{
	struct dirent *e;
	char name[256];
	int n = 0;
	DIR *d;

	snprintf(name, sizeof(name), "%s/%s", dir, sub);
	if ((d = opendir(name)) == NULL)
		return -1;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, 4096, "%s/%s", name, e->d_name);
		n++;
	}
	closedir(d);
	return n;
}

/* Empty new/ again. */
static void
clear(void)
{
	char path[4096];

	while (count("new", path) > 0)
		unlink(path);
}

static void
is_content(const char *path, const char *want, const char *name)
{
	char got[256];
	ssize_t n;
	int fd = open(path, O_RDONLY);

	n = read(fd, got, sizeof(got) - 1);
	got[n < 0 ? 0 : n] = '\0';
	close(fd);
	is_str(got, want, name);
}

static void
test_commit(struct maildir *m)
{
	struct maildir_file *f = maildir_begin(m);
	char path[4096], *id = xstrdup(maildir_id(f));

	maildir_write(f, "Subject: x\n", 11);
	maildir_write(f, "\nhello\n", 7);
	is_int(count("tmp", path), 1, "a message that is written is in tmp");
	is_int(count("new", path), 0, "and not in new");
	is_int(maildir_commit(&f), 0, "it can be committed");
	ok(f == NULL, "commit takes the file");
	is_int(count("tmp", path), 0, "then it is not in tmp any more");
	is_int(count("new", path), 1, "but in new");
	ok(strstr(path, id) != NULL, "its name has the queue id");
	ok(strstr(path, ".a_b_c") != NULL,
	    "and the host, without slash and colon");
	is_content(path, "Subject: x\n\nhello\n", "its content");
	free(id);
	clear();
}

static void
test_abort(struct maildir *m)
{
	struct maildir_file *f = maildir_begin(m);
	char path[4096];

	maildir_write(f, "x", 1);
	maildir_abort(&f);
	ok(f == NULL, "abort takes the file");
	maildir_abort(&f);
	is_int(count("tmp", path) + count("new", path), 0,
	    "an aborted message leaves nothing");
}

static void
test_unique(struct maildir *m)
{
	struct maildir_file *a = maildir_begin(m), *b = maildir_begin(m);
	char path[4096];

	ok(strcmp(maildir_id(a), maildir_id(b)) != 0,
	    "two messages of one moment have two ids");
	is_int(maildir_commit(&a) + maildir_commit(&b), 0, "both are stored");
	is_int(count("new", path), 2, "there are two");
	clear();
}

/* A file that may not grow stands in for a disk that is full. */
static void
test_no_room(struct maildir *m)
{
	static char block[65536];
	struct rlimit old, small;
	struct maildir_file *f = maildir_begin(m);
	char path[4096];
	int i, result, error;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ 100000, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	for (i = 0; i < 4; i++)
		maildir_write(f, block, sizeof(block));
	result = maildir_commit(&f);
	error = errno;
	setrlimit(RLIMIT_FSIZE, &old);
	is_int(result, -1, "a message that did not fit is not committed");
	is_int(error, EFBIG, "errno says why");
	is_int(count("tmp", path) + count("new", path), 0,
	    "nothing of it is left");
}

static void
test_lost_directory(struct maildir *m)
{
	struct maildir_file *f = maildir_begin(m);
	char path[4096];

	count("tmp", path);
	unlink(path);
	is_int(maildir_commit(&f), -1, "a file that vanished is no delivery");
	is_int(errno, ENOENT, "errno says why");
}

static void
test_open_errors(void)
{
	struct maildir *m;

	m = maildir_open("/dev/null/x", "host");
	ok(m == NULL && errno == ENOTDIR, "no directory below a file");
	m = maildir_open("/nonexistent/x", "host");
	ok(m == NULL && errno == ENOENT, "the parent directory must exist");
	maildir_close(&m);
}

static void
remove_all(void)
{
	static const char *const subs[] = { "/tmp", "/new", "/cur", "" };
	char path[64];

	for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, subs[i]);
		rmdir(path);
	}
}

int
main(void)
{
	struct maildir *m;

	if (mkdtemp(dir) == NULL || rmdir(dir) == -1)
		return 1;
	m = maildir_open(dir, "a/b:c");
	ok(m != NULL, "a Maildir is made");
	test_commit(m);
	test_abort(m);
	test_unique(m);
	test_no_room(m);
	test_lost_directory(m);
	maildir_close(&m);
	ok(m == NULL, "close leaves NULL");
	m = maildir_open(dir, "host");
	ok(m != NULL, "a Maildir that is there is opened");
	maildir_close(&m);
	test_open_errors();
	remove_all();
	return tap_done();
}
