/*
 * table - look-up tables as Postfix users own them: "texthash:/etc/postfix/
 * relay_recipients" and the like.
 *
 * A table maps a key to a value. Keys are folded to lower case, as Postfix
 * does for its address tables. The order in which the parts of an address
 * are tried is table_find_address(); the tables themselves know only keys.
 */
#ifndef RULES_TABLE_H
#define RULES_TABLE_H

#include <stddef.h>

struct table;

enum table_result {
	TABLE_FOUND,
	TABLE_NOT_FOUND,
	TABLE_FAILED		/* could not be asked now: tempfail */
};

/*
 * Open "TYPE:ARGUMENT". NULL with *why (ours to free: it names the file and
 * the line: "/etc/postfix/x:17: …") when the type is unknown or the file
 * cannot be read or is malformed.
 */
struct table *table_open(const char *spec, char **why);
void table_free(struct table **t);
const char *table_spec(const struct table *t);
size_t table_size(const struct table *t);	/* keys */

/*
 * Look key[0..len) up. *value points into the table, valid until it is freed.
 * value may be NULL.
 */
enum table_result table_find(struct table *t, const char *key, size_t len,
    const char **value);

/*
 * Look an address up as Postfix does for relay_recipient_maps: user+ext@domain,
 * user@domain, @domain. local has no quotes; delimiter is a set of characters
 * ("+-"), "" or NULL for none.
 */
enum table_result table_find_address(struct table *t, const char *local,
    const char *domain, const char *delimiter, const char **value);

#endif
