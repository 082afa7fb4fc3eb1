/*
 * policy_work - what is too long for the loop: archives are listed, and
 * libmagic looks at the parts, by a thread while the session waits at eom.
 *
 * The content belongs to the work until it is over. A session that does not
 * wait any more leaves it behind: to wait for a thread would stop all others.
 */

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "filters/policy_impl.h"

struct policy_work {
	struct task		 task;
	struct policy_session	*ps;		/* NULL: nobody waits */
	atomic_bool		 abandoned;	/* the same, for the thread */
	struct content		*content;	/* ours */
};

static void
work(void *arg, unsigned thread)
{
	struct policy_work *w = arg;

	(void)thread;
	if (!atomic_load(&w->abandoned))
		content_work(w->content);
}

/* Give the content back, and go on with its session. */
static void
done(void *arg)
{
	struct policy_work *w = arg;
	struct policy_session *ps = w->ps;
	struct policy_txn *pt;

	if (ps != NULL) {
		pt = ps->slot->txn;
		pt->content = w->content;
		w->content = NULL;
		ps->work = NULL;
	}
	content_free(&w->content);
	free(w);
	if (ps != NULL)
		policy_judge(ps);
}

bool
policy_work_start(struct policy_session *ps)
{
	struct policy_txn *pt = ps->slot->txn;
	struct policy_work *w;

	if (ps->policy->threads == NULL || !content_is_long(pt->content)) {
		content_work(pt->content);
		return false;
	}
	w = xcalloc(1, sizeof(*w));
	w->task = (struct task){ .work = work, .done = done, .arg = w };
	w->ps = ps;
	w->content = pt->content;
	pt->content = NULL;
	ps->work = w;
	threads_run(ps->policy->threads, &w->task);
	return true;
}

void
policy_work_abandon(struct policy_session *ps)
{
	if (ps->work == NULL)
		return;
	ps->work->ps = NULL;
	atomic_store(&ps->work->abandoned, true);
	ps->work = NULL;
}
