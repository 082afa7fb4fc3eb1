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
	char line[64];

	assert(b->state == B_READY && b->content_state == C_NONE);
	assert(STAILQ_EMPTY(&b->pending));
	b->content = *content;
	b->content_tag = tag;
	b->at_bol = true;
	if (b->ahead) {
		b->content_state = C_WAIT_354;	/* and never gets it */
	} else if (content->bdat) {
		snprintf(line, sizeof(line), "BDAT %llu LAST\r\n",
		    (unsigned long long)spool_size(content->spool));
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

/* Stuff what is in from and move it to the output. */
static void
stuff(struct backend *b, struct evbuffer *from)
{
	struct evbuffer_iovec in, out;
	size_t n;

	while (evbuffer_peek(from, -1, NULL, &in, 1) > 0) {
		n = in.iov_len < FEED ? in.iov_len : FEED;
		evbuffer_reserve_space(conn_output(b->conn),
		    (ssize_t)(2 * n), &out, 1);
		out.iov_len = dot_encode(&b->at_bol, in.iov_base, n,
		    out.iov_base);
		evbuffer_commit_space(conn_output(b->conn), &out, 1);
		evbuffer_drain(from, n);
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
		stuff(b, piece);
	evbuffer_free(piece);
	return n;
}

static void
content_sent(struct backend *b)
{
	struct evbuffer *out = conn_output(b->conn);

	if (!b->content.bdat) {
		if (!b->content.ends_in_crlf)
			evbuffer_add(out, "\r\n", 2);
		evbuffer_add(out, ".\r\n", 3);
	}
	b->content_state = C_WAIT_REPLY;
	b->in_transaction = false;
	conn_deadline(b->conn, backend_conf(b)->data_done_timeout);
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
			content_sent(b);
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
	if (b->state == B_READY && b->content_state == C_SENDING)
		feed(b);
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
	spool_free(&b->content.spool);
	conn_deadline(b->conn, 0);
	b->content_state = C_NONE;
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

	if (b->content_state == C_WAIT_354 && b->reply.code == 354 &&
	    !b->ahead) {
		b->content_state = C_SENDING;
		feed(b);
	} else if (class == 3 || (class == 2 && !all_sent))
		backend_fail(b, BACKEND_LOST, NULL,
		    "a reply to content that was not sent");
	else if (b->content_state == C_SENDING)
		on_early_verdict(b);
	else
		on_verdict(b);
}
