/*
 * talk - a conversation with a scanner about one message.
 *
 * The protocol (clamd, spamd, icap) says what goes out and understands what
 * comes in. Here is what is the same for all: connecting, holding the message
 * back while the scanner does not take more of it, an end of the conversation
 * that comes when nobody has asked, and the answer to the chain.
 *
 * It lives in the transaction memory of the filter's place. All functions are
 * called from the filter's events, or by us from the loop.
 */
#ifndef FILTERS_TALK_H
#define FILTERS_TALK_H

#include <stdbool.h>

#include "filters/filter.h"

struct bufferevent;
struct dial;
struct evbuffer;
struct peers;

struct talk_protocol {
	/*
	 * Octets have come; all that are not taken out of in are there again
	 * the next time. end: no more will come. Calls talk_done() when the
	 * answer is complete, talk_fail() when it makes no sense.
	 */
	void		(*input)(void *arg, struct evbuffer *in, bool end);
	/* After talk_done(): the verdict, with chain_reply() and so on. */
	enum verdict	(*verdict)(void *arg);
	/* There is an answer, or there will be none: let go of what was only
	   needed until then. NULL: nothing. */
	void		(*forget)(void *arg);
};

struct talk {
	unsigned		 magic;
#define TALK_MAGIC		 0x7a1c0001
	const struct talk_protocol *protocol;
	void			*arg;
	struct chain_slot	*slot;
	struct peers		*peers;		/* borrowed */
	struct dial		*dial;		/* ours */
	struct bufferevent	*bev;		/* ours */
	struct evbuffer		*out;		/* ours: until there is a bev */
	char			*problem;	/* it has failed; ours */
	bool			 done;
	enum { TALK_IDLE, TALK_HOLDS, TALK_ENDS } waits;
};

/* Connect; slot->txn has t. Everything is borrowed until talk_close(). */
void talk_open(struct talk *t, const struct talk_protocol *protocol,
    void *arg, struct chain_slot *slot, struct peers *peers);
bool talk_is_open(const struct talk *t);
/* Where to put what goes out. */
struct evbuffer *talk_output(struct talk *t);

/* The answer to a content event after something was put out: continue, skip,
   wait when the scanner is behind, or fail. pending: octets that cannot be put
   out yet. */
enum verdict talk_content(struct talk *t, size_t pending);
/* The answer to eom when all is put out. */
enum verdict talk_eom(struct talk *t);

/* From input(). The connection is closed. */
void talk_done(struct talk *t);
void talk_fail(struct talk *t, const char *why);

/* At abort; also when it was never opened (all zeros). The answer to eom leaves
   nothing behind. */
void talk_close(struct talk *t);

#endif
