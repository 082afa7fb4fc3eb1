/*
 * chain_round - the content once more, for filters that have to see what those
 * in front of them have changed in it.
 *
 * The first round is fed by the engine. The others read from its source, a
 * piece at a time, when the one before has had its eom; a large message lets
 * other sessions have their turn in between. What filters ask for before
 * content comes is not done before it is their round: it would be a change that
 * they have made and yet see.
 */

#include <stdlib.h>

#include "base/mem.h"
#include "filters/chain_impl.h"

#define PIECE	32768		/* octets read at a time */
#define TURN	((size_t)512 << 10)
#define TURN_MS	1		/* 0 would be the same turn */

static bool
reads_content(const struct place *p)
{
	const struct filter_instance *self = &p->conf->self;

	return p->in_txn && ((self->events & EV_BITS_CONTENT) != 0 ||
	    (self->wants & FILTER_WANTS_HEADERS) != 0);
}

/* What it may ask for and get: nobody does the edits of one that observes, and
   one that is not in the transaction, or has failed in it, asks for none. */
static unsigned
edits_of(const struct chain *c, const struct place *p)
{
	if (p->conf->observe || (c->txn != NULL && (!p->in_txn || p->failed)))
		return 0;
	return p->edits;
}

unsigned
chain_edits(const struct chain *c)
{
	unsigned edits = 0;
	size_t i;

	for (i = 0; i < c->conf->n; i++)
		edits |= edits_of(c, c->places[i]);
	return edits;
}

/* Where the round ends that begins here. */
static size_t
find_end(const struct chain *c, size_t first)
{
	unsigned before = 0, edits;
	size_t i;

	for (i = first; i < c->conf->n; i++) {
		edits = edits_of(c, c->places[i]) & EDITS_CONTENT;
		if (c->source != NULL && before != 0 &&
		    (edits != 0 || reads_content(c->places[i])))
			break;
		before |= edits;
	}
	return i;
}

void
chain_begin_round(struct chain *c, size_t first)
{
	size_t i;

	c->round++;
	c->first = first;
	c->last = find_end(c, first);
	c->events = c->wants = 0;
	for (i = first; i < c->last; i++) {
		c->events |= c->places[i]->conf->self.events;
		c->wants |= c->places[i]->conf->self.wants;
	}
	c->at = 0;
	c->turn = 0;
}

/* The source has failed: nobody has the message. */
static void
refuse(struct chain *c, const char *reply)
{
	chain_decide(c, *reply == '4' ? V_TEMPFAIL : V_REJECT, reply, "edits");
	c->decided = true;
}

/* Is it about the content, and of a filter that has not seen that yet? */
static bool
is_late(const void *arg, const struct txn_edit *e)
{
	const struct chain *c = arg;
	size_t i;

	if (!(EDIT_BIT(e->kind) & EDITS_CONTENT))
		return false;
	for (i = c->last; i < c->conf->n; i++)
		if (c->places[i]->conf->name == e->by)
			return true;
	return false;
}

/* The filters of this round have agreed. */
static enum step
next_round(struct chain *c)
{
	struct txn *t = c->txn;
	size_t n = txn_defer_edits(t, is_late, c), before = t->napplied;
	const char *refusal = c->source->rewrite(c->arg,
	    n > before ? &t->edits[before] : NULL, n - before);

	if (refusal != NULL) {
		refuse(c, refusal);
		return STEP_STOP;
	}
	t->napplied = n;
	chain_drop_content(c);
	txn_drop_headers(t);
	chain_begin_round(c, c->last);
	c->content = CONTENT_FINISH;
	if ((c->events & EV_BITS_CONTENT) == 0 &&
	    (c->wants & FILTER_WANTS_HEADERS) == 0)
		c->part = AT_BODY;	/* nobody looks: there is the end */
	else
		c->content = CONTENT_FEED;
	return STEP_NEXT;
}

static enum step
read_piece(struct chain *c)
{
	int64_t n;

	if (c->turn >= TURN) {
		c->turn = 0;
		c->waiting = WAIT_TURN;
		timer_set(&c->timer, TURN_MS);
		return STEP_WAIT;
	}
	c->backlog = xmalloc(PIECE);
	n = c->source->read(c->arg, c->at, c->backlog, PIECE);
	if (n == -1) {
		refuse(c, "451 4.3.0 the message cannot be read again; try "
		    "again");
		return STEP_STOP;
	}
	c->in = SLICE(c->backlog, (size_t)n);
	c->whole_due = true;
	c->at += (uint64_t)n;
	c->turn += (size_t)n;
	if (n == 0)
		c->content = CONTENT_FINISH;
	return STEP_NEXT;
}

enum step
chain_read_more(struct chain *c)
{
	if (chain_is_over(c) || c->result.verdict != V_CONTINUE)
		return STEP_STOP;
	if (c->part == AT_EOM) {
		if (c->last == c->conf->n || next_round(c) == STEP_STOP)
			return STEP_STOP;
	} else if (c->round == 1)
		return STEP_STOP;	/* the engine feeds it */
	return c->content == CONTENT_FEED ? read_piece(c) : STEP_NEXT;
}
