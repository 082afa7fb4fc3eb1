/*
 * table_impl - what a kind of table implements; for the files of this folder.
 */
#ifndef RULES_TABLE_IMPL_H
#define RULES_TABLE_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "rules/report.h"
#include "rules/table.h"

struct remote;

/* What a kind is given to make a table of. */
struct source {
	const char	*argument;	/* behind "TYPE:" */
	const char	*path;		/* argument and suffix; NULL: no file */
	struct report	*report;
	table_mistake_fn *say;		/* for members; report calls it, too */
	table_mistake_fn *warn;		/* of what is no mistake; NULL: log it */
	void		*arg;
	bool		 lenient;	/* tables with mistakes are used */
	bool		 patient;	/* may take its time: wait for a
					   writer's lock, ask libhs */
	bool		 threaded;	/* by a thread: it may take its time,
					   and must not log */
	bool		*busy;		/* set when that lock was the trouble */
	unsigned	 depth;		/* of tables around this one */
	struct table_use use;		/* check NULL: any value is good */
};

/* One look-up. */
struct query {
	const char	*key;		/* a NUL behind it if not TABLE_TEXT */
	size_t		 len;
	struct buf	*room;		/* for values that are made */
	const char	*value;		/* the answer */
};

enum {
	TABLE_FOLDS	= 1,	/* keys are fixed strings */
	TABLE_PATTERNS	= 2,	/* see table_wants_whole() */
	TABLE_FILE	= 4,	/* the argument names a file */
	TABLE_INLINE	= 8,	/* … or is a list within braces */
	TABLE_TEXT	= 16,	/* any octets are looked up, by their length */
	TABLE_IPS	= 32	/* keys are IP addresses, and nothing else */
};

/* One row for each word in front of the ":" of a specification. */
struct table_type {
	const char		*name;
	const char		*suffix;	/* of the file, or "" */
	unsigned		 flags;
	/* NULL with *why (ours to free, place included), or with *why NULL
	   when it was said. */
	void			*(*open)(const struct source *s, char **why);
	void			 (*close)(void *priv);
	/* NULL: table_ask goes through its members, or it is remote. */
	enum table_result	 (*find)(void *priv, struct query *q);
	size_t			 (*size)(const void *priv);
	/* NULL, or how often a pattern hit its limit. */
	uint64_t		 (*limit_hits)(const void *priv);
	/* A union or pipemap: the member, NULL after the last. */
	struct table		*(*member)(const void *priv, size_t i);
	const struct remote	*(*remote)(const void *priv);
};

extern const struct table_type table_texthash;
extern const struct table_type table_hash, table_btree;
extern const struct table_type table_lmdb;
extern const struct table_type table_cdb;
extern const struct table_type table_pcre;
extern const struct table_type table_regexp;
extern const struct table_type table_cidr;
extern const struct table_type table_inline, table_static;
extern const struct table_type table_union, table_unionmap, table_pipemap;
extern const struct table_type table_socketmap, table_tcp;

/* For ask.c and compose.c. */
const struct table_type *table_type_of(const struct table *t);
struct table *table_member(const struct table *t, size_t i);
const struct remote *table_remote(const struct table *t);
/* NULL: say() has heard why. */
struct table *table_open_member(const char *spec, size_t len,
    const struct source *around);
/* A look-up that knows that the table has no members and is not remote. */
enum table_result table_find_local(struct table *t, const char *key,
    size_t len, const char **value);

/* "PATH: strerror", for *why. */
char *why_errno(const char *path, int error);

#endif
