/*
 * table - look-up tables as Postfix users own them: "texthash:/etc/postfix/
 * relay_recipients" and the like.
 *
 * A table maps a key to a value. What kinds there are, and their formats, is
 * in vratar-tables(5). Keys that are fixed strings are folded (fold.h);
 * patterns see the key as it is. The tables themselves know only keys: the
 * order in which the parts of an address or of a name are tried is keys.h.
 *
 * A table that was read from a file is read again when the file has changed,
 * which is looked at once a second at most. If the new content is broken, the
 * old one stays in use and a warning says why. A large file is read by a thread
 * (base/job.h); the first look-up after that has the new content.
 *
 * Nothing here waits. A remote table (socketmap, tcp) is asked by
 * filters/lookup.h; table_find() answers TABLE_FAILED for it.
 */
#ifndef RULES_TABLE_H
#define RULES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys;
struct table;

enum table_result {
	TABLE_FOUND,
	TABLE_NOT_FOUND,
	TABLE_FAILED,		/* could not be asked now: tempfail */
	TABLE_LIMIT		/* not found, but a pattern hit its limit */
};

/*
 * Open "TYPE:ARGUMENT". NULL with *why (ours to free: it names the file and
 * the line: "/etc/postfix/x:17: …") when the type is unknown or the file
 * cannot be read or has a mistake.
 */
struct table *table_open(const char *spec, char **why);

typedef void table_mistake_fn(void *arg, const char *mistake);

/* The same, but say() hears of every mistake that there is, as table_open()
   would put it. It is called during this call only. */
struct table *table_open_strict(const char *spec, table_mistake_fn *say,
    void *arg);
/*
 * The same, but the table is made of what is left without the mistakes, as
 * Postfix does. NULL only when there is nothing that could be used. Mistakes
 * in what is read again later go to the log.
 */
struct table *table_open_lenient(const char *spec, table_mistake_fn *say,
    void *arg);
void table_free(struct table **t);

/*
 * What the values of a table must be good for. check() is given each value when
 * the table is read, and when it is read again; it answers NULL, or what is
 * wrong, as it goes on behind the value ("is empty"; valid until the next
 * call). *warning, NULL before, is the same for the log: it is no mistake.
 * Where a pattern's result has a $1, the value has TABLE_GROUP.
 */
#define TABLE_GROUP	'\1'
struct table_use {
	const char	*(*check)(void *arg, const char *value,
			    const char **warning);
	void		*arg;		/* outlives the table */
};

/* table_open_strict(), and what check() says is a mistake as any other. What
   a server says is not known now. */
struct table *table_open_for(const char *spec, const struct table_use *use,
    table_mistake_fn *say, void *arg);

const char *table_spec(const struct table *t);
/* Keys or rules; those of all members of a union or pipemap; 0 for remote. */
size_t table_size(const struct table *t);
/* It, or a member of it, is a socketmap or tcp table. */
bool table_is_remote(const struct table *t);
/* Patterns see a whole name or address and never a part of it (keys.h). */
bool table_wants_whole(const struct table *t);
/* Something else than an IP address may be in it: not in cidr. */
bool table_has_names(const struct table *t);
/* How often a pattern gave up at its limit since the table was opened. */
uint64_t table_limit_hits(const struct table *t);

/*
 * Look key[0..len) up. *value points into the table, valid until its next
 * look-up. value may be NULL. A key that is not UTF-8 or has a NUL in it is in
 * no table, and a value that is not UTF-8 is a failure, as in Postfix.
 */
enum table_result table_find(struct table *t, const char *key, size_t len,
    const char **value);
/*
 * The same for a line of a message, which to pcre and regexp may be any octets:
 * header_checks(5), body_checks(5).
 */
enum table_result table_find_text(struct table *t, const char *text,
    size_t len, const char **value);
/* The first of these keys that there is. */
enum table_result table_find_keys(struct table *t, const struct keys *k,
    const char **value);
/*
 * Look an address up as Postfix does for relay_recipient_maps: user+ext@domain,
 * user@domain, @domain. local has no quotes; delimiter is a set of characters
 * ("+-"), "" or NULL for none.
 */
enum table_result table_find_address(struct table *t, const char *local,
    const char *domain, const char *delimiter, const char **value);

#endif
