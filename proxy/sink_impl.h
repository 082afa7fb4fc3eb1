/*
 * sink_impl - struct sink_session, for sink.c, sink_command.c and
 * sink_data.c only.
 */
#ifndef PROXY_SINK_IMPL_H
#define PROXY_SINK_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/net.h"
#include "proxy/sink.h"
#include "smtp/command.h"
#include "smtp/dot.h"
#include "smtp/param.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

struct evbuffer;

#define SINK_ENVELOPE_MAX	(1 << 20)

enum sink_state {
	K_HELO,			/* greeted; no EHLO yet */
	K_READY,		/* between transactions */
	K_MAIL,			/* a sender, no recipient yet */
	K_RCPT,			/* at least one recipient */
	K_DATA,			/* reading content up to the dot */
	K_BDAT,			/* at least one chunk was taken */
	K_FAILED,		/* a chunk was refused: 503 until RSET */
	K_CLOSING,		/* the last reply is queued; input is ignored */
	K_STATES
};

struct sink_session {
	unsigned		 magic;
#define SINK_SESSION_MAGIC	 0x51e55102
	uint64_t		 id;
	struct sink		*sink;		/* borrowed; outlives us */
	LIST_ENTRY(sink_session) link;		/* in sink->sessions */
	struct bufferevent	*bev;		/* ours */
	struct timer		 deadline;
	enum sink_state		 state;
	const char		*closed_because;

	/* the line that is being read */
	size_t			 scanned;	/* for line_cut() */
	struct reply		 reply;		/* the one we are writing */

	/* who the client is: from the connection, or by XCLIENT */
	bool			 local;		/* it runs on this machine */
	struct xclient		 client;
	struct buf		 client_text;	/* what client points to */
	char			*helo;		/* ours; NULL before EHLO */
	bool			 esmtp;		/* it said EHLO or LHLO */
	struct ext_set		 offered;	/* what we answered */

	/* the transaction; session_reset() clears it */
	struct buf		 envelope;	/* header lines, one for each
						   command that was accepted */
	unsigned		 nrcpts;
	bool			 utf8;
	bool			 binary;	/* BODY=BINARYMIME */
	struct maildir_file	*file;		/* ours; NULL: no content yet,
						   or it is thrown away */
	uint64_t		 size;		/* octets of content */
	int			 error;		/* errno of maildir_begin() */
	struct dot		 dot;

	/* the chunk whose octets come next, wanted or not */
	bool			 in_chunk;
	bool			 chunk_last, chunk_wanted;
	uint64_t		 chunk_left;
	uint64_t		 chunk_size;
};

/* Reply with one line, which begins with its enhanced code. */
void sink_reply(struct sink_session *s, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Send s->reply; bare: without enhanced codes. */
void sink_send(struct sink_session *s, bool bare);
void sink_greet(struct sink_session *s);
void sink_enter(struct sink_session *s, enum sink_state next);
/* Forget the transaction. */
void sink_reset(struct sink_session *s);
/* Close when the output is written. Frees nothing itself. */
void sink_close(struct sink_session *s, const char *why);

/* Run or refuse a command; more: the client did not wait for the answer. */
void sink_command(struct sink_session *s, const struct command *c, bool more);

/* The commands that bring content; sink_data.c. */
void sink_data(struct sink_session *s, const struct command *c);
void sink_bdat(struct sink_session *s, const struct command *c);

/* Take what in has of the content or of the chunk; it is not empty. */
void sink_take_data(struct sink_session *s, struct evbuffer *in);
void sink_take_chunk(struct sink_session *s, struct evbuffer *in);

#endif
