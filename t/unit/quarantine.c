/* The quarantine: what is kept is on the disk as a whole, what is not is told,
   whoever goes away meanwhile. */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/spool.h"
#include "proxy/quarantine.h"
#include "tap.h"

/* fsync(2) is ours here: it waits for this lock, and may fail. */
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static int disk_error;

int
fsync(int fd)
{
	(void)fd;
	pthread_mutex_lock(&disk);
	errno = disk_error;
	pthread_mutex_unlock(&disk);
	return errno != 0 ? -1 : 0;
}

static struct event_base *base;
static char dir[] = "/tmp/vratar-quarantine-XXXXXX";

struct answer {
	int	 count, error;
	char	 name[200];
};

static void
on_answer(void *arg, const char *name, int error)
{
	struct answer *a = arg;

	a->count++;
	a->error = error;
	snprintf(a->name, sizeof(a->name), "%s", name != NULL ? name : "");
}

static struct spool *
message(const char *text, size_t memory)
{
	struct spool *s = spool_new("/tmp", memory);
	struct evbuffer *b = evbuffer_new();
	int i;

	for (i = 0; i < 5000; i++)
		evbuffer_add(b, text, strlen(text));
	spool_add(s, b);
	evbuffer_free(b);
	return s;
}

static void
wait_for(const struct answer *a)
{
	while (a->count == 0)
		event_base_loop(base, EVLOOP_ONCE);
}

static size_t
count(const char *sub)
{
	char pattern[100];
	glob_t g;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%s/%s/*", dir, sub);
	n = glob(pattern, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
	globfree(&g);
	return n;
}

static void
check_kept(size_t memory)
{
	struct quarantine *q = quarantine_new(base, dir, "mx.example.org");
	struct answer a = { .count = 0 };
	struct stat st;
	char path[400];

	quarantine_keep(q, message("0123456789", memory), on_answer, &a);
	is_int(a.count, 0, "the answer comes later");
	wait_for(&a);
	snprintf(path, sizeof(path), "%s/new/%s", dir, a.name);
	ok(stat(path, &st) == 0, "kept under its name");
	is_int(st.st_size, 50000, "all of it");
	is_int(st.st_mode & 0777, 0600, "for nobody else");
	is_int(a.count, 1, "one answer");
	unlink(path);
	quarantine_free(&q);
	ok(q == NULL, "freed");
}

static void
check_trouble(void)
{
	struct quarantine *q = quarantine_new(base, dir, "mx.example.org");
	struct answer a = { .count = 0 };
	char tmp[100];

	snprintf(tmp, sizeof(tmp), "%s/tmp", dir);
	rmdir(tmp);
	close(open(tmp, O_CREAT | O_WRONLY, 0600));
	quarantine_keep(q, message("x", 10), on_answer, &a);
	wait_for(&a);
	is_int(a.error, ENOTDIR, "the disk says no");
	is_str(a.name, "", "and nothing is kept");
	unlink(tmp);
	a.count = 0;
	quarantine_keep(q, message("x", 10), on_answer, &a);
	wait_for(&a);
	ok(*a.name != '\0', "the next one is kept");
	quarantine_free(&q);
}

static void
check_forgotten(void)
{
	struct quarantine *q = quarantine_new(base, dir, "mx.example.org");
	struct answer gone = { .count = 0 }, a = { .count = 0 };
	struct quarantine_job *job;

	job = quarantine_keep(q, message("x", 10), on_answer, &gone);
	quarantine_forget(&job);
	ok(job == NULL, "forgotten");
	quarantine_keep(q, message("y", 10), on_answer, &a);
	wait_for(&a);
	is_int(gone.count, 0, "nobody is told");
	quarantine_forget(&job);
	quarantine_keep(q, message("x", 10), on_answer, &gone);
	quarantine_keep(q, message("x", 10), on_answer, &gone);
	quarantine_free(&q);
	is_int(gone.count, 0, "nor at the end");
	is_int((long long)count("tmp"), 0, "nothing is left half written");
}

/* A disk that hangs, and one that breaks. */
static void
check_disk(void)
{
	struct quarantine *q = quarantine_new(base, dir, "mx.example.org");
	struct answer a = { .count = 0 };
	size_t before = count("new");

	pthread_mutex_lock(&disk);
	clock_freeze();
	quarantine_keep(q, message("x", 10), on_answer, &a);
	clock_advance(QUARANTINE_TIMEOUT);
	wait_for(&a);
	is_int(a.error, ETIMEDOUT, "the disk hangs");
	pthread_mutex_unlock(&disk);
	a.count = 0;
	quarantine_keep(q, message("x", 10), on_answer, &a);
	wait_for(&a);
	is_int(a.count, 1, "the first one is told of once");
	is_int((long long)(count("new") - before), 2, "and may be there");
	disk_error = EIO;
	a.count = 0;
	quarantine_keep(q, message("x", 10), on_answer, &a);
	wait_for(&a);
	is_int(a.error, EIO, "the disk breaks");
	is_int((long long)(count("new") - before), 2, "nothing is kept");
	is_int((long long)count("tmp"), 0, "and nothing left");
	quarantine_free(&q);
}

int
main(void)
{
	char command[200];

	if (mkdtemp(dir) == NULL)
		return 1;
	base = event_base_new();
	clock_start(base);
	check_kept(1000000);
	check_kept(0);
	check_trouble();
	check_forgotten();
	check_disk();
	clock_stop();
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? tap_done() : 1;
}
