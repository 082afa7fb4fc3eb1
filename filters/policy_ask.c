/*
 * policy_ask - what rules want to know from remote tables, from the DNS, and
 * from threads.
 *
 * All questions of a stage are under way together, each with its deadline, and
 * the rules run when the last one is answered. Whatever goes wrong is "cannot
 * say"; what that means is for the rules to decide.
 *
 * A scan of a long text has no deadline of its own: that of the filter holds,
 * and what a scan may take is limited. Nobody can stop a thread at once, so a
 * scan that is given up is left behind.
 */

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/lookup.h"
#include "filters/policy_impl.h"
#include "rules/table.h"

struct scanned;

/* A question that is under way. */
struct asked {
	struct policy_session	*ps;
	struct rules_question	*q;
	struct lookup		*lookup;	/* of a table; theirs */
	void			*dns;		/* handle of the DNS */
	struct scanned		*scanned;	/* by a thread; or NULL */
	bool			 inside;	/* policy_ask() is running */
};

/* A scan that a thread has. */
struct scanned {
	struct task		 task;
	struct asked		*asked;		/* NULL: nobody waits */
	struct rules_scan	*scan;		/* the question's; ours when
						   nobody waits */
};

static void
answer(struct asked *a, enum rules_answer what, const char *value)
{
	struct policy_session *ps = a->ps;
	bool inside = a->inside, last;

	a->q->handle = NULL;
	last = rules_answer(a->q, what, value, value ? strlen(value) : 0);
	free(a);
	if (last && !inside)
		policy_go_on(ps);
}

static void
on_lookup(void *arg, enum table_result r, const char *value)
{
	struct asked *a = arg;

	a->lookup = NULL;
	if (r == TABLE_FOUND)
		answer(a, RULES_YES, value);
	else
		answer(a, r == TABLE_NOT_FOUND ? RULES_NO : RULES_CANNOT_SAY,
		    NULL);
}

static void
on_dns(void *arg, enum filter_dns_answer r)
{
	struct asked *a = arg;

	a->dns = NULL;
	answer(a, r == DNS_YES ? RULES_YES : r == DNS_NO ? RULES_NO :
	    RULES_CANNOT_SAY, NULL);
}

static void
make_client(struct policy *p, struct table *t)
{
	struct policy_client *c;
	char *why;

	p->clients = xrealloc(p->clients,
	    (p->nclients + 1) * sizeof(p->clients[0]));
	c = &p->clients[p->nclients++];
	c->table = t;
	c->client = lookup_client_new(p->worker->base, t, &why);
	if (c->client != NULL)
		return;
	log_error(0, "table name=\"%s\" failed=\"%s\"", table_spec(t), why);
	free(why);
}

void
policy_make_clients(struct policy *p)
{
	struct table *t;
	size_t i;

	for (i = 0; (t = rules_table(p->rules, i)) != NULL; i++)
		if (table_is_remote(t))
			make_client(p, t);
}

static struct lookup_client *
client_for(const struct policy *p, const struct table *t)
{
	size_t i;

	for (i = 0; i < p->nclients; i++)
		if (p->clients[i].table == t)
			return p->clients[i].client;
	return NULL;
}

void
policy_free_clients(struct policy *p)
{
	while (p->nclients > 0)
		lookup_client_free(&p->clients[--p->nclients].client);
	free(p->clients);
	p->clients = NULL;
}

static void
ask_table(struct asked *a, struct policy *p)
{
	struct lookup_client *c = client_for(p, a->q->table);

	if (c == NULL)
		answer(a, RULES_CANNOT_SAY, NULL);
	else
		a->lookup = lookup(c, a->q->keys, p->ask_timeout, on_lookup,
		    a);
}

/* The answer may come at once; then a is gone. */
static void
ask_dns(struct asked *a, const struct filter_worker *w)
{
	struct rules_question *q = a->q;
	void *handle;

	if (w->dns_resolves == NULL) {
		answer(a, RULES_CANNOT_SAY, NULL);
		return;
	}
	handle = w->dns_resolves(w->dns, q->key.p, on_dns, a);
	if (handle == NULL)
		return;
	a = q->handle;
	a->dns = handle;
}

static void
scan(void *arg, unsigned thread)
{
	rules_scan_do(((struct scanned *)arg)->scan, thread);
}

static void
on_scan(void *arg)
{
	struct scanned *s = arg;
	struct asked *a = s->asked;

	if (a == NULL)
		rules_scan_free(&s->scan);
	else
		a->scanned = NULL;
	free(s);
	if (a != NULL)
		answer(a, RULES_YES, NULL);
}

static void
ask_scan(struct asked *a, struct threads *threads)
{
	struct scanned *s = xcalloc(1, sizeof(*s));

	s->task = (struct task){ .work = scan, .done = on_scan, .arg = s };
	s->asked = a;
	s->scan = a->q->scan;
	a->scanned = s;
	threads_run(threads, &s->task);
}

void
policy_ask(void *arg, struct rules_question *q)
{
	struct policy_session *ps = arg;
	struct asked *a;

	if (ps->policy->worker == NULL) {
		rules_answer(q, RULES_CANNOT_SAY, NULL, 0);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->ps = ps;
	a->q = q;
	a->inside = true;
	q->handle = a;
	switch (q->kind) {
	case RULES_ASK_TABLE:
		ask_table(a, ps->policy);
		break;
	case RULES_ASK_RESOLVES:
		ask_dns(a, ps->policy->worker);
		break;
	case RULES_ASK_SCAN:
		ask_scan(a, ps->policy->threads);
		break;
	}
	if (q->handle != NULL)
		((struct asked *)q->handle)->inside = false;
}

static void
stop(struct rules_question *q, void *arg)
{
	const struct filter_worker *w = arg;
	struct asked *a = q->handle;

	if (a == NULL)
		return;
	q->handle = NULL;
	if (a->lookup != NULL)
		lookup_cancel(&a->lookup);
	if (a->dns != NULL)
		w->dns_cancel(w->dns, a->dns);
	if (a->scanned != NULL) {
		rules_scan_stop(rules_scan_take(q));
		a->scanned->asked = NULL;
	}
	free(a);
}

void
policy_stop_asking(struct policy_session *ps)
{
	if (ps->state == NULL)
		return;
	rules_each_waiting(ps->state, stop, (void *)ps->policy->worker);
	rules_give_up(ps->state);
}
