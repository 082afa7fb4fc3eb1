/*
 * policy_impl - an instance of the policy filter and its state in a session;
 * for policy*.c only.
 *
 *	policy.c	events → stages; outcomes → verdicts and edits
 *	policy_lines.c	content → lines for header_checks and the like
 *	policy_env.c	the facts that rules read
 *	policy_content.c what of the content they read
 *	policy_work.c	what is too long for the loop
 *	policy_ask.c	questions to remote tables, the DNS, and threads
 *	policy_when.c	a condition alone, for the filter block
 */
#ifndef FILTERS_POLICY_IMPL_H
#define FILTERS_POLICY_IMPL_H

#include "base/obj.h"
#include "base/threads.h"
#include "filters/checks_scan.h"
#include "filters/filter.h"
#include "filters/policy.h"
#include "filters/policy_content.h"
#include "rules/rules.h"

struct lookup_client;
struct policy_work;

struct policy {
	unsigned		 magic;
#define POLICY_MAGIC		 0x901ce501
	struct rules		*rules;		/* ours */
	uint64_t		 ask_timeout;	/* ms */
	size_t			 scan_above;	/* octets: by a thread */
	unsigned		 content;	/* what rules read of it */
	struct magic_type	*types;		/* ours; or NULL */
	const struct filter_worker *worker;	/* NULL before start() */
	struct threads		*threads;	/* ours; NULL as well */
	struct policy_client {
		struct table		*table;
		struct lookup_client	*client; /* ours; NULL: it failed */
	}			*clients;	/* ours */
	size_t			 nclients;
	rules_trace_fn		*trace;
	void			*trace_arg;
};

/* The slot's session memory. */
struct policy_session {
	struct policy		*policy;
	struct chain_slot	*slot;
	struct rules_state	*state;		/* ours; NULL before the first
						   event */
	enum rules_stage	 stage;		/* that is being run */

	/* What it is about; the chain's */
	const struct txn	*txn;
	const struct txn_rcpt	*rcpt;
	const struct header	*header;	/* at EV_HEADER */
	struct scan_line	 line;		/* at EV_CONTENT */
	bool			 scanning;	/* the event is about lines */
	bool			 only_header;	/* … of the header */
	bool			 finishing;	/* eom follows the last line */
	bool			 failed;	/* a stage of this event */
	struct policy_work	*work;		/* that eom waits for; or NULL */
};

/* The slot's transaction memory. */
struct policy_txn {
	bool			 begun;
	struct checks_scan	 scan;		/* of the content */
	struct buf		 content_octets; /* not scanned yet; ours */
	size_t			 at;		/* in them */
	bool			 held;		/* ps->line is of the body, and
						   its time is to come */
	struct buf		 kept;		/* what it points to, when that
						   had to be moved; ours */
	bool			 separated;	/* an edit has put an empty line
						   in front of the body */
	struct content		*content;	/* ours; or NULL */
};

/* policy_lines.c */
/* Is content looked at line by line, and not only as fields? */
bool policy_scans(const struct rules *r);
/* The message's own header, too: tables look at it. */
bool policy_scans_header(const struct rules *r);
void policy_lines_init(struct policy_txn *pt, const struct rules *r);
void policy_lines_fini(struct policy_txn *pt);
/* The next stage for the content that has come, with its line. False: no
   more of it. */
bool policy_next_line(struct policy_session *ps);
/* Content has come. */
void policy_add_content(struct policy_session *ps, const char *p, size_t len);
/* Postfix would refuse the message for its nesting. */
bool policy_is_too_deep(const struct policy_session *ps);
/* An edit of the line that is being looked at. */
void policy_edit_line(const struct policy_session *ps,
    const struct rules_edit *e);

/* policy_env.c */
void policy_env(const struct policy_session *ps, struct rules_env *env);

/* policy_ask.c */
void policy_ask(void *arg, struct rules_question *q);
/* Nothing that is under way is to be answered any more. */
void policy_stop_asking(struct policy_session *ps);
/* For the tables that are remote; looks up host names, blocking. */
void policy_make_clients(struct policy *p);
void policy_free_clients(struct policy *p);

/* policy_work.c */
/* Do the long work on the content of this transaction by a thread;
   policy_judge() follows. False: it is done already. */
bool policy_work_start(struct policy_session *ps);
/* Nobody waits for it any more; the content goes with it. */
void policy_work_abandon(struct policy_session *ps);

/* policy.c */
/* An instance that runs these rules, its from now on. */
struct policy *policy_instance(struct filter_instance *self, struct rules *r,
    uint64_t ask_timeout);
/* All is answered. */
void policy_go_on(struct policy_session *ps);
/* All that can be known of the message is: run what is left of its stages, and
   resume. */
void policy_judge(struct policy_session *ps);

#endif
