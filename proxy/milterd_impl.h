/*
 * milterd_impl - what the files of the milter share, and nobody else includes.
 *
 *	milterd.c		the process: start, signals, reload, stop
 *	milterd_keeper.c	the process in front of it
 *	milterd_socket.c	where MTAs find us
 *	milterd_gate.c		from libmilter's threads to the loop
 *	milterd_callbacks.c	what libmilter calls
 *	milterd_session.c	what the chain is asked, and what follows
 *	milterd_envelope.c	MAIL and RCPT
 *	milterd_facts.c		what the MTA has told
 *	milterd_content.c	the message, put together and edited
 *	milterd_plan.c		edits as calls of libmilter
 *
 * A session belongs to one side at a time. Outside of a call it is the loop's.
 * From gate_ask() on the thread waits, and when the answer is there it takes
 * it along. The members that a thread uses without the loop are marked so.
 */
#ifndef PROXY_MILTERD_IMPL_H
#define PROXY_MILTERD_IMPL_H

#include <sys/queue.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/obj.h"
#include "filters/chain.h"
#include "proxy/conf.h"
#include "proxy/milterd.h"
#include "proxy/worker.h"

struct control;
struct smfi_str;
struct sockaddr;
struct intake;

/* What sessions share that began with the same configuration. */
struct milterd_era {
	struct conf		*conf;		/* ours */
	const struct conf_listener *listener;	/* whose chain it is */
	struct worker		 w;		/* for the filters */
	unsigned		 refs;		/* of sessions, and if it is the
						   last one of milterd */
	unsigned long		 missed;	/* SMFIF_… that an MTA did not
						   offer, and the log knows */
};

struct milterd {
	unsigned		 magic;
#define MILTERD_MAGIC		 0x311e4d00
	const struct milterd_options *options;
	struct event_base	*base;		/* ours */
	struct event		*signals[6];	/* ours */
	struct milterd_era	*era;		/* of new sessions; a reference */
	LIST_HEAD(, milterd_session) sessions;	/* theirs */
	size_t			 nsessions, ntxns;
	bool			 stopping;	/* no new messages */
	bool			 over;
	int			 status;
	struct timer		 deadline;	/* of the stop */
	struct control		*control;	/* ours; NULL: none */
};

/* What the MTA is asked for in so many words (smfi_setsymlist). */
enum milterd_macro {
	MACRO_CLIENT_PTR, MACRO_CLIENT_RESOLVE, MACRO_DAEMON_ADDR,
	MACRO_DAEMON_PORT, MACRO_IF_ADDR, MACRO_DAEMON_NAME,
	MACRO_TLS_VERSION, MACRO_CIPHER, MACRO_CIPHER_BITS,
	MACRO_CERT_SUBJECT, MACRO_CERT_ISSUER, MACRO_VERIFY,
	MACRO_AUTH_TYPE, MACRO_AUTH_AUTHEN, MACRO_PROTOCOL, MACRO_QUEUE_ID,
	MACROS
};

enum milterd_event {
	ON_NEGOTIATE, ON_CONNECT, ON_HELO, ON_MAIL, ON_RCPT, ON_DATA,
	ON_CONTENT,		/* a part of it */
	ON_EOM, ON_ABORT, ON_CLOSE
};

/* A call of libmilter for one change of the message. */
struct milterd_op {
	enum {
		OP_ADD, OP_INSERT, OP_CHANGE,	/* name, value, index */
		OP_ADD_RCPT, OP_FROM,		/* name: address, value: its
						   parameters or NULL */
		OP_DELETE_RCPT,			/* name */
		OP_QUARANTINE,			/* value */
		OP_BODY				/* the spool from offset on */
	}		 kind;
	int		 index;
	char		*name, *value;	/* ours */
	uint64_t	 offset;
};

struct milterd_plan {
	struct milterd_op *ops;		/* ours */
	size_t		 n;
};

/* One event, handed over. What the MTA says is borrowed until it is
   answered. */
struct milterd_call {
	enum milterd_event	 event;
	unsigned long		 actions, protocol;	/* NEGOTIATE: offered,
							   then wanted */
	const char		*text;		/* host name; HELO */
	const struct sockaddr	*sa;		/* CONNECT; NULL: unknown */
	char			**argv;		/* MAIL, RCPT */
	char			*macros[MACROS]; /* NULL: not given; ours */

	/* The answer */
	enum verdict		 verdict;	/* CONTINUE, REJECT, TEMPFAIL,
						   DISCARD or SKIP */
	char			*reply;		/* with REJECT, TEMPFAIL; ours */
};

struct milterd_session {
	unsigned		 magic;
#define MILTERD_SESSION_MAGIC	 0x311e4d01
	uint64_t		 id;		/* in every log line of it */
	struct milterd		*m;
	struct milterd_era	*era;		/* a reference */
	LIST_ENTRY(milterd_session) all;

	/* The gate */
	struct milterd_call	 call;
	pthread_cond_t		 answered;
	bool			 done;
	STAILQ_ENTRY(milterd_session) waiting;
	struct milterd_plan	 plan;		/* with the answer to EOM */
	bool			 plan_failed;	/* thread → loop: MTA is gone */

	/* As negotiated; the thread reads them */
	unsigned long		 actions;	/* SMFIF_…: what may be done */
	unsigned long		 protocol;	/* SMFIP_… */
	bool			 leadspc;

	/* The question to the chain */
	struct chain		*chain;		/* ours */
	bool			 busy;		/* a call is to be answered */
	void			(*then)(struct milterd_session *);
	struct timer		 deadline;	/* of the answer */
	bool			 auth_asked;	/* about the login there is */

	/* Facts; strings are ours */
	struct facts		 facts;
	char			*strings[MACROS];
	char			*host, *helo;
	uint64_t		 started_us;
	unsigned		 errors, bad_rcpts, messages, serial;
	bool			 broken;	/* its chain had to be given up:
						   nothing passes any more */

	/* The transaction */
	struct txn		*txn;		/* ours; NULL between them */
	struct txn_rcpt		*rcpt;		/* that is asked about; ours */
	char			**given;	/* recipients as the MTA gave
						   them, as txn->rcpts; ours */
	struct buf		 in;		/* content that is to be fed;
						   the thread adds to it */
	unsigned		 nfields;	/* that came; the thread counts */
	size_t			 header_octets;	/* … and their octets, with the
						   empty line */
	struct buf		 header;	/* as it came, if it is held */
	struct intake		*intake;	/* ours; NULL: not held */
	bool			 changed;	/* what is held is another … */
	bool			 body_changed;	/* … in its body, too */
	uint64_t		 size;		/* of the content so far */
	bool			 too_big;
	bool			 no_room;	/* the spool failed */
	bool			 nothing_left;	/* the filters have taken all
						   recipients away */
};

/* milterd.c */
void milterd_session_ended(struct milterd *m);
/* A transaction has ended. */
void milterd_txn_ended(struct milterd *m);
struct milterd_era *era_ref(struct milterd_era *e);
void era_unref(struct milterd_era **e);

/* milterd_keeper.c */
/* Run the milter in a child, and be in front of it. Returns the exit status. */
int keeper_run(int (*child)(const struct milterd_options *),
    const struct milterd_options *o);
/* In the child: stop when the keeper has died, because nobody else could tell us
   to. The kernel forgets it with a change of the user. */
void keeper_follow(void);
/* The signals by which the keeper says it: neither side of libmilter knows
   them. */
#define KEEPER_STOP	SIGQUIT
#define KEEPER_RELOAD	SIGUSR2

/* milterd_socket.c */
/* Bind it. 0, and *name is what it is called with its real port; or -1 with
   *name what is wrong. Ours to free either way. */
int socket_open(const char *spec, char **name);
/* No MTA shall find us here any more. */
void socket_unlink(const char *spec);

/* milterd_gate.c */
/* Once, before socket_open(). */
void gate_init(struct milterd *m);
/* Start libmilter. 0 or -1. */
int gate_open(void);
/* No callback waits any more, and what comes is refused. */
void gate_close(void);
/* The loop: this call has its answer, in s->call. */
void gate_answer(struct milterd_session *s);
/* A thread: have this answered. False: there is nobody any more. */
bool gate_ask(struct milterd_session *s, struct smfi_str *ctx,
    enum milterd_event event);

/* milterd_callbacks.c */
void callbacks_register(void);

/* milterd_session.c */
/* A call has come. */
void milterd_serve(struct milterd *m, struct milterd_session *s);
/* We stop and cannot wait for this one any longer. */
void milterd_session_abort(struct milterd_session *s);

/* milterd_envelope.c: of the call there is */
struct txn *envelope_txn(const struct milterd_session *s);
struct txn_rcpt *envelope_rcpt(const struct milterd_session *s);

/* milterd_facts.c */
/* The macro's name, and where libmilter's numbers have it: SMFIM_…. */
const char *macro_name(enum milterd_macro m, int *stage);
void facts_connect(struct milterd_session *s);
void facts_helo(struct milterd_session *s);
/* Before each question. */
void facts_update(struct milterd_session *s);
void facts_take_macros(struct milterd_session *s);
void facts_free(struct milterd_session *s);

/* milterd_content.c */
/* Whose Authentication-Results we take out; NULL: nobody's. */
const char *content_authserv_id(const struct milterd_era *e);
/* May a message be changed? Then all of it is kept until that is known. */
bool content_is_held(const struct milterd_era *e);
/* Take what is in s->in, if it is to be held. */
void content_keep(struct milterd_session *s);
/* Where the next round of filters has it from. */
extern const struct chain_source content_source;
/* Do what is left to do of the filters' edits. NULL, or a reply that refuses
   the message; static. */
const char *content_edit(struct milterd_session *s);
/* The calls that tell the MTA what has become of it. NULL, or why it cannot be
   told; static. */
const char *content_plan(struct milterd_session *s);
void content_drop(struct milterd_session *s);

/* milterd_plan.c */
/* All SMFIF_… that the chain may ask for. */
unsigned long plan_actions(const struct milterd_era *e);
/* What is to be done to the message: s->plan. NULL, or a reply that refuses
   it: it cannot be. */
const char *plan_make(struct milterd_session *s);
void plan_clear(struct milterd_plan *p);
/* name and value are the plan's from now on. */
void plan_add(struct milterd_plan *p, int kind, int index, char *name,
    char *value);

/* milterd_fields.c */
struct fields_job {
	struct slice	 from, to;	/* headers, perhaps with what follows */
	unsigned	 nfields;	/* of from, as the MTA counts them */
	size_t		 place;		/* so many of to are above the MTA's
					   own Received */
	bool		 leadspc;	/* the MTA leaves spaces alone */
};
/* Add the calls that make the one header of the other. -1: the MTA has counted
   other fields. */
int fields_plan(struct milterd_plan *p, const struct fields_job *job);
/* The octets of the header at the start of this, with its empty line. */
size_t fields_octets(const char *p, size_t len);

#endif
