/*
 * master_crew - the workers of one configuration, as the master sees them.
 *
 * The sockets belong to the crew and not to a worker, so a worker may die at
 * any moment: who waits in the queue of its socket waits for the next one.
 */

#include "proxy/master_impl.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/channel.h"
#include "proxy/conf.h"
#include "proxy/sockets.h"
#include "proxy/worker.h"

#define START_MS	60000	/* a worker says "ready" in no time at all */
#define GRACE_MS	5000	/* after drain-timeout: for the last replies */

/*
 * In the child
 */

static void
on_ignored_signal(int sig)
{
	(void)sig;
}

/* The master says when to stop; a ^C, which goes to all of us, does not. These
   are handlers and not SIG_IGN, because those would be inherited by the
   programs of "exec:" backends, which could not be stopped then. */
static void
ignore_signals(void)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1,
	    SIGUSR2, SIGPIPE, SIGXFSZ };
	struct sigaction sa = { .sa_handler = on_ignored_signal,
	    .sa_flags = SA_RESTART };
	size_t i;

	sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &sa, NULL);
	/* Not ignored either: see base/child.h. */
	sigaction(SIGCHLD, &sa, NULL);
}

static void
be_worker(struct crew *c, size_t slot, int channel, const sigset_t *mask)
{
	struct worker_socket *sockets;
	struct conf *conf = c->conf;
	size_t n;
	int rc;

	log_set_name("worker");
	sockets = sockets_take(c->sockets, slot, c->n, &n);
	c->conf = NULL;
	master_forget(c->master);
	ignore_signals();
	sigprocmask(SIG_SETMASK, mask, NULL);
	/* We are not the process that the service manager knows. */
	unsetenv("NOTIFY_SOCKET");
	rc = worker_run(conf, sockets, n, channel);
	free(sockets);
	conf_free(&conf);
	log_close();
	exit(rc);
}

/*
 * In the master
 */

static void
on_line(void *arg, const char *line)
{
	struct member *w = arg;

	OBJ_CHECK(w->crew, CREW_MAGIC);
	if (strcmp(line, "ready") == 0) {
		w->ready = true;
		if (w->crew->state == CREW_SERVING)
			channel_say(w->channel, "serve");
	} else if (strcmp(line, "closed") == 0) {
		w->closed = true;
	} else if (strncmp(line, "ok", 2) == 0) {
		control_heard(w->crew->master, w, line + 2);
	}
}

/* It has died, or is about to: SIGCHLD says more. */
static void
on_end(void *arg)
{
	struct member *w = arg;

	OBJ_CHECK(w->crew, CREW_MAGIC);
}

static int
member_start(struct member *w)
{
	struct crew *c = w->crew;
	sigset_t all, mask;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	    fd) != 0) {
		log_error(0, "worker-failed problem=\"%s\"", strerror(errno));
		return -1;
	}
	/* A signal that comes to the child too early would be taken for one
	   of the master, through the pipe that libevent has for signals. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	if ((w->pid = fork()) == 0) {
		close(fd[0]);
		be_worker(c, (size_t)(w - c->members), fd[1], &mask);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
	close(fd[1]);
	if (w->pid < 0) {
		log_error(0, "worker-failed problem=\"fork: %s\"",
		    strerror(errno));
		w->pid = 0;
		close(fd[0]);
		return -1;
	}
	w->ready = w->closed = false;
	w->channel = channel_new(c->master->base, fd[0], on_line, on_end, w);
	return 0;
}

static void
on_deadline(void *arg)
{
	struct crew *c;

	OBJ_CAST(c, arg, CREW_MAGIC);
	c->late = true;
}

struct crew *
crew_start(struct master *m, struct conf *conf, struct sockets *sockets)
{
	struct crew *c = xcalloc(1, sizeof(*c));
	size_t i;

	*c = (struct crew){ .magic = CREW_MAGIC, .master = m,
	    .next = m->crews, .state = CREW_STARTING, .conf = conf,
	    .sockets = sockets, .n = (size_t)conf->workers };
	m->crews = c;
	c->members = xcalloc(c->n, sizeof(c->members[0]));
	timer_init(&c->deadline, on_deadline, c);
	timer_set(&c->deadline, START_MS);
	for (i = 0; i < c->n; i++)
		c->members[i].crew = c;
	for (i = 0; i < c->n; i++)
		if (member_start(&c->members[i]) != 0)
			c->late = true;
	return c;
}

bool
crew_is_ready(const struct crew *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (!c->members[i].ready)
			return false;
	return true;
}

bool
crew_is_closed(const struct crew *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->members[i].pid != 0 && !c->members[i].closed)
			return false;
	return true;
}

void
crew_serve(struct crew *c)
{
	size_t i;

	c->state = CREW_SERVING;
	timer_stop(&c->deadline);
	for (i = 0; i < c->n; i++)
		channel_say(c->members[i].channel, "serve");
}

bool
crew_is_gone(const struct crew *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->members[i].pid != 0)
			return false;
	return true;
}

static void
tell_all(struct crew *c, const char *line)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->members[i].channel != NULL)
			channel_say(c->members[i].channel, "%s", line);
}

void
crew_retire(struct crew *c)
{
	OBJ_CHECK(c, CREW_MAGIC);
	if (c->state == CREW_RETIRED || c->state == CREW_DRAINING)
		return;
	c->state = CREW_RETIRED;
	c->late = false;
	timer_stop(&c->deadline);
	/* First ours, so that the sockets are closed when the last worker has
	   closed its own: a client that is told to go could come back. */
	sockets_free(&c->sockets);
	tell_all(c, "retire");
}

void
crew_drain(struct crew *c)
{
	OBJ_CHECK(c, CREW_MAGIC);
	if (c->state == CREW_DRAINING)
		return;
	c->state = CREW_DRAINING;
	c->late = false;
	timer_set(&c->deadline, c->conf->drain_timeout + GRACE_MS);
	sockets_free(&c->sockets);
	tell_all(c, "drain");
}

void
crew_kill(struct crew *c)
{
	size_t i;

	c->late = false;
	for (i = 0; i < c->n; i++)
		if (c->members[i].pid != 0)
			kill(c->members[i].pid, SIGKILL);
}

void
crew_free(struct crew **cp)
{
	struct crew *c = *cp, **p;
	size_t i;

	OBJ_CHECK(c, CREW_MAGIC);
	*cp = NULL;
	for (p = &c->master->crews; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	timer_stop(&c->deadline);
	for (i = 0; i < c->n; i++)
		channel_free(&c->members[i].channel);
	free(c->members);
	sockets_free(&c->sockets);
	conf_free(&c->conf);
	c->magic = 0;
	free(c);
}

/* A worker that dies at once may do so for ever, and fork() is not free. */
static void
note_death(struct master *m)
{
	uint64_t now = clock_ms();

	m->deaths[m->ndeaths++ % BURST_DEATHS] = now;
	if (m->ndeaths >= BURST_DEATHS &&
	    now - m->deaths[m->ndeaths % BURST_DEATHS] < BURST_MS &&
	    m->respawn.place == 0) {
		log_error(0, "worker-restart wait=%dms problem=\"%d workers "
		    "died within %ds\"", RESPAWN_MS, BURST_DEATHS,
		    BURST_MS / 1000);
		timer_set(&m->respawn, RESPAWN_MS);
	}
}

void
crew_respawn(struct master *m)
{
	struct crew *c = m->serving;
	size_t i;

	if (c == NULL || m->respawn.place != 0)
		return;
	for (i = 0; i < c->n; i++) {
		if (c->members[i].pid != 0)
			continue;
		if (member_start(&c->members[i]) != 0) {
			timer_set(&m->respawn, RESPAWN_MS);
			return;
		}
	}
}

static void
log_death(const struct member *w, pid_t pid, int status)
{
	size_t slot = (size_t)(w - w->crew->members);

	if (WIFSIGNALED(status))
		log_error(0, "worker-died pid=%ld slot=%zu signal=%d "
		    "name=\"%s\"", (long)pid, slot, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if ((w->crew->state != CREW_DRAINING &&
	    w->crew->state != CREW_RETIRED) || status != 0)
		log_error(0, "worker-died pid=%ld slot=%zu status=%d",
		    (long)pid, slot, WEXITSTATUS(status));
	else
		log_info(0, "worker-done pid=%ld slot=%zu", (long)pid, slot);
}

static struct member *
find_member(const struct master *m, pid_t pid)
{
	struct crew *c;
	size_t i;

	for (c = m->crews; c != NULL; c = c->next)
		for (i = 0; i < c->n; i++)
			if (c->members[i].pid == pid)
				return &c->members[i];
	return NULL;
}

bool
crew_died(struct master *m, pid_t pid, int status)
{
	struct member *w = find_member(m, pid);

	if (w == NULL)
		return false;
	log_death(w, pid, status);
	if (w->asked)
		control_heard(m, w, NULL);
	channel_free(&w->channel);
	w->pid = 0;
	w->ready = false;
	switch (w->crew->state) {
	case CREW_STARTING:
		w->crew->late = true;
		break;
	case CREW_SERVING:
		note_death(m);
		break;
	case CREW_RETIRED:
	case CREW_DRAINING:
		break;
	}
	return true;
}
