/*
 * sink - a small SMTP and LMTP server that keeps what it gets in a Maildir.
 *
 * It stands where an MTA would stand: for trying vratar out, and for tests. So
 * it is exact about the protocol, says yes to every address, and refuses three
 * local parts to have something to show:
 *	nobody	550 5.1.1	later	450 4.2.0	full	452 4.2.2
 *
 * XCLIENT is offered to clients of this machine only. A message is stored with
 * the line ends of files (LF), unless it came as BODY=BINARYMIME; above its
 * header stand the envelope and the client:
 *	Return-Path, X-Envelope-From, X-Mail-Parameters, and for each recipient
 *	X-Envelope-To, X-Rcpt-Parameters; X-Client; Received
 */
#ifndef PROXY_SINK_H
#define PROXY_SINK_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net.h"

struct bufferevent;
struct maildir;
struct sink;
struct sink_session;

/* What all sessions share. The owner fills it and outlives them. */
struct sink {
	struct maildir	*maildir;	/* borrowed */
	const char	*hostname;	/* borrowed */
	bool		 lmtp;
	uint64_t	 size_limit;	/* octets of a message */
	unsigned	 rcpt_limit;	/* recipients of a message */

	/* A session has ended; it is not in the list any more. May be NULL. */
	void		 (*on_end)(struct sink *sink, void *arg);
	void		*arg;

	LIST_HEAD(, sink_session) sessions;	/* theirs */
	uint64_t	 count;			/* sessions so far */
};

/*
 * Greet a client and serve it until one side has enough. bev is ours from now
 * on; peer and local are the ends of its connection.
 */
void sink_session_new(struct sink *sink, struct bufferevent *bev,
    const struct netaddr *peer, const struct netaddr *local);

/*
 * Answer 421 everywhere and close as soon as that is written. A message that
 * is not complete is dropped: its client has no 250 and keeps it.
 */
void sink_drain(struct sink *sink);
/* Close everything now. */
void sink_abort(struct sink *sink);

#endif
