/*
 * master_upgrade - a new binary takes over.
 *
 * The heir is started like we were, with our listening sockets (LISTEN_FDS)
 * and one end of a socketpair. It binds nothing that we have bound, starts its
 * workers, and says "ready" when they serve; then we drain and end. Whatever
 * goes wrong before that ends the heir and changes nothing here.
 *
 * A pair of sockets and not a signal, because a signal cannot be told from one
 * that the administrator sends: "stop" and "you are replaced" differ in who
 * is the main process afterwards, and in whose the files of sockets are.
 */

#include "proxy/master_impl.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/channel.h"
#include "proxy/master.h"
#include "proxy/notify.h"
#include "proxy/sockets.h"

#define FIRST_FD	3	/* of LISTEN_FDS */
#define HEIR_MS		60000	/* it reads the configuration and forks */

/* In the child: everything above that is needed below is moved up first. */
static int
place_fds(int *fds, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC,
		    FIRST_FD + n)) < 0)
			return -1;
	for (i = 0; i < n; i++)
		if (dup2(fds[i], FIRST_FD + i) < 0)
			return -1;
	return 0;
}

static void
set_number(const char *name, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	setenv(name, text, 1);
}

/* Started by the path of the binary, whatever name we were started by. */
static char **
heir_argv(const struct master *m)
{
	char **verb = m->options->argv, **argv;
	size_t n;

	for (n = 0; verb[n] != NULL; n++)
		;
	argv = xcalloc(n + 2, sizeof(argv[0]));
	argv[0] = m->exe;
	memcpy(argv + 1, verb, n * sizeof(argv[0]));
	return argv;
}

/* In the child. exec() resets our signal handlers and closes the rest. */
static void
become_heir(struct master *m, int channel)
{
	char *names, *all;
	sigset_t none;
	size_t n;
	int *fds;

	log_set_name("upgrade");
	n = sockets_export(m->serving->sockets, &fds, &names);
	fds[n] = channel;	/* there is room for one more */
	all = xasprintf("%s%s" SOCKETS_MASTER, names, n > 0 ? ":" : "");
	if (place_fds(fds, (int)n + 1) == 0) {
		set_number("LISTEN_PID", (long)getpid());
		set_number("LISTEN_FDS", (long)n + 1);
		setenv("LISTEN_FDNAMES", all, 1);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv(m->exe, heir_argv(m));
	}
	log_error(0, "upgrade problem=\"cannot run %s: %s\"", m->exe,
	    strerror(errno));
	_exit(127);
}

/* It serves. From now on it is the service, and the sockets are its. */
static void
on_heir_line(void *arg, const char *line)
{
	struct master *m;

	OBJ_CAST(m, arg, MASTER_MAGIC);
	if (strcmp(line, "ready") != 0)
		return;
	timer_stop(&m->heir_deadline);
	log_info(0, "upgrade pid=%ld", (long)m->heir);
	notify_main_pid(m->heir);
	m->handed_over = true;
	m->todo |= TODO_STOP;
}

static void
on_heir_end(void *arg)
{
	struct master *m;

	OBJ_CAST(m, arg, MASTER_MAGIC);	/* SIGCHLD says more */
}

static void
on_heir_deadline(void *arg)
{
	struct master *m;

	OBJ_CAST(m, arg, MASTER_MAGIC);
	log_error(0, "upgrade problem=\"it does not get ready\"");
	kill(m->heir, SIGTERM);
}

void
upgrade_init(struct master *m)
{
	timer_init(&m->heir_deadline, on_heir_deadline, m);
}

void
upgrade_start(struct master *m)
{
	sigset_t all, mask;
	int fd[2];

	if (m->exe == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, fd) != 0) {
		log_error(0, "upgrade problem=\"%s\"", strerror(errno));
		return;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	if ((m->heir = fork()) == 0)
		become_heir(m, fd[1]);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	close(fd[1]);
	if (m->heir < 0) {
		log_error(0, "upgrade problem=\"fork: %s\"", strerror(errno));
		m->heir = 0;
		close(fd[0]);
		return;
	}
	m->heir_channel = channel_new(m->base, fd[0], on_heir_line,
	    on_heir_end, m);
	timer_set(&m->heir_deadline, HEIR_MS);
}

void
upgrade_died(struct master *m, int status)
{
	log_error(0, "upgrade problem=\"the new process ended before it was "
	    "ready\" %s=%d", WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	channel_free(&m->heir_channel);
	timer_stop(&m->heir_deadline);
	m->heir = 0;
}

void
upgrade_cancel(struct master *m)
{
	if (m->heir == 0 || m->handed_over)
		return;
	kill(m->heir, SIGTERM);
}
