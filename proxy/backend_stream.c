/*
 * backend_stream - a message that goes to the next MTA while it comes.
 *
 * Pieces gather in b->stream until there is a chunk's worth of them; then all
 * but the last may go, and b->ready says how much that is. The last piece
 * waits for what follows it, so there is always something left to send with
 * the end, by which the backend knows that it has a message. By BDAT the end
 * goes when all chunks before it were accepted: a message whose middle was
 * refused never gets one.
 */

#include <assert.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "base/spool.h"
#include "proxy/backend_impl.h"

#define CHUNK		65536	/* octets that are worth a BDAT */
#define FULL		131072	/* octets that wait: enough */
#define SHORT		1024	/* copy a piece rather than keep its chain */
#define CHUNKS_MAX	16	/* without a reply */
#define NUDGE_MS	5000	/* less than Postfix has patience under stress */

void
backend_stream(struct backend *b, struct spool *held, bool bdat, void *tag)
{
	assert(b->state == B_READY && b->content_state == C_NONE);
	assert(spool_left(held) > 0);
	b->content = (struct backend_content){ .spool = held, .bdat = bdat };
	b->content_tag = tag;
	b->at_bol = true;
	b->stream = evbuffer_new();
	b->ready = 0;
	b->complete = false;
	b->content_state = C_QUEUED;
	if (STAILQ_EMPTY(&b->pending))
		backend_begin_content(b);
}

void
backend_stream_stop(struct backend *b)
{
	timer_stop(&b->nudge);
	if (b->stream != NULL)
		evbuffer_free(b->stream);
	b->stream = NULL;
	b->ready = 0;
}

/* Gathering */

static void
append(struct backend *b, struct evbuffer *piece)
{
	size_t have = evbuffer_get_length(b->stream);
	size_t n = evbuffer_get_length(piece);

	if (n > 0 && have >= CHUNK)
		b->ready = have;
	if (n < SHORT) {
		evbuffer_add(b->stream, evbuffer_pullup(piece, -1), n);
		evbuffer_drain(piece, n);
	} else
		evbuffer_add_buffer(b->stream, piece);
}

/* What was held is older than what comes. False: b is dead. */
static bool
refill(struct backend *b)
{
	struct evbuffer *piece;
	int64_t n = 1;

	if (b->content.spool == NULL)
		return true;
	piece = evbuffer_new();
	while (b->ready == 0 &&
	    (n = spool_take(b->content.spool, piece, CHUNK)) > 0)
		append(b, piece);
	evbuffer_free(piece);
	if (spool_left(b->content.spool) == 0)
		spool_free(&b->content.spool);
	if (n == -1)
		backend_fail(b, BACKEND_LOST, NULL,
		    "the spool cannot be read");
	return n != -1;
}

/* Sending */

static size_t
chunks_ahead(const struct backend *b)
{
	return ext_has(&b->ext, EXT_BIT(PIPELINING)) ? CHUNKS_MAX : 1;
}

/* Has everything been written? Not so when the connection has failed. */
static bool
is_written(const struct backend *b)
{
	return evbuffer_get_length(conn_output(b->conn)) == 0;
}

static void
put(struct backend *b, size_t n, const char *last)
{
	struct evbuffer *out = conn_output(b->conn);

	timer_stop(&b->nudge);
	if (b->content.bdat) {
		evbuffer_add_printf(out, "BDAT %zu%s\r\n", n, last);
		evbuffer_remove_buffer(b->stream, out, n);
		b->chunks_due++;
	} else
		backend_stuff(b, b->stream, n);
}

/* It is the backend's turn as long as it has to read or to reply. */
static void
set_deadline(struct backend *b)
{
	conn_deadline(b->conn, is_written(b) && b->chunks_due == 0 ? 0 :
	    backend_conf(b)->data_block_timeout);
}

static void
put_end(struct backend *b)
{
	put(b, evbuffer_get_length(b->stream), " LAST");
	backend_stream_stop(b);
	backend_content_sent(b);
}

/* Write the next piece, if it may go. False: something is to be waited for. */
static bool
write_next(struct backend *b)
{
	if (b->content_state != C_STREAMING || b->ahead || !is_written(b))
		return false;
	if (b->complete && b->content.spool == NULL) {
		if (b->chunks_due == 0)
			put_end(b);
		return false;
	}
	if (b->ready == 0 || b->chunks_due >= chunks_ahead(b))
		return false;
	put(b, b->ready, "");
	b->ready = 0;
	conn_flush(b->conn);
	set_deadline(b);
	return true;
}

/* Is there something that nothing but the time makes worth sending? */
static void
wait_for_more(struct backend *b)
{
	if (b->content_state == C_STREAMING && b->ready == 0 &&
	    !b->complete && !timer_is_set(&b->nudge) &&
	    evbuffer_get_length(b->stream) > 1)
		timer_set(&b->nudge, NUDGE_MS);
}

static void
push(struct backend *b)
{
	do
		if (!refill(b))
			return;
	while (write_next(b));
	wait_for_more(b);
}

void
backend_stream_push(struct backend *b)
{
	if (is_written(b) && b->content_state == C_STREAMING)
		set_deadline(b);
	push(b);
	if (b->content_state == C_STREAMING && !backend_stream_is_full(b))
		b->user->on_room(b->arg);
}

void
backend_on_nudge(void *arg)
{
	struct backend *b;

	OBJ_CAST(b, arg, BACKEND_MAGIC);
	b->ready = evbuffer_get_length(b->stream) - 1;
	push(b);
}

void
backend_stream_add(struct backend *b, struct evbuffer *piece)
{
	append(b, piece);
	push(b);
}

bool
backend_stream_is_full(const struct backend *b)
{
	return b->content.spool != NULL ||
	    (b->stream != NULL && evbuffer_get_length(b->stream) >= FULL);
}

void
backend_stream_end(struct backend *b, bool ends_in_crlf, uint64_t due)
{
	b->content.ends_in_crlf = ends_in_crlf;
	b->content.due = due;
	b->complete = true;
	push(b);
}

/* Its end */

/* Nothing more of it is sent; what was sent is still to be replied to. */
static void
stop(struct backend *b)
{
	backend_stream_stop(b);
	spool_free(&b->content.spool);
	b->content_state = b->chunks_due > 0 ? C_DRAINING : C_NONE;
}

bool
backend_stream_drop(struct backend *b)
{
	if (!b->content.bdat)
		return false;
	stop(b);
	backend_reset(b);
	return true;
}

void
backend_on_chunk_reply(struct backend *b)
{
	int class = b->reply.code / 100;

	b->chunks_due--;
	if (class == 3) {
		backend_fail(b, BACKEND_LOST, NULL,
		    "3xx in reply to BDAT");
	} else if (b->content_state == C_DRAINING) {
		if (b->chunks_due == 0) {
			b->content_state = C_NONE;
			backend_flush(b);
		}
	} else if (class == 2) {
		set_deadline(b);
		backend_stream_push(b);
	} else {
		stop(b);
		b->user->on_reply(b->arg, BACKEND_CONTENT, b->content_tag,
		    &b->reply);
	}
}
