/*
 * backend_impl - the structs of backend.c and pool.c, for these two only.
 */
#ifndef PROXY_BACKEND_IMPL_H
#define PROXY_BACKEND_IMPL_H

#include <sys/queue.h>

#include "base/clock.h"
#include "base/obj.h"
#include "proxy/backend.h"
#include "proxy/conf.h"
#include "proxy/conn.h"
#include "proxy/worker.h"

enum backend_state {
	B_QUEUED,		/* max-sessions are open; wait for one */
	B_CONNECTING,
	B_GREETING,		/* connected; the banner is to come */
	B_EHLO, B_HELO,		/* said; the reply is to come */
	B_STARTTLS,		/* said; the reply is to come */
	B_HANDSHAKE,
	B_XCLIENT,		/* said, in one or more lines; greetings come */
	B_READY,		/* in use, or idle when it has no user */
	B_DEAD,			/* failed, or given back and to be freed */
	B_NSTATES
};

/* A command without its reply. */
struct pending {
	STAILQ_ENTRY(pending)	 next;
	enum backend_kind	 kind;
	enum {
		FOR_USER,
		FOR_RESET,		/* must be accepted */
		FOR_LOG			/* XFORWARD, NOOP: whatever it says */
	}			 purpose;
	bool			 sent;
	void			*tag;
	char			 line[];	/* with CR LF */
};

struct backend {
	unsigned		 magic;
#define BACKEND_MAGIC		 0xbac4e0d1
	uint64_t		 id;	/* the client session's */
	struct pool		*pool;	/* outlives us */
	enum backend_state	 state;
	TAILQ_ENTRY(backend)	 link;	/* on pool->queued, idle or used */
	const struct backend_user *user; /* NULL: idle, or a probe */
	void			*arg;
	bool			 probe;	/* learns the extensions, then ends */
	bool			 counted; /* is one of pool->open */
	bool			 idle;	/* on pool->idle, else on another */

	/* Who the client is; strings are ours. */
	struct backend_identity	 who;
	bool			 told;	/* the backend knows who that is */
	bool			 authenticated;

	size_t			 address; /* that we try: index, */
	int			 addr;	/* and which one of its resolved */
	struct conn		*conn;	/* ours; NULL before and after */
	uint64_t		 setup_due; /* clock_ms() by when it is ready */
	uint64_t		 address_due; /* and this address has to be */
	struct timer		 kick;	/* the next step, from the loop */
	bool			 connected; /* known to be, after a while */
	bool			 reused; /* warm, and silent since then */
	bool			 ahead;	/* it replies to what we did not say */
	bool			 in_auth; /* its last word was 334 */
	bool			 in_transaction; /* MAIL went, no end yet */
	int			 greetings; /* that XCLIENT still owes us */
	struct ext_set		 ext;	/* as the last EHLO has it */
	struct reply		 reply;	/* being read */
	STAILQ_HEAD(, pending)	 pending;
	size_t			 replies_due; /* for pending that are sent */
	uint64_t		 said_ms; /* clock_ms() of the last command */

	/* The message on its way; spool NULL: none. */
	struct backend_content	 content;
	enum {
		C_NONE,
		C_QUEUED,		/* behind a NOOP */
		C_WAIT_354,
		C_SENDING,		/* from the spool, all of which is here */
		C_STREAMING,		/* as it comes */
		C_DRAINING,		/* dropped; replies to chunks are to come */
		C_WAIT_REPLY		/* to its end */
	}			 content_state;
	void			*content_tag;
	bool			 at_bol;

	/* A message that goes on while it comes. */
	struct evbuffer		*stream; /* ours: came and is not sent */
	size_t			 ready;	/* of it: need not be withheld */
	bool			 complete; /* its end may be sent */
	size_t			 chunks_due; /* replies to BDAT to come */
	struct timer		 nudge;	/* sends what has come so far */
};

TAILQ_HEAD(backend_list, backend);

struct pool {
	struct worker		*w;	/* outlives us */
	const struct conf_backend *conf;
	const struct conf	*global;
	struct ext_set		 ext;
	bool			 known;
	struct backend		*probe;	/* ours; NULL: none under way */
	uint64_t		 probed_ms; /* clock_ms() of the last one; 0 */
	struct pool_wait	*waits;
	struct backend_list	 idle, used, queued;
	size_t			 open, limit; /* limit 0: any number */
};

/* backend.c, for the pool */
struct backend *backend_new(struct pool *p);
void backend_start(struct backend *b);
/* A warm one has a new user: tell the backend who it is. */
void backend_restart(struct backend *b);
void backend_set_identity(struct backend *b, const struct backend_identity *w);
/* Say QUIT if that makes sense, close, and free from the loop. */
void backend_close(struct backend *b);
/* Free now; for the end of the worker. */
void backend_destroy(struct backend *b);
bool backend_is_reusable(const struct backend *b);
/* It has a user, who does nothing with it at the moment. */
bool backend_is_unused(const struct backend *b);

/* backend.c, for the other two */
const struct conf *backend_conf(const struct backend *b);
const struct where *backend_where(const struct backend *b);
/* The only place where a backend changes its state. */
void backend_enter(struct backend *b, enum backend_state next);
const char *backend_state_name(const struct backend *b);
/* It cannot go on; r as for on_failure(). b may be dead afterwards. */
void backend_fail(struct backend *b, enum backend_failure f,
    const struct reply *r, const char *why);
/* During set-up: this address will not do. */
void backend_try_next_address(struct backend *b, const char *why);
/* A probe knows what it wanted to know, or will not. */
void backend_end_probe(struct backend *b);
/* It is of no more use, but its user still has it. */
void backend_die(struct backend *b);
/* The same, and the user is told. He may give it back in the call. */
void backend_give_up(struct backend *b, enum backend_failure f,
    const struct reply *r, const char *why);
extern const struct conn_owner backend_conn_owner;

/* backend_setup.c: what follows each reply, by state */
typedef void backend_setup_fn(struct backend *b);
backend_setup_fn backend_on_greeting, backend_on_ehlo, backend_on_helo,
    backend_on_starttls, backend_on_xclient;
/* Try address after address until a socket is connecting. */
void backend_connect(struct backend *b);
void backend_on_tls(void *arg);
/* It does not want us, or the client once it knows him. */
void backend_refused(struct backend *b);
/* Wait for the next thing, but never past the time of this address. */
void backend_setup_deadline(struct backend *b, uint64_t ms);
/* How this backend is told who the client is, auto being decided. */
enum conf_identity backend_tells(const struct backend *b);
bool backend_takes_xclient(const struct backend *b);
void backend_free_identity(struct backend *b);

/* backend_content.c */
void backend_on_drained(void *arg);
void backend_on_content_reply(struct backend *b);
/* The commands before it are answered. */
void backend_begin_content(struct backend *b);
/* Move n octets to the output, with dots stuffed. */
void backend_stuff(struct backend *b, struct evbuffer *from, size_t n);
/* All of the content is in the output: say so, and wait for the reply. */
void backend_content_sent(struct backend *b);

/* backend_stream.c */
/* Send what may be sent, as far as the backend takes it. */
void backend_stream_push(struct backend *b);
/* A reply to a chunk that is not the last. */
void backend_on_chunk_reply(struct backend *b);
/* Forget what was not sent. */
void backend_stream_stop(struct backend *b);
void backend_on_nudge(void *arg);

/* pool.c, for the backends */
void pool_learned(struct pool *p, const struct ext_set *ext);
void pool_probe_ended(struct pool *p);
/* A warm backend was lost or is too old. */
void pool_drop_idle(struct pool *p, struct backend *b);
/* Its RSET is answered. */
void pool_backend_clean(struct pool *p, struct backend *b);
/* One session less: somebody may be waiting for that. */
void pool_closed(struct pool *p, struct backend *b);

#endif
