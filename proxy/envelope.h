/*
 * envelope - sender and recipients of a message as the filters want them.
 */
#ifndef PROXY_ENVELOPE_H
#define PROXY_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct txn;
struct txn_rcpt;

/* Strings are the transaction's. */
struct envelope {
	const char	*from, *params;
	struct {
		const char	*address, *params;
		const struct txn_rcpt *came;	/* NULL: it was added */
	}		*rcpts;		/* ours */
	size_t		 n;
	bool		 changed, from_changed;
};

/* That of t, whose accepted recipients it has, after all of its edits. */
void envelope_make(struct envelope *e, const struct txn *t);
/* That of t, with this recipient only. */
void envelope_make_to(struct envelope *e, const struct txn *t,
    const char *address);
void envelope_fini(struct envelope *e);

/* A line for the sender and one for each recipient. */
void envelope_log(const struct envelope *e, uint64_t id);

/* RFC 6531 3.4: MAIL must say so, and that of t does not. */
bool envelope_needs_utf8(const struct envelope *e, const struct txn *t);

#endif
