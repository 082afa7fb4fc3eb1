/*
 * backend - the next MTA: sessions with it, one SMTP client state machine, and
 * what it can do.
 *
 * A pool is one "backend" block in this worker: its addresses, its
 * capabilities as last seen, the sessions that are open and those that are
 * warm and free. A backend is one SMTP session with it, used by one client
 * session at a time.
 *
 *	lookup → connect → [PROXY] → greeting → EHLO → [STARTTLS → EHLO]
 *	       → [XCLIENT → greeting → EHLO] → ready
 *
 * Identity fails closed: a backend that cannot be told who the client is,
 * although it has to be, never becomes ready. A backend that goes to another
 * client is told the new identity before anything else; after AUTH, or when
 * the identity cannot be changed (PROXY), it goes to nobody.
 *
 * The reply of the backend is hostile input: bounded, checked, and every wait
 * for it has the deadline RFC 5321 4.5.3.2 gives it.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/proxyhdr.h"
#include "smtp/ext.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

struct backend;
struct evbuffer;
struct pool;
struct spool;
struct worker;

/* Starts a probe of the capabilities at once. */
struct pool *pool_new(struct worker *w, size_t backend_index);
void pool_free(struct pool **p);

/*
 * What the backend can do, as last seen, or NULL while it has never answered.
 * Asking for it then starts a probe, if none was tried within the last second.
 */
const struct ext_set *pool_extensions(struct pool *p);
/*
 * Call fn when the probe that is under way has ended, well or not. Returns
 * false, and fn is not called, when none is. Once per call.
 */
struct pool_wait {
	struct pool_wait	*next;
	void			(*fn)(void *arg);
	void			*arg;
	bool			 waiting;
};
bool pool_wait(struct pool *p, struct pool_wait *w);
void pool_wait_cancel(struct pool *p, struct pool_wait *w);

/* The commands a client session has sent. The reply to each comes back as
   on_reply with the same kind and tag, in order. */
enum backend_kind {
	BACKEND_MAIL, BACKEND_RCPT, BACKEND_AUTH,
	BACKEND_CONTENT		/* to the end of data, or before it */
};

enum backend_failure {
	BACKEND_UNREACHABLE,	/* no address answered, or none in time */
	BACKEND_NO_IDENTITY,	/* it cannot be told who the client is */
	BACKEND_REFUSED,	/* it said no before it was ready, knowing who
				   the client is: the reply is a verdict */
	BACKEND_SHUTDOWN,	/* 421; the reply is to be passed on */
	BACKEND_LOST		/* gone, too late or nonsense after that; or
				   unused, and wanted by another session */
};

struct backend_user {
	/* It may be used: backend_extensions() is true now. */
	void (*on_ready)(void *arg);
	void (*on_reply)(void *arg, enum backend_kind kind, void *tag,
	    const struct reply *r);
	/*
	 * It is over; no reply will come for what has none yet. r is NULL
	 * unless the failure is REFUSED or SHUTDOWN. why is for the log. The
	 * backend is still there and must be given back.
	 */
	void (*on_failure)(void *arg, enum backend_failure f,
	    const struct reply *r, const char *why);
	/* backend_stream_is_full() may be false now. */
	void (*on_room)(void *arg);
};

/* Who the client is, in the words of all the ways to say so. Borrowed until
   the call returns. */
struct backend_identity {
	struct xclient		x;
	struct proxyhdr_tls	tls;
	bool			esmtp;	/* the client said EHLO */
};

/*
 * Get a backend: a warm one, a new one, or, when max-sessions are open, the
 * next that is given back. id is the client session's, for the log. Nothing is
 * called before this returns. The user is borrowed, arg is handed to its
 * functions.
 */
struct backend *backend_get(struct pool *p, uint64_t id,
    const struct backend_identity *who, const struct backend_user *user,
    void *arg);

/*
 * Give it back, and leave NULL; NULL is fine. It goes to another client, after
 * a RSET if a transaction is open, when that is safe: every reply has come, no
 * login, not even half of one, an identity that can be changed. Otherwise it is
 * closed, and content that was under way is never followed by its end.
 */
void backend_put(struct backend **b);

/* Others wait for a session (max-sessions): do not keep one you do not need. */
bool backend_is_wanted(const struct backend *b);

bool backend_is_ready(const struct backend *b);
/* Of this session; valid when it is ready. */
const struct ext_set *backend_extensions(const struct backend *b);
bool backend_is_lmtp(const struct backend *b);
/* "127.0.0.1:10025", for logs. */
const char *backend_name(const struct backend *b);

/*
 * Queue one command; line has no CR LF and no control characters (asserted).
 * Commands leave together with backend_flush(), or one at a time if the
 * backend has no PIPELINING.
 */
void backend_command(struct backend *b, enum backend_kind kind, void *tag,
    const char *line);
void backend_flush(struct backend *b);

/* End the transaction that may be open: RSET, whose reply stays inside; one
   that is not positive makes the backend BACKEND_LOST. */
void backend_reset(struct backend *b);

/* A transaction is open, and its content takes long to come: say NOOP if
   nothing was said for a minute, lest the backend thinks that we are gone. */
void backend_keep_alive(struct backend *b);

/*
 * Send the message and take the reply to its end as BACKEND_CONTENT. content
 * (ours from now on) is canonical; over BDAT it goes as it is, over DATA
 * stuffed (dotted: some line begins with a dot). ends_in_crlf: as of dot.h.
 * due: clock_ms() by when the reply has to be here; 0: data-done-timeout after
 * its end.
 */
struct backend_content {
	struct spool	*spool;
	bool		 bdat;
	bool		 dotted;
	bool		 ends_in_crlf;
	uint64_t	 due;
};
void backend_send(struct backend *b, const struct backend_content *content,
    void *tag);

/*
 * Send a message while it comes: what held has (ours from now on, and not
 * empty), then what backend_stream_add() brings. The last piece is withheld
 * until backend_stream_end(): before that the backend has no end of data and
 * no BDAT LAST. By BDAT it goes in chunks, each of which is here as a whole
 * when it is begun, so that a sender that stops leaves nothing half-sent. What
 * trickles in goes on after seconds, lest the backend thinks that we are gone.
 *
 * on_reply(BACKEND_CONTENT) comes once: for the end, or before it, when the
 * backend refuses what it has (never a positive reply then). After that nothing
 * of the message is sent any more, and backend_reset() ends the transaction.
 */
void backend_stream(struct backend *b, struct spool *held, bool bdat,
    void *tag);
/* Moves what is in piece behind what has come, leaving it empty. Takes it
   even when full. */
void backend_stream_add(struct backend *b, struct evbuffer *piece);
/* The backend is slower than the sender: bring no more until on_room(). */
bool backend_stream_is_full(const struct backend *b);
/* It is complete and approved; due and ends_in_crlf as above. */
void backend_stream_end(struct backend *b, bool ends_in_crlf,
    uint64_t due);
/*
 * It must not be delivered. True: the transaction is ended by RSET, and b as
 * good as before. False: only the end of the connection can tell the backend,
 * backend_put() it.
 */
bool backend_stream_drop(struct backend *b);

/* The client logged in through this backend: it is nobody else's for ever. */
void backend_set_authenticated(struct backend *b);

#endif
