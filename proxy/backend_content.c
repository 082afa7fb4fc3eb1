/*
 * backend_content - a message on its way to the next MTA, by DATA or BDAT.
 *
 * It is taken from the spool as fast as the backend reads, and its end is sent
 * when all of it is. A verdict that comes before that cannot be about the
 * message: a good one is a lie, and a bad one ends the session.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/spool.h"
#include "proxy/backend_impl.h"
#include "smtp/dot.h"

#define FEED	65536		/* octets of content taken from the spool */

static void feed(struct backend *b);

void
backend_send(struct backend *b, const struct backend_content *content,
    void *tag)
{
	assert(b->state == B_READY && b->content_state == C_NONE);
	b->content = *content;
	b->content_tag = tag;
	b->at_bol = true;
	b->content_state = C_QUEUED;
	if (STAILQ_EMPTY(&b->pending))
		backend_begin_content(b);
}

void
backend_begin_content(struct backend *b)
{
	char line[64];

	if (b->ahead) {
		b->content_state = C_WAIT_354;	/* and never gets it */
	} else if (b->stream != NULL && b->content.bdat) {
		b->content_state = C_STREAMING;
		backend_stream_push(b);
	} else if (b->content.bdat) {
		snprintf(line, sizeof(line), "BDAT %llu LAST\r\n",
		    (unsigned long long)spool_size(b->content.spool));
		evbuffer_add(conn_output(b->conn), line, strlen(line));
		b->content_state = C_SENDING;
		feed(b);
	} else {
		evbuffer_add(conn_output(b->conn), "DATA\r\n", 6);
		b->content_state = C_WAIT_354;
		conn_deadline(b->conn, backend_conf(b)->data_init_timeout);
		conn_flush(b->conn);
	}
}

void
backend_stuff(struct backend *b, struct evbuffer *from, size_t left)
{
	struct evbuffer_iovec in, out;
	size_t n;

	while (left > 0 && evbuffer_peek(from, -1, NULL, &in, 1) > 0) {
		n = in.iov_len < FEED ? in.iov_len : FEED;
		if (n > left)
			n = left;
		evbuffer_reserve_space(conn_output(b->conn),
		    (ssize_t)(2 * n), &out, 1);
		out.iov_len = dot_encode(&b->at_bol, in.iov_base, n,
		    out.iov_base);
		evbuffer_commit_space(conn_output(b->conn), &out, 1);
		evbuffer_drain(from, n);
		left -= n;
	}
}

/* The next octets of the spool; -1: it cannot be read. */
static int64_t
take(struct backend *b)
{
	struct evbuffer *piece;
	int64_t n;

	if (b->content.bdat || !b->content.dotted)
		return spool_take(b->content.spool, conn_output(b->conn),
		    FEED);
	piece = evbuffer_new();
	n = spool_take(b->content.spool, piece, FEED);
	if (n > 0)
		backend_stuff(b, piece, (size_t)n);
	evbuffer_free(piece);
	return n;
}

void
backend_content_sent(struct backend *b)
{
	struct evbuffer *out = conn_output(b->conn);
	uint64_t now = clock_ms();

	if (!b->content.bdat) {
		if (!b->content.ends_in_crlf)
			evbuffer_add(out, "\r\n", 2);
		evbuffer_add(out, ".\r\n", 3);
	}
	b->content_state = C_WAIT_REPLY;
	b->in_transaction = false;
	if (b->content.due == 0)
		conn_deadline(b->conn, backend_conf(b)->data_done_timeout);
	else
		conn_deadline(b->conn, b->content.due > now ?
		    b->content.due - now : 1);
	conn_flush(b->conn);
}

/* Write content as fast as the backend takes it; on_drained goes on. */
static void
feed(struct backend *b)
{
	int64_t n;

	for (;;) {
		if (conn_is_full(b->conn)) {
			conn_flush(b->conn);
			if (conn_is_full(b->conn))
				break;
		}
		n = take(b);
		if (n == 0) {
			backend_content_sent(b);
			return;
		}
		if (n < 0) {
			backend_fail(b, BACKEND_LOST, NULL,
			    "the spool cannot be read");
			return;
		}
	}
	conn_deadline(b->conn, backend_conf(b)->data_block_timeout);
}

void
backend_on_drained(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	if (b->state != B_READY)
		return;
	if (b->content_state == C_SENDING)
		feed(b);
	else if (b->content_state == C_STREAMING)
		backend_stream_push(b);
}

/* It knows that there is content, and what it thinks of it. */
static void
on_verdict(struct backend *b)
{
	void *tag = b->content_tag;

	/* RFC 3030 section 2: after a chunk that failed nobody knows what
	   state the transaction is in; RSET. After DATA it is over. */
	if (b->content_state == C_WAIT_REPLY)
		b->in_transaction = b->content.bdat &&
		    !reply_is_positive(&b->reply);
	backend_stream_stop(b);
	spool_free(&b->content.spool);
	conn_deadline(b->conn, 0);
	b->content_state = C_NONE;
	b->chunks_due = 0;
	b->user->on_reply(b->arg, BACKEND_CONTENT, tag, &b->reply);
}

/*
 * It refuses before it has everything, and the rest of the content cannot be
 * unsaid: the session with it ends before anybody can put a command where it
 * expects content.
 */
static void
on_early_verdict(struct backend *b)
{
	const struct backend_user *user = b->user;
	void *tag = b->content_tag;

	backend_die(b);
	user->on_reply(b->arg, BACKEND_CONTENT, tag, &b->reply);
	if (b->user != NULL)
		user->on_failure(b->arg, BACKEND_LOST, NULL,
		    "refused before the end");
}

/* A reply while there is content. */
void
backend_on_content_reply(struct backend *b)
{
	int class = b->reply.code / 100;
	bool all_sent = b->content_state == C_WAIT_REPLY;

	if (b->chunks_due > 0 && !all_sent) {
		backend_on_chunk_reply(b);
	} else if (b->content_state == C_WAIT_354 && b->reply.code == 354 &&
	    !b->ahead) {
		if (b->stream != NULL) {
			b->content_state = C_STREAMING;
			conn_deadline(b->conn, 0);
			backend_stream_push(b);
		} else {
			b->content_state = C_SENDING;
			feed(b);
		}
	} else if (class == 3 || (class == 2 && !all_sent))
		backend_fail(b, BACKEND_LOST, NULL,
		    "a reply to content that was not sent");
	else if (b->content_state != C_WAIT_354 && !all_sent)
		on_early_verdict(b);
	else
		on_verdict(b);
}
