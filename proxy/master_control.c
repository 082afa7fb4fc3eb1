/*
 * master_control - the commands of the control socket.
 *
 *	workers		ok PID PID …
 *	sessions	ok N		open sessions, of all workers
 *	reload		ok, when the new workers serve; or error …
 *	clock MS	ok, when it is MS later here and in all workers
 */

#include "proxy/master_impl.h"

#include <sys/types.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/channel.h"
#include "proxy/conf.h"
#include "proxy/control.h"

#define ASK_MS		5000	/* a worker answers within a turn of its loop */
#define CLOCK_MAX_MS	(366 * 86400 * UINT64_C(1000))

/* All have answered. Time passes here last, so that a worker has done what was
   due before we look whether it did. */
static void
ask_done(struct master *m)
{
	uint64_t ms = m->ask.clock_ms;

	timer_stop(&m->ask.deadline);
	m->ask.clock_ms = 0;
	if (ms == 0) {
		control_answer(m->control, "ok %" PRIu64, m->ask.sum);
		return;
	}
	clock_advance(ms);
	control_answer(m->control, "ok");
}

static void
ask_cancel(struct master *m)
{
	struct crew *c;
	size_t i;

	for (c = m->crews; c != NULL; c = c->next)
		for (i = 0; i < c->n; i++)
			c->members[i].asked = false;
	m->ask.waiting = 0;
	m->ask.clock_ms = 0;
	timer_stop(&m->ask.deadline);
}

static void
on_ask_deadline(void *arg)
{
	struct master *m;

	OBJ_CAST(m, arg, MASTER_MAGIC);
	ask_cancel(m);
	control_answer(m->control, "error a worker does not answer");
}

void
control_heard(struct master *m, struct member *w, const char *line)
{
	uint64_t n;

	if (!w->asked)
		return;
	w->asked = false;
	if (line != NULL && sscanf(line, " %" SCNu64, &n) == 1)
		m->ask.sum += n;
	if (--m->ask.waiting == 0)
		ask_done(m);
}

/* Say it to all workers, the draining ones too. */
static void
ask_all(struct master *m, const char *line)
{
	struct member *w;
	struct crew *c;
	size_t i;

	timer_set(&m->ask.deadline, ASK_MS);
	m->ask.sum = 0;
	/* One more than those we ask: us, until we have asked all. */
	m->ask.waiting = 1;
	for (c = m->crews; c != NULL; c = c->next) {
		for (i = 0; i < c->n; i++) {
			w = &c->members[i];
			if (w->channel == NULL ||
			    !channel_say(w->channel, "%s", line))
				continue;
			w->asked = true;
			m->ask.waiting++;
		}
	}
	if (--m->ask.waiting == 0)
		ask_done(m);
}

static void
run_clock(struct master *m, const char *arg)
{
	char line[40], *end;
	uint64_t ms;

	ms = *arg >= '0' && *arg <= '9' ? strtoull(arg, &end, 10) : 0;
	if (ms == 0 || ms > CLOCK_MAX_MS || *end != '\0') {
		control_answer(m->control, "error clock wants milliseconds");
		return;
	}
	m->ask.clock_ms = ms;
	snprintf(line, sizeof(line), "clock %" PRIu64, ms);
	ask_all(m, line);
}

static void
run_sessions(struct master *m, const char *arg)
{
	(void)arg;
	ask_all(m, "sessions");
}

static void
run_workers(struct master *m, const char *arg)
{
	const struct crew *c = m->serving;
	struct buf b;
	size_t i;

	(void)arg;
	buf_init(&b, 4096);
	for (i = 0; c != NULL && i < c->n; i++)
		if (c->members[i].ready)
			buf_addf(&b, " %ld", (long)c->members[i].pid);
	control_answer(m->control, "ok%s", b.p);
	buf_fini(&b);
}

static void
run_reload(struct master *m, const char *arg)
{
	(void)arg;
	if (m->stopping) {
		control_answer(m->control, "error stopping");
		return;
	}
	m->todo |= TODO_RELOAD;
	m->reload_asked = true;
}

static const struct {
	const char	*name;
	void		(*run)(struct master *m, const char *arg);
	bool		 has_arg;
} commands[] = {
	{ "clock",	run_clock,	true },
	{ "reload",	run_reload,	false },
	{ "sessions",	run_sessions,	false },
	{ "workers",	run_workers,	false },
};

static void
on_command(void *arg, const char *line)
{
	size_t i, len = strcspn(line, " ");
	struct master *m;
	bool has_arg;

	OBJ_CAST(m, arg, MASTER_MAGIC);
	has_arg = line[len] == ' ';
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strlen(commands[i].name) != len ||
		    strncmp(commands[i].name, line, len) != 0 ||
		    commands[i].has_arg != has_arg)
			continue;
		commands[i].run(m, line + len + has_arg);
		return;
	}
	control_answer(m->control, "error unknown command");
}

void
control_init(struct master *m)
{
	timer_init(&m->ask.deadline, on_ask_deadline, m);
}

int
control_setup(struct master *m, const struct conf *conf)
{
	const char *old = m->serving != NULL ?
	    m->serving->conf->control_socket : NULL;
	const char *path = conf->control_socket;
	struct control *c = NULL;
	char *why;

	if (m->control != NULL && path != NULL && strcmp(path, old) == 0)
		return 0;
	if (path != NULL) {
		c = control_open(m->base, path, m->predecessor != NULL,
		    on_command, m, &why);
		if (c == NULL) {
			log_error(0, "control problem=\"%s\"", why);
			free(why);
			return -1;
		}
	}
	if (m->control != NULL) {
		/* Who has asked for this reload is connected to the old one. */
		ask_cancel(m);
		control_answer(m->control, "ok");
		m->reload_asked = false;
		control_unlink(m->control);
		control_free(&m->control);
	}
	m->control = c;
	return 0;
}
