/*
 * txn - one mail transaction.
 */

#include "filters/txn.h"

#include <stdlib.h>

#include <string.h>

#include "base/mem.h"
#include "smtp/address.h"

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

static void
free_headers(struct txn *t)
{
	size_t i;

	for (i = 0; i < t->nheaders; i++) {
		free(t->headers[i].name);
		free(t->headers[i].value);
	}
	free((struct txn_header *)t->headers);
}

void
txn_drop_headers(struct txn *t)
{
	free_headers(t);
	t->headers = NULL;
	t->nheaders = t->header_octets = 0;
}

static void
free_edits(struct txn *t)
{
	size_t i;

	for (i = 0; i < t->nedits; i++) {
		free((char *)t->edits[i].name);
		free((char *)t->edits[i].value);
	}
	free((struct txn_edit *)t->edits);
}

static void
free_findings(struct txn *t)
{
	size_t i;

	for (i = 0; i < t->nfindings; i++) {
		free(t->findings[i].name);
		free(t->findings[i].text);
	}
	free((struct txn_finding *)t->findings);
}

void
txn_free(struct txn **tp)
{
	struct txn *t = *tp;
	size_t i;

	if (t == NULL)
		return;
	*tp = NULL;
	for (i = 0; i < t->nrcpts; i++)
		txn_rcpt_free(&t->rcpts[i]);
	free(t->rcpts);
	free_headers(t);
	free_edits(t);
	free_findings(t);
	free(t->from);
	free(t->params);
	free(t->mail_refusal);
	free(t->reply);
	free(t->queue_id);
	free(t);
}

/* Recipients */

struct txn_rcpt *
txn_rcpt_new(const struct address *to, const struct params *p)
{
	struct txn_rcpt *r = xcalloc(1, sizeof(*r));

	r->address = xstrdup(to->text);
	r->params = xstrndup(p->text.len ? p->text.p : "", p->text.len);
	return r;
}

void
txn_rcpt_free(struct txn_rcpt **r)
{
	if (*r == NULL)
		return;
	free((*r)->address);
	free((*r)->params);
	free(*r);
	*r = NULL;
}

/* Is an array of n elements, grown by room_for_one(), full? */
static bool
is_full(size_t n)
{
	return (n & (n + 1)) == 0;	/* 0, 1, 3, 7, … */
}

static void *
room_for_one(const void *v, size_t n, size_t size)
{
	return is_full(n) ? xrealloc((void *)v, (2 * n + 1) * size) :
	    (void *)v;
}

void
txn_add_rcpt(struct txn *t, struct txn_rcpt *r)
{
	t->rcpts = room_for_one(t->rcpts, t->nrcpts, sizeof(t->rcpts[0]));
	t->rcpts[t->nrcpts++] = r;
	t->nwaiting++;
}

void
txn_rcpt_enter(struct txn *t, struct txn_rcpt *r, enum rcpt_state state)
{
	if (state == RCPT_ACCEPTED || state == RCPT_REFUSED)
		t->nwaiting--;
	if (state == RCPT_ACCEPTED)
		t->naccepted++;
	if (state == RCPT_REFUSED)
		t->nrefused++;
	r->state = state;
}

/* What filters see and want */

bool
txn_add_header(struct txn *t, const char *name, size_t namelen,
    const char *value, size_t valuelen)
{
	struct txn_header *v;

	if (t->nheaders == TXN_HEADERS_MAX ||
	    namelen + valuelen > TXN_HEADER_OCTETS - t->header_octets)
		return false;
	t->header_octets += namelen + valuelen;
	v = room_for_one(t->headers, t->nheaders, sizeof(*v));
	v[t->nheaders++] = (struct txn_header){
		.name = xstrndup(name, namelen),
		.value = xstrndup(value, valuelen),
	};
	t->headers = v;
	return true;
}

bool
txn_add_edit(struct txn *t, const struct txn_edit *e)
{
	size_t namelen = e->name != NULL ? strlen(e->name) : 0, len;
	bool octets = e->kind == EDIT_REPLACE_OCTETS;
	struct txn_edit *v;

	len = e->kind == EDIT_REPLACE_BODY || octets ? e->len : e->value != NULL ? strlen(e->value) : 0;
	if ((octets ? t->noctets == TXN_OCTETS_MAX :
	    t->nedits - t->noctets == TXN_EDITS_MAX) ||
	    len + namelen > TXN_EDIT_OCTETS - t->edit_octets)
		return false;
	t->edit_octets += len + namelen;
	v = room_for_one(t->edits, t->nedits, sizeof(*v));
	v[t->nedits] = *e;
	v[t->nedits].name = e->name != NULL ? xstrdup(e->name) : NULL;
	v[t->nedits].value = xstrndup(len > 0 ? e->value : "", len);
	v[t->nedits].len = len;
	t->nedits++;
	t->noctets += octets;
	t->edits = v;
	return true;
}

bool
txn_add_finding(struct txn *t, const struct txn_finding *f)
{
	size_t len = strlen(f->name) + strlen(f->text);
	struct txn_finding *v;

	if (t->nfindings == TXN_FINDINGS_MAX ||
	    len > TXN_FINDING_OCTETS - t->finding_octets)
		return false;
	t->finding_octets += len;
	v = room_for_one(t->findings, t->nfindings, sizeof(*v));
	v[t->nfindings] = *f;
	v[t->nfindings].name = xstrdup(f->name);
	v[t->nfindings].text = xstrdup(f->text);
	t->nfindings++;
	t->findings = v;
	return true;
}

static void
drop_findings(struct txn *t, const char *by)
{
	struct txn_finding *v = (struct txn_finding *)t->findings;
	size_t i, n = 0;

	for (i = 0; i < t->nfindings; i++) {
		if (strcmp(v[i].by, by) == 0) {
			free(v[i].name);
			free(v[i].text);
		} else
			v[n++] = v[i];
	}
	t->nfindings = n;
}

static void
drop_edits(struct txn *t, const char *by)
{
	struct txn_edit *v = (struct txn_edit *)t->edits;
	size_t i, n = t->napplied;

	for (i = n; i < t->nedits; i++) {
		if (strcmp(v[i].by, by) == 0) {
			t->noctets -= v[i].kind == EDIT_REPLACE_OCTETS;
			free((char *)v[i].name);
			free((char *)v[i].value);
		} else
			v[n++] = v[i];
	}
	/* The array may be larger now than is_full() knows, never smaller. */
	t->nedits = n;
}

void
txn_drop_wishes(struct txn *t, const char *by)
{
	drop_edits(t, by);
	drop_findings(t, by);
}

size_t
txn_defer_edits(struct txn *t, txn_is_late_fn *is_late, const void *arg)
{
	struct txn_edit *v = (struct txn_edit *)t->edits, *late;
	size_t i, n = t->napplied, nlate = 0;

	late = xcalloc(t->nedits - n + 1, sizeof(*late));
	for (i = n; i < t->nedits; i++)
		if (is_late(arg, &v[i]))
			late[nlate++] = v[i];
		else
			v[n++] = v[i];
	for (i = 0; i < nlate; i++)
		v[n + i] = late[i];
	free(late);
	return n;
}

const char *
txn_edit_name(enum txn_edit_kind kind)
{
	static const char *const names[EDIT_KINDS] = {
		[EDIT_ADD_HEADER]	= "add header",
		[EDIT_INSERT_HEADER]	= "insert header",
		[EDIT_CHANGE_HEADER]	= "change header",
		[EDIT_DELETE_HEADER]	= "delete header",
		[EDIT_REPLACE_BODY]	= "replace body",
		[EDIT_ADD_RCPT]		= "add recipient",
		[EDIT_DELETE_RCPT]	= "delete recipient",
		[EDIT_REDIRECT]		= "redirect recipient",
		[EDIT_CHANGE_FROM]	= "change sender",
		[EDIT_QUARANTINE]	= "quarantine",
		[EDIT_REPLACE_OCTETS]	= "replace octets",
	};

	return names[kind];
}
