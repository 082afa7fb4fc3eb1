/*
 * hops - what the daemon itself wants to know of a header, of every message:
 * how often it has been received, whether anybody speaks in our name, and
 * whether it begins as in a mailbox file.
 *
 * It is fed with the content as it comes, in pieces of any size, keeps a few
 * words of state, and agrees with filters/header.h about what a field is.
 */
#ifndef FILTERS_HOPS_H
#define FILTERS_HOPS_H

#include <stdbool.h>
#include <stddef.h>

struct hops {
	int		state;		/* private */
	unsigned	candidates;	/* private: bits, names that it may be */
	unsigned	at;		/* private: octets of the name */
	int		from;		/* private: of "From " */
	unsigned	received;	/* fields Received */
	unsigned	authres;	/* fields Authentication-Results */
	bool		mailbox;	/* a line "From " stands before them */
};

void hops_init(struct hops *s);
void hops_feed(struct hops *s, const char *p, size_t len);
/* Is enough there to say whether it begins as in a mailbox file? */
bool hops_knows_mailbox(const struct hops *s);

#endif
