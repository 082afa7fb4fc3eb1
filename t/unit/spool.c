/*
 * The spool: what goes in comes out, from memory and from the file, however
 * the system calls stumble; and a full disk is an answer, not a surprise.
 *
 * open(2), writev(2) and pread(2) are ours here: they stumble on demand.
 */

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "base/spool.h"
#include "tap.h"

/* What the next calls do wrong. */
static struct {
	bool	no_tmpfile;	/* O_TMPFILE is not known */
	bool	interrupt;	/* every other call gives EINTR */
	bool	shorten;	/* less than was asked for */
	int	fail_at;	/* the n-th call fails; 0: none does */
	int	error;
	int	calls;
} fault;

/* Is this call interrupted (EINTR), made to fail (another), or let be (0)? */
static int
stumble(void)
{
	static bool odd;

	if (fault.interrupt && (odd = !odd))
		return EINTR;
	return ++fault.calls == fault.fail_at ? fault.error : 0;
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	if (fault.no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	struct iovec first = v[0];

	if ((errno = stumble()) != 0)
		return -1;
	if (!fault.shorten)
		return syscall(SYS_writev, fd, v, n);
	first.iov_len = first.iov_len / 2 + 1;
	return syscall(SYS_writev, fd, &first, 1);
}

ssize_t
pread(int fd, void *p, size_t len, off_t at)
{
	if ((errno = stumble()) != 0)
		return -1;
	if (fault.shorten)
		len = len / 2 + 1;
	return syscall(SYS_pread64, fd, p, len, at);
}

/* The content is a sequence whose octets tell where they belong. */
static char
octet_at(uint64_t i)
{
	return (char)(i * 2654435761u >> 13);
}

static int
add(struct spool *s, size_t len)
{
	struct evbuffer *b = evbuffer_new();
	uint64_t at = spool_size(s);
	size_t i;
	int result;
	char c;

	for (i = 0; i < len; i++) {
		c = octet_at(at + i);
		evbuffer_add(b, &c, 1);
	}
	result = spool_add(s, b);
	if (result == 0 && evbuffer_get_length(b) != 0)
		result = -2;
	evbuffer_free(b);
	return result;
}

/* Take up to max once. Returns what spool_take() says, or -2 if it is not
   what comes next. */
static int64_t
take(struct spool *s, size_t max)
{
	uint64_t at = spool_size(s) - spool_left(s), left = spool_left(s);
	struct evbuffer *b = evbuffer_new();
	int64_t n, i;
	char *p;

	evbuffer_add(b, "x", 1);	/* it is appended to what is there */
	n = spool_take(s, b, max);
	if (n >= 0 && ((int64_t)evbuffer_get_length(b) != n + 1 ||
	    spool_left(s) != left - (uint64_t)n))
		n = -2;
	p = (char *)evbuffer_pullup(b, -1);
	for (i = 0; i < n; i++)
		if (p[i + 1] != octet_at(at + (uint64_t)i))
			n = -2;
	evbuffer_free(b);
	return n;
}

static bool
take_all(struct spool *s, size_t max)
{
	int64_t n;

	while ((n = take(s, max)) > 0)
		;
	return n == 0 && spool_left(s) == 0;
}

static int
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static int
files_in(const char *dir)
{
	DIR *d = opendir(dir);
	int n = -2;		/* "." and ".." */

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
test_limit(const char *dir)
{
	struct spool *s = spool_new(dir, 1000), *none = NULL;
	int before = open_files();

	spool_free(&none);
	ok(none == NULL, "freeing nothing is fine");
	is_int(take(s, 100), 0, "an empty spool is at its end");
	is_int(add(s, 0), 0, "nothing can be added");
	is_int(add(s, 999), 0, "something below the limit");
	is_int(add(s, 1), 0, "and up to it");
	is_int(open_files(), before, "stays in memory");
	is_int((long long)spool_size(s), 1000, "size");
	is_int((long long)spool_left(s), 1000, "left");
	is_int(add(s, 1), 0, "one more");
	is_int(open_files(), before + 1, "opens a file");
	is_int(files_in(dir), 0, "without a name");
	is_int((long long)spool_size(s), 1001, "size");
	ok(take_all(s, 300), "all comes out");
	is_int(add(s, 10), 0, "more may be added behind");
	ok(take_all(s, SIZE_MAX), "and comes out, too");
	is_int(take(s, 1), 0, "the end is still the end");
	spool_free(&s);
	ok(s == NULL, "freed");
	is_int(open_files(), before, "the file is closed");
}

/* Random adds and takes, limits, and stumbling system calls. */
static bool
run_random(const char *dir, unsigned seed)
{
	struct spool *s;
	int i;
	bool good = true;

	srand(seed);
	memset(&fault, 0, sizeof(fault));
	fault.interrupt = rand() % 2;
	fault.shorten = rand() % 2;
	fault.no_tmpfile = rand() % 2;
	s = spool_new(dir, (size_t)rand() % 30000);
	for (i = 0; i < 20 && good; i++) {
		if (rand() % 2)
			good = add(s, (size_t)rand() % 8000) == 0;
		else
			good = take(s, 1 + (size_t)rand() % 9000) >= 0;
	}
	good = good && take_all(s, 1 + (size_t)rand() % 100000);
	spool_free(&s);
	memset(&fault, 0, sizeof(fault));
	return good;
}

/* Memory in large chains is moved and not copied. */
static void
test_no_copy(const char *dir)
{
	struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
	struct spool *s = spool_new(dir, 100000);
	static char text[50000];
	const void *before;

	evbuffer_add(in, text, 20000);
	evbuffer_add_reference(in, text, sizeof(text), NULL, NULL);
	before = evbuffer_pullup(in, 1);
	spool_add(s, in);
	is_int(spool_take(s, out, 10), 20000, "a whole chain is taken");
	ok(evbuffer_pullup(out, 1) == before, "the one that was added");
	evbuffer_drain(out, 20000);
	spool_take(s, out, SIZE_MAX);
	ok(evbuffer_pullup(out, 1) == (void *)text, "and so is the next");
	is_int((long long)evbuffer_get_length(out), sizeof(text), "all of it");
	spool_free(&s);
	evbuffer_free(in);
	evbuffer_free(out);
}

/* A client that sends one octet at a time does not get a chain for each. */
static void
test_trickle(const char *dir)
{
	struct spool *s = spool_new(dir, 1000000);
	struct evbuffer *b = evbuffer_new();
	struct evbuffer_iovec v;
	int i;

	for (i = 0; i < 20000; i++) {
		/* A fresh chain of 4 KB with one octet, as after a read. */
		evbuffer_reserve_space(b, 4000, &v, 1);
		*(char *)v.iov_base = octet_at((uint64_t)i);
		v.iov_len = 1;
		evbuffer_commit_space(b, &v, 1);
		spool_add(s, b);
	}
	ok(take(s, 1) > 100, "one chain holds many of them");
	while (spool_take(s, b, SIZE_MAX) > 0)
		;
	i = evbuffer_peek(b, -1, NULL, NULL, 0);
	ok(i < 100, "20000 octets one by one are in %d chains", i);
	evbuffer_free(b);
	spool_free(&s);
}

/* The n-th call fails, for each n until none does. */
static bool
fails_cleanly(const char *dir, int error)
{
	struct spool *s;
	int n, before = open_files(), result;
	bool good = true, failed = true;

	for (n = 1; failed && good; n++) {
		memset(&fault, 0, sizeof(fault));
		fault.shorten = true;
		fault.fail_at = n;
		fault.error = error;
		s = spool_new(dir, 1000);
		errno = 0;
		result = add(s, 900);
		if (result == 0)
			result = add(s, 2000);
		if (result == 0)
			result = take_all(s, 700) ? 0 : -1;
		failed = fault.calls >= n;
		good = failed ? result == -1 && errno == error : result == 0;
		spool_free(&s);
	}
	memset(&fault, 0, sizeof(fault));
	return good && n > 10 && open_files() == before;
}

/* Not a pretence: the kernel itself refuses to make the file larger. */
static void
test_file_limit(const char *dir)
{
	struct spool *s = spool_new(dir, 0);
	struct rlimit old, small;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 5000;
	fflush(stdout);
	setrlimit(RLIMIT_FSIZE, &small);
	is_int(add(s, 5000), 0, "up to the limit of the kernel");
	is_int(add(s, 1), -1, "and no more");
	is_int(errno, EFBIG, "says errno");
	setrlimit(RLIMIT_FSIZE, &old);
	spool_free(&s);
}

static void
test_no_directory(void)
{
	struct spool *s = spool_new("/nonexistent", 10);

	is_int(add(s, 10), 0, "memory needs no directory");
	is_int(add(s, 1), -1, "a file does");
	is_int(errno, ENOENT, "says errno");
	spool_free(&s);
}

/* The same content as often as it is wanted, from memory and from a file. */
static void
test_refer(const char *dir)
{
	static const size_t sizes[] = { 0, 1, 5000, 10000, 10001, 200000 };
	struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
	struct spool *s;
	unsigned char *p;
	size_t i, j, k;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		s = spool_new(dir, 10000);
		for (j = 0; j < sizes[i]; j++) {
			evbuffer_add_printf(in, "%c", (int)('a' + j % 23));
			if (j % 5000 == 0)
				spool_add(s, in);
		}
		spool_add(s, in);
		for (k = 0; k < 2; k++) {
			is_int(spool_refer(s, out), 0, "refer");
			is_int(evbuffer_get_length(out), sizes[i], "all");
			p = evbuffer_pullup(out, -1);
			for (j = 0; j < sizes[i] && p[j] == 'a' + j % 23; j++)
				;
			is_int(j, sizes[i], "the same octets");
			evbuffer_drain(out, sizes[i]);
		}
		spool_free(&s);
	}
	evbuffer_free(in);
	evbuffer_free(out);
}

/* The start gives way to something else, and the rest stays; the model is a
   string. */
static bool
replaces(const char *dir, size_t limit, unsigned seed)
{
	struct evbuffer *b = evbuffer_new();
	char model[4000], got[4000], with[200];
	struct spool *s = spool_new(dir, limit);
	size_t n, len, size, i;
	bool good = true;

	srand(seed);
	fault.interrupt = rand() % 2;
	fault.shorten = rand() % 2;
	size = 1 + (size_t)rand() % 3000;
	for (i = 0; i < size; i++)
		model[i] = octet_at(i);
	evbuffer_add(b, model, size);
	good = spool_add(s, b) == 0;
	for (i = 0; i < 4; i++) {
		n = (size_t)rand() % (size < 300 ? size + 1 : 300);
		len = (size_t)rand() % sizeof(with);
		memset(with, 'a' + (int)i, len);
		evbuffer_add(b, with, len);
		spool_replace(s, n, b);
		memmove(model + len, model + n, size - n);
		memcpy(model, with, len);
		size = size - n + len;
		good = good && spool_size(s) == size &&
		    evbuffer_get_length(b) == 0;
	}
	for (n = 0; good && n < size; n += len) {
		len = (size_t)spool_peek(s, n, got, 1 + (size_t)rand() % 500);
		good = len >= 1 && len <= size && !memcmp(got, model + n, len);
	}
	good = good && spool_peek(s, size, got, 1) == 0;
	while (good && spool_left(s) > 0)
		good = spool_take(s, b, 1 + (size_t)rand() % 3000) > 0;
	good = good && evbuffer_get_length(b) == size &&
	    evbuffer_remove(b, got, size) == (int)size &&
	    !memcmp(got, model, size);
	evbuffer_free(b);
	spool_free(&s);
	memset(&fault, 0, sizeof(fault));
	return good;
}

int
main(void)
{
	char dir[] = "/tmp/vratar-spool-XXXXXX";
	unsigned seed;

	if (mkdtemp(dir) == NULL)
		return 1;
	test_limit(dir);
	fault.no_tmpfile = true;
	test_limit(dir);
	fault.no_tmpfile = false;
	for (seed = 1; seed <= 200 && run_random(dir, seed); seed++)
		;
	is_int(seed, 201, "random adds and takes, seeds 1 to 200");
	is_int(files_in(dir), 0, "leave nothing behind");
	test_no_copy(dir);
	test_trickle(dir);
	ok(fails_cleanly(dir, ENOSPC), "no room at the n-th call");
	ok(fails_cleanly(dir, EIO), "a broken disk at the n-th call");
	for (seed = 1; seed <= 300 && replaces(dir, seed % 3 * 1000, seed);
	    seed++)
		;
	is_int(seed, 301, "the start is replaced, seeds 1 to 300");
	test_file_limit(dir);
	test_no_directory();
	test_refer(dir);
	is_int(rmdir(dir), 0, "the directory is empty");
	return tap_done();
}
