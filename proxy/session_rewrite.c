/*
 * session_rewrite - content that is not to arrive as it came: header fields
 * that filters want changed, a body in place of another, our Received on top,
 * and Authentication-Results that somebody else wrote in our name.
 *
 * The message is held by then. Its header is read from the spool and written
 * anew by filters/rewrite; the body stays where it is, unless it is replaced.
 * Nobody has heard of the message: what goes wrong here refuses it.
 */

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/spool.h"
#include "filters/rewrite.h"
#include "proxy/session_impl.h"

#define PIECE		16384	/* octets looked at in one go */
#define ROOM_FOR_EDITS	16384	/* of the backend's SIZE */

static const char spool_trouble[] =
    "452 4.3.1 no room for the message now; try again";

/* Is there anything to do? */

const char *
session_authserv_id(const struct session *s)
{
	if (s->conf->authserv_id != NULL)
		return s->conf->authserv_id;
	return s->listener->filters.wants & FILTER_ADDS_AUTHRES ?
	    s->conf->hostname : NULL;
}

bool
session_may_rewrite(const struct session *s)
{
	return s->conf->received || session_authserv_id(s) != NULL ||
	    (s->listener->filters.edits & EDITS_CONTENT) != 0;
}

void
session_leave_room(const struct session *s, uint64_t *offered, uint64_t theirs)
{
	if (session_may_rewrite(s) && theirs > 2 * ROOM_FOR_EDITS &&
	    *offered > theirs - ROOM_FOR_EDITS)
		*offered = theirs - ROOM_FOR_EDITS;
}

static bool
has_edit(const struct txn_edit *edits, size_t n, unsigned kinds)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (EDIT_BIT(edits[i].kind) & kinds)
			return true;
	return false;
}

bool
session_wants_rewrite(const struct session *s)
{
	const struct txn *t = s->txn;

	return s->conf->received ||
	    has_edit(t->edits, t->nedits, EDITS_CONTENT) ||
	    (s->intake->hops.authres > 0 && session_authserv_id(s) != NULL);
}

/* The new header */

/* Read the header; NULL when the spool cannot be read. */
static struct rewrite *
read_header(const struct session *s)
{
	struct rewrite *r = rewrite_new(session_authserv_id(s));
	const struct spool *spool = s->intake->spool;
	char piece[PIECE];
	uint64_t at = 0;
	int64_t n;

	while ((n = spool_peek(spool, at, piece, sizeof(piece))) > 0) {
		at += (uint64_t)n;
		if (rewrite_feed(r, piece, (size_t)n))
			break;
	}
	if (n == -1)
		rewrite_free(&r);
	return r;
}

static bool
has_body(const struct txn_edit *edits, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (edits[i].kind == EDIT_REPLACE_BODY && edits[i].len > 0)
			return true;
	return false;
}

static enum rewrite_status
write_header(const struct session *s, struct rewrite *r,
    const struct txn_edit *edits, size_t n, struct buf *out, size_t *octets)
{
	struct rewrite_options o = {
		.smtputf8 = (s->txn->present & 1u << PARAM_SMTPUTF8) != 0,
		.replaced = has_edit(edits, n, EDIT_BIT(EDIT_REPLACE_BODY)),
		.body = has_body(edits, n),
	};
	enum rewrite_status status;
	char *received = NULL;

	if (s->conf->received)
		o.received = received = session_received(s);
	status = rewrite_header(r, edits, n, &o, out, octets);
	free(received);
	return status;
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
session_add_piece(struct intake *in, struct spool *to, const char *p, size_t len)
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
session_end_pieces(struct intake *in, struct spool *to)
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

/* The message is the new header and the new body. A filter may end lines as it
   likes; what we send ends them with CR LF. */
static int
replace_message(struct session *s, const struct buf *header,
    const struct txn_edit *edits, size_t nedits)
{
	struct spool *to = spool_new(s->conf->spool_directory,
	    s->conf->spool_memory);
	struct intake *in = s->intake;
	size_t i, at, n;
	int r;

	dot_init(&in->dot, !in->binary);
	r = session_add_piece(in, to, header->p, header->len);
	for (i = 0; r == 0 && i < nedits; i++)
		for (at = 0; r == 0 && edits[i].kind == EDIT_REPLACE_BODY &&
		    at < edits[i].len; at += n) {
			n = edits[i].len - at;
			n = n < PIECE ? n : PIECE;
			r = session_add_piece(in, to, edits[i].value + at, n);
		}
	if (r == 0)
		r = session_end_pieces(in, to);
	spool_free(&in->spool);
	in->spool = to;
	return r;
}

/* The header is another one; of what came it was so many octets. */
static int
replace(struct session *s, const struct txn_edit *edits, size_t n,
    const struct buf *header, size_t octets)
{
	if (has_edit(edits, n, EDIT_BIT(EDIT_REPLACE_BODY)))
		return replace_message(s, header, edits, n);
	if (session_has_body_octets(edits, n, octets))
		return session_replace_octets(s, edits, n, header, octets);
	replace_header(s->intake, header, octets);
	return 0;
}

/* RFC 1870: the backend counts what we have added, too. */
static const char *
judge_size(const struct session *s)
{
	uint64_t limit = backend_extensions(s->backend)->size;

	return limit > 0 && spool_size(s->intake->spool) > limit ?
	    "552 5.3.4 message size exceeds the limit with what is added" :
	    NULL;
}

const char *
session_rewrite(struct session *s, const struct txn_edit *edits, size_t n,
    bool sent)
{
	struct rewrite *r = read_header(s);
	const char *refusal = NULL;
	struct buf header;
	size_t octets = 0;

	if (r == NULL)
		return spool_trouble;
	buf_init(&header, 2 * REWRITE_OCTETS_MAX);
	switch (write_header(s, r, edits, n, &header, &octets)) {
	case REWRITE_SAME:
		if (session_has_body_octets(edits, n, octets) &&
		    session_replace_octets(s, edits, n, NULL, octets) == -1)
			refusal = spool_trouble;
		break;
	case REWRITE_TOO_BIG:
		refusal = "552 5.3.4 message header is too large";
		break;
	case REWRITE_DONE:
		if (replace(s, edits, n, &header, octets) == -1)
			refusal = spool_trouble;
		break;
	}
	buf_fini(&header);
	rewrite_free(&r);
	return refusal == NULL && sent ? judge_size(s) : refusal;
}
