/*
 * rewrite - the one writer of changed headers.
 *
 * The header is kept as it came, with a list of its fields on top: each points
 * to its octets, or has new ones. The first of the list is our own Received,
 * which nobody sees and everybody counts who inserts. A field that is deleted
 * stays in the list, because a filter that does not know of it still counts it.
 */

#include "filters/rewrite.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "filters/authres.h"
#include "filters/header.h"

#define FILTERS_MAX	64	/* that are told apart */

struct field {
	size_t		 at, len;	/* of came, with line ends */
	char		*text;		/* or this, if not NULL; ours */
	struct slice	 name;		/* in came, or in the edit */
	unsigned	 number;	/* as it came, from 1; 0: it did not */
	bool		 ours;		/* the Received, or its place */
	bool		 hidden;	/* nobody has seen it */
	unsigned	 by;		/* the filter that added it */
	bool		 gone;
	uint64_t	 gone_for;	/* bits: they know that it is */
};

struct rewrite {
	const char		*authserv_id;
	struct header_parser	 parser;
	struct buf		 came;		/* what was fed */
	size_t			 parsed;	/* octets of it */
	bool			 ended, too_big;
	size_t			 start, end;	/* of the fields, in came */
	size_t			 empty_line;	/* its octets; 0: none */
	bool			 body;		/* something is behind end */
	struct field		*fields;	/* ours */
	size_t			 n, room;
	unsigned		 ncame;
	const char		*filters[FILTERS_MAX];
	unsigned		 nfilters;
	bool			 no_mailbox_line;	/* any more */
	bool			 changed;
};

/* Room for a field in front of this one, empty. */
static struct field *
make_room(struct rewrite *r, size_t at)
{
	struct field *f;

	if (r->n == r->room) {
		r->room = r->room > 0 ? 2 * r->room : 32;
		r->fields = xrealloc(r->fields, r->room * sizeof(*f));
	}
	f = &r->fields[at];
	memmove(f + 1, f, (r->n++ - at) * sizeof(*f));
	*f = (struct field){ .len = 0 };
	return f;
}

struct rewrite *
rewrite_new(const char *authserv_id)
{
	struct rewrite *r = xcalloc(1, sizeof(*r));

	r->authserv_id = authserv_id;
	header_init(&r->parser);
	/* A field over the limit is the parser's business, not ours. */
	buf_init(&r->came, 2 * HEADER_OCTETS_MAX);
	make_room(r, 0)->ours = true;
	return r;
}

void
rewrite_free(struct rewrite **rp)
{
	struct rewrite *r = *rp;
	size_t i;

	if (r == NULL)
		return;
	*rp = NULL;
	for (i = 0; i < r->n; i++)
		free(r->fields[i].text);
	free(r->fields);
	header_fini(&r->parser);
	buf_fini(&r->came);
	free(r);
}

/* What came */

static void
take_field(struct rewrite *r, const struct header *h)
{
	struct field *f = make_room(r, r->n);

	f->len = header_octets(&r->parser);
	f->at = r->parsed - f->len;
	f->name.len = h->name.len;
	f->hidden = f->gone = r->authserv_id != NULL &&
	    slice_is_nocase(h->name, "Authentication-Results") &&
	    authres_is_from(h->raw, r->authserv_id);
	if (f->hidden)
		r->changed = true;
	else
		f->number = ++r->ncame;
	if (r->n == 2)
		r->start = f->at;
}

/* What the parser says, and true if it is the last that it says. */
static bool
take(struct rewrite *r, enum header_status status, const struct header *h,
    const struct slice *rest)
{
	switch (status) {
	case HEADER_MORE:
		break;
	case HEADER_FIELD:
		take_field(r, h);
		break;
	case HEADER_TOO_BIG:
		r->too_big = r->ended = true;
		break;
	case HEADER_END:
		r->empty_line = header_octets(&r->parser);
		r->end = r->parsed - rest->len - r->empty_line;
		if (r->n == 1)
			r->start = r->end;	/* behind a mailbox line */
		r->body = rest->len > 0;
		r->ended = true;
		break;
	}
	return status != HEADER_FIELD;
}

bool
rewrite_feed(struct rewrite *r, const char *p, size_t len)
{
	enum header_status status;
	struct header h = { .nth = 0 };
	struct slice rest;
	size_t used, n = 0;

	if (r->ended)
		return true;
	buf_add(&r->came, p, len);
	if (r->came.failed) {
		r->too_big = r->ended = true;
		return true;
	}
	do {
		status = header_parse(&r->parser, p + n, len - n, &used, &h,
		    &rest);
		n += used;
		r->parsed += used;
	} while (!take(r, status, &h, &rest));
	return r->ended;
}

/* The message is over. Names can be pointed at now. */
static void
finish(struct rewrite *r)
{
	struct header h = { .nth = 0 };
	struct slice rest;
	size_t i;

	while (!r->ended && !take(r, header_finish(&r->parser, &h, &rest), &h,
	    &rest))
		;
	for (i = 1; i < r->n && !r->too_big; i++)
		r->fields[i].name.p = r->came.p + r->fields[i].at;
}

/* Which field */

/* The number of a filter; NULL is one, too: that of a list where nobody is
   named. */
static unsigned
filter_number(struct rewrite *r, const char *by)
{
	unsigned i;

	for (i = 0; i < r->nfilters; i++)
		if (r->filters[i] == by || (by != NULL && r->filters[i] !=
		    NULL && strcmp(r->filters[i], by) == 0))
			return i;
	if (i == FILTERS_MAX)
		return i - 1;
	r->filters[r->nfilters++] = by;
	return i;
}

/* Does the filter know of it, and not of its end? */
static bool
is_seen_by(const struct field *f, unsigned by)
{
	return !f->ours && !f->hidden && (f->number > 0 || f->by == by) &&
	    !(f->gone_for & UINT64_C(1) << by);
}

/* Index in the list; r->n: there is none. */
static size_t
find_nth(struct rewrite *r, const struct txn_edit *e)
{
	unsigned nth = e->nth > 0 ? e->nth : 1, by = filter_number(r, e->by);
	size_t i;

	for (i = 0; i < r->n; i++)
		if (is_seen_by(&r->fields[i], by) &&
		    slice_is_nocase(r->fields[i].name, e->name) && --nth == 0)
			break;
	return i;
}

static size_t
find_number(const struct rewrite *r, unsigned number)
{
	size_t i;

	for (i = 0; i < r->n && r->fields[i].number != number; i++)
		;
	return i;
}

static size_t
find(struct rewrite *r, const struct txn_edit *e)
{
	return e->field != 0 ? find_number(r, e->field) : find_nth(r, e);
}

/* Where to insert: behind nth fields that the filter knows of, ours among
   them. */
static size_t
find_place(struct rewrite *r, const struct txn_edit *e)
{
	unsigned n = e->nth, by = filter_number(r, e->by);
	size_t i;

	if (e->field != 0)
		return find_number(r, e->field);
	for (i = 0; n > 0 && i < r->n; i++)
		if (r->fields[i].ours || is_seen_by(&r->fields[i], by))
			n--;
	return i;
}

/* What becomes of it */

static char *
compose(const struct txn_edit *e, bool smtputf8)
{
	struct buf text;
	char *space;

	buf_init(&text, 4 * TXN_EDIT_OCTETS);
	rewrite_field(&text, e->name, e->value, smtputf8);
	space = text.p + strlen(e->name) + 1;
	if (e->tight && *e->value != ' ' && *space == ' ')
		memmove(space, space + 1, strlen(space));
	return text.p;
}

static void
insert(struct rewrite *r, size_t at, const struct txn_edit *e, bool smtputf8)
{
	struct field *f = make_room(r, at);

	f->text = compose(e, smtputf8);
	f->name = SLICE_STR(e->name);
	f->by = filter_number(r, e->by);
	r->changed = true;
}

static void
delete(struct rewrite *r, struct field *f, const struct txn_edit *e)
{
	f->gone = r->changed = true;
	f->gone_for |= UINT64_C(1) << filter_number(r, e->by);
}

static void
delete_all(struct rewrite *r, const struct txn_edit *e)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (!r->fields[i].ours && !r->fields[i].hidden &&
		    slice_is_nocase(r->fields[i].name, e->name))
			delete(r, &r->fields[i], e);
}

static void
change(struct rewrite *r, const struct txn_edit *e, bool smtputf8)
{
	size_t i = find(r, e);
	struct field *f = &r->fields[i];

	if (*e->value == '\0') {
		if (i < r->n)
			delete(r, f, e);
	} else if (i == r->n)
		insert(r, i, e, smtputf8);
	else if (!slice_is_nocase(f->name, e->name)) {
		/* Others know it by the name that it had. */
		insert(r, i + 1, e, smtputf8);
		delete(r, &r->fields[i], e);
	} else {
		free(f->text);
		f->text = compose(e, smtputf8);
		f->gone = false;
		r->changed = true;
	}
}

/* The field that has this octet of what came; r->n: none. */
static size_t
find_octet(const struct rewrite *r, uint64_t at)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->fields[i].number > 0 && at >= r->fields[i].at &&
		    at - r->fields[i].at < r->fields[i].len)
			break;
	return i;
}

/* Lines as somebody wants them, whatever field they are of. */
static void
insert_lines(struct rewrite *r, size_t at, const struct txn_edit *e)
{
	struct field *f = make_room(r, at);

	f->text = xstrndup(e->value, e->len);
	f->name = SLICE(f->text, strcspn(f->text, ": \t"));
	f->by = filter_number(r, e->by);
	r->changed = true;
}

/* Of a field, of the mailbox line in front of them, or of the body. */
static void
replace_octets(struct rewrite *r, const struct txn_edit *e)
{
	size_t i;

	if (e->offset >= r->end)
		return;
	i = e->offset < r->start ? find_number(r, 1) :
	    find_octet(r, e->offset);
	if (e->len > 0)
		insert_lines(r, i, e);
	if (e->octets == 0)
		return;
	r->changed = true;
	if (e->offset < r->start)
		r->no_mailbox_line = true;
	else if ((i = find_octet(r, e->offset)) < r->n)
		delete(r, &r->fields[i], e);
}

static void
apply(struct rewrite *r, const struct txn_edit *e, bool smtputf8)
{
	size_t i;

	switch (e->kind) {
	case EDIT_ADD_HEADER:
		insert(r, r->n, e, smtputf8);
		break;
	case EDIT_INSERT_HEADER:
		insert(r, find_place(r, e), e, smtputf8);
		break;
	case EDIT_CHANGE_HEADER:
		change(r, e, smtputf8);
		break;
	case EDIT_DELETE_HEADER:
		if (e->nth == 0 && e->field == 0)
			delete_all(r, e);
		else if ((i = find(r, e)) < r->n)
			delete(r, &r->fields[i], e);
		break;
	case EDIT_REPLACE_OCTETS:
		replace_octets(r, e);
		break;
	case EDIT_REPLACE_BODY:
	case EDIT_ADD_RCPT:
	case EDIT_DELETE_RCPT:
	case EDIT_REDIRECT:
	case EDIT_CHANGE_FROM:
	case EDIT_QUARANTINE:
	case EDIT_KINDS:
		break;
	}
}

/* Writing */

/* A line that ended with the message gets an end. */
static void
complete_line(struct buf *out)
{
	if (out->len > 0 && out->p[out->len - 1] != '\n')
		buf_add(out, "\r\n", 2);
}

/* Is there something of it in the new header? */
static bool
is_written(const struct field *f)
{
	return !f->gone && (f->text != NULL || !f->ours);
}

static void
write_out(const struct rewrite *r, bool body, struct buf *out)
{
	const struct field *f;
	size_t i;

	if (!r->no_mailbox_line)
		buf_add(out, r->came.p, r->start);
	for (i = 0; i < r->n; i++) {
		f = &r->fields[i];
		if (!is_written(f))
			continue;
		complete_line(out);
		if (f->text != NULL)
			buf_adds(out, f->text);
		else
			buf_add(out, r->came.p + f->at, f->len);
	}
	if (r->empty_line > 0)
		buf_add(out, r->came.p + r->end, r->empty_line);
	else if (body) {
		complete_line(out);
		buf_add(out, "\r\n", 2);
	}
}

/* Ours stands first, and is to stand behind so many. */
static struct field *
put_ours(struct rewrite *r, size_t place)
{
	struct field ours = r->fields[0];

	if (place >= r->n)
		place = r->n - 1;
	memmove(&r->fields[0], &r->fields[1], place * sizeof(ours));
	r->fields[place] = ours;
	return &r->fields[place];
}

static size_t
find_ours(const struct rewrite *r)
{
	size_t i, n = 0;

	for (i = 0; !r->fields[i].ours; i++)
		n += is_written(&r->fields[i]);
	return n;
}

enum rewrite_status
rewrite_header(struct rewrite *r, const struct txn_edit *edits, size_t nedits,
    const struct rewrite_options *o, struct buf *out, size_t *octets)
{
	const struct txn_edit received = {
		.name = "Received", .value = o->received,
	};
	struct field *ours;
	size_t i;

	finish(r);
	*octets = r->end + r->empty_line;
	if (r->too_big || nedits > TXN_EDITS_MAX + TXN_OCTETS_MAX)
		return REWRITE_TOO_BIG;
	ours = put_ours(r, o->place != NULL ? *o->place : 0);
	if (o->received != NULL) {
		ours->text = compose(&received, o->smtputf8);
		r->changed = true;
	}
	for (i = 0; i < nedits; i++)
		apply(r, &edits[i], o->smtputf8);
	if (!r->changed && !o->replaced)
		return REWRITE_SAME;
	if (o->place != NULL)
		*o->place = find_ours(r);
	write_out(r, o->replaced ? o->body : r->body, out);
	return out->failed || out->len > REWRITE_OCTETS_MAX ?
	    REWRITE_TOO_BIG : REWRITE_DONE;
}
