/* Memory: sizes of zero, copies, and the end when there is none. */

#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "tap.h"

/* Asked by the address sanitizer, which would rather stop than return NULL. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static volatile size_t too_much = SIZE_MAX / 2;

static void
take_too_much(void)
{
	free(xmalloc(too_much));
}

static void
grow_too_much(void)
{
	static char *p;		/* not lost, says the leak checker */

	p = xmalloc(1);
	p = xrealloc(p, too_much);
}

static void
count_too_much(void)
{
	free(xcalloc(too_much, 16));
}

/* The exit status of a child that runs it, and what it logged. */
static int
run(void (*fn)(void), char *log, size_t room)
{
	int fd[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	if (pipe(fd) == -1 || (pid = fork()) == -1)
		return -1;
	if (pid == 0) {
		dup2(fd[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(fd[1]);
	while ((n = read(fd[0], log + len, room - 1 - len)) > 0)
		len += (size_t)n;
	log[len] = '\0';
	close(fd[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
dies(void (*fn)(void), const char *name)
{
	char log[4096];

	is_int(run(fn, log, sizeof(log)), 1, name);
	ok(strstr(log, "fatal out of memory") != NULL, "%s and says so", name);
}

int
main(void)
{
	char *p, *q;

	p = xmalloc(0);
	ok(p != NULL, "nothing is something");
	p = xrealloc(p, 0);
	ok(p != NULL, "and can be made nothing again");
	free(p);
	p = xcalloc(3, 5);
	ok(memcmp(p, (char[15]){ 0 }, 15) == 0, "xcalloc() clears");
	free(p);
	p = xstrdup("");
	is_str(p, "", "xstrdup() of nothing");
	free(p);
	p = xstrndup("abc\0def", 7);
	is_str(p, "abc", "xstrndup() stops at NUL");
	free(p);
	p = xstrndup("abcdef", 3);
	is_str(p, "abc", "and at its length");
	free(p);
	p = xasprintf("%d-%s", 7, "x");
	is_str(p, "7-x", "xasprintf()");
	q = xasprintf("%s", "");
	is_str(q, "", "xasprintf() of nothing");
	free(p);
	free(q);
	dies(take_too_much, "xmalloc() does not return NULL");
	dies(grow_too_much, "xrealloc() does not return NULL");
	dies(count_too_much, "xcalloc() sees the overflow");
	return tap_done();
}
