/*
 * milter_impl - an instance of the milter filter and its place in a session;
 * for milter*.c only.
 *
 *	milter_wire.c	packets (a header of its own)
 *	milter_macro.c	macros: which, when, and what they are
 *	milter_reply.c	what an answer means
 *	milter_conn.c	its octets (a header of its own)
 *	milter_link.c	the connection: asking, waiting, failing
 *	milter.c	settings and events
 */
#ifndef FILTERS_MILTER_IMPL_H
#define FILTERS_MILTER_IMPL_H

#include "base/buf.h"
#include "base/clock.h"
#include "filters/filter.h"
#include "filters/milter_wire.h"
#include "filters/peers.h"

struct dial;
struct evbuffer;
struct milter_conn;

#define MILTER_MACROS_MAX	64	/* of one stage */

struct milter_settings {
	struct peers_settings	 peers;
	uint64_t		 content_timeout;	/* ms */
	bool			 skip_authenticated;
	uint64_t		 max_size;		/* 0: any */
	bool			 quarantine;
	struct setting_list	 macros[WIRE_STAGES];
};

#define MACRO_SETTINGS(stage_, name_, when_)				\
	SETTING(milter_settings, macros[stage_], name_, LIST,		\
	    .help = "Macros that are sent " when_ " beside the usual "	\
	    "ones: names, or NAME=VALUE.")

/* Macros of one stage: ones that we know, by number, … */
struct milter_macros {
	uint8_t		 id[MILTER_MACROS_MAX];
	unsigned	 n;
};

/* … and ones that are set to a text. */
struct milter_text {
	char		*name, *value;		/* ours */
	enum wire_stage	 stage;
};

struct milter {
	unsigned		 magic;
#define MILTER_MAGIC		 0x311e7001
	const struct milter_settings *settings;
	const char		*name;
	uint64_t		 timeout;	/* ms, for a command */
	struct peers_settings	 where;		/* with addresses as peers has
						   them; the list is ours */
	struct peers		*peers;		/* ours */
	struct milter_macros	 standard[WIRE_STAGES], added[WIRE_STAGES];
	struct milter_text	*texts;		/* ours */
	size_t			 ntexts;
	struct buf		 out, in;	/* one packet, while it is made
						   or understood */
};

/* The slot's session memory. */
struct milter_session {
	unsigned		 magic;		/* from the first event on */
#define MILTER_SESSION_MAGIC	 0x311e7002
	struct milter		*milter;
	struct chain_slot	*slot;

	/* The connection */
	enum {
		LINK_NONE,
		LINK_DIALS,
		LINK_GREETS,		/* the negotiation is under way */
		LINK_OPEN
	}			 link;
	struct dial		*dial;		/* ours */
	struct milter_conn	*conn;		/* ours */
	int			 peer;
	char			*trouble;	/* with the one before; ours */
	uint32_t		 version, protocol;
	unsigned		 edits;		/* chain_narrow(), of a message
						   that it is asked about */
	struct milter_macros	 wanted[WIRE_STAGES];
	bool			 chose[WIRE_STAGES];	/* wanted counts */
	struct timer		 deadline;

	/* The event, and what is still to be said for it: commands */
	enum filter_event	 event;
	bool			 asked;		/* the chain waits for us */
	const char		*todo;
	char			 due;		/* to this there is an answer to
						   come; 0: none is */
	bool			 full;		/* it does not read */
	unsigned		 replies;	/* to the event, so far */
	const struct txn	*txn;		/* NULL outside of one */
	const struct txn_rcpt	*rcpt;
	const char		*refusal_of_rcpt; /* NULL: it is not refused */
	const char		*unknown;	/* the command */
	const struct header	*header;
	char			*message_id;	/* of the header; ours */
	struct evbuffer		*body;		/* not sent yet; ours */

	/* What it has said of the session: nothing more is asked … */
	bool			 done;
	enum verdict		 refusal;	/* … and each MAIL gets this;
						   V_CONTINUE: it does not */
	int			 code;		/* of refusal */
	char			*text;		/* … ours */

	/* … and of the message */
	bool			 in_message;	/* ABORT is due if we leave */
	bool			 passed;	/* it is not asked about it */
	bool			 lost;		/* it is to be told to the chain
						   that this failed: trouble */
	unsigned		 skipped;	/* bits: commands it wants no
						   more of */
	bool			 hold;		/* it wants quarantine */
	bool			 replaces;
	struct buf		 new_body;
};

/* milter_macro.c */
/* The number of a macro, with or without braces; -1: we do not have it. */
int milter_macro_find(struct slice name);
void milter_macros_standard(struct milter_macros m[WIRE_STAGES]);
/* Add the packet with the macros of a command to out, if it has any. */
void milter_macros_put(const struct milter_session *m, struct buf *out,
    char command);

/* milter_reply.c */
enum milter_next {
	MILTER_MORE,		/* it was not the last word */
	MILTER_NEXT,		/* all is well: say what is to be said next */
	MILTER_ANSWER,		/* *v is the answer to the event */
	MILTER_ERROR		/* *why: static */
};

/* An answer to m->due. */
enum milter_next milter_understand(struct milter_session *m,
    const struct wire_reply *r, enum verdict *v, const char **why);
/* The verdict about each message of a session that is refused. */
enum verdict milter_refuse(struct milter_session *m);

/* milter_link.c */
/* Say these commands, one after the other, connecting first if that is due.
   V_WAIT, or the answer. */
enum verdict milter_say(struct milter_session *m, enum filter_event ev,
    const char *todo);
/* Does it want this command? Once it has negotiated. */
bool milter_wants(const struct milter_session *m, char command);
/* No more of this message: as if it had ended, without a verdict. */
void milter_leave(struct milter_session *m);
/* Forget what belongs to the message. */
void milter_reset(struct milter_session *m);
/* End the connection; politely if it is in order. */
void milter_hang_up(struct milter_session *m);

#endif
