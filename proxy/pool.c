/*
 * pool - the sessions with one backend: how many, which are free, and what the
 * backend can do.
 *
 * A warm session costs the backend a process, and Postfix has 100 of them; so
 * few stay, and not for long. They go to the client that comes next, whoever
 * it is; backend.c makes sure that it knows.
 */

#include "proxy/backend.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/backend_impl.h"

#define IDLE_MAX	50	/* warm sessions of a worker */
#define IDLE_MS		10000	/* as long as Postfix under stress waits */
#define REPROBE_MS	1000	/* between probes of a backend that is down */

static void
probe_start(struct pool *p)
{
	p->probed_ms = clock_ms();
	p->probe = backend_new(p);
	p->probe->probe = true;
	backend_start(p->probe);
}

struct pool *
pool_new(struct worker *w, size_t backend_index)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->w = w;
	p->global = w->conf;
	p->conf = &w->conf->backends[backend_index];
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->used);
	TAILQ_INIT(&p->queued);
	if (p->conf->max_sessions > 0) {
		p->limit = (size_t)(p->conf->max_sessions / w->conf->workers);
		if (p->limit == 0)
			p->limit = 1;
	}
	probe_start(p);
	return p;
}

static void
destroy_all(struct backend_list *list)
{
	struct backend *b;

	while ((b = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, b, link);
		backend_destroy(b);
	}
}

void
pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	if (p->probe != NULL)
		backend_destroy(p->probe);
	destroy_all(&p->queued);
	destroy_all(&p->used);
	destroy_all(&p->idle);
	free(p);
}

/* Capabilities */

const struct ext_set *
pool_extensions(struct pool *p)
{
	if (p->known)
		return &p->ext;
	if (p->probe == NULL && clock_ms() - p->probed_ms >= REPROBE_MS)
		probe_start(p);
	return NULL;
}

bool
pool_wait(struct pool *p, struct pool_wait *w)
{
	if (p->probe == NULL)
		return false;
	w->waiting = true;
	w->next = p->waits;
	p->waits = w;
	return true;
}

void
pool_wait_cancel(struct pool *p, struct pool_wait *w)
{
	struct pool_wait **at;

	if (!w->waiting)
		return;
	w->waiting = false;
	for (at = &p->waits; *at != NULL; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			return;
		}
}

void
pool_learned(struct pool *p, const struct ext_set *ext)
{
	p->ext = *ext;
	p->known = true;
}

void
pool_probe_ended(struct pool *p)
{
	struct pool_wait *w;

	p->probe = NULL;
	if (!p->known)
		log_error(0, "backend name=%s capabilities=unknown",
		    p->conf->name);
	while ((w = p->waits) != NULL) {
		p->waits = w->next;
		w->waiting = false;
		w->fn(w->arg);
	}
}

/* Sessions */

static bool
is_full(const struct pool *p)
{
	return p->limit > 0 && p->open >= p->limit;
}

static void
use(struct pool *p, struct backend *b)
{
	b->counted = true;
	p->open++;
	TAILQ_INSERT_TAIL(&p->used, b, link);
	backend_start(b);
}

/*
 * All sessions are in use, but some client may have kept his between two
 * messages: take it from him who has not used it for longest.
 */
static void
recall(struct pool *p)
{
	struct backend *b;

	TAILQ_FOREACH(b, &p->used, link)
		if (b->user != NULL && backend_is_unused(b)) {
			b->user->on_failure(b->arg, BACKEND_LOST, NULL,
			    "another session needs it");
			return;
		}
}

struct backend *
backend_get(struct pool *p, uint64_t id, const struct backend_identity *who,
    const struct backend_user *user, void *arg)
{
	struct backend *b;

	if (is_full(p) && TAILQ_EMPTY(&p->idle))
		recall(p);
	if ((b = TAILQ_LAST(&p->idle, backend_list)) != NULL) {
		TAILQ_REMOVE(&p->idle, b, link);
		b->idle = false;
		TAILQ_INSERT_TAIL(&p->used, b, link);
	} else
		b = backend_new(p);
	b->id = id;
	b->user = user;
	b->arg = arg;
	backend_set_identity(b, who);
	if (b->state == B_READY)
		backend_restart(b);
	else if (is_full(p)) {
		/* The client's RCPT waits as well, and RFC 5321 4.5.3.2.3 lets
		   him give up after 5 min: he shall hear our 451 before. */
		TAILQ_INSERT_TAIL(&p->queued, b, link);
		timer_set(&b->kick, p->global->connect_timeout);
	} else
		use(p, b);
	return b;
}

static size_t
idle_count(const struct pool *p)
{
	const struct backend *b;
	size_t n = 0;

	TAILQ_FOREACH(b, &p->idle, link)
		n++;
	return n;
}

/* It has no user and no transaction: the next in the queue, or idle. */
void
pool_backend_clean(struct pool *p, struct backend *b)
{
	if (p->w->retired || idle_count(p) >= IDLE_MAX ||
	    !TAILQ_EMPTY(&p->queued)) {
		backend_close(b);
		return;
	}
	TAILQ_REMOVE(&p->used, b, link);
	b->idle = true;
	TAILQ_INSERT_TAIL(&p->idle, b, link);
	conn_deadline(b->conn, IDLE_MS);
}

void
backend_put(struct backend **bp)
{
	struct backend *b = *bp;

	if (b == NULL)
		return;
	OBJ_CHECK(b, BACKEND_MAGIC);
	*bp = NULL;
	b->user = NULL;
	b->arg = NULL;
	if (b->state == B_QUEUED) {
		TAILQ_REMOVE(&b->pool->queued, b, link);
		TAILQ_INSERT_TAIL(&b->pool->used, b, link);
		backend_close(b);
	} else if (!backend_is_reusable(b))
		backend_close(b);
	else if (b->in_transaction)
		backend_reset(b);	/* pool_backend_clean() follows, */
	else if (STAILQ_EMPTY(&b->pending))	/* or when it is answered */
		pool_backend_clean(b->pool, b);
}

void
pool_drop_idle(struct pool *p, struct backend *b)
{
	TAILQ_REMOVE(&p->idle, b, link);
	b->idle = false;
	TAILQ_INSERT_TAIL(&p->used, b, link);
	backend_close(b);
}

bool
backend_is_wanted(const struct backend *b)
{
	return !TAILQ_EMPTY(&b->pool->queued);
}

void
pool_closed(struct pool *p, struct backend *b)
{
	struct backend *next;

	if (!b->counted)
		return;
	b->counted = false;
	p->open--;
	if ((next = TAILQ_FIRST(&p->queued)) == NULL || is_full(p))
		return;
	TAILQ_REMOVE(&p->queued, next, link);
	timer_stop(&next->kick);
	use(p, next);
}
