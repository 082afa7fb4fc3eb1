/*
 * master - the process that was started.
 *
 * An idle loop: it wakes up for signals, for lines from workers and from the
 * control socket, and for deadlines. After each wake-up master_step() looks at
 * what is to be done; see master_impl.h for why.
 *
 * The master never goes to the background. Service managers want it so, and a
 * daemon that says "ready" is easier to wait for than one that forks away.
 */

#include "proxy/master.h"

#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/channel.h"
#include "proxy/conf.h"
#include "proxy/control.h"
#include "proxy/master_impl.h"
#include "proxy/notify.h"
#include "proxy/privs.h"
#include "proxy/sockets.h"
#include "proxy/tls.h"

static const struct {
	int		number;
	unsigned	todo;
} signals[MASTER_SIGNALS] = {
	{ SIGTERM, TODO_STOP },
	{ SIGINT,  TODO_STOP },
	{ SIGHUP,  TODO_RELOAD },
	{ SIGUSR1, TODO_REOPEN },
	{ SIGUSR2, TODO_UPGRADE },
	{ SIGCHLD, 0 },		/* wakes us up; see reap() */
	{ SIGPIPE, 0 },		/* stderr was a pipe: never mind */
	{ SIGXFSZ, 0 },		/* the log is as long as it may be */
};

/*
 * What is noted in callbacks
 */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct master *m;
	size_t i;

	(void)what;
	OBJ_CAST(m, arg, MASTER_MAGIC);
	for (i = 0; i < MASTER_SIGNALS; i++)
		if (signals[i].number == number)
			m->todo |= signals[i].todo;
}

static void
on_respawn(void *arg)
{
	struct master *m;

	OBJ_CAST(m, arg, MASTER_MAGIC);	/* crew_respawn() may go on */
}

static void
on_predecessor_line(void *arg, const char *line)
{
	(void)arg, (void)line;
}

static void
on_predecessor_end(void *arg)
{
	struct master *m;

	/* It was stopped or has died meanwhile: go on without it. */
	OBJ_CAST(m, arg, MASTER_MAGIC);
	channel_free(&m->predecessor);
}

/*
 * What is done about it
 */

/* A log made by root is given to the user that has to write to it. */
static void
own_log(const struct conf *conf)
{
	if (strncmp(conf->log, "file:", 5) == 0)
		privs_give_file(conf->user, conf->log + 5);
}

static int
open_log(const struct master *m, const struct conf *conf)
{
	const char *where = m->options->foreground ? "stderr" : conf->log;

	if (log_open(where, conf->log_json) != 0) {
		log_error(0, "log where=%s problem=\"%s\"", where,
		    strerror(errno));
		return -1;
	}
	log_set_level(conf->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	own_log(conf);
	return 0;
}

static void
reopen_logs(struct master *m)
{
	struct crew *c;
	size_t i;

	log_reopen();
	if (m->serving != NULL)
		own_log(m->serving->conf);
	for (c = m->crews; c != NULL; c = c->next)
		for (i = 0; i < c->n; i++)
			if (c->members[i].channel != NULL)
				channel_say(c->members[i].channel, "reopen");
}

/* "ready listen=192.0.2.1:25 listen=… workers=2 pid=77"; scripts wait for it. */
static void
announce(const char *verb, const struct crew *c)
{
	struct buf b;
	size_t i;

	buf_init(&b, 65536);
	for (i = 0; i < c->conf->nlisteners; i++)
		buf_addf(&b, " listen=%s", sockets_name(c->sockets, i));
	log_info(0, "%s%s workers=%zu pid=%ld", verb, b.p, c->n,
	    (long)getpid());
	buf_fini(&b);
}

static void
tell_manager(const struct crew *c)
{
	char status[64];

	snprintf(status, sizeof(status), "serving with %zu workers", c->n);
	notify_ready(status);
}

static void
stop(struct master *m)
{
	struct crew *c;

	m->stopping = true;
	upgrade_cancel(m);
	if (!m->handed_over)
		notify_stopping();
	log_info(0, "stopping pid=%ld", (long)getpid());
	for (c = m->crews; c != NULL; c = c->next) {
		/* Not those of the old or the new master. */
		if (!m->handed_over && m->predecessor == NULL &&
		    c->sockets != NULL)
			sockets_unlink(c->sockets, NULL);
		if (m->handed_over)
			crew_retire(c);
		else
			crew_drain(c);
	}
	m->starting = m->leaving = NULL;
	if (m->reload_asked)
		control_answer(m->control, "error stopping");
	m->reload_asked = false;
}

void
master_reloaded(struct master *m, const char *problem)
{
	char text[1024];

	if (problem != NULL)
		log_error(0, "reload-failed problem=%s", log_quote(text,
		    sizeof(text), problem, strlen(problem), 250));
	tell_manager(m->serving);
	/* Asked for again while it was under way: that is another one. */
	if (!m->reload_asked || (m->todo & TODO_RELOAD) != 0)
		return;
	m->reload_asked = false;
	if (problem != NULL)
		control_answer(m->control, "error %s", problem);
	else
		control_answer(m->control, "ok");
}

/* The crew that was starting has failed. */
static void
abandon(struct master *m, struct crew *c, const char *problem)
{
	m->starting = NULL;
	if (m->serving != NULL) {
		open_log(m, m->serving->conf);
		sockets_unlink(c->sockets, m->serving->sockets);
		crew_drain(c);
		master_reloaded(m, problem);
		return;
	}
	log_error(0, "start-failed problem=\"%s\"", problem);
	m->status = 1;
	stop(m);
}

/* The first crew serves. */
static void
started(struct master *m)
{
	announce("ready", m->serving);
	if (m->predecessor != NULL)
		channel_say(m->predecessor, "ready");
	channel_free(&m->predecessor);
	tell_manager(m->serving);
}

/* All workers are ready. */
static void
take_over(struct master *m, struct crew *c)
{
	char *why;

	if (sockets_listen(c->sockets, &why) != 0) {
		abandon(m, c, why);
		free(why);
		return;
	}
	if (control_setup(m, c->conf) != 0) {
		abandon(m, c, "no control socket");
		return;
	}
	crew_serve(c);
	m->leaving = m->serving;
	m->serving = c;
	m->starting = NULL;
	if (m->leaving == NULL) {
		started(m);
		return;
	}
	sockets_unlink(m->leaving->sockets, c->sockets);
	crew_retire(m->leaving);
}

static void
reload(struct master *m)
{
	struct sockets *sockets;
	struct conf *conf;
	char first[256], *why;

	notify_reloading();
	if ((conf = conf_load_again(m->options->conf, first,
	    sizeof(first))) == NULL) {
		master_reloaded(m, first);
		return;
	}
	sockets = sockets_open(conf, m->serving->sockets, &why);
	if (sockets == NULL) {
		master_reloaded(m, why);
		free(why);
		conf_free(&conf);
		return;
	}
	if (open_log(m, conf) != 0) {
		open_log(m, m->serving->conf);
		sockets_free(&sockets);
		conf_free(&conf);
		master_reloaded(m, "cannot open the log");
		return;
	}
	m->starting = crew_start(m, conf, sockets);
}

/* Children that have died. SIGCHLD may stand for several, or come late, so
   this asks at every turn. */
static void
reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (crew_died(m, pid, status) || pid != m->heir)
			continue;
		upgrade_died(m, status);
	}
}

static void
tend_crews(struct master *m)
{
	struct crew *c, *next;

	if ((c = m->starting) != NULL) {
		if (c->late)
			abandon(m, c, "a worker ended before it was ready");
		else if (crew_is_ready(c))
			take_over(m, c);
	}
	if (m->leaving != NULL && crew_is_closed(m->leaving)) {
		m->leaving = NULL;
		announce("reloaded", m->serving);
		master_reloaded(m, NULL);
	}
	for (c = m->crews; c != NULL; c = next) {
		next = c->next;
		if (c->state != CREW_RETIRED && c->state != CREW_DRAINING)
			continue;
		if (c->late)
			crew_kill(c);
		if (!crew_is_gone(c))
			continue;
		if (m->serving == c)
			m->serving = NULL;
		crew_free(&c);
	}
}

static bool
take(struct master *m, unsigned what)
{
	bool has = (m->todo & what) != 0;

	m->todo &= ~what;
	return has;
}

/* One change at a time: what comes while a crew or an heir is starting waits
   until that is decided and done. */
static bool
is_changing(const struct master *m)
{
	return m->starting != NULL || m->leaving != NULL || m->heir != 0;
}

static void
master_step(struct master *m)
{
	reap(m);
	tend_crews(m);
	if (take(m, TODO_REOPEN))
		reopen_logs(m);
	if (take(m, TODO_STOP) && !m->stopping)
		stop(m);
	if (m->stopping)
		return;
	if (!is_changing(m) && take(m, TODO_RELOAD))
		reload(m);
	if (!is_changing(m) && take(m, TODO_UPGRADE))
		upgrade_start(m);
	crew_respawn(m);
}

/*
 * From start to end
 */

static char *
own_path(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

	if (n <= 0 || (size_t)n >= sizeof(path))
		return NULL;
	return xstrndup(path, (size_t)n);
}

static void
init(struct master *m, const struct master_options *o)
{
	size_t i;

	*m = (struct master){ .magic = MASTER_MAGIC, .options = o,
	    .exe = own_path() };
	timer_init(&m->respawn, on_respawn, m);
	control_init(m);
	upgrade_init(m);
	if ((m->base = event_base_new()) == NULL)
		fatal("no event loop: %s", strerror(errno));
	clock_start(m->base);
	for (i = 0; i < MASTER_SIGNALS; i++) {
		m->signals[i] = evsignal_new(m->base, signals[i].number,
		    on_signal, m);
		if (m->signals[i] == NULL || evsignal_add(m->signals[i],
		    NULL) != 0)
			fatal("no signals: %s", strerror(errno));
	}
}

static void
fini(struct master *m)
{
	size_t i;
	struct crew *c;

	while ((c = m->crews) != NULL)
		crew_free(&c);
	control_free(&m->control);
	channel_free(&m->heir_channel);
	channel_free(&m->predecessor);
	for (i = 0; i < MASTER_SIGNALS; i++)
		event_free(m->signals[i]);
	clock_stop();
	event_base_free(m->base);
	free(m->exe);
	m->magic = 0;
}

void
master_forget(struct master *m)
{
	/* First of all: until here we share the epoll set and the signal pipe
	   of our parent, and would take events out of them. */
	if (event_reinit(m->base) != 0)
		_exit(1);
	fini(m);
}

/* Sockets from systemd or from the process we replace, and the first crew. */
static int
start(struct master *m, struct conf *conf)
{
	struct sockets *given, *sockets;
	char *why;
	int fd;

	given = sockets_inherit(&fd);
	if (fd >= 0)
		m->predecessor = channel_new(m->base, fd, on_predecessor_line,
		    on_predecessor_end, m);
	sockets = sockets_open(conf, given, &why);
	if (sockets == NULL) {
		log_error(0, "start-failed problem=\"%s\"", why);
		free(why);
		conf_free(&conf);
		sockets_free(&given);
		return 1;
	}
	sockets_warn_unused(given, sockets);
	sockets_free(&given);
	if (privs_keeps_root(conf->user))
		log_warn(0, "root problem=\"workers run as root: "
		    "set user in the configuration\"");
	m->starting = crew_start(m, conf, sockets);
	return 0;
}

static bool
is_over(const struct master *m)
{
	return m->stopping && m->crews == NULL &&
	    (m->heir == 0 || m->handed_over);
}

int
master_run(const struct master_options *o)
{
	struct master m;
	struct conf *conf;

	tls_init();
	if ((conf = conf_load(o->conf, stderr)) == NULL)
		return 2;
	init(&m, o);
	log_set_name("master");
	privs_raise_limits();
	if (open_log(&m, conf) != 0) {
		conf_free(&conf);
		m.status = 1;
	} else if ((m.status = start(&m, conf)) == 0) {
		while (!is_over(&m)) {
			event_base_loop(m.base, EVLOOP_ONCE);
			master_step(&m);
		}
	}
	if (m.control != NULL)
		control_unlink(m.control);
	fini(&m);
	log_close();
	return m.status;
}
