/*
 * talk - a conversation with a scanner about one message.
 *
 * An answer may come early: a scanner has seen enough, or is gone. Then what
 * follows of the message is not sent any more, and the answer waits here until
 * the chain asks.
 */

#include "filters/talk.h"

#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filters/peers.h"

#define HIGH	((size_t)256 << 10)	/* so much may wait for the scanner */
#define LOW	((size_t)64 << 10)	/* … and the message goes on here */
#define LAST	((size_t)64 << 10)	/* read after a write has failed */

static void
hang_up(struct talk *t)
{
	dial_cancel(&t->dial);
	if (t->bev != NULL)
		bufferevent_free(t->bev);
	t->bev = NULL;
	if (t->out != NULL)
		evbuffer_free(t->out);
	t->out = NULL;
}

/* The verdict, or why there is none. There may be no abort any more after this,
   so nothing stays behind. */
static enum verdict
answer(struct talk *t)
{
	enum verdict v = V_FAIL;

	if (t->problem == NULL)
		v = t->protocol->verdict(t->arg);
	else {
		chain_lost(t->slot);
		chain_reply(t->slot, 451, "4.7.1", "%s", t->problem);
	}
	free(t->problem);
	t->problem = NULL;
	t->done = true;
	if (t->protocol->forget != NULL)
		t->protocol->forget(t->arg);
	return v;
}

/* The state has changed: answer if somebody waits for that. */
static void
tell(struct talk *t)
{
	bool holds = t->waits == TALK_HOLDS;

	if (t->waits == TALK_IDLE)
		return;
	t->waits = TALK_IDLE;
	if (holds && t->problem == NULL)
		chain_resume(t->slot, t->done ? V_SKIP : V_CONTINUE);
	else
		chain_resume(t->slot, answer(t));
}

void
talk_done(struct talk *t)
{
	OBJ_CHECK(t, TALK_MAGIC);
	t->done = true;
	hang_up(t);
	tell(t);
}

void
talk_fail(struct talk *t, const char *why)
{
	OBJ_CHECK(t, TALK_MAGIC);
	free(t->problem);
	t->problem = xstrdup(why);
	hang_up(t);
	tell(t);
}

static bool
is_over(const struct talk *t)
{
	return t->done || t->problem != NULL;
}

/* The connection */

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct talk *t;

	OBJ_CAST(t, arg, TALK_MAGIC);
	t->protocol->input(t->arg, bufferevent_get_input(bev), false);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct talk *t;

	(void)bev;
	OBJ_CAST(t, arg, TALK_MAGIC);
	if (t->waits == TALK_HOLDS)
		tell(t);
}

/* A scanner that has seen enough may answer and close while we still write:
   what it said is behind the error. */
static void
hear_last_words(struct talk *t, int fd)
{
	struct evbuffer *in = evbuffer_new();
	char piece[4096];
	ssize_t n;

	evbuffer_add_buffer(in, bufferevent_get_input(t->bev));
	while (evbuffer_get_length(in) < LAST &&
	    (n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
		evbuffer_add(in, piece, (size_t)n);
	t->protocol->input(t->arg, in, true);
	evbuffer_free(in);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	int error = EVUTIL_SOCKET_ERROR();
	struct talk *t;

	OBJ_CAST(t, arg, TALK_MAGIC);
	hear_last_words(t, bufferevent_getfd(bev));
	if (is_over(t) || t->bev != bev)	/* or in a new conversation */
		return;
	talk_fail(t, what & BEV_EVENT_ERROR && error != 0 ? strerror(error) :
	    "the scanner closed the connection");
}

static void
on_dialled(void *arg, int fd, const char *why)
{
	struct bufferevent *bev;
	struct talk *t;

	OBJ_CAST(t, arg, TALK_MAGIC);
	t->dial = NULL;
	if (fd == -1) {
		talk_fail(t, why);
		return;
	}
	t->bev = bev = bufferevent_socket_new(peers_base(t->peers), fd,
	    BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(bev, on_read, on_written, on_event, t);
	bufferevent_setwatermark(bev, EV_WRITE, LOW, 0);
	bufferevent_write_buffer(bev, t->out);
	evbuffer_free(t->out);
	t->out = NULL;
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

void
talk_open(struct talk *t, const struct talk_protocol *protocol, void *arg,
    struct chain_slot *slot, struct peers *peers)
{
	*t = (struct talk){
		.magic = TALK_MAGIC, .protocol = protocol, .arg = arg,
		.slot = slot, .peers = peers, .out = evbuffer_new(),
	};
	evbuffer_set_flags(t->out, EVBUFFER_FLAG_DRAINS_TO_FD);
	t->dial = peers_dial(peers, on_dialled, t);
}

bool
talk_is_open(const struct talk *t)
{
	return t->magic == TALK_MAGIC;
}

struct evbuffer *
talk_output(struct talk *t)
{
	OBJ_CHECK(t, TALK_MAGIC);
	if (t->bev != NULL)
		return bufferevent_get_output(t->bev);
	if (t->out == NULL)		/* it is over: for nobody */
		t->out = evbuffer_new();
	return t->out;
}

enum verdict
talk_content(struct talk *t, size_t pending)
{
	if (t->problem != NULL)
		return answer(t);
	if (t->done)
		return V_SKIP;
	if (evbuffer_get_length(talk_output(t)) + pending < HIGH)
		return V_CONTINUE;
	t->waits = TALK_HOLDS;
	return V_WAIT;
}

enum verdict
talk_eom(struct talk *t)
{
	if (is_over(t)) {
		hang_up(t);
		return answer(t);
	}
	t->waits = TALK_ENDS;
	return V_WAIT;
}

void
talk_close(struct talk *t)
{
	if (t->magic != TALK_MAGIC)
		return;
	hang_up(t);
	free(t->problem);
	memset(t, 0, sizeof(*t));
}
