/*
 * child - programs that run for us, and how they end.
 */

#include "base/child.h"

#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/mem.h"
#include "base/obj.h"

struct child {
	unsigned	 magic;
#define CHILD_MAGIC	 0xc41d0001
	LIST_ENTRY(child) all;
	pid_t		 pid;
	bool		 group;		/* it leads one, and is ours to kill */
	int		 fd;		/* ours; -1: there is none */
	struct event	*ended;		/* ours */
	child_fn	*fn;		/* NULL: nobody wants to know */
	void		*arg;
};

struct children {
	struct event_base *base;	/* borrowed */
	LIST_HEAD(, child) all;		/* ours */
};

struct children *
children_new(struct event_base *base)
{
	struct children *c = xcalloc(1, sizeof(*c));

	c->base = base;
	LIST_INIT(&c->all);
	return c;
}

static void
child_free(struct child *c)
{
	LIST_REMOVE(c, all);
	if (c->ended != NULL)
		event_free(c->ended);
	if (c->fd != -1)
		close(c->fd);
	c->magic = 0;
	free(c);
}

/* While it is not waited for, its number is nobody else's. */
static void
kill_group(const struct child *c)
{
	if (c->group)
		kill(-c->pid, SIGKILL);
}

void
children_free(struct children **cp)
{
	struct children *c = *cp;
	struct child *child;

	if (c == NULL)
		return;
	*cp = NULL;
	while ((child = LIST_FIRST(&c->all)) != NULL) {
		kill_group(child);
		if (child->group)
			waitpid(child->pid, NULL, 0);
		child_free(child);
	}
	free(c);
}

static void
on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct child *c;
	int status = 0;
	child_fn *fn;
	void *fn_arg;

	(void)fd, (void)what;
	OBJ_CAST(c, arg, CHILD_MAGIC);
	kill_group(c);
	waitpid(c->pid, &status, 0);
	fn = c->fn;
	fn_arg = c->arg;
	child_free(c);
	if (fn != NULL)
		fn(fn_arg, status);
}

static struct child *
child_new(struct children *all, pid_t pid)
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->magic = CHILD_MAGIC;
	c->pid = pid;
	LIST_INSERT_HEAD(&all->all, c, all);
	/* Close-on-exec by itself. */
	if ((c->fd = pidfd_open(pid, 0)) == -1)
		return c;
	c->ended = event_new(all->base, c->fd, EV_READ, on_ended, c);
	event_add(c->ended, NULL);
	return c;
}

void
children_adopt(struct children *all, pid_t pid)
{
	child_new(all, pid);
}

/* All as a shell would have it. */
static void
set_attributes(posix_spawnattr_t *a)
{
	sigset_t signals;

	posix_spawnattr_init(a);
	posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(a, 0);
	sigemptyset(&signals);
	posix_spawnattr_setsigmask(a, &signals);
	sigfillset(&signals);
	posix_spawnattr_setsigdefault(a, &signals);
}

static int
spawn(pid_t *pid, char *const argv[], char *const envp[], int in, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int rc;

	set_attributes(&attributes);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	/* All of ours are close-on-exec; a library's might not be. */
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	rc = posix_spawn(pid, argv[0], &files, &attributes, argv, envp);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return rc;
}

struct child *
child_spawn(struct children *all, char *const argv[], char *const envp[],
    int in, int out, child_fn *fn, void *arg)
{
	struct child *c;
	pid_t pid;
	int rc = spawn(&pid, argv, envp, in, out);

	if (rc != 0) {
		errno = rc;
		return NULL;
	}
	c = child_new(all, pid);
	c->group = true;
	c->fn = fn;
	c->arg = arg;
	if (c->fd != -1)
		return c;
	/* Nobody would ever hear of its end. */
	rc = errno;
	kill_group(c);
	waitpid(pid, NULL, 0);
	child_free(c);
	errno = rc;
	return NULL;
}

void
child_kill(struct child **cp)
{
	struct child *c = *cp;

	if (c == NULL)
		return;
	OBJ_CHECK(c, CHILD_MAGIC);
	*cp = NULL;
	c->fn = NULL;
	kill_group(c);		/* on_ended() does the rest */
}
