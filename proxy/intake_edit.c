/*
 * intake_edit - content that is not to go on as it came.
 *
 * The header is read from the spool and written anew by filters/rewrite; the
 * body stays where it is, unless it is replaced.
 */

#include "proxy/intake.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/spool.h"
#include "filters/rewrite.h"
#include "proxy/conf.h"

#define PIECE		16384	/* octets looked at in one go */

static const char spool_trouble[] =
    "452 4.3.1 no room for the message now; try again";

void
intake_free(struct intake **inp)
{
	struct intake *in = *inp;

	if (in == NULL)
		return;
	*inp = NULL;
	spool_free(&in->spool);
	spool_free(&in->came);
	free(in->refusal);
	free(in);
}

/* Is there anything to do? */

static bool
has_edit(const struct intake_job *job, unsigned kinds)
{
	size_t i;

	for (i = 0; i < job->n; i++)
		if (EDIT_BIT(job->edits[i].kind) & kinds)
			return true;
	return false;
}

static const char *
to_strip(const struct intake *in, const struct intake_job *job)
{
	return in->stripped ? NULL : job->authserv_id;
}

bool
intake_has_job(const struct intake *in, const struct intake_job *job)
{
	return job->received != NULL || has_edit(job, EDITS_CONTENT) ||
	    (in->hops.authres > 0 && to_strip(in, job) != NULL);
}

/* The new header */

/* Read the header; NULL when the spool cannot be read. */
static struct rewrite *
read_header(const struct intake *in, const struct intake_job *job)
{
	struct rewrite *r = rewrite_new(to_strip(in, job));
	char piece[PIECE];
	uint64_t at = 0;
	int64_t n;

	while ((n = spool_peek(in->spool, at, piece, sizeof(piece))) > 0) {
		at += (uint64_t)n;
		if (rewrite_feed(r, piece, (size_t)n))
			break;
	}
	if (n == -1)
		rewrite_free(&r);
	return r;
}

static bool
has_body(const struct intake_job *job)
{
	size_t i;

	for (i = 0; i < job->n; i++)
		if (job->edits[i].kind == EDIT_REPLACE_BODY &&
		    job->edits[i].len > 0)
			return true;
	return false;
}

static enum rewrite_status
write_header(struct intake *in, const struct intake_job *job,
    struct rewrite *r, struct buf *out, size_t *octets)
{
	struct rewrite_options o = {
		.received = job->received, .place = &in->place,
		.smtputf8 = job->smtputf8,
		.replaced = has_edit(job, EDIT_BIT(EDIT_REPLACE_BODY)),
		.body = has_body(job),
	};

	return rewrite_header(r, job->edits, job->n, &o, out, octets);
}

/* How it may travel */

/* DATA must know what octets there are now. What was there before has been
   judged already, and is counted still. */
static void
judge_header(struct intake *in, const struct buf *header, bool whole)
{
	char *copy = xmalloc(dot_room(header->len));
	struct dot d;

	dot_init(&d, false);
	dot_pass(&d, header->p, header->len, copy);
	in->dot.dotted += d.dotted;
	in->dot.nul |= d.nul;
	if (d.longest > in->dot.longest)
		in->dot.longest = d.longest;
	if (whole)
		in->dot.ends_in_crlf = d.ends_in_crlf;
	free(copy);
}

/* Into the spool */

static void
replace_header(struct intake *in, const struct buf *header, size_t octets)
{
	struct evbuffer *b = evbuffer_new();

	judge_header(in, header, octets == spool_size(in->spool));
	if (b == NULL || evbuffer_add(b, header->p, header->len) == -1)
		fatal("out of memory");
	spool_replace(in->spool, octets, b);
	evbuffer_free(b);
}

/* One piece of the message that takes the place of the whole one. */
int
intake_add_piece(struct intake *in, struct spool *to, const char *p,
    size_t len)
{
	struct evbuffer *b = evbuffer_new();
	struct evbuffer_iovec v;
	int r;

	if (b == NULL ||
	    evbuffer_reserve_space(b, (ssize_t)dot_room(len), &v, 1) != 1)
		fatal("out of memory");
	v.iov_len = dot_pass(&in->dot, p, len, v.iov_base);
	evbuffer_commit_space(b, &v, 1);
	r = spool_add(to, b);
	evbuffer_free(b);
	return r;
}

int
intake_end_pieces(struct intake *in, struct spool *to)
{
	struct evbuffer *b = evbuffer_new();
	char last[2];
	int r;

	if (b == NULL || evbuffer_add(b, last, dot_pass_end(&in->dot, last))
	    == -1)
		fatal("out of memory");
	if (!in->dot.ends_in_crlf && !in->binary) {
		evbuffer_add(b, "\r\n", 2);
		in->dot.ends_in_crlf = true;
	}
	r = spool_add(to, b);
	evbuffer_free(b);
	return r;
}

/* Whoever has written another one has judged its octets anew. */
void
intake_take_spool(struct intake *in, const struct intake_job *job,
    struct spool *to)
{
	if (job->keep && in->came == NULL)
		in->came = in->spool;
	else
		spool_free(&in->spool);
	in->spool = to;
}

/* The message is the new header and the new body. A filter may end lines as it
   likes; what we send ends them with CR LF. */
static int
replace_message(struct intake *in, const struct intake_job *job,
    const struct buf *header)
{
	struct spool *to = spool_new(job->conf->spool_directory,
	    job->conf->spool_memory);
	const struct txn_edit *e;
	size_t i, at, n;
	int r;

	dot_init(&in->dot, !in->binary);
	r = intake_add_piece(in, to, header->p, header->len);
	for (i = 0; r == 0 && i < job->n; i++) {
		e = &job->edits[i];
		for (at = 0; r == 0 && e->kind == EDIT_REPLACE_BODY &&
		    at < e->len; at += n) {
			n = e->len - at < PIECE ? e->len - at : PIECE;
			r = intake_add_piece(in, to, e->value + at, n);
		}
	}
	if (r == 0)
		r = intake_end_pieces(in, to);
	intake_take_spool(in, job, to);
	return r;
}

/* The header is another one; of what came it was so many octets. */
static int
replace(struct intake *in, const struct intake_job *job,
    const struct buf *header, size_t octets)
{
	if (has_edit(job, EDIT_BIT(EDIT_REPLACE_BODY)))
		return replace_message(in, job, header);
	if (intake_has_body_octets(job, octets) ||
	    (job->keep && in->came == NULL))
		return intake_replace_octets(in, job, header, octets);
	replace_header(in, header, octets);
	return 0;
}

static const char *
edit(struct intake *in, const struct intake_job *job, struct rewrite *r)
{
	const char *refusal = NULL;
	struct buf header;
	size_t octets = 0;

	buf_init(&header, 2 * REWRITE_OCTETS_MAX);
	switch (write_header(in, job, r, &header, &octets)) {
	case REWRITE_SAME:
		if (intake_has_body_octets(job, octets) &&
		    intake_replace_octets(in, job, NULL, octets) == -1)
			refusal = spool_trouble;
		break;
	case REWRITE_TOO_BIG:
		refusal = "552 5.3.4 message header is too large";
		break;
	case REWRITE_DONE:
		if (replace(in, job, &header, octets) == -1)
			refusal = spool_trouble;
		break;
	}
	buf_fini(&header);
	return refusal;
}

const char *
intake_edit(struct intake *in, const struct intake_job *job)
{
	const char *refusal = NULL;
	struct rewrite *r;

	if (intake_has_job(in, job)) {
		if (in->came == NULL)
			in->came_dot = in->dot;
		if ((r = read_header(in, job)) == NULL)
			return spool_trouble;
		refusal = edit(in, job, r);
		rewrite_free(&r);
	}
	in->stripped = true;
	return refusal;
}

void
intake_restore(struct intake *in)
{
	if (in->came == NULL)
		return;
	spool_free(&in->spool);
	in->spool = in->came;
	in->came = NULL;
	in->dot = in->came_dot;
	in->stripped = false;
	in->place = 0;
}
