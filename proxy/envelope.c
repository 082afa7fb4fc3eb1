/*
 * envelope - sender and recipients of a message as the filters want them.
 */

#include "proxy/envelope.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/txn.h"
#include "smtp/address.h"

#define RCPTS_MAX	10000	/* with those that were added */

static void
add(struct envelope *e, const char *address, const char *params,
    const struct txn_rcpt *came)
{
	e->rcpts = xrealloc(e->rcpts, (e->n + 1) * sizeof(e->rcpts[0]));
	e->rcpts[e->n].address = address;
	e->rcpts[e->n].params = params;
	e->rcpts[e->n++].came = came;
}

/* The case of a domain means nothing, and of local parts next to nothing. */
static size_t
find(const struct envelope *e, const char *address)
{
	size_t i;

	for (i = 0; i < e->n; i++)
		if (strcasecmp(e->rcpts[i].address, address) == 0)
			break;
	return i;
}

static void
start_with(struct envelope *e, const struct txn *t)
{
	size_t i;

	*e = (struct envelope){ .from = t->from, .params = t->params };
	for (i = 0; i < t->nrcpts; i++)
		if (t->rcpts[i]->state == RCPT_ACCEPTED)
			add(e, t->rcpts[i]->address, t->rcpts[i]->params,
			    t->rcpts[i]);
}

static void
add_rcpt(struct envelope *e, const struct txn_edit *edit)
{
	if (find(e, edit->value) < e->n || e->n >= RCPTS_MAX)
		return;
	add(e, edit->value, edit->name != NULL ? edit->name : "", NULL);
	e->changed = true;
}

static void
delete_rcpt(struct envelope *e, const char *address)
{
	size_t i;

	while ((i = find(e, address)) < e->n) {
		memmove(&e->rcpts[i], &e->rcpts[i + 1],
		    (--e->n - i) * sizeof(e->rcpts[0]));
		e->changed = true;
	}
}

static void
redirect(struct envelope *e, const char *address)
{
	if (e->n == 1 && find(e, address) == 0)
		return;
	e->n = 0;
	add(e, address, "", NULL);
	e->changed = true;
}

static void
change_from(struct envelope *e, const struct txn_edit *edit)
{
	if (strcmp(e->from, edit->value) == 0 && edit->name == NULL)
		return;
	e->from = edit->value;
	if (edit->name != NULL)
		e->params = edit->name;
	e->changed = e->from_changed = true;
}

static void
apply(struct envelope *e, const struct txn_edit *edit)
{
	switch (edit->kind) {
	case EDIT_ADD_RCPT:
		add_rcpt(e, edit);
		break;
	case EDIT_DELETE_RCPT:
		delete_rcpt(e, edit->value);
		break;
	case EDIT_REDIRECT:
		redirect(e, edit->value);
		break;
	case EDIT_CHANGE_FROM:
		change_from(e, edit);
		break;
	case EDIT_ADD_HEADER:
	case EDIT_INSERT_HEADER:
	case EDIT_CHANGE_HEADER:
	case EDIT_DELETE_HEADER:
	case EDIT_REPLACE_BODY:
	case EDIT_QUARANTINE:
	case EDIT_REPLACE_OCTETS:
	case EDIT_KINDS:
		break;		/* of no concern to the envelope */
	}
}

void
envelope_make(struct envelope *e, const struct txn *t)
{
	size_t i;

	start_with(e, t);
	for (i = 0; i < t->nedits; i++)
		apply(e, &t->edits[i]);
}

void
envelope_make_to(struct envelope *e, const struct txn *t, const char *address)
{
	*e = (struct envelope){ .from = t->from, .params = t->params };
	add(e, address, "", NULL);
	e->changed = true;
}

void
envelope_fini(struct envelope *e)
{
	free(e->rcpts);
	*e = (struct envelope){ .n = 0 };
}

static bool
has_utf8(const char *p)
{
	for (; *p != '\0'; p++)
		if ((unsigned char)*p > 127)
			return true;
	return false;
}

bool
envelope_needs_utf8(const struct envelope *e, const struct txn *t)
{
	bool utf8 = has_utf8(e->from);
	size_t i;

	for (i = 0; i < e->n; i++)
		utf8 = utf8 || has_utf8(e->rcpts[i].address);
	return utf8 && !(t->present & 1u << PARAM_SMTPUTF8);
}

void
envelope_log(const struct envelope *e, uint64_t id)
{
	char from[4 * ADDRESS_ROOM + 8], to[4 * ADDRESS_ROOM + 8];
	size_t i;

	log_info(id, "edit from=%s nrcpt=%zu", log_quote(from, sizeof(from),
	    e->from, strlen(e->from), ADDRESS_ROOM), e->n);
	for (i = 0; i < e->n; i++)
		log_info(id, "edit to=%s", log_quote(to, sizeof(to),
		    e->rcpts[i].address, strlen(e->rcpts[i].address),
		    ADDRESS_ROOM));
}
