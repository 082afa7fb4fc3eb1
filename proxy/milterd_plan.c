/*
 * milterd_plan - what filters want changed, as calls of libmilter.
 *
 * Everything that can be known to fail is found here, before the first call:
 * the MTA is told all of it or nothing. What it cannot be told (it did not offer
 * the action, or a field does not fit into a packet) refuses the message for
 * now; that the log says what it was is all we can do about it.
 */

#include <stdlib.h>
#include <string.h>

#include <libmilter/mfapi.h>

#include "base/mem.h"
#include "proxy/envelope.h"
#include "proxy/milterd_impl.h"
#include "smtp/address.h"

#define PACKET_MAX	65535	/* of the milter protocol */

static const char cannot[] = "451 4.3.0 the message cannot be changed as it "
    "has to be; try again";

static const struct {
	unsigned	edits;		/* EDIT_BITs */
	unsigned long	actions;
} needs[] = {
	/* Whatever is wanted of fields, it may take several calls. */
	{ EDIT_BIT(EDIT_ADD_HEADER) | EDIT_BIT(EDIT_INSERT_HEADER) |
	  EDIT_BIT(EDIT_CHANGE_HEADER) | EDIT_BIT(EDIT_DELETE_HEADER) |
	  EDIT_BIT(EDIT_REPLACE_OCTETS), SMFIF_ADDHDRS | SMFIF_CHGHDRS },
	{ EDIT_BIT(EDIT_REPLACE_BODY) | EDIT_BIT(EDIT_REPLACE_OCTETS),
	  SMFIF_CHGBODY },
	{ EDIT_BIT(EDIT_ADD_RCPT), SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR },
	{ EDIT_BIT(EDIT_REDIRECT), SMFIF_ADDRCPT | SMFIF_DELRCPT },
	{ EDIT_BIT(EDIT_DELETE_RCPT), SMFIF_DELRCPT },
	{ EDIT_BIT(EDIT_CHANGE_FROM), SMFIF_CHGFROM },
	{ EDIT_BIT(EDIT_QUARANTINE), SMFIF_QUARANTINE },
};

unsigned long
plan_actions(const struct milterd_era *e)
{
	unsigned long actions = 0;
	size_t i;

	for (i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (e->listener->filters.edits & needs[i].edits)
			actions |= needs[i].actions;
	if (content_authserv_id(e) != NULL)
		actions |= SMFIF_CHGHDRS;
	return actions;
}

void
plan_clear(struct milterd_plan *p)
{
	while (p->n > 0) {
		p->n--;
		free(p->ops[p->n].name);
		free(p->ops[p->n].value);
	}
	free(p->ops);
	p->ops = NULL;
}

void
plan_add(struct milterd_plan *p, int kind, int index, char *name, char *value)
{
	p->ops = xrealloc(p->ops, (p->n + 1) * sizeof(p->ops[0]));
	p->ops[p->n++] = (struct milterd_op){ .kind = kind, .index = index,
	    .name = name, .value = value };
}

/* The envelope */

static char *
path(const char *address)
{
	return xasprintf("<%s>", address);
}

static bool
is_kept(const struct envelope *e, const struct txn_rcpt *r)
{
	size_t i;

	for (i = 0; i < e->n; i++)
		if (e->rcpts[i].came == r)
			return true;
	return false;
}

static char *
params_of(const char *text)
{
	return *text != '\0' ? xstrdup(text) : NULL;
}

/* Deleted first: what is deleted and added again is there afterwards. */
static void
plan_envelope(struct milterd_session *s, const struct envelope *e)
{
	const struct txn *t = s->txn;
	size_t i;

	for (i = 0; i < t->nrcpts; i++)
		if (!is_kept(e, t->rcpts[i]))
			plan_add(&s->plan, OP_DELETE_RCPT, 0,
			    xstrdup(s->given[i]), NULL);
	for (i = 0; i < e->n; i++)
		if (e->rcpts[i].came == NULL)
			plan_add(&s->plan, OP_ADD_RCPT, 0,
			    path(e->rcpts[i].address),
			    params_of(e->rcpts[i].params));
	if (e->from_changed)
		plan_add(&s->plan, OP_FROM, 0, path(e->from),
		    e->params != t->params ? params_of(e->params) : NULL);
}

/* The message is held back in the queue of the MTA, and goes on from there as
   the filters want it: so the other edits are done as well. */
static void
plan_quarantine(struct milterd_session *s)
{
	const struct txn *t = s->txn;
	size_t i;

	for (i = 0; i < t->nedits; i++) {
		if (t->edits[i].kind != EDIT_QUARANTINE)
			continue;
		plan_add(&s->plan, OP_QUARANTINE, 0, NULL,
		    xstrdup(*t->edits[i].value != '\0' ? t->edits[i].value :
		    "held back by a filter"));
		return;
	}
}

/* May it be asked for? */

static unsigned long
action_of(const struct milterd_op *o)
{
	switch (o->kind) {
	case OP_ADD:
	case OP_INSERT:
		return SMFIF_ADDHDRS;
	case OP_CHANGE:
		return SMFIF_CHGHDRS;
	case OP_ADD_RCPT:
		return o->value != NULL ? SMFIF_ADDRCPT_PAR : SMFIF_ADDRCPT;
	case OP_DELETE_RCPT:
		return SMFIF_DELRCPT;
	case OP_FROM:
		return SMFIF_CHGFROM;
	case OP_QUARANTINE:
		return SMFIF_QUARANTINE;
	case OP_BODY:
		return SMFIF_CHGBODY;
	}
	return 0;
}

static size_t
length(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

/* NULL, or why not. */
static const char *
objection(const struct milterd_session *s)
{
	const struct milterd_op *o;
	size_t i;

	for (i = 0; i < s->plan.n; i++) {
		o = &s->plan.ops[i];
		if ((action_of(o) & ~s->actions) != 0)
			return "the MTA does not offer it";
		/* With the number of a field. */
		if (length(o->name) + length(o->value) + 4 > PACKET_MAX)
			return "a field is too long for a milter";
	}
	return NULL;
}

static const char *
refuse(struct milterd_session *s, const char *why)
{
	log_warn(s->id, "edit failed=\"%s\"", why);
	plan_clear(&s->plan);
	return cannot;
}

const char *
plan_make(struct milterd_session *s)
{
	const char *why = NULL, *refusal;
	struct envelope e;

	plan_clear(&s->plan);
	if ((refusal = content_edit(s)) != NULL)
		return refusal;
	envelope_make(&e, s->txn);
	s->nothing_left = e.n == 0;
	plan_quarantine(s);
	if (e.changed) {
		envelope_log(&e, s->id);
		plan_envelope(s, &e);
	}
	if (e.changed && envelope_needs_utf8(&e, s->txn))
		why = "an address needs SMTPUTF8";
	if (why == NULL)
		why = content_plan(s);
	if (why == NULL)
		why = objection(s);
	envelope_fini(&e);
	return why != NULL ? refuse(s, why) : NULL;
}
