/*
 * index - strings to strings, in memory, for millions of them.
 *
 * Keys and values lie one behind the other in one piece of memory, and the
 * hash table holds their places in it: 8 octets a slot. A recipient list costs
 * its own length and some 16 octets a key, and it is a handful of allocations
 * however many keys there are, so it comes and goes quickly at a reload.
 */
#ifndef RULES_INDEX_H
#define RULES_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index {
	char		*text;		/* ours: key NUL value NUL … */
	size_t		 len, room;
	struct index_slot {
		uint32_t	place;	/* of the key, plus 1; 0: free */
		uint32_t	hash;
	}		*slots;		/* ours; 2^bits of them */
	unsigned	 bits;
	size_t		 n;		/* keys */
};

enum index_add { INDEX_ADDED, INDEX_DUPLICATE, INDEX_FULL };

void index_init(struct index *x);
void index_fini(struct index *x);

/*
 * Neither may hold a NUL. INDEX_DUPLICATE: the key was there, and keeps its
 * value. INDEX_FULL: more than 4 GB of text.
 */
enum index_add index_add(struct index *x, const char *key, size_t keylen,
    const char *value, size_t valuelen);
/* Give back the memory that was taken in advance. */
void index_done(struct index *x);
/* The value, or NULL. Valid until the next index_add() or index_fini(). */
const char *index_find(const struct index *x, const char *key, size_t len);

#endif
