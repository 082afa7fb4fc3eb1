/*
 * sink - one SMTP or LMTP session of the sink: its life, its loop, replies.
 *
 * The octets are a bufferevent's, which makes this file short; the daemon has
 * its own conn because it must be fast. Nothing here waits for anything but
 * the client and the disk, so a command is answered before the next is read,
 * and pipelining needs no care except for where it is not allowed.
 *
 * A session is freed only at the end of a callback of the loop, by on_read(),
 * on_write(), on_event() and on_deadline(); everything below them just closes.
 */

#include "proxy/sink.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proxy/maildir.h"
#include "proxy/sink_impl.h"
#include "smtp/address.h"
#include "smtp/line.h"

#define IDLE_MS		(5 * 60 * 1000)	/* RFC 5321 4.5.3.2.7 */
#define LINGER_MS	(10 * 1000)	/* for the last reply to be taken */
#define LINE_MAX_OCTETS	4096	/* 512, and what DSN, AUTH and UTF-8 add */
#define OUTPUT_MAX	65536	/* replies a client may leave unread */
#define CLIENT_MAX	8192	/* all XCLIENT values together */

void
sink_enter(struct sink_session *s, enum sink_state next)
{
	assert(s->state != K_CLOSING);
	s->state = next;
}

void
sink_reset(struct sink_session *s)
{
	maildir_abort(&s->file);
	buf_reset(&s->envelope);
	s->nrcpts = 0;
	s->utf8 = s->binary = false;
	s->size = 0;
	if (s->state != K_HELO && s->state != K_CLOSING)
		sink_enter(s, K_READY);
}

void
sink_close(struct sink_session *s, const char *why)
{
	if (s->state == K_CLOSING)
		return;
	sink_reset(s);
	sink_enter(s, K_CLOSING);
	s->closed_because = why;
	bufferevent_disable(s->bev, EV_READ);
	timer_set(&s->deadline, LINGER_MS);
}

/* Replies */

void
sink_send(struct sink_session *s, bool bare)
{
	struct buf out;

	buf_init(&out, 2 * REPLY_TEXT_MAX);
	reply_format(&s->reply, bare, &out);
	bufferevent_write(s->bev, out.p, out.len);
	buf_fini(&out);
}

void
sink_reply(struct sink_session *s, int code, const char *fmt, ...)
{
	char text[ADDRESS_ROOM + 256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_set(&s->reply, code, "%s", text);
	sink_send(s, !s->esmtp);
}

void
sink_greet(struct sink_session *s)
{
	reply_set(&s->reply, 220, "%s %s vratar sink", s->sink->hostname,
	    s->sink->lmtp ? "LMTP" : "ESMTP");
	sink_send(s, true);
}

/* The loop */

/* Run the first line of the input. False: it is not complete. */
static bool
take_line(struct sink_session *s, struct evbuffer *in)
{
	size_t n = evbuffer_get_length(in), used;
	struct command c;
	struct slice line;
	const char *p;

	/* One octet more than the limit shows a line that is too long. */
	if (n > LINE_MAX_OCTETS + 1)
		n = LINE_MAX_OCTETS + 1;
	p = (const char *)evbuffer_pullup(in, (ssize_t)n);
	switch (line_cut(p, n, LINE_MAX_OCTETS, &s->scanned, &line, &used)) {
	case LINE_MORE:
		return false;
	case LINE_OK:
		command_parse(&c, line.p, line.len);
		sink_command(s, &c, evbuffer_get_length(in) > used);
		evbuffer_drain(in, used);
		break;
	case LINE_BARE_LF:
		sink_reply(s, 550, "5.5.2 Line ends in a bare LF");
		sink_close(s, "bare LF in a command");
		break;
	case LINE_TOO_LONG:
		sink_reply(s, 500, "5.5.6 Line too long");
		sink_close(s, "line too long");
		break;
	}
	s->scanned = 0;
	return true;
}

/* Do what the next octets ask for. False: they are not all here. */
static bool
step(struct sink_session *s, struct evbuffer *in)
{
	if (evbuffer_get_length(in) == 0)
		return false;
	if (s->in_chunk)
		sink_take_chunk(s, in);
	else if (s->state == K_DATA)
		sink_take_data(s, in);
	else
		return take_line(s, in);
	return true;
}

/* A client that does not read its replies gets no more of them. */
static bool
is_full(struct sink_session *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev)) > OUTPUT_MAX;
}

static bool
is_drained(struct sink_session *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev)) == 0;
}

static void
session_free(struct sink_session *s)
{
	struct sink *sink = s->sink;

	log_info(s->id, "close reason=\"%s\"", s->closed_because);
	LIST_REMOVE(s, link);
	timer_stop(&s->deadline);
	maildir_abort(&s->file);
	bufferevent_free(s->bev);
	reply_fini(&s->reply);
	buf_fini(&s->envelope);
	buf_fini(&s->client_text);
	free(s->helo);
	s->magic = 0;
	free(s);
	if (sink->on_end != NULL)
		sink->on_end(sink, sink->arg);
}

/* The session may be gone after this call. */
static void
pump(struct sink_session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);

	while (s->state != K_CLOSING && !is_full(s) && step(s, in))
		;
	if (s->state == K_CLOSING) {
		if (is_drained(s))
			session_free(s);
	} else if (is_full(s)) {
		bufferevent_disable(s->bev, EV_READ);
	} else {
		bufferevent_enable(s->bev, EV_READ);
		timer_set(&s->deadline, IDLE_MS);
	}
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct sink_session *s;

	(void)bev;
	OBJ_CAST(s, arg, SINK_SESSION_MAGIC);
	pump(s);
}

/* The output is written: go on, or end. */
static void
on_write(struct bufferevent *bev, void *arg)
{
	struct sink_session *s;

	(void)bev;
	OBJ_CAST(s, arg, SINK_SESSION_MAGIC);
	pump(s);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct sink_session *s;

	(void)bev;
	OBJ_CAST(s, arg, SINK_SESSION_MAGIC);
	if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
		return;
	sink_close(s, "client closed the connection");
	/* After a half close the client may still read its replies. */
	if (what & BEV_EVENT_ERROR || is_drained(s))
		session_free(s);
}

static void
on_deadline(void *arg)
{
	struct sink_session *s;

	OBJ_CAST(s, arg, SINK_SESSION_MAGIC);
	if (s->state == K_CLOSING) {
		session_free(s);
		return;
	}
	sink_reply(s, 421, "4.4.2 Nothing came for too long");
	sink_close(s, "client sent nothing for too long");
}

/* Life of a session */

void
sink_session_new(struct sink *sink, struct bufferevent *bev,
    const struct netaddr *peer, const struct netaddr *local)
{
	struct sink_session *s = xcalloc(1, sizeof(*s));
	char text[NETADDR_TEXT];

	s->magic = SINK_SESSION_MAGIC;
	s->id = ++sink->count;
	s->sink = sink;
	s->bev = bev;
	s->local = netaddr_is_local(peer);
	s->client.addr = *peer;
	s->client.dest = *local;
	reply_init(&s->reply);
	buf_init(&s->envelope, SINK_ENVELOPE_MAX);
	buf_init(&s->client_text, CLIENT_MAX);
	timer_init(&s->deadline, on_deadline, s);
	LIST_INSERT_HEAD(&sink->sessions, s, link);

	log_info(s->id, "connect client=%s", netaddr_text(peer, text));
	bufferevent_setcb(bev, on_read, on_write, on_event, s);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	timer_set(&s->deadline, IDLE_MS);
	sink_greet(s);
}

void
sink_drain(struct sink *sink)
{
	struct sink_session *s;

	LIST_FOREACH(s, &sink->sessions, link) {
		if (s->state == K_CLOSING)
			continue;
		sink_reply(s, 421, "4.3.2 Shutting down");
		sink_close(s, "shutting down");
	}
}

void
sink_abort(struct sink *sink)
{
	struct sink_session *s;

	while ((s = LIST_FIRST(&sink->sessions)) != NULL) {
		sink_close(s, "shutting down");
		session_free(s);
	}
}
