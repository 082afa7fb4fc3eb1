/*
 * chain_impl - struct chain and a filter's place in it; for chain*.c only.
 *
 *	chain.c		the question: who is asked, waiting, merging
 *	chain_slot.c	what a filter calls
 *	chain_when.c	is a filter asked at all?
 *	chain_content.c	content as events: header, eoh, body, eom
 *	chain_round.c	… once more, for those behind a filter that edits
 *	chain_record.c	the decision record
 */
#ifndef FILTERS_CHAIN_IMPL_H
#define FILTERS_CHAIN_IMPL_H

#include <sys/queue.h>

#include "base/clock.h"
#include "base/obj.h"
#include "filters/chain.h"
#include "filters/header.h"

#define EV_BIT(ev)	(1u << (ev))

#define EV_BITS_CONTENT	(EV_BIT(EV_CONTENT) | EV_BIT(EV_HEADER) |	\
			 EV_BIT(EV_EOH) | EV_BIT(EV_BODY))

/* What a filter last had to say in this transaction, and its time. */
struct place_record {
	enum verdict		 verdict;
	enum filter_event	 event;
	char			*rule;		/* ours; or NULL */
	uint64_t		 spent_us;
	bool			 failed;
};

struct place {
	struct chain_slot	 slot;		/* first: the filter has this */
	unsigned		 magic;
#define PLACE_MAGIC		 0x91ace001
	struct chain		*chain;		/* NULL: the session is over */
	const struct filter_conf *conf;

	enum {
		PLACE_IDLE,		/* it has no question */
		PLACE_ASKED,		/* inside its event function */
		PLACE_WAITS,		/* after V_WAIT */
		PLACE_ANSWERED		/* chain_resume() was called */
	}			 state;
	enum verdict		 answer;	/* when ANSWERED */
	const char		*broken;	/* its promise; static */
	bool			 cannot_say;	/* V_FAIL: it has not lost its
						   way, only this answer */
	bool			 lost;		/* chain_lost(): it has */
	uint64_t		 patience_ms;	/* 0: its time-out */
	char			*reply;		/* "550 5.7.1 …"; ours */
	char			*rule;		/* chain_place(); ours */
	uint64_t		 delay_ms;
	uint64_t		 asked_us;	/* clock_us() of the question */

	unsigned		 edits;		/* it may ask for */
	bool			 in_txn;	/* told of MAIL; abort is due */
	bool			 failed;	/* until the transaction ends */
	unsigned		 skip;		/* EV_BITs: no more */
	struct place_record	 record;
	STAILQ_ENTRY(place)	 retired;

	/* The condition of its block; NULL: it is always asked. */
	struct place		*when;		/* ours */
	struct place		*guarded;	/* of such a condition: whose */
	bool			 joined;	/* it holds, or did before in
						   this session */
	bool			 open;		/* … in this transaction, or at
						   connect */
};

/* What follows for the question from what a filter said. */
enum step {
	STEP_NEXT,		/* the next filter is asked */
	STEP_STOP,		/* no other is */
	STEP_WAIT
};

struct chain {
	unsigned		 magic;
#define CHAIN_MAGIC		 0xc4a1f117
	const struct chain_conf	*conf;
	const struct facts	*facts;
	chain_done_fn		*done;
	void			*arg;
	struct place		**places;	/* conf->n */

	/* The question */
	enum filter_event	 event;
	const struct txn_rcpt	*rcpt;
	const char		*text;		/* of the command, or reply */
	struct header		 header;
	struct slice		 piece;		/* of the content or body */
	size_t			 next;		/* place to ask next */
	struct place		*asked;		/* whose answer is awaited */
	enum {
		WAIT_NO,
		WAIT_FILTER,		/* its time-out */
		WAIT_RESUMED,		/* for the loop: it has answered */
		WAIT_DELAY,
		WAIT_TURN		/* others in the loop have theirs */
	}			 waiting;
	enum step		 after_delay;
	struct timer		 timer;
	uint64_t		 waits_since;	/* clock_ms() */
	uint64_t		 waited_ms;	/* for content, in this txn */

	/* The answer */
	struct chain_result	 result;
	char			*reply, *by;	/* of it; ours */
	bool			 session_accepted, message_accepted;
	bool			 decided;	/* the message is refused or
						   discarded; told at eom */
	const struct filter_conf *decided_by;
	enum filter_event	 decided_at;

	/* Where to send it; ours */
	char			*route_session, *route_txn, *route_rcpt;

	/* Content */
	struct txn		*txn;		/* the engine's; NULL: none */
	enum {
		CONTENT_NONE,		/* no content event is under way */
		CONTENT_FEED,		/* in is being looked at */
		CONTENT_FINISH		/* it was the last; eom follows */
	}			 content;
	enum {
		AT_HEADER, AT_EOH, AT_REST, AT_BODY, AT_EOM
	}			 part;		/* what comes next */
	struct header_parser	 parser;
	bool			 parsing;	/* parser is in use */
	bool			 whole_due;	/* in, as it is, comes first */
	struct slice		 in, rest;	/* not looked at yet */
	char			*backlog;	/* where in is while we wait, or
						   where it was read to */

	/* The round: who is asked about content now */
	const struct chain_source *source;	/* or NULL */
	unsigned		 round;		/* from 1; 0: none yet */
	size_t			 first, last;	/* places; not the last */
	unsigned		 events, wants;	/* of these */
	uint64_t		 at;		/* what the source has read */
	size_t			 turn;		/* octets since the last */
};

/* chain.c */
/* Fail: the filter did not do what it must. Returns what follows. */
enum step chain_fail(struct chain *c, struct place *p, const char *why);
/* Decide about the message, or whatever is asked about. reply is copied. */
void chain_decide(struct chain *c, enum verdict v, const char *reply,
    const char *by);
void chain_set_text(char **to, const char *text);

/* Ask the filter itself, if it wants to be asked about this event. */
enum step chain_visit(struct chain *c, struct place *p);
/* Ask this place, filter or condition. */
enum step chain_ask(struct chain *c, struct place *p);
/* It is in the transaction from here on, interested or not. */
void chain_enter_txn(struct place *p);
const struct chain_watcher *chain_watcher(void);

/* chain_when.c */
/* Ask the filter, and its condition first where it is due. */
enum step chain_visit_when(struct chain *c, struct place *p);
/* What a condition has said. */
enum step chain_take_when(struct chain *c, struct place *when,
    enum verdict v);

/* chain_content.c */
/* Find the next content event that somebody wants: STEP_NEXT; or there are no
   more now, or not before the loop had its turn. */
enum step chain_next_event(struct chain *c);
/* Will there be no event, whatever comes? */
bool chain_is_over(const struct chain *c);
/* We wait: what was borrowed has to be ours. */
void chain_keep_content(struct chain *c);
void chain_drop_content(struct chain *c);

/* chain_round.c */
/* Content is to be shown to these filters, from the start. */
void chain_begin_round(struct chain *c, size_t first);
/* What was fed is used up. STEP_NEXT: there is more, perhaps for another round;
   the others as above. */
enum step chain_read_more(struct chain *c);

/* chain_record.c */
void chain_record(struct chain *c, struct place *p, enum verdict v);
void chain_log_record(const struct chain *c);
void chain_log_verdict(const struct chain *c, const struct place *p,
    enum verdict v, const char *reply);
void chain_clear_record(struct place *p);

#endif
