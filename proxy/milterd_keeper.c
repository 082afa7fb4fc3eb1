/*
 * milterd_keeper - the process in front of the milter.
 *
 * libmilter waits for SIGHUP, SIGTERM and SIGINT in a thread of its own, and
 * to each it answers by stopping: a reload could end the milter. So the
 * process that an administrator sends signals to is this one, which has no
 * threads. It hands them on as others, and ends as the milter ends. If that
 * one crashes, it starts another: what crashed was a session, and an MTA
 * without its milter defers all mail.
 */

#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/milterd_impl.h"

#define BURST		5	/* crashes in so many milliseconds: give up */
#define BURST_MS	10000

static const struct {
	int	from, to;
} signals[] = {
	{ SIGTERM, KEEPER_STOP },
	{ SIGINT,  KEEPER_STOP },
	{ SIGHUP,  KEEPER_RELOAD },
	{ SIGUSR1, SIGUSR1 },
};

#define NSIGNALS	(sizeof(signals) / sizeof(signals[0]))

/* The child begins with these as well: until it can hear them they wait, and
   what libmilter listens to stays with libmilter. */
static void
block(void)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (i = 0; i < NSIGNALS; i++) {
		sigaddset(&set, signals[i].from);
		sigaddset(&set, signals[i].to);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Who signals all of a service, or of a terminal, means the keeper: the child
   would stop twice, by libmilter at once. The kernel drops what is ignored,
   whoever waits for it, unless the first thread has it blocked. */
static void
leave_to_keeper(void)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < NSIGNALS; i++)
		if (signals[i].from != signals[i].to) {
			signal(signals[i].from, SIG_IGN);
			sigaddset(&set, signals[i].from);
		}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static pid_t keeper;

void
keeper_follow(void)
{
	prctl(PR_SET_PDEATHSIG, KEEPER_STOP);
	if (getppid() != keeper)
		_exit(1);
}

static pid_t
start(int (*child)(const struct milterd_options *),
    const struct milterd_options *o)
{
	pid_t pid;

	keeper = getpid();
	if ((pid = fork()) != 0)
		return pid;
	keeper_follow();
	leave_to_keeper();
	exit(child(o));
}

static bool
is_crash(int status)
{
	return WIFSIGNALED(status) || (WIFEXITED(status) &&
	    WEXITSTATUS(status) > 2);
}

/* Too many of them? */
static bool
note_crash(uint64_t crashes[BURST], unsigned *n, pid_t pid, int status)
{
	uint64_t now = clock_ms(), first = crashes[*n % BURST];

	log_error(0, "milter-died pid=%ld %s=%d", (long)pid,
	    WIFSIGNALED(status) ? "signal" : "status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	crashes[(*n)++ % BURST] = now;
	return *n > BURST && now - first < BURST_MS;
}

static void
hand_on(pid_t to, int number, bool *stopping)
{
	size_t i;

	for (i = 0; i < NSIGNALS; i++) {
		if (signals[i].from != number)
			continue;
		*stopping |= signals[i].to == KEEPER_STOP;
		kill(to, signals[i].to);
	}
}

int
keeper_run(int (*child)(const struct milterd_options *),
    const struct milterd_options *o)
{
	uint64_t crashes[BURST] = { 0 };
	bool stopping = false;
	unsigned ncrashes = 0;
	sigset_t set;
	siginfo_t info;
	int status;
	pid_t pid;

	block();
	sigfillset(&set);
	if ((pid = start(child, o)) == -1)
		fatal("fork: %s", strerror(errno));
	for (;;) {
		if (sigwaitinfo(&set, &info) == -1)
			continue;
		if (info.si_signo != SIGCHLD) {
			hand_on(pid, info.si_signo, &stopping);
			continue;
		}
		if (waitpid(pid, &status, WNOHANG) != pid)
			continue;
		if (!is_crash(status))
			return WEXITSTATUS(status);
		if (note_crash(crashes, &ncrashes, pid, status) || stopping)
			return 1;
		if ((pid = start(child, o)) == -1)
			fatal("fork: %s", strerror(errno));
	}
}
