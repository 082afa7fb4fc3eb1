/*
 * policy_work - what is too long for the loop: archives are listed, and
 * libmagic looks at the parts, by a thread while the session waits at eom.
 *
 * The content belongs to the work until it is done. A session that does not
 * wait any more leaves it behind, and the timer that would have gone on with
 * the session throws it away: to wait for a thread would stop all others.
 */

#include <stdlib.h>

#include "base/clock.h"
#include "base/job.h"
#include "base/mem.h"
#include "filters/policy_impl.h"

#define THREADS_MAX	2	/* at a time; the others wait for their turn */
#define LOOK_MS		2	/* how often we look */

struct policy_work {
	LIST_ENTRY(policy_work)	 next;
	struct policy		*policy;
	struct policy_session	*ps;		/* NULL: nobody waits */
	struct content		*content;	/* ours */
	struct job		*job;		/* ours; NULL: not begun */
	struct timer		 timer;
};

static void
work(void *content)
{
	content_work(content);
}

/* Done, or not begun. */
static void
work_free(struct policy_work *w)
{
	if (w->job != NULL) {
		w->policy->nworking--;
		job_wait(&w->job);
	}
	timer_stop(&w->timer);
	LIST_REMOVE(w, next);
	content_free(&w->content);
	free(w);
}

/* Give the content back, and go on with its session. */
static void
done(struct policy_work *w)
{
	struct policy_session *ps = w->ps;
	struct policy_txn *pt;

	if (ps != NULL) {
		pt = ps->slot->txn;
		pt->content = w->content;
		w->content = NULL;
		ps->work = NULL;
	}
	work_free(w);
	if (ps != NULL)
		policy_judge(ps);
}

/* True: there is nothing to wait for. */
static bool
begin(struct policy_work *w)
{
	if (w->ps == NULL)
		return true;
	if (w->policy->nworking == THREADS_MAX)
		return false;
	w->job = job_start(work, w->content);
	if (w->job == NULL) {
		content_work(w->content);
		return true;
	}
	w->policy->nworking++;
	return false;
}

static void
on_timer(void *arg)
{
	struct policy_work *w = arg;

	if (w->job != NULL ? job_is_done(w->job) : begin(w))
		done(w);
	else
		timer_set(&w->timer, LOOK_MS);
}

bool
policy_work_start(struct policy_session *ps)
{
	struct policy_txn *pt = ps->slot->txn;
	struct policy_work *w;

	if (ps->policy->worker == NULL || !content_is_long(pt->content)) {
		content_work(pt->content);
		return false;
	}
	w = xcalloc(1, sizeof(*w));
	w->policy = ps->policy;
	w->ps = ps;
	w->content = pt->content;
	pt->content = NULL;
	ps->work = w;
	LIST_INSERT_HEAD(&ps->policy->work, w, next);
	timer_init(&w->timer, on_timer, w);
	timer_set(&w->timer, 0);
	return true;
}

void
policy_work_abandon(struct policy_session *ps)
{
	if (ps->work == NULL)
		return;
	ps->work->ps = NULL;
	ps->work = NULL;
}

void
policy_work_stop(struct policy *p)
{
	while (!LIST_EMPTY(&p->work))
		work_free(LIST_FIRST(&p->work));
}
