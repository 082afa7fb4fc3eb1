/*
 * intake_octets - lines of the body that are not to arrive as they came.
 *
 * The message is written once more, from one spool into another, with other
 * octets where filters want them. What they want of the header is the business
 * of filters/rewrite, so only what is behind it is looked at here.
 */

#include "proxy/intake.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/conf.h"

#define PIECE	16384		/* octets copied in one go */

/* While it is written. */
struct copy {
	struct intake	*in;
	struct spool	*to;
	uint64_t	 at;		/* in what came */
};

static bool
is_of_body(const struct txn_edit *e, uint64_t body)
{
	return e->kind == EDIT_REPLACE_OCTETS && e->offset >= body;
}

bool
intake_has_body_octets(const struct intake_job *job, uint64_t body)
{
	size_t i;

	for (i = 0; i < job->n; i++)
		if (is_of_body(&job->edits[i], body))
			return true;
	return false;
}

/* What came, up to there. */
static int
copy_until(struct copy *c, uint64_t end)
{
	char piece[PIECE];
	int64_t n;
	size_t most;

	while (c->at < end) {
		most = end - c->at < PIECE ? (size_t)(end - c->at) : PIECE;
		n = spool_peek(c->in->spool, c->at, piece, most);
		if (n == 0)
			break;
		if (n == -1 ||
		    intake_add_piece(c->in, c->to, piece, (size_t)n) == -1)
			return -1;
		c->at += (uint64_t)n;
	}
	return 0;
}

static int
by_offset(const void *a, const void *b)
{
	const struct txn_edit *x = *(const struct txn_edit *const *)a;
	const struct txn_edit *y = *(const struct txn_edit *const *)b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x < y ? -1 : x > y;	/* as they were asked for */
}

/* Those of the body, in its order; ours. *n: how many. */
static const struct txn_edit **
sorted(const struct intake_job *job, uint64_t body, size_t *n)
{
	const struct txn_edit **v = xcalloc(job->n + 1, sizeof(v[0]));
	size_t i;

	*n = 0;
	for (i = 0; i < job->n; i++)
		if (is_of_body(&job->edits[i], body))
			v[(*n)++] = &job->edits[i];
	qsort(v, *n, sizeof(v[0]), by_offset);
	return v;
}

/* An empty line in front of the body, which a new header brings itself. */
static bool
is_separator(const struct txn_edit *e, uint64_t body)
{
	return e->offset == body && e->octets == 0 && e->len == 2 &&
	    memcmp(e->value, "\r\n", 2) == 0;
}

/* Of two that want the same octets the first is done. */
static int
edit_body(struct copy *c, const struct intake_job *job, uint64_t body,
    bool separated)
{
	size_t n, i;
	const struct txn_edit **v = sorted(job, body, &n);
	int r = 0;

	for (i = 0; r == 0 && i < n; i++) {
		if (v[i]->offset < c->at ||
		    (separated && is_separator(v[i], body)))
			continue;
		r = copy_until(c, v[i]->offset);
		if (r == 0 && v[i]->len > 0)
			r = intake_add_piece(c->in, c->to, v[i]->value,
			    v[i]->len);
		c->at += v[i]->octets;
	}
	free(v);
	return r;
}

int
intake_replace_octets(struct intake *in, const struct intake_job *job,
    const struct buf *header, uint64_t body)
{
	struct copy c = { .in = in, .to = spool_new(
	    job->conf->spool_directory, job->conf->spool_memory) };
	int r;

	dot_init(&in->dot, !in->binary);
	if (header != NULL) {
		r = intake_add_piece(in, c.to, header->p, header->len);
		c.at = body;
	} else
		r = copy_until(&c, body);
	if (r == 0)
		r = edit_body(&c, job, body, header != NULL);
	if (r == 0)
		r = copy_until(&c, spool_size(in->spool));
	if (r == 0)
		r = intake_end_pieces(in, c.to);
	intake_take_spool(in, job, c.to);
	return r;
}
