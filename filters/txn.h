/*
 * txn - one mail transaction: from MAIL to the end of data, RSET or the end of
 * the session, whatever comes first.
 *
 * It is the contract between the engine, which fills it, and the filters,
 * which read it: at each stage what is known so far and nothing later. It is
 * destroyed with every end of data, so no decision about one message can
 * leak into the next.
 */
#ifndef FILTERS_TXN_H
#define FILTERS_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtp/address.h"
#include "smtp/param.h"

enum rcpt_state {
	RCPT_QUEUED,		/* approved by us; the backend has not heard */
	RCPT_SENT,		/* its reply is to come */
	RCPT_ACCEPTED,
	RCPT_REFUSED
};

struct txn_rcpt {
	char		*address;	/* canonical, without <>; ours */
	char		*params;	/* as the client wrote them; ours */
	enum rcpt_state	 state;
	void		*slot;		/* the engine's: where the reply goes */
};

struct txn {
	/* MAIL */
	char		*from;		/* canonical, "" is the null sender */
	char		*params;	/* as the client wrote them; ours */
	unsigned	 present;	/* 1 << param_id */
	uint64_t	 size;		/* SIZE=; 0: not given */
	enum param_body	 body;

	/* RCPT */
	struct txn_rcpt	**rcpts;	/* ours, refused ones included */
	size_t		 nrcpts;
	size_t		 nwaiting;	/* queued or sent */
	size_t		 naccepted;

	/* The engine's own */
	bool		 mail_sent;	/* the backend has it in this session */
	bool		 lost;		/* the backend has gone since */
	size_t		 nforwarded;	/* rcpts before this are not queued */
	char		*mail_refusal;	/* "CODE text" for everybody; ours */
	bool		 mail_was_answered; /* the client knows of it */
};

struct txn *txn_new(const struct address *from, const struct params *p);
/* Frees it and leaves NULL; NULL is fine. */
void txn_free(struct txn **t);
/* Add a recipient, queued; it stays where it is until txn_free(). */
struct txn_rcpt *txn_add_rcpt(struct txn *t, const struct address *to,
    const struct params *p);
/* Keeps the counts. */
void txn_rcpt_enter(struct txn *t, struct txn_rcpt *r, enum rcpt_state state);

#endif
