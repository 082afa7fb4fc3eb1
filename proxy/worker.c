/*
 * worker - one unprivileged process with one event loop.
 */

#include "proxy/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/child.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filters/lookup.h"
#include "proxy/backend.h"
#include "proxy/channel.h"
#include "proxy/conf.h"
#include "proxy/filter_dns.h"
#include "proxy/listener.h"
#include "proxy/privs.h"
#include "proxy/quarantine.h"
#include "proxy/resolve.h"
#include "proxy/session.h"
#include "rules/table.h"

static void on_line(void *, const char *);
static void on_master_gone(void *);
static void on_drain_deadline(void *);

/* One thread, and no locks for the others. */
static struct event_base *
make_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg != NULL) {
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
		base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	if (base == NULL)
		fatal("no event loop: %s", strerror(errno));
	return base;
}

/* What may fail, before anybody is served. */
static int
prepare(struct worker *w)
{
	const struct conf *conf = w->conf;
	const char *problem;
	char *why;

	if (privs_drop(conf->user, &why) != 0) {
		log_error(0, "start-failed problem=\"%s\"", why);
		free(why);
		return -1;
	}
	w->resolver = resolver_new(w->base,
	    (const char *const *)conf->dns_servers.v, conf->dns_servers.n,
	    conf->dns_timeout, &problem);
	if (w->resolver == NULL) {
		log_error(0, "start-failed problem=\"DNS: %s\"", problem);
		return -1;
	}
	return 0;
}

static void
start_recipients(struct worker *w)
{
	struct table *t = w->conf->recipients;
	char *why;

	if (t == NULL || !table_is_remote(t))
		return;
	w->recipients = lookup_client_new(w->base, t, &why);
	if (w->recipients != NULL)
		return;
	log_error(0, "recipients failed=\"%s\"", why);
	free(why);
}

void
worker_start_filters(struct worker *w)
{
	const struct filter_conf *f;
	size_t i;

	w->filters.base = w->base;
	filter_dns_init(&w->filters, w->resolver);
	start_recipients(w);
	for (i = 0; i < w->conf->nfilters; i++) {
		f = w->conf->filters[i];
		if (f->type->start != NULL)
			f->type->start(f->self.priv, &w->filters);
		if (f->when != NULL)
			f->when->type->start(f->when->self.priv, &w->filters);
	}
	w->filters_started = true;
}

void
worker_stop_filters(struct worker *w)
{
	const struct filter_conf *f;
	size_t i;

	for (i = 0; w->filters_started && i < w->conf->nfilters; i++) {
		f = w->conf->filters[i];
		if (f->type->stop != NULL)
			f->type->stop(f->self.priv);
		if (f->when != NULL)
			f->when->type->stop(f->when->self.priv);
	}
	lookup_client_free(&w->recipients);
}

static void
look_at_directory(const char *setting, const char *path)
{
	char text[600];

	if (access(path, W_OK | X_OK) == -1)
		log_error(0, "%s path=%s problem=\"%s\"", setting,
		    log_quote(text, sizeof(text), path, strlen(path), 140),
		    strerror(errno));
}

/* The first message that is too large for the memory, or that is to be held
   back, would be put off, and only then somebody hear of it. */
static void
look_at_directories(const struct conf *c)
{
	const char *dir = conf_quarantine_dir(c);
	char *new;

	look_at_directory("spool-directory", c->spool_directory);
	if (dir == NULL)
		return;
	new = xasprintf("%s/new", dir);	/* made when it is not there */
	look_at_directory("quarantine", access(new, F_OK) == 0 ? new : dir);
	free(new);
}

static void
start(struct worker *w)
{
	const struct conf *conf = w->conf;
	size_t i;

	w->pools = xcalloc(conf->nbackends + 1, sizeof(w->pools[0]));
	for (i = 0; i < conf->nbackends; i++)
		w->pools[i] = pool_new(w, i);
	w->children = children_new(w->base);
	worker_start_filters(w);
	look_at_directories(conf);
	channel_say(w->channel, "ready");
}

/* All the others are ready, too: let clients in. */
static void
serve(struct worker *w)
{
	const struct worker_socket *s = w->sockets;
	size_t i;

	if (w->retired || w->listeners != NULL)
		return;
	w->nlisteners = w->nsockets;
	w->nsockets = 0;
	w->listeners = xcalloc(w->nlisteners + 1, sizeof(w->listeners[0]));
	for (i = 0; i < w->nlisteners; i++)
		w->listeners[i] = listener_new(w,
		    &w->conf->listeners[s[i].listener], s[i].fd);
}

/* One write to the log for each turn of the loop. */
static int
loop(struct worker *w)
{
	int rc = 0;

	log_buffer(true);
	while (!w->done && rc == 0) {
		rc = event_base_loop(w->base, EVLOOP_ONCE);
		log_flush();
	}
	/* What the last turn has left for the next one. */
	event_base_loop(w->base, EVLOOP_NONBLOCK);
	log_buffer(false);
	return rc != 0;
}

static void
stop_listening(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->nlisteners; i++)
		listener_free(&w->listeners[i]);
	w->nlisteners = 0;
	while (w->nsockets > 0)
		close(w->sockets[--w->nsockets].fd);
}

static void
finish(struct worker *w)
{
	size_t i;

	stop_listening(w);
	free(w->listeners);
	for (i = 0; w->pools != NULL && i < w->conf->nbackends; i++)
		pool_free(&w->pools[i]);
	free(w->pools);
	worker_stop_filters(w);
	children_free(&w->children);
	resolver_free(&w->resolver);
	quarantine_free(&w->quarantine);
	channel_free(&w->channel);
	timer_stop(&w->drain_deadline);
	clock_stop();
	event_base_free(w->base);
	libevent_global_shutdown();
	w->magic = 0;
}

int
worker_run(const struct conf *conf, const struct worker_socket *sockets,
    size_t nsockets, int channel)
{
	struct worker w = { .magic = WORKER_MAGIC, .conf = conf,
	    .sockets = sockets, .nsockets = nsockets };
	int rc = 1;

	w.base = make_base();
	clock_start(w.base);
	timer_init(&w.drain_deadline, on_drain_deadline, &w);
	w.channel = channel_new(w.base, channel, on_line, on_master_gone, &w);
	if (prepare(&w) == 0) {
		start(&w);
		rc = loop(&w);
	}
	finish(&w);
	return rc;
}

bool
worker_is_full(const struct worker *w)
{
	return w->nsessions >= w->conf->session_limit;
}

void
worker_session_ended(struct worker *w)
{
	size_t i;

	OBJ_CHECK(w, WORKER_MAGIC);
	for (i = 0; i < w->nlisteners; i++)
		listener_resume(w->listeners[i]);
	/* Our caller is still at work: the loop ends with this turn. */
	w->done = w->retired && w->nsessions == 0;
}

/* A session may end, and so leave the list, in visit(). */
static void
for_each_session(struct worker *w, void (*visit)(struct session *))
{
	struct session *s, *next;

	for (s = w->sessions; s != NULL; s = next) {
		next = session_next(s);
		visit(s);
	}
}

static void
stop_serving(struct worker *w)
{
	if (w->retired)
		return;
	w->retired = true;
	stop_listening(w);
	channel_say(w->channel, "closed");
	w->done = w->nsessions == 0;
}

/* We stop: 421 where it is no lie, and the end at the deadline. */
static void
drain(struct worker *w)
{
	stop_serving(w);
	w->draining = true;
	w->hurry = true;
	timer_set(&w->drain_deadline, w->conf->drain_timeout);
	for_each_session(w, session_drain);
}

/*
 * Others serve in our place: sessions end by themselves. Some clients never
 * say QUIT, so after a while theirs end between two messages.
 */
static void
retire(struct worker *w)
{
	stop_serving(w);
	timer_set(&w->drain_deadline, w->conf->drain_timeout);
}

static void
on_drain_deadline(void *arg)
{
	struct worker *w;

	OBJ_CAST(w, arg, WORKER_MAGIC);
	if (w->hurry)
		log_warn(0, "drain-timeout sessions=%zu", w->nsessions);
	w->draining = true;
	for_each_session(w, w->hurry ? session_abort : session_drain);
}

/* Only our own master writes here: what we do not know is from a newer one. */
static void
on_line(void *arg, const char *line)
{
	struct worker *w;
	uint64_t ms;

	OBJ_CAST(w, arg, WORKER_MAGIC);
	if (strcmp(line, "serve") == 0) {
		serve(w);
	} else if (strcmp(line, "retire") == 0) {
		retire(w);
	} else if (strcmp(line, "drain") == 0) {
		drain(w);
	} else if (strcmp(line, "reopen") == 0) {
		log_reopen();
	} else if (strcmp(line, "sessions") == 0) {
		channel_say(w->channel, "ok %zu", w->nsessions);
	} else if (sscanf(line, "clock %" SCNu64, &ms) == 1) {
		clock_advance(ms);
		channel_say(w->channel, "ok");
	}
}

static void
on_master_gone(void *arg)
{
	struct worker *w;

	OBJ_CAST(w, arg, WORKER_MAGIC);
	log_warn(0, "drain problem=\"the master is gone\"");
	drain(w);
}
