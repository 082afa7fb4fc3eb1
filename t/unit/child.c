/* Programs that run for us: what they get, how they end, and that nothing of
   them is left. */

#include "base/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "tap.h"

static struct event_base *base;
static struct children *all;
static int nended, status;

static void
on_end(void *arg, int s)
{
	ok(arg == &nended, "its own argument");
	nended++;
	status = s;
}

/* A shell command, with nothing to read and this to write to. */
static struct child *
spawn_to(const char *command, int out)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)command,
	    NULL };
	char *envp[] = { (char *)"PATH=/usr/bin:/bin", (char *)"A=b", NULL };
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct child *c = child_spawn(all, argv, envp, in, out, on_end,
	    &nended);

	close(in);
	return c;
}

static struct child *
spawn(const char *command)
{
	return spawn_to(command, 1);
}

/* Run it to its end. */
static int
run(const char *command)
{
	int before = nended;

	if (spawn(command) == NULL)
		return -1;
	while (nended == before && event_base_loop(base, EVLOOP_ONCE) == 0)
		;
	return status;
}

/* Turn the loop until we have no children. */
static void
wait_for_none(void)
{
	siginfo_t info;

	while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
	is_int(errno, ECHILD, "no zombie is left");
}

static void
check_ends(void)
{
	char *argv[] = { (char *)"/nonexistent/x", NULL };

	is_int(WEXITSTATUS(run("exit 7")), 7, "exit status");
	status = run("kill -9 $$");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a signal");
	ok(child_spawn(all, argv, argv, 0, 1, on_end, NULL) == NULL &&
	    errno == ENOENT, "no program");
	is_int(nended, 2, "two have ended");
}

static void
check_surroundings(void)
{
	sigset_t set;

	is_int(run("test \"$A\" = b && test $(env | grep -c ^A=) = 1"), 0,
	    "its environment");
	dup2(1, 19);
	is_int(run("test ! -e /proc/self/fd/19"), 0, "no descriptor of ours");
	close(19);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Without a fork, for which a shell blocks signals itself. */
	is_int(run("exec grep -q '^SigBlk:.0*$' /proc/self/status"), 0,
	    "no signal is blocked");
	/* But for the two that the C library keeps for its threads. */
	is_int(run("i=$(sed -n 's/^SigIgn:.//p' /proc/self/status); "
	    "test $((0x$i & 0x7fffffff)) = 0"), 0, "or ignored");
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* What it has started and left running. */
static void
check_group(void)
{
	int fds[2], s, before = nended;
	char line[20] = "";
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return;
	/* Orphans come to us, so that we hear of their end. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	spawn_to("sleep 30 & echo $!", fds[1]);
	close(fds[1]);
	while (nended == before && event_base_loop(base, EVLOOP_ONCE) == 0)
		;
	is_int(status, 0, "it has ended");
	ok(read(fds[0], line, sizeof(line) - 1) > 0, "and left one behind");
	pid = atoi(line);
	ok(pid > 0 && waitpid(pid, &s, 0) == pid && WIFSIGNALED(s) &&
	    WTERMSIG(s) == SIGKILL, "which is killed");
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(fds[0]);
}

static void
check_kill(void)
{
	struct child *c = spawn("sleep 30");
	int before = nended;
	pid_t pid;

	child_kill(&c);
	ok(c == NULL, "killed");
	child_kill(&c);
	wait_for_none();
	is_int(nended, before, "nobody hears of it");
	pid = fork();
	if (pid == 0)
		_exit(3);
	children_adopt(all, pid);
	wait_for_none();
	is_int(nended, before, "nor of one that is adopted");
	spawn("sleep 30");
	spawn("sleep 30");
	children_free(&all);
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD,
	    "with the loop all of them end");
	is_int(nended, before, "silently");
	children_free(&all);
}

int
main(void)
{
	alarm(20);
	base = event_base_new();
	all = children_new(base);
	check_ends();
	check_surroundings();
	check_group();
	check_kill();
	event_base_free(base);
	return tap_done();
}
