/*
 * chain_when - is a filter asked at all?
 *
 * The condition of a filter's block has a place of its own, which hangs on the
 * place of the filter: it is asked as a filter is, may wait as a filter may,
 * and fails in the filter's name. It is due at each MAIL, and at connect if it
 * can be answered there; where it is not, the filter hears nothing before MAIL.
 * A filter that is not asked is not in the transaction.
 */

#include "base/log.h"
#include "filters/chain_impl.h"

static bool
is_due(const struct chain *c, const struct place *p)
{
	return (p->when->conf->self.events & EV_BIT(c->event)) != 0;
}

/* Nothing is due, and nothing was said at this event. */
static bool
is_open(const struct chain *c, const struct place *p)
{
	return c->event < EV_MAIL ? p->joined : p->open;
}

enum step
chain_visit_when(struct chain *c, struct place *p)
{
	if (p->when == NULL)
		return chain_visit(c, p);
	if (!is_due(c, p))
		return is_open(c, p) ? chain_visit(c, p) : STEP_NEXT;
	p->open = false;	/* also when it fails */
	if (c->event == EV_MAIL)
		chain_enter_txn(p->when);
	return chain_ask(c, p->when);
}

enum step
chain_take_when(struct chain *c, struct place *when, enum verdict v)
{
	const struct chain_watcher *w = chain_watcher();
	struct place *p = when->guarded;

	p->record.spent_us += when->record.spent_us;
	when->record.spent_us = 0;
	p->open = v == V_ACCEPT;
	p->joined = p->joined || p->open;
	if (p->open)
		return chain_visit(c, p);
	log_debug(c->facts->id, "filter-skipped filter=%s at=%s when=no",
	    p->conf->name, filter_event_name(c->event));
	if (w != NULL)
		w->passed(w->arg, p->conf, c->event);
	return STEP_NEXT;
}
