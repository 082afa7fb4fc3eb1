/*
 * txn - one mail transaction.
 */

#include "filters/txn.h"

#include <stdlib.h>

#include "base/mem.h"

struct txn *
txn_new(const struct address *from, const struct params *p)
{
	struct txn *t = xcalloc(1, sizeof(*t));

	t->from = xstrdup(from->text);
	t->params = xstrndup(p->text.len ? p->text.p : "", p->text.len);
	t->present = p->present;
	t->size = p->size;
	t->body = p->body;
	return t;
}

void
txn_free(struct txn **tp)
{
	struct txn *t = *tp;
	size_t i;

	if (t == NULL)
		return;
	*tp = NULL;
	for (i = 0; i < t->nrcpts; i++) {
		free(t->rcpts[i]->address);
		free(t->rcpts[i]->params);
		free(t->rcpts[i]);
	}
	free(t->rcpts);
	free(t->from);
	free(t->params);
	free(t->mail_refusal);
	free(t);
}

struct txn_rcpt *
txn_add_rcpt(struct txn *t, const struct address *to, const struct params *p)
{
	struct txn_rcpt *r = xcalloc(1, sizeof(*r));

	r->address = xstrdup(to->text);
	r->params = xstrndup(p->text.len ? p->text.p : "", p->text.len);
	if ((t->nrcpts & (t->nrcpts + 1)) == 0)	/* 0, 1, 3, 7: full */
		t->rcpts = xrealloc(t->rcpts,
		    (2 * t->nrcpts + 1) * sizeof(t->rcpts[0]));
	t->rcpts[t->nrcpts++] = r;
	t->nwaiting++;
	return r;
}

void
txn_rcpt_enter(struct txn *t, struct txn_rcpt *r, enum rcpt_state state)
{
	if (state == RCPT_ACCEPTED || state == RCPT_REFUSED)
		t->nwaiting--;
	if (state == RCPT_ACCEPTED)
		t->naccepted++;
	r->state = state;
}
