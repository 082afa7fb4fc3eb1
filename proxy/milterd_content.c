/*
 * milterd_content - the message that the MTA shows us in pieces, kept until
 * its verdict when somebody may want it changed.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/spool.h"
#include "filters/rewrite.h"
#include "proxy/intake.h"
#include "proxy/milterd_impl.h"

const char *
content_authserv_id(const struct milterd_era *e)
{
	if (e->conf->authserv_id != NULL)
		return e->conf->authserv_id;
	return e->listener->filters.wants & FILTER_ADDS_AUTHRES ?
	    e->conf->hostname : NULL;
}

bool
content_is_held(const struct milterd_era *e)
{
	return content_authserv_id(e) != NULL ||
	    (e->listener->filters.edits & EDITS_CONTENT) != 0;
}

/* While it comes */

static void
start(struct milterd_session *s)
{
	struct intake *in = xcalloc(1, sizeof(*in));

	dot_init(&in->dot, false);
	hops_init(&in->hops);
	in->spool = spool_new(s->era->conf->spool_directory,
	    s->era->conf->spool_memory);
	s->intake = in;
}

/* What the MTA has is what its calls were: the header is kept as it came. */
static void
keep_header(struct milterd_session *s)
{
	size_t n = s->header_octets - s->header.len;

	buf_add(&s->header, s->in.p, n < s->in.len ? n : s->in.len);
}

void
content_keep(struct milterd_session *s)
{
	struct evbuffer *b;

	if (!content_is_held(s->era) || s->no_room)
		return;
	if (s->intake == NULL)
		start(s);
	if (s->in.len == 0)
		return;
	keep_header(s);
	hops_feed(&s->intake->hops, s->in.p, s->in.len);
	b = evbuffer_new();
	if (b == NULL || evbuffer_add(b, s->in.p, s->in.len) == -1)
		fatal("out of memory");
	if (spool_add(s->intake->spool, b) == -1)
		s->no_room = true;
	evbuffer_free(b);
}

void
content_drop(struct milterd_session *s)
{
	intake_free(&s->intake);
	plan_clear(&s->plan);
	buf_reset(&s->in);
	buf_reset(&s->header);
	s->size = 0;
	s->nfields = 0;
	s->header_octets = 0;
	s->too_big = s->no_room = s->nothing_left = s->changed =
	    s->body_changed = false;
}

/* Edits */

/* The start of what is held: the header is in it. False: it cannot be read. */
static bool
read_start(const struct milterd_session *s, struct buf *out)
{
	char piece[16384];
	int64_t n = 1;

	buf_init(out, 2 * REWRITE_OCTETS_MAX);
	while (!out->failed && (n = spool_peek(s->intake->spool, out->len,
	    piece, sizeof(piece))) > 0)
		buf_add(out, piece, (size_t)n);
	return n != -1;
}

static uint64_t
header_octets(const struct milterd_session *s)
{
	struct buf b;
	size_t n;

	read_start(s, &b);
	n = fields_octets(b.p, b.len);
	buf_fini(&b);
	return n;
}

static bool
concerns_body(const struct milterd_session *s, const struct txn_edit *edits,
    size_t n)
{
	uint64_t header = UINT64_MAX;
	size_t i;

	for (i = 0; i < n; i++) {
		if (edits[i].kind == EDIT_REPLACE_BODY)
			return true;
		if (edits[i].kind != EDIT_REPLACE_OCTETS)
			continue;
		if (header == UINT64_MAX)
			header = header_octets(s);
		if (edits[i].offset >= header)
			return true;
	}
	return false;
}

static const char *
edit(struct milterd_session *s, const struct txn_edit *edits, size_t n)
{
	struct intake_job job = {
		.conf = s->era->conf, .edits = edits, .n = n,
		.authserv_id = content_authserv_id(s->era),
		.smtputf8 = (s->txn->present & 1u << PARAM_SMTPUTF8) != 0,
	};

	if (s->intake == NULL)
		return NULL;
	s->changed |= intake_has_job(s->intake, &job);
	s->body_changed |= concerns_body(s, edits, n);
	return intake_edit(s->intake, &job);
}

static const char *
rewrite_for_round(void *arg, const struct txn_edit *edits, size_t n)
{
	struct milterd_session *s;
	const char *refusal;

	OBJ_CAST(s, arg, MILTERD_SESSION_MAGIC);
	refusal = edit(s, edits, n);
	if (refusal == NULL && s->intake != NULL)
		s->txn->octets = spool_size(s->intake->spool);
	return refusal;
}

static int64_t
read_for_round(void *arg, uint64_t at, void *out, size_t len)
{
	struct milterd_session *s;

	OBJ_CAST(s, arg, MILTERD_SESSION_MAGIC);
	return spool_peek(s->intake->spool, at, out, len);
}

const struct chain_source content_source = {
	.rewrite = rewrite_for_round,
	.read = read_for_round,
};

const char *
content_edit(struct milterd_session *s)
{
	const struct txn *t = s->txn;

	return edit(s, t->nedits > t->napplied ? &t->edits[t->napplied] : NULL,
	    t->nedits - t->napplied);
}

const char *
content_plan(struct milterd_session *s)
{
	struct fields_job job = { .from = SLICE(s->header.p, s->header.len),
	    .nfields = s->nfields, .leadspc = s->leadspc };
	const char *why = NULL;
	struct buf b;

	if (!s->changed)
		return NULL;
	job.place = s->intake->place;
	if (!read_start(s, &b))
		why = "the spool cannot be read";
	job.to = SLICE(b.p, b.len);
	if (why == NULL && fields_plan(&s->plan, &job) == -1)
		why = "the MTA sees other fields";
	if (s->body_changed) {
		plan_add(&s->plan, OP_BODY, 0, NULL, NULL);
		s->plan.ops[s->plan.n - 1].offset = fields_octets(b.p, b.len);
	}
	buf_fini(&b);
	return why;
}
