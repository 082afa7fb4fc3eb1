/*
 * session_data - content: from DATA or BDAT into the spool, and the verdict at
 * its end.
 *
 * A message is held until its end is seen and approved; only then does the
 * backend hear DATA or BDAT. So a client that vanishes, a message that is
 * refused and a disk that is full leave nothing behind there. A large one goes
 * on while it comes (session_stream.c), but its end goes the same way.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/session_impl.h"

#define PIECE	32768		/* octets decoded at a time */

static bool
normalizes(const struct session *s)
{
	return s->conf->line_endings == LINES_NORMALIZE ||
	    netset_has(&s->conf->normalize_from, &s->client_addr);
}

static uint64_t
size_limit(const struct session *s)
{
	uint64_t ours = s->conf->message_size_limit;
	uint64_t theirs = backend_extensions(s->backend)->size;

	if (theirs != 0 && (ours == 0 || theirs < ours))
		return theirs;
	return ours;
}

static void
intake_new(struct session *s)
{
	struct intake *in = xcalloc(1, sizeof(*in));

	in->binary = s->txn->body == BODY_BINARYMIME;
	dot_init(&in->dot, normalizes(s) && !in->binary);
	hops_init(&in->hops);
	in->spool = spool_new(s->conf->spool_directory, s->conf->spool_memory);
	in->limit = s->backend != NULL && backend_is_ready(s->backend) ?
	    size_limit(s) : s->conf->message_size_limit;
	s->intake = in;
}

/*
 * The time a client has for its content: client-timeout to begin with, and
 * each octet earns its share at min-data-rate, up to client-timeout ahead.
 * (Postfix: smtpd_min_data_rate with smtpd_per_request_deadline.)
 */
static void
start_clock(struct session *s)
{
	s->input_due = clock_ms() + s->conf->client_timeout;
	conn_deadline(s->client, s->conf->client_timeout);
}

void
session_restart_clock(struct session *s)
{
	start_clock(s);
}

static void
earn_time(struct session *s, uint64_t octets)
{
	uint64_t now = clock_ms(), most = now + s->conf->client_timeout;

	if (s->conf->min_data_rate == 0)
		s->input_due = most;
	else
		s->input_due += octets * 1000 / s->conf->min_data_rate;
	if (s->input_due > most)
		s->input_due = most;
	conn_deadline(s->client, s->input_due > now ? s->input_due - now : 1);
}

/* What is refused, and what becomes of the rest */

/*
 * Why this content cannot be accepted, or NULL. It is found in what all of the
 * content has been so far, so that it does not depend on the pieces in which
 * that came.
 */
const char *
session_objection(const struct session *s)
{
	const struct intake *in = s->intake;
	bool bdat = in->streams || in->dropped ? in->bdat :
	    session_travels_by_bdat(s);

	if (in->refusal != NULL)
		return in->refusal;
	if (!in->dropped && (s->txn->lost || s->backend == NULL ||
	    !backend_is_ready(s->backend)))
		return "451 4.4.2 the next server was lost; try again";
	if (in->error != 0)
		return "452 4.3.1 no room for the message now; try again";
	if (in->too_big)
		return "552 5.3.4 message size exceeds the limit";
	if (s->conf->hopcount_limit > 0 && in->hops.received +
	    s->conf->received >= s->conf->hopcount_limit)
		return "554 5.4.6 too many hops";
	if (in->binary)
		return bdat ? NULL :
		    "554 5.6.3 the next server takes no BINARYMIME now";
	if ((in->dot.bare_cr || in->dot.bare_lf) && !in->dot.normalize)
		return "550 5.5.2 message has a bare CR or LF: lines end in "
		    "CR LF";
	if (in->dot.nul && s->conf->nul == NUL_REJECT)
		return "554 5.6.0 message has a NUL";
	if (in->dot.longest > s->conf->text_line_limit && !bdat)
		return "554 5.6.0 message has a line over the limit, and "
		    "cannot travel by BDAT";
	return NULL;
}

/*
 * Postfix takes a first line "From " for what it is in DATA, and in BDAT for
 * the start of the body: then it would not see the header that filters saw.
 */
bool
session_travels_by_bdat(const struct session *s)
{
	if (s->intake != NULL && s->intake->hops.mailbox && !s->intake->binary)
		return false;
	return s->backend != NULL && backend_is_ready(s->backend) &&
	    s->conf->backends[s->route].chunking &&
	    ext_has(backend_extensions(s->backend), EXT_BIT(CHUNKING));
}

void
session_doom(struct session *s)
{
	s->intake->doomed = true;
	spool_free(&s->intake->spool);
	if (s->intake->streams)
		session_stream_drop(s);
}

/* Will nobody get it, whatever comes? */
static bool
is_hopeless(const struct session *s)
{
	return s->txn->discarded || session_objection(s) != NULL ||
	    (s->chain != NULL && chain_is_decided(s->chain));
}

/* Show a piece to the filters. */
static void
show(struct session *s, struct evbuffer *piece)
{
	struct evbuffer_iovec v = { .iov_len = 0 };

	evbuffer_peek(piece, -1, NULL, &v, 1);
	s->intake->asked = !session_feed(s, v.iov_base, v.iov_len);
}

/* Decoded content goes to the filters, and where it is kept; or it is only
   counted. */
static void
take(struct session *s, struct evbuffer *piece)
{
	struct intake *in = s->intake;

	in->size += evbuffer_get_length(piece);
	if (in->limit > 0 && in->size > in->limit)
		in->too_big = true;
	if (!in->doomed && is_hopeless(s))
		session_doom(s);
	if (in->doomed)
		return;
	show(s, piece);
	if (is_hopeless(s))
		session_doom(s);
	else if (in->streams)
		backend_stream_add(s->backend, piece);
	else if (spool_add(in->spool, piece) == -1) {
		in->error = errno;
		session_doom(s);
	} else
		backend_keep_alive(s->backend);
}

/* Decode len octets at p; returns those that were used. */
static size_t
decode(struct session *s, const char *p, size_t len, bool dots)
{
	struct intake *in = s->intake;
	struct evbuffer *piece = evbuffer_new();
	struct evbuffer_iovec out;
	size_t outlen, used = len;

	evbuffer_reserve_space(piece,
	    (ssize_t)(in->dot.normalize ? dot_room(len) : len + 2), &out, 1);
	if (dots)
		in->ended = dot_decode(&in->dot, p, len, out.iov_base, &outlen,
		    &used) == DOT_END;
	else
		outlen = dot_pass(&in->dot, p, len, out.iov_base);
	out.iov_len = outlen;
	evbuffer_commit_space(piece, &out, 1);
	hops_feed(&in->hops, out.iov_base, outlen);
	take(s, piece);
	evbuffer_free(piece);
	return used;
}

/* The verdict */

/* Refuse the message that has just ended. */
void
session_refuse_content(struct session *s, const char *reply)
{
	bool theirs = reply == s->intake->refusal;
	char *copy = xstrdup(reply);	/* it may go with the transaction */

	session_log_refused(s, copy);
	session_end_txn(s);
	session_enter(s, S_READY);
	if (theirs && strncmp(copy, "421", 3) != 0)
		session_reply_text(s, copy);
	else
		session_refuse(s, copy);
	free(copy);
}

/* The sender believes that it was delivered: nobody shall miss it in the log
   who looks for the message. */
void
session_discard(struct session *s)
{
	session_log_discarded(s);
	session_end_txn(s);
	session_enter(s, S_READY);
	session_reply(s, 250, "2.0.0 Ok");
}

/* The client's end of data is there. */
static void
finish(struct session *s)
{
	const char *reply = session_objection(s);

	s->intake->due = clock_ms() + s->conf->data_done_timeout;
	if (s->txn->discarded)
		session_discard(s);
	else if (reply != NULL)
		session_refuse_content(s, reply);
	else
		session_ask_eom(s);
}

void
session_approve_content(struct session *s)
{
	/* The backend may have been lost while filters were asked. */
	const char *reply = session_objection(s);

	if (s->txn->discarded)
		session_discard(s);
	else if (reply != NULL)
		session_refuse_content(s, reply);
	else if (clock_ms() >= s->intake->due)
		/* The backend would have a message that we gave up. */
		session_refuse_content(s, "451 4.7.1 the message could not be "
		    "looked at in time; try again");
	else if (s->txn->nedits > 0 || session_wants_rewrite(s))
		session_edit(s);
	else
		session_send_approved(s);
}

void
session_send_approved(struct session *s)
{
	assert(!s->intake->doomed);
	/* It has closed, or was reset, while the filters were asked. Who only
	   has nothing more to send is served. */
	if (s->client_eof && conn_is_gone(s->client)) {
		session_close(s, CLOSE_CLIENT_ERROR);
		return;
	}
	if (s->intake->streams)
		session_stream_end(s);
	else
		session_send_content(s, session_travels_by_bdat(s));
}

/* DATA */

void
session_start_data(struct session *s)
{
	intake_new(s);
	session_enter(s, S_DATA);
	session_reply(s, 354, "End data with <CR><LF>.<CR><LF>");
	start_clock(s);
}

static bool
read_data(struct session *s)
{
	struct evbuffer *in = conn_input(s->client);
	const struct intake *i = s->intake;
	struct evbuffer_iovec v;
	size_t n;

	while (!i->ended && !i->asked && !session_stream_waits(s) &&
	    evbuffer_peek(in, PIECE, NULL, &v, 1) > 0 && v.iov_len > 0) {
		n = v.iov_len < PIECE ? v.iov_len : PIECE;
		n = decode(s, v.iov_base, n, true);
		evbuffer_drain(in, n);
		if (!i->ended)
			session_stream_if_large(s);
		if (!i->asked)
			earn_time(s, n);
	}
	if (i->asked || !i->ended)
		return false;
	finish(s);
	return true;
}

/* BDAT (RFC 3030): exactly size octets follow, whatever we think of them. */

void
session_start_chunk(struct session *s, uint64_t size, bool last)
{
	const char *needs_tls = session_needs_tls(s);

	s->chunk_left = size;
	s->chunk_last = last;
	s->chunk_refusal = NULL;
	s->chunk_back = s->txn != NULL ? S_BDAT : s->state;
	if (needs_tls != NULL)
		s->chunk_refusal = needs_tls;
	else if (s->txn == NULL)
		s->chunk_refusal = "503 5.5.1 send MAIL first";
	else if (!s->esmtp)
		s->chunk_refusal = "503 5.5.1 BDAT needs EHLO";
	else if (s->bdat_failed)
		s->chunk_refusal = "503 5.5.1 send RSET first";
	else if (s->txn->naccepted == 0)
		s->chunk_refusal = "554 5.5.1 no valid recipients";
	else if (s->intake == NULL) {
		intake_new(s);
		session_ask_chunk(s);
		return;
	}
	session_approve_chunk(s);
}

void
session_approve_chunk(struct session *s)
{
	session_enter(s, S_CHUNK);
	start_clock(s);
}

static void
end_of_chunk(struct session *s)
{
	struct intake *in = s->intake;
	struct evbuffer *rest;
	char cr[2];
	size_t n;

	if (s->chunk_refusal == NULL && !s->chunk_last &&
	    (in->too_big || in->refusal != NULL))
		s->chunk_refusal = session_objection(s);
	if (s->chunk_refusal != NULL) {
		if (s->txn != NULL)
			s->bdat_failed = true;
		session_enter(s, s->chunk_back);
		session_refuse(s, s->chunk_refusal);
		return;
	}
	if (!s->chunk_last) {
		session_enter(s, S_BDAT);
		session_reply(s, 250, "2.0.0 %llu octets so far",
		    (unsigned long long)in->size);
		return;
	}
	if (!in->ended && (n = dot_pass_end(&in->dot, cr)) > 0) {
		rest = evbuffer_new();
		evbuffer_add(rest, cr, n);
		take(s, rest);
		evbuffer_free(rest);
	}
	in->ended = true;
	if (!in->asked)
		finish(s);
}

static bool
read_chunk(struct session *s)
{
	struct evbuffer *in = conn_input(s->client);
	struct evbuffer_iovec v;
	size_t n;

	while (s->chunk_left > 0) {
		if (s->intake != NULL &&
		    (s->intake->asked || session_stream_waits(s)))
			return false;
		if (evbuffer_peek(in, PIECE, NULL, &v, 1) <= 0 ||
		    v.iov_len == 0)
			return false;
		n = v.iov_len < PIECE ? v.iov_len : PIECE;
		if (n > s->chunk_left)
			n = (size_t)s->chunk_left;
		if (s->chunk_refusal == NULL)
			decode(s, v.iov_base, n, false);
		evbuffer_drain(in, n);
		s->chunk_left -= n;
		if (s->chunk_refusal == NULL &&
		    (s->chunk_left > 0 || !s->chunk_last))
			session_stream_if_large(s);
		if (s->intake == NULL || !s->intake->asked)
			earn_time(s, n);
	}
	if (s->intake != NULL && s->intake->asked)
		return false;
	end_of_chunk(s);
	return true;
}

bool
session_content(struct session *s)
{
	return s->state == S_DATA ? read_data(s) : read_chunk(s);
}
