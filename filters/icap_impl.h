/*
 * icap_impl - an instance of the icap filter and its state in a transaction;
 * for icap*.c only.
 *
 *	icap.c		what the server is sent, and when
 *	icap_reply.c	what it says, and what that means
 */
#ifndef FILTERS_ICAP_IMPL_H
#define FILTERS_ICAP_IMPL_H

#include <openssl/evp.h>

#include "filters/chunked.h"
#include "filters/filter.h"
#include "filters/peers.h"
#include "filters/scan.h"
#include "filters/talk.h"

struct icap_settings {
	struct peers_settings	 peers;
	struct scan_settings	 scan;
	char			*service;
	bool			 reqmod;
};

struct icap {
	unsigned	 magic;
#define ICAP_MAGIC	 0x1ca90001
	const struct icap_settings *settings;
	const char	*hostname;
	const char	*authority;	/* of the URI; borrowed */
	struct peers	*peers;		/* ours */

	/* What OPTIONS has said, until then; preview -1: none */
	uint64_t	 known_until;	/* clock_ms() */
	long		 preview;
	bool		 allows_204;
};

/* What is read from the server. */
struct icap_reply {
	enum { ICAP_HEAD, ICAP_SKIP, ICAP_BODY, ICAP_COMPLETE } part;
	int		 code;
	long		 skip;		/* HTTP header before the body */
	struct chunked	 chunked;
	char		*head;		/* ours */
};

/* The slot's transaction memory. */
struct icap_txn {
	unsigned		 magic;
#define ICAP_TXN_MAGIC		 0x1ca90002
	struct talk		 talk;
	struct icap		*icap;
	struct chain_slot	*slot;
	enum {
		ICAP_OPTIONS,		/* its reply is awaited */
		ICAP_PREVIEW,		/* not enough has come for one */
		ICAP_WAIT,		/* for 100, after the preview */
		ICAP_SEND,		/* what comes is sent on */
		ICAP_SENT		/* all is there */
	}			 phase;
	struct evbuffer		*pending;	/* ours: not sent yet */
	bool			 complete;	/* no more will come */
	bool			 oversize;
	uint64_t		 octets;
	EVP_MD_CTX		*ours, *theirs;	/* ours; of the content */
	struct icap_reply	 reply;
	char			 infection[101];
};

/* icap.c: put out what can be, after something has changed. */
void icap_advance(struct icap_txn *it);
/* OPTIONS is answered: ask about the message. */
void icap_ask(struct icap_txn *it);
/* The conversation goes on with a new connection. */
void icap_reconnect(struct icap_txn *it);

/* icap_reply.c */
void icap_input(void *arg, struct evbuffer *in, bool end);
enum verdict icap_verdict(void *arg);

#endif
