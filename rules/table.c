/*
 * table - look-up tables by their specification "TYPE:ARGUMENT".
 *
 * Here are the things that are the same for every kind of table: keys are
 * folded, and an address is tried in Postfix's order of its parts.
 */

#include "rules/table.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "rules/table_impl.h"

/* Longer keys are in no table: an address has at most a tenth of this. */
#define KEY_MAX	4096

struct table {
	unsigned			 magic;
#define TABLE_MAGIC			 0x7ab1e001
	const struct table_type		*type;
	char				*spec;	/* ours */
	void				*priv;	/* the type's */
};

static const struct table_type *const types[] = {
	&table_texthash,
};

#define NTYPES	(sizeof(types) / sizeof(types[0]))

static const struct table_type *
type_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NTYPES; i++)
		if (strlen(types[i]->name) == len &&
		    memcmp(types[i]->name, name, len) == 0)
			return types[i];
	return NULL;
}

static char *
why_no_type(const char *name, size_t len)
{
	struct buf b;
	char *why;
	size_t i;

	buf_init(&b, 1024);
	for (i = 0; i < NTYPES; i++)
		buf_addf(&b, "%s%s:", i > 0 ? " " : "", types[i]->name);
	why = xasprintf("no table type \"%.*s\" (there is %s)",
	    (int)(len > 64 ? 64 : len), name, b.p);
	buf_fini(&b);
	return why;
}

struct table *
table_open(const char *spec, char **why)
{
	const char *colon = strchr(spec, ':');
	const struct table_type *type;
	struct table *t;
	void *priv;

	if (colon == NULL || colon[1] == '\0') {
		*why = xasprintf("\"%s\" is not a table "
		    "(try texthash:/etc/postfix/relay_recipients)", spec);
		return NULL;
	}
	type = type_find(spec, (size_t)(colon - spec));
	if (type == NULL) {
		*why = why_no_type(spec, (size_t)(colon - spec));
		return NULL;
	}
	if ((priv = type->open(colon + 1, why)) == NULL)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->magic = TABLE_MAGIC;
	t->type = type;
	t->spec = xstrdup(spec);
	t->priv = priv;
	return t;
}

void
table_free(struct table **t)
{
	if (*t == NULL)
		return;
	OBJ_CHECK(*t, TABLE_MAGIC);
	(*t)->type->close((*t)->priv);
	free((*t)->spec);
	(*t)->magic = 0;
	free(*t);
	*t = NULL;
}

const char *
table_spec(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->spec;
}

size_t
table_size(const struct table *t)
{
	OBJ_CHECK(t, TABLE_MAGIC);
	return t->type->size(t->priv);
}

enum table_result
table_find(struct table *t, const char *key, size_t len, const char **value)
{
	char folded[KEY_MAX + 1];
	const char *found;
	size_t i;

	OBJ_CHECK(t, TABLE_MAGIC);
	/* No key holds a NUL, so "a\0b" is not the key "a". */
	if (len > KEY_MAX || memchr(key, '\0', len) != NULL)
		return TABLE_NOT_FOUND;
	for (i = 0; i < len; i++)
		folded[i] = key[i] >= 'A' && key[i] <= 'Z' ?
		    (char)(key[i] + 'a' - 'A') : key[i];
	folded[len] = '\0';
	return t->type->find(t->priv, folded, len, value ? value : &found);
}

/* Addresses */

/* The system's own names have no extensions, whatever their letters. */
static bool
is_reserved(const char *local, const char *delimiter)
{
	size_t len = strlen(local);

	if (strcasecmp(local, "postmaster") == 0 ||
	    strcasecmp(local, "mailer-daemon") == 0 ||
	    strcasecmp(local, "double-bounce") == 0)
		return true;
	/* With "-", owner-list and list-request are addresses of the list. */
	return strchr(delimiter, '-') != NULL &&
	    (strncasecmp(local, "owner-", 6) == 0 ||
	    (len > 8 && strcasecmp(local + len - 8, "-request") == 0));
}

/* Where the extension starts; the whole length when there is none. */
static size_t
extension(const char *local, const char *delimiter)
{
	size_t len = strlen(local), at;

	if (delimiter == NULL || *delimiter == '\0' ||
	    is_reserved(local, delimiter))
		return len;
	at = strcspn(local, delimiter);
	return at == 0 ? len : at;	/* "+x" is a user, not an extension */
}

/* Dot-string of RFC 5321 4.1.2, or anything in UTF-8 (RFC 6531). */
static bool
is_dot_string(const char *local, size_t len)
{
	static const char atext[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~";
	size_t i;

	if (len == 0 || local[0] == '.' || local[len - 1] == '.')
		return false;
	for (i = 0; i < len; i++) {
		if (local[i] == '.' ? local[i + 1] == '.' :
		    (unsigned char)local[i] < 0x80 &&
		    memchr(atext, local[i], sizeof(atext) - 1) == NULL)
			return false;
	}
	return true;
}

/* Tables hold addresses as one writes them: "a b"@example.org in quotes. */
static void
add_local(struct buf *b, const char *local, size_t len)
{
	size_t i;

	if (is_dot_string(local, len)) {
		buf_add(b, local, len);
		return;
	}
	buf_addc(b, '"');
	for (i = 0; i < len; i++) {
		if (local[i] == '"' || local[i] == '\\')
			buf_addc(b, '\\');
		buf_addc(b, local[i]);
	}
	buf_addc(b, '"');
}

static enum table_result
find_part(struct table *t, const char *local, size_t len, const char *domain,
    const char **value)
{
	enum table_result r = TABLE_NOT_FOUND;
	struct buf b;

	buf_init(&b, KEY_MAX);
	if (local != NULL)
		add_local(&b, local, len);
	buf_addc(&b, '@');
	buf_adds(&b, domain);
	if (!b.failed)
		r = table_find(t, b.p, b.len, value);
	buf_fini(&b);
	return r;
}

enum table_result
table_find_address(struct table *t, const char *local, const char *domain,
    const char *delimiter, const char **value)
{
	size_t len = strlen(local), plain = extension(local, delimiter);
	enum table_result r;

	r = find_part(t, local, len, domain, value);
	if (r == TABLE_NOT_FOUND && plain < len)
		r = find_part(t, local, plain, domain, value);
	if (r == TABLE_NOT_FOUND)
		r = find_part(t, NULL, 0, domain, value);
	return r;
}
