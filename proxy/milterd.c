/*
 * milterd - the process of the milter.
 *
 * One loop, and everything of ours in it. Sessions keep the configuration that
 * they began with until they end, so a reload touches none of them: an era is
 * what such sessions share, and goes with the last of them.
 *
 * libmilter stops with whatever sessions there are. So we stop first: new
 * messages are refused with 421, and when those under way have ended, so does
 * the process.
 */

#include "proxy/milterd.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/mem.h"
#include "proxy/control.h"
#include "proxy/milterd_impl.h"
#include "proxy/notify.h"
#include "proxy/privs.h"
#include "proxy/resolve.h"
#include "proxy/tls.h"

#define LAST_WORDS_MS	200	/* for libmilter to write what a callback has
				   returned: nobody tells us when it has */
#define CLOCK_MAX_MS	(366 * 86400 * UINT64_C(1000))

static const int signals[] = {
	KEEPER_STOP, KEEPER_RELOAD, SIGUSR1, SIGCHLD, SIGPIPE, SIGXFSZ
};

#define NSIGNALS	(sizeof(signals) / sizeof(signals[0]))

static void reload(struct milterd *m);

/* Eras */

struct milterd_era *
era_ref(struct milterd_era *e)
{
	e->refs++;
	return e;
}

void
era_unref(struct milterd_era **ep)
{
	struct milterd_era *e = *ep;

	*ep = NULL;
	if (e == NULL || --e->refs > 0)
		return;
	worker_stop_filters(&e->w);
	resolver_free(&e->w.resolver);
	conf_free(&e->conf);
	free(e);
}

/* The listener that was named, or the first that has filters. */
static const struct conf_listener *
find_listener(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nlisteners; i++)
		if (name != NULL ? strcmp(c->listeners[i].name, name) == 0 :
		    c->listeners[i].filters.n > 0)
			return &c->listeners[i];
	return name != NULL ? NULL : &c->listeners[0];
}

/* conf is ours from now on. NULL with *why (static). */
static struct milterd_era *
era_new(struct milterd *m, struct conf *conf, const char **why)
{
	struct milterd_era *e = xcalloc(1, sizeof(*e));

	e->refs = 1;
	e->conf = conf;
	e->w = (struct worker){ .magic = WORKER_MAGIC, .base = m->base,
	    .conf = conf };
	e->listener = find_listener(conf, m->options->listener);
	if (e->listener == NULL)
		*why = "there is no such listener";
	else
		e->w.resolver = resolver_new(m->base,
		    (const char *const *)conf->dns_servers.v,
		    conf->dns_servers.n, conf->dns_timeout, why);
	if (e->w.resolver == NULL) {
		era_unref(&e);
		return NULL;
	}
	worker_start_filters(&e->w);
	return e;
}

/* Configuration */

static int
open_log(const struct milterd *m, const struct conf *conf)
{
	const char *where = m->options->foreground ? "stderr" : conf->log;

	if (log_open(where, conf->log_json) != 0) {
		log_error(0, "log where=%s problem=\"%s\"", where,
		    strerror(errno));
		return -1;
	}
	log_set_level(conf->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	return 0;
}

static void
tell_manager(void)
{
	notify_ready("serving as a milter");
}

static void
reload_failed(struct milterd *m, const char *problem)
{
	char text[1024];

	log_error(0, "reload-failed problem=%s", log_quote(text, sizeof(text),
	    problem, strlen(problem), 250));
	control_answer(m->control, "error %s", problem);
	tell_manager();
}

static void
reload(struct milterd *m)
{
	struct milterd_era *e;
	const char *why = "";
	struct conf *conf;
	char first[256];

	notify_reloading();
	if ((conf = conf_load_again(m->options->conf, first,
	    sizeof(first))) == NULL) {
		reload_failed(m, first);
		return;
	}
	if ((e = era_new(m, conf, &why)) == NULL) {
		reload_failed(m, why);
		return;
	}
	if (open_log(m, conf) != 0) {
		open_log(m, m->era->conf);
		era_unref(&e);
		reload_failed(m, "cannot open the log");
		return;
	}
	era_unref(&m->era);
	m->era = e;
	log_info(0, "reloaded sessions=%zu pid=%ld", m->nsessions,
	    (long)getpid());
	control_answer(m->control, "ok");
	tell_manager();
}

/* Stopping */

static void
on_deadline(void *arg)
{
	struct milterd_session *s, *next;
	struct milterd *m;

	OBJ_CAST(m, arg, MILTERD_MAGIC);
	if (m->ntxns == 0) {
		m->over = true;		/* the last words were said */
		return;
	}
	log_warn(0, "drain-timeout messages=%zu", m->ntxns);
	for (s = LIST_FIRST(&m->sessions); s != NULL; s = next) {
		next = LIST_NEXT(s, all);
		milterd_session_abort(s);
	}
	m->ntxns = 0;		/* others may be in the MTA's hands */
	timer_set(&m->deadline, LAST_WORDS_MS);
}

static void
stop(struct milterd *m)
{
	if (m->stopping)
		return;
	m->stopping = true;
	notify_stopping();
	log_info(0, "stopping sessions=%zu messages=%zu pid=%ld",
	    m->nsessions, m->ntxns, (long)getpid());
	timer_set(&m->deadline, m->ntxns > 0 ? m->era->conf->drain_timeout :
	    m->nsessions > 0 ? LAST_WORDS_MS : 0);
}

void
milterd_txn_ended(struct milterd *m)
{
	if (m->ntxns > 0)
		m->ntxns--;
	if (m->stopping && m->ntxns == 0)
		timer_set(&m->deadline, LAST_WORDS_MS);
}

void
milterd_session_ended(struct milterd *m)
{
	if (m->stopping && m->nsessions == 0)
		timer_set(&m->deadline, 0);
}

/* Commands */

static void
run_clock(struct milterd *m, const char *arg)
{
	char *end;
	uint64_t ms = *arg >= '0' && *arg <= '9' ? strtoull(arg, &end, 10) : 0;

	if (ms == 0 || ms > CLOCK_MAX_MS || *end != '\0') {
		control_answer(m->control, "error clock wants milliseconds");
		return;
	}
	clock_advance(ms);
	control_answer(m->control, "ok");
}

static void
on_command(void *arg, const char *line)
{
	struct milterd *m;

	OBJ_CAST(m, arg, MILTERD_MAGIC);
	if (strcmp(line, "sessions") == 0)
		control_answer(m->control, "ok %zu", m->nsessions);
	else if (strcmp(line, "workers") == 0)
		control_answer(m->control, "ok %ld", (long)getpid());
	else if (strcmp(line, "reload") == 0)
		reload(m);
	else if (strncmp(line, "clock ", 6) == 0)
		run_clock(m, line + 6);
	else
		control_answer(m->control, "error unknown command");
}

static int
open_control(struct milterd *m, const char *path)
{
	char *why;

	if (path == NULL)
		return 0;
	m->control = control_open(m->base, path, false, on_command, m, &why);
	if (m->control != NULL)
		return 0;
	log_error(0, "control problem=\"%s\"", why);
	free(why);
	return -1;
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct milterd *m;

	(void)what;
	OBJ_CAST(m, arg, MILTERD_MAGIC);
	if (number == KEEPER_STOP)
		stop(m);
	else if (number == KEEPER_RELOAD && !m->stopping)
		reload(m);
	else if (number == SIGUSR1)
		log_reopen();
}

/* From start to end */

/* Until now they have waited (milterd_keeper.c). Those that libmilter waits for
   are its own. */
static void
listen_to_signals(struct milterd *m)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < NSIGNALS; i++) {
		sigaddset(&set, signals[i]);
		m->signals[i] = evsignal_new(m->base, signals[i], on_signal, m);
		if (m->signals[i] == NULL ||
		    evsignal_add(m->signals[i], NULL) != 0)
			fatal("no signals: %s", strerror(errno));
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void
init(struct milterd *m, const struct milterd_options *o)
{
	*m = (struct milterd){ .magic = MILTERD_MAGIC, .options = o };
	LIST_INIT(&m->sessions);
	timer_init(&m->deadline, on_deadline, m);
	if ((m->base = event_base_new()) == NULL)
		fatal("no event loop: %s", strerror(errno));
	clock_start(m->base);
	listen_to_signals(m);
	gate_init(m);
}

static int
failed(const char *problem)
{
	log_error(0, "start-failed problem=\"%s\"", problem);
	return -1;
}

/* conf is ours from now on. */
static int
start(struct milterd *m, struct conf *conf)
{
	const char *user = conf->user, *problem = "", *control;
	char *text;
	int r;

	if (open_log(m, conf) != 0) {
		conf_free(&conf);
		return -1;
	}
	if (privs_keeps_root(user))
		log_warn(0, "root problem=\"it runs as root: set user in the "
		    "configuration\"");
	if (strncmp(conf->log, "file:", 5) == 0)
		privs_give_file(user, conf->log + 5);
	privs_raise_limits();
	if (privs_drop(user, &text) != 0) {
		r = failed(text);
		free(text);
		conf_free(&conf);
		return r;
	}
	keeper_follow();
	control = conf->control_socket;
	if ((m->era = era_new(m, conf, &problem)) == NULL)
		return failed(problem);
	if (socket_open(m->options->conf->milter, &text) == -1)
		r = failed(text);
	else if (open_control(m, control) == -1 || gate_open() == -1)
		r = failed("there is no thread, or no control socket");
	else {
		r = 0;
		log_info(0, "ready socket=%s filters=%zu pid=%ld", text,
		    m->era->listener->filters.n, (long)getpid());
		tell_manager();
	}
	free(text);
	return r;
}

/* What libmilter's threads may still look at stays. */
static void
finish(struct milterd *m)
{
	size_t i;

	gate_close();
	socket_unlink(m->options->conf->milter);
	if (m->control != NULL)
		control_unlink(m->control);
	control_free(&m->control);
	for (i = 0; i < NSIGNALS; i++)
		event_free(m->signals[i]);
	timer_stop(&m->deadline);
	if (LIST_EMPTY(&m->sessions)) {
		era_unref(&m->era);
		clock_stop();
		event_base_free(m->base);
	}
	log_flush();
}

/* One write to the log for each turn of the loop. */
static void
loop(struct milterd *m)
{
	log_buffer(true);
	while (!m->over) {
		event_base_loop(m->base, EVLOOP_ONCE);
		log_flush();
	}
	log_buffer(false);
}

static int
run(const struct milterd_options *o)
{
	static struct milterd m;	/* libmilter's threads outlive us */
	struct conf *conf;

	tls_init();
	log_set_name("milter");
	if ((conf = conf_load(o->conf, stderr)) == NULL)
		return 2;
	init(&m, o);
	if (start(&m, conf) != 0)
		return 1;
	loop(&m);
	finish(&m);
	return m.status;
}

int
milterd_run(const struct milterd_options *o)
{
	return keeper_run(run, o);
}
