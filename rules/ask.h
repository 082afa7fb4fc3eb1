/*
 * ask - one look-up in a table that may be remote, or made of remote tables.
 *
 * An ask goes through keys and members by itself, as far as it can without
 * waiting. When it needs a remote table it says which one and for what, and
 * goes on when it is given the answer:
 *
 *	for (ask_start(&a, table, keys); !ask_run(&a);)
 *		ask_answer(&a, …what ask_remote() said to ask_key()…);
 *	ask_result(&a, &value)
 */
#ifndef RULES_ASK_H
#define RULES_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "rules/keys.h"
#include "rules/table.h"

#define TABLE_DEPTH	8	/* tables within tables */
#define VALUE_MAX	((size_t)256 << 10)

struct remote;

/* A union or pipemap on the way to what is asked now. */
struct ask_frame {
	struct table	*table;
	size_t		 next;		/* member */
	struct buf	 key, value;
	bool		 any, limit;
};

struct ask {
	struct table		*table;		/* borrowed; outlives the ask */
	struct keys		 keys;
	size_t			 at;		/* in keys */
	struct ask_frame	 frames[TABLE_DEPTH];
	int			 depth;		/* frames in use */
	struct table		*asking;	/* for ask_key(); NULL: none */
	const struct remote	*waiting;
	struct buf		 key;		/* what asking is asked */
	enum table_result	 result;
	struct buf		 value;
};

/*
 * The keys are copied. A table that wants whole keys, and a union or pipemap
 * whose first member does, is asked for the first of them only.
 */
void ask_start(struct ask *a, struct table *t, const struct keys *k);
void ask_fini(struct ask *a);

/* Go on. True: there is a result. False: somebody must ask a remote table. */
bool ask_run(struct ask *a);
const struct remote *ask_remote(const struct ask *a);
struct slice ask_key(const struct ask *a);
/* What it said; value has meaning with TABLE_FOUND only. */
void ask_answer(struct ask *a, enum table_result r, const char *value,
    size_t len);

/* After ask_run() said so. The value is valid until ask_fini(). */
enum table_result ask_result(const struct ask *a, const char **value);

#endif
