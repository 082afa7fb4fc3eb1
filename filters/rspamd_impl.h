/*
 * rspamd_impl - an instance of the rspamd filter and its state in a
 * transaction; for rspamd*.c only.
 *
 *	rspamd.c	asking
 *	rspamd_reply.c	what the answer means
 */
#ifndef FILTERS_RSPAMD_IMPL_H
#define FILTERS_RSPAMD_IMPL_H

#include "base/clock.h"
#include "filters/filter.h"
#include "filters/peers.h"
#include "filters/scan.h"

struct evhttp_connection;
struct evhttp_request;
struct rspamd;

struct rspamd_settings {
	struct peers_settings	 peers;
	struct scan_settings	 scan;
	enum { GREYLIST_CONTINUE, GREYLIST_TEMPFAIL } greylist;
	bool			 edits;
};

/* The slot's transaction memory. */
struct rspamd_txn {
	unsigned		 magic;		/* from eom on */
#define RSPAMD_TXN_MAGIC	 0x45ba3d02
	struct rspamd		*rspamd;
	const struct rspamd_settings *settings;
	struct chain_slot	*slot;
	const struct txn	*txn;
	struct scan_held	 held;
	struct evhttp_connection *conn;		/* ours; NULL: none in use */
	int			 peer;
	bool			 reused, again;
	struct timer		 connect;
};

/* The verdict, with its reply, findings and edits. */
enum verdict rspamd_reply(struct rspamd_txn *rt, struct evhttp_request *req);

#endif
