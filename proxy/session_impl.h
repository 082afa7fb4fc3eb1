/*
 * session_impl - struct session, for the files session*.c only.
 *
 *	session.c		life, states, events of the connection
 *	session_pump.c		commands in, replies out, both in order
 *	session_command.c	the command table; one handler per verb
 *	session_backend.c	what is forwarded, and what comes back
 *	session_data.c		DATA and BDAT: content to the spool; the verdict
 *	session_stream.c	or on to the backend while it comes
 *	session_filters.c	what the filters are asked, and what follows
 *	session_edit.c		what they want changed
 *	session_rewrite.c	… in the content
 *	session_received.c	the Received of ours
 *	session_quarantine.c	a message that is held back
 */
#ifndef PROXY_SESSION_IMPL_H
#define PROXY_SESSION_IMPL_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/net.h"
#include "base/obj.h"
#include "filters/chain.h"
#include "filters/lookup.h"
#include "filters/txn.h"
#include "proxy/backend.h"
#include "proxy/conf.h"
#include "proxy/conn.h"
#include "proxy/intake.h"
#include "proxy/session.h"
#include "proxy/worker.h"
#include "smtp/command.h"
#include "smtp/ext.h"
#include "smtp/reply.h"

struct quarantine_job;
struct resolve_query;

enum session_state {
	S_PROXY,		/* a PROXY header is to come first */
	S_TLS,			/* implicit TLS: the handshake is under way */
	S_GREETING,		/* we owe the client a banner */
	S_HELO,			/* banner sent, no EHLO yet */
	S_READY,		/* between transactions */
	S_AUTH,			/* the next line belongs to a SASL exchange */
	S_MAIL,			/* MAIL accepted, no recipient yet */
	S_RCPT,			/* at least one RCPT accepted */
	S_DATA,			/* reading content up to the dot */
	S_BDAT,			/* between two chunks */
	S_CHUNK,		/* reading a chunk */
	S_CLOSING,		/* final reply queued; input is ignored */
	S_NSTATES
};

#define IN(s)	(1u << (s))

enum session_busy {		/* why the next command has to wait */
	BUSY_NO,		/* it has not; read on */
	BUSY_REPLIES,		/* replies to earlier commands are to come */
	BUSY_NAME,		/* filters want to know the client's name */
	BUSY_RECIPIENT,		/* a table is asked whether he is there */
	BUSY_FILTERS,		/* they have been asked */
	BUSY_QUARANTINE,	/* the message is being kept */
	BUSY_PROBE,		/* the capabilities are not known yet */
	BUSY_BACKEND,		/* the reply to AUTH or content is to come */
	BUSY_ROOM,		/* the backend takes no more content now */
	BUSY_TLS		/* a handshake */
};

enum close_reason {
#define CLOSE(id, is_error, text)	CLOSE_##id,
#include "proxy/close.def"
#undef CLOSE
	CLOSE_REASONS
};

/* A reply that cannot leave yet, because one before it is not there. */
struct slot {
	STAILQ_ENTRY(slot)	 next;
	bool			 filled;
	struct buf		 text;
};

struct session {
	unsigned		 magic;
#define SESSION_MAGIC		 0x5e551017
	uint64_t		 id;	/* in every log line of this session */
	struct worker		*w;	/* outlives every session */
	const struct conf	*conf;	/* w's */
	const struct conf_listener *listener;
	struct session		*prev, *next;	/* w->sessions */

	enum session_state	 state;
	enum session_busy	 busy;
	void			(*then)(struct session *);
				/* what ends the wait goes on here; or NULL */
	enum close_reason	 closed_because;
	bool			 client_eof;	/* it will send no more */
	bool			 client_gone;	/* it will not even read */
	struct timer		 reap;	/* frees, from the loop */

	struct conn		*client;	/* ours */
	size_t			 scanned; /* of smtp/line.h */
	size_t			 skipped; /* octets of a line too long */
	bool			 pumping;	/* or an event is being told */
	bool			 pump_again;	/* when that is over */
	struct timer		 flush;		/* of a part of a group */
	uint64_t		 input_due; /* clock_ms(): content is late */

	/* Who the client is: as connected, or as PROXY and XCLIENT say. */
	struct netaddr		 peer;		/* of the connection */
	struct netaddr		 client_addr, local_addr;
	bool			 trusted_xclient;
	char			*helo;		/* NULL: not said; ours */
	bool			 esmtp;		/* it said EHLO */
	struct ext_set		 offered;	/* to that EHLO */
	char			*client_name;	/* confirmed PTR name; ours */
	char			*reverse_name;	/* unconfirmed; ours */
	char			*login;		/* from XCLIENT; ours */
	bool			 name_given;	/* client_name is, too */
	enum { NAME_UNKNOWN, NAME_ASKED, NAME_DONE, NAME_FAILED } name_state;
	struct resolve_query	*name_query;	/* ours while NAME_ASKED */
	struct tls_certificate	*certificate;	/* ours; NULL: none shown */
	bool			 authenticated;
	char			*auth_user;	/* who it says it is; ours */
	enum auth_mech		 auth_mech;	/* of the last AUTH */
	const char		*auth_mechanism; /* the same; NULL: none */
	bool			 auth_first;	/* its first message is to come */
	char			*auth_reply;	/* for later; ours */

	struct chain		*chain;		/* ours; NULL: no filters */
	struct facts		 facts;		/* for them */
	struct txn_rcpt		*asked_rcpt;	/* they, or a table, are asked
						   about; ours */
	struct address		*asked_to;	/* the same; ours */
	struct lookup		*lookup;	/* of the table; its client's */
	enum table_result	 found;		/* by it */
	char			*asked_text;	/* of its refusal, or of an
						   unknown command; ours */
	char			*last_words;	/* a 421 or 521; ours */
	size_t			 replays;	/* replies to an envelope that
						   was said again, to come */
	bool			 replay_refused; /* one was negative */
	struct quarantine_job	*quarantine_job; /* ours, in BUSY_QUARANTINE */

	STAILQ_HEAD(, slot)	 slots;		/* replies in order */
	size_t			 nslots;

	size_t			 route;		/* conf->backends index */
	struct backend		*backend;	/* ours; NULL: none open */
	struct pool_wait	 wait;		/* for a probe, */
	size_t			 wait_pool;	/* of the pool before this */
	struct slot		*mail_slot;	/* MAIL asks the backend */
	char			*auth_line;	/* to send when it is ready */

	struct txn		*txn;		/* ours; NULL between them */
	struct intake		*intake;	/* ours; NULL: no content yet */
	uint64_t		 chunk_left;	/* BDAT: octets to come */
	bool			 chunk_last;
	bool			 bdat_failed;	/* 503 until the txn ends */
	const char		*chunk_refusal;	/* reply at its end, or NULL */
	enum session_state	 chunk_back;	/* state after a refused one */

	uint64_t		 started_us;
	unsigned		 errors;	/* since the last message */
	unsigned		 past_errors;	/* before it */
	unsigned		 bad_rcpts;	/* of ended transactions */
	unsigned		 junk;		/* since the last message */
	unsigned		 ntxns;		/* messages the backend took */
	unsigned		 serial;	/* transactions that began */
	bool			 refuses_txn;	/* what we refuse is of the
						   last of them */
};

/* session.c */
void session_enter(struct session *s, enum session_state next);
/* May be called from any depth of callback; frees nothing itself. */
void session_close(struct session *s, enum close_reason why);
/* End the transaction here; the backend hears RSET if it knew of it. */
void session_end_txn(struct session *s);
/* A command has client-timeout to arrive, from now on. */
void session_expect_command(struct session *s);

/* session_pump.c */
void session_pump(struct session *s);
/* The replies of a group have waited for the rest of it long enough. */
void session_on_flush(void *arg);
/*
 * An event that may end several waits is told between these two: nothing of
 * the input is run before it is told as a whole.
 */
bool session_hold(struct session *s);
void session_let_go(struct session *s, bool held);
/* Stop running commands until session_resume(); then: go on there first. */
void session_wait(struct session *s, enum session_busy why,
    void (*then)(struct session *));
void session_resume(struct session *s);

/* Our reply to the command that is being run; printf format. */
void session_reply(struct session *s, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A reply of static text that begins with its code: "555 5.5.4 …". */
void session_reply_text(struct session *s, const char *code_and_text);
/* A whole reply; bare: without enhanced codes of ours. */
void session_reply_as(struct session *s, const struct reply *r, bool bare);
/* The reply to this command comes later; slot_fill() once. */
struct slot *slot_new(struct session *s);
void slot_fill(struct session *s, struct slot *slot, const struct reply *r);
/* Replies that will never come: forget them and what waits behind them. */
void session_drop_slots(struct session *s);
void slot_fill_text(struct session *s, struct slot *slot,
    const char *code_and_text);

/* session_command.c */
void session_command(struct session *s, const struct command *c);
void session_auth_line(struct session *s, const char *line, size_t len);
void session_offer(struct session *s);	/* the reply to EHLO */
void session_log_xclient(const struct session *s);
void session_greet(struct session *s);
void session_helo(struct session *s);	/* the reply to HELO or EHLO */
/* The recipient is approved: route it, or refuse it. r is ours. */
void session_take_rcpt(struct session *s, struct txn_rcpt *r,
    const struct address *to);
void session_approve_data(struct session *s);
/* Nobody wants to know any more whether the recipient is there. */
void session_forget_recipient(struct session *s);
bool session_is_tls(const struct session *s);
/* NULL, or the refusal of all that is not on the way to TLS: it is required
   and not there, or without the certificate that is. Static text. */
const char *session_needs_tls(const struct session *s);
/* Does this verb belong to the pipelined group, so that it need not wait? */
bool session_is_group(enum command_verb v);

/* session_backend.c */
/* EHLO is said: answer when it is known what the backend can do. */
void session_ehlo(struct session *s);
/* MAIL is approved: reply, or ask the backend. */
void session_mail(struct session *s);
/* Choose the backend for a recipient. NULL, or a reply: it cannot be now. */
const char *session_route(struct session *s, const struct address *to);
/* Send what is queued for the backend, opening it first if need be. */
void session_forward(struct session *s);
/* line (ours from now on) goes to the backend; it is never logged. */
void session_auth(struct session *s, char *line);
/* The content is complete and approved. */
void session_send_content(struct session *s, bool bdat);
/* Give the backend back, or keep it for the next transaction. */
void session_release_backend(struct session *s, bool keep);
/* What can be offered of the backends' extensions; NULL: not known. */
const struct ext_set *session_backend_ext(struct session *s,
    struct ext_set *room);
/* BDAT may be used towards every backend there is. */
bool session_may_chunk(const struct session *s);
/* The PTR name is wanted, soon; or not any more. */
void session_ask_name(struct session *s);
void session_forget_name(struct session *s);
void session_cancel_probe(struct session *s);
void session_log_refused(const struct session *s, const char *reply);
void session_log_discarded(const struct session *s);
void session_log_rcpt(const struct session *s, const char *to,
    const char *verdict, const char *by, const char *reply);

/* session_filters.c: ask, and go on when the answer is there */
void session_start_chain(struct session *s);
void session_end_chain(struct session *s);
void session_connect(struct session *s);	/* then session_greet() */
void session_ask_helo(struct session *s);	/* then session_helo() */
bool session_wants_auth(const struct session *s);
void session_ask_auth(struct session *s);	/* then auth_reply */
void session_ask_mail(struct session *s);	/* then session_mail() */
/* r is ours from now on; then session_take_rcpt(). */
void session_ask_rcpt(struct session *s, struct txn_rcpt *r,
    const struct address *to);
/* It is refused with this reply, which filters may want to know first. r is ours
   from now on, and may be NULL: nobody is told. */
void session_refuse_rcpt(struct session *s, struct txn_rcpt *r,
    const char *reply);
/* A command that is not ours to know: then it is refused. */
void session_ask_unknown(struct session *s, const struct command *c);
/* A recipient that was asked about has its reply: the transaction that hung
   on it ends. */
void session_end_if_refused(struct session *s);
void session_ask_data(struct session *s);	/* session_approve_data() */
void session_ask_chunk(struct session *s);	/* session_approve_chunk() */
/* A piece of content; false: the filters think about it, read no more. */
bool session_feed(struct session *s, const char *p, size_t len);
void session_ask_eom(struct session *s);	/* session_approve_content() */
/* Our refusal, with the id of the session or transaction if that is wanted;
   ours to free. */
char *session_tag(const struct session *s, const char *reply);
/* The same as the reply to this command; a 421 or 521 becomes the last words. */
void session_refuse(struct session *s, const char *reply);
/* s->last_words, and close; or wait until it is time for that. */
void session_say_last_words(struct session *s);

/* session_edit.c */
/* The filters agree, and there are edits, or session_wants_rewrite():
   session_send_approved() follows, or a refusal. */
void session_edit(struct session *s);
/* The first edit that wants the message held back, or NULL. */
const struct txn_edit *session_find_quarantine(const struct txn *t);
/* A reply to MAIL or RCPT belongs to an envelope that is said again. */
bool session_is_replaying(const struct session *s);
void session_replayed(struct session *s, const struct reply *r);

/* session_stream.c */
/* Go on with what is held, and from now on with what comes, if this message is
   one of those. */
void session_stream_if_large(struct session *s);
/* The backend takes no more now; we wait, and session_content() goes on. */
bool session_stream_waits(struct session *s);
/* The message is complete and approved. */
void session_stream_end(struct session *s);
/* Its transaction with the backend ends; it must not be delivered. */
void session_stream_drop(struct session *s);
/* The backend refuses it in the middle. */
void session_stream_refused(struct session *s, const struct reply *r);
/* The backend has gone; r is our word for it. False: nothing was streamed. */
bool session_stream_lost(struct session *s, const struct reply *r);
void session_on_room(void *arg);	/* of struct backend_user */

/* session_rewrite.c */
/* Might the content of a message of this session be changed? Then all of it is
   held until that is known. */
bool session_may_rewrite(const struct session *s);
/* The SIZE to offer, so that what is added does not make a message too large
   for the backend whose limit is theirs (0: none). */
void session_leave_room(const struct session *s, uint64_t *offered,
    uint64_t theirs);
/* Is the content in the intake, as a whole, to be changed? */
bool session_wants_rewrite(const struct session *s);
/* Do what is left to do of the filters' edits, and ours. NULL, or a reply that
   refuses the message: what they wanted makes it too large, perhaps. */
const char *session_rewrite(struct session *s);
/* The same with these fields alone, on top of what came. sent: to the backend,
   whose limit of size counts. */
const char *session_put_on_top(struct session *s,
    const struct txn_edit *fields, size_t n, bool sent);
/* Where filters of another round have the content from. */
extern const struct chain_source session_source;
/* Whose Authentication-Results we take out; NULL: nobody's. */
const char *session_authserv_id(const struct session *s);

/* session_quarantine.c; why: the edit that asks for it */
/* Fields on top of the message as it came that say why, from whom and for whom
   it is. NULL, or a reply that refuses it. */
const char *session_mark(struct session *s, const struct txn_edit *why);
/* The same, and keep it in the Maildir; then it is refused. */
void session_keep(struct session *s, const struct txn_edit *why);
void session_log_quarantine(const struct session *s,
    const struct txn_edit *why, const char *where);

/* session_received.c */
/* The value of our Received for this message; ours to free. */
char *session_received(const struct session *s);

/* session_data.c */
/* The message is refused when it has ended, whatever comes. */
void session_doom(struct session *s);
bool session_travels_by_bdat(const struct session *s);
void session_send_approved(struct session *s);
/* Why the content, as it is, cannot be accepted or sent on; or NULL. */
const char *session_objection(const struct session *s);
/* Take it, and throw it away. */
void session_discard(struct session *s);
void session_approve_chunk(struct session *s);
void session_approve_content(struct session *s);
void session_refuse_content(struct session *s, const char *reply);
/* Filters have taken their time; the client gets its own again. */
void session_restart_clock(struct session *s);
void session_start_data(struct session *s);
void session_start_chunk(struct session *s, uint64_t size, bool last);
/* Take content from the input; false when more has to come first. */
bool session_content(struct session *s);

#endif
