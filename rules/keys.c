/*
 * keys - the order in which Postfix looks up the parts of a thing.
 *
 * Postfix folds addresses and names before it looks them up in access(5)
 * tables and recipient lists, so patterns see small letters, too.
 */

#include "rules/keys.h"

#include <string.h>
#include <strings.h>

#include "rules/fold.h"

/* A name of 127 labels, each with all its parents behind it, fits. */
#define KEYS_MAX	((size_t)64 << 10)
#define KEY_MAX		4096

void
keys_init(struct keys *k)
{
	buf_init(&k->text, KEYS_MAX);
}

void
keys_fini(struct keys *k)
{
	buf_fini(&k->text);
}

const char *
keys_next(const struct keys *k, size_t *at)
{
	const char *key = k->text.p + *at;

	if (*at >= k->text.len)
		return NULL;
	*at += strlen(key) + 1;
	return key;
}

/* A key that does not fit is none. */
static void
add(struct keys *k, const char *key, size_t len)
{
	if (len > KEY_MAX || (len > 0 && memchr(key, '\0', len) != NULL))
		return;
	buf_add(&k->text, key, len);
	buf_addc(&k->text, '\0');
	k->text.failed = false;
}

void
keys_one(struct keys *k, const char *key, size_t len)
{
	buf_reset(&k->text);
	add(k, key, len);
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

/* local NULL: no user; domain NULL: the "@" is the end. */
static void
add_address(struct keys *k, const char *local, size_t len, const char *domain)
{
	struct buf written, folded;

	buf_init(&written, KEY_MAX);
	buf_init(&folded, KEY_MAX);
	if (local != NULL)
		add_local(&written, local, len);
	buf_addc(&written, '@');
	if (domain != NULL)
		buf_adds(&written, domain);
	/* What is no UTF-8 is in no table; the key says so by itself. */
	if (fold(&folded, written.p, written.len) == -1)
		buf_add(&folded, written.p, written.len);
	if (!written.failed && !folded.failed)
		add(k, folded.p, folded.len);
	buf_fini(&written);
	buf_fini(&folded);
}

void
keys_recipient(struct keys *k, const char *local, const char *domain,
    const char *delimiter)
{
	size_t len = strlen(local), plain = extension(local, delimiter);

	buf_reset(&k->text);
	add_address(k, local, len, domain);
	if (plain < len)
		add_address(k, local, plain, domain);
	add_address(k, NULL, 0, domain);
}

/* access(5) */

/* "example.org." is example.org. */
static void
add_domains(struct keys *k, const char *name, bool parents_match)
{
	struct buf b;
	const char *p;

	buf_init(&b, KEY_MAX);
	if (fold(&b, name, strlen(name)) == -1)
		buf_adds(&b, name);
	while (!b.failed && b.len > 0 && b.p[b.len - 1] == '.')
		b.p[--b.len] = '\0';
	for (p = b.p; !b.failed && p != NULL && *p != '\0';) {
		add(k, p, strlen(p));
		p = strchr(p + 1, '.');
		if (p != NULL && parents_match)
			p++;
	}
	buf_fini(&b);
}

void
keys_access_address(struct keys *k, const char *local, const char *domain,
    const char *delimiter, bool parents_match)
{
	size_t len = strlen(local), plain = extension(local, delimiter);

	buf_reset(&k->text);
	add_address(k, local, len, domain);
	if (plain < len)
		add_address(k, local, plain, domain);
	add_domains(k, domain, parents_match);
	add_address(k, local, len, NULL);
	if (plain < len)
		add_address(k, local, plain, NULL);
}

void
keys_access_host(struct keys *k, const char *name, bool parents_match)
{
	buf_reset(&k->text);
	add_domains(k, name, parents_match);
}

void
keys_access_ip(struct keys *k, const char *ip)
{
	char separator = strchr(ip, ':') != NULL ? ':' : '.';
	size_t len = strlen(ip);

	buf_reset(&k->text);
	for (;;) {
		if (len > 0)
			add(k, ip, len);
		while (len > 0 && ip[len - 1] != separator)
			len--;
		if (len == 0)
			return;
		len--;
	}
}
