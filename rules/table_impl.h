/*
 * table_impl - what a kind of table implements; for the files of this folder.
 */
#ifndef RULES_TABLE_IMPL_H
#define RULES_TABLE_IMPL_H

#include <stddef.h>

#include "rules/table.h"

/* One row for each word in front of the ":" of a specification. */
struct table_type {
	const char		*name;
	/* NULL with *why (ours to free, place included). */
	void			*(*open)(const char *argument, char **why);
	void			 (*close)(void *priv);
	/* key is folded to lower case and is one NUL-terminated string. */
	enum table_result	 (*find)(void *priv, const char *key,
				    size_t len, const char **value);
	size_t			 (*size)(const void *priv);
};

extern const struct table_type table_texthash;

#endif
