/*
 * remote - what is said to a socketmap or tcp server, and what it answers
 * (socketmap_table(5), tcp_table(5)).
 *
 * Only octets: who connects, and for how long it waits, is filters/lookup.h.
 * A server is not trusted with our memory: replies are limited, and one that
 * makes no sense is an error, never "not found".
 */
#ifndef RULES_REMOTE_H
#define RULES_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "rules/table.h"

enum remote_kind { REMOTE_SOCKETMAP, REMOTE_TCP };

struct remote {
	enum remote_kind kind;
	char		*host, *port;	/* ours; NULL: a UNIX socket */
	char		*path;		/* ours; … this one */
	char		*name;		/* ours; socketmap: of the map */
};

/*
 * Read what is behind "socketmap:" (inet:HOST:PORT:NAME, unix:PATH:NAME) or
 * "tcp:" (HOST:PORT). 0, or -1 with *why (static) and nothing to free.
 */
int remote_parse(struct remote *r, enum remote_kind kind,
    const char *argument, const char **why);
void remote_fini(struct remote *r);

/* Append the question for key; to->failed when it does not fit. */
void remote_request(const struct remote *r, const char *key, size_t len,
    struct buf *to);

enum remote_status {
	REMOTE_MORE,		/* all of it is taken, more is to come */
	REMOTE_DONE,
	REMOTE_BAD		/* no reply of this protocol: close */
};

struct remote_reply {
	enum remote_kind  kind;
	struct buf	  octets;
	size_t		  left;		/* socketmap: of the reply and "," */
	bool		  counted;	/* socketmap: left is known */
	/* After REMOTE_DONE. TABLE_FAILED: text says why. */
	enum table_result result;
	struct slice	  text;		/* the value; into octets */
};

void remote_reply_init(struct remote_reply *r, enum remote_kind kind);
void remote_reply_fini(struct remote_reply *r);
/*
 * Take octets that came. Stores in *used how many; after REMOTE_DONE fewer than
 * len may be, and what follows is nothing that was asked for.
 */
enum remote_status remote_reply_feed(struct remote_reply *r, const char *p,
    size_t len, size_t *used);

#endif
