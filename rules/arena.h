/*
 * arena - memory that is given back all at once.
 *
 * A loaded policy keeps its tree in one; a run of rules keeps its texts in
 * another, whose blocks are kept for the next run: in steady state a run
 * allocates nothing.
 */
#ifndef RULES_ARENA_H
#define RULES_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block	*blocks;	/* ours; the newest first */
	struct arena_block	*spare;		/* ours; empty, for later */
	size_t			 used, limit;	/* octets */
	bool			 full;		/* the limit was reached */
};

/* limit 0: none. Allocates nothing yet. */
void arena_init(struct arena *a, size_t limit);
void arena_fini(struct arena *a);
/* Empty, not full; keeps one block. */
void arena_reset(struct arena *a);
/* The block that from keeps is to's, if to has none. */
void arena_lend(struct arena *to, struct arena *from);

/*
 * Memory for anything, zeroed. Never NULL: past the limit "full" is set and
 * the memory is there all the same, so a caller looks at "full" when it is
 * done. A single request above the limit must not come here.
 */
void *arena_alloc(struct arena *a, size_t size);
/* A copy with a NUL behind it. */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_strdup(struct arena *a, const char *s);

#endif
