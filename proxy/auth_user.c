/*
 * auth_user - who logs in, from what the client sends in a SASL exchange.
 */

#include "proxy/auth_user.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

#define ENCODED_MAX	12288	/* RFC 4954 section 4: one line */

/* Text up to one of the octets in ends, or all. */
static struct slice
until(struct slice s, const char *ends, size_t nends)
{
	size_t i;

	for (i = 0; i < s.len && memchr(ends, s.p[i], nends) == NULL; i++)
		;
	return SLICE(s.p, i);
}

/* [authzid] NUL authcid NUL passwd */
static struct slice
in_plain(struct slice s)
{
	const char *nul = memchr(s.p, '\0', s.len);
	size_t skip = nul != NULL ? (size_t)(nul - s.p) + 1 : s.len;

	return until(SLICE(s.p + skip, s.len - skip), "", 1);
}

/* What stands behind name, where a part begins: at the start or behind sep. */
static struct slice
behind(struct slice s, char sep, const char *name, const char *ends,
    size_t nends)
{
	size_t len = strlen(name), i;

	for (i = 0; i + len <= s.len; i++)
		if ((i == 0 || s.p[i - 1] == sep) &&
		    memcmp(s.p + i, name, len) == 0)
			return until(SLICE(s.p + i + len, s.len - i - len),
			    ends, nends);
	return SLICE("", 0);
}

static struct slice
find_user(enum auth_mech m, struct slice s)
{
	switch (m) {
	case AUTH_PLAIN:
		return in_plain(s);
	case AUTH_LOGIN:
		return until(s, "", 1);
	case AUTH_XOAUTH2:
		return behind(s, '\001', "user=", "\001", 1);
	case AUTH_OAUTHBEARER:
		return behind(s, ',', "a=", ",\001", 2);
	case AUTH_SCRAM_SHA_1:
	case AUTH_SCRAM_SHA_256:
	case AUTH_SCRAM_SHA_512:
		return behind(s, ',', "n=", ",", 1);
	case AUTH_MECHS:
		break;
	}
	return SLICE("", 0);
}

/* RFC 5802 5.1: "=2C" is a comma and "=3D" is "=". */
static void
unescape(char *p)
{
	char *to = p;

	for (; *p != '\0'; p++) {
		if (strncmp(p, "=2C", 3) == 0 || strncmp(p, "=3D", 3) == 0) {
			*to++ = p[1] == '2' ? ',' : '=';
			p += 2;
		} else
			*to++ = *p;
	}
	*to = '\0';
}

static bool
is_printable(struct slice s)
{
	size_t i, n;

	for (i = 0; i < s.len; i += n) {
		n = utf8_length(s.p + i, s.len - i);
		if (n == 0 || (unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	}
	return true;
}

static char *
take_user(enum auth_mech m, struct slice user)
{
	char *copy;

	if (user.len == 0 || user.len > AUTH_USER_MAX || !is_printable(user))
		return NULL;
	copy = xstrndup(user.p, user.len);
	if (m != AUTH_PLAIN && m != AUTH_LOGIN && m != AUTH_XOAUTH2)
		unescape(copy);
	return copy;
}

/* EVP_DecodeBlock() counts the padding as zeros. */
static int
decode(unsigned char *out, const char *in, size_t len)
{
	int n = EVP_DecodeBlock(out, (const unsigned char *)in, (int)len);

	while (n > 0 && len > 0 && in[len - 1] == '=') {
		n--;
		len--;
	}
	return n;
}

char *
auth_user(enum auth_mech m, const char *base64, size_t len)
{
	unsigned char *text;
	char *user = NULL;
	int n;

	if (len == 0 || len > ENCODED_MAX || len % 4 != 0)
		return NULL;
	text = xmalloc(len);
	if ((n = decode(text, base64, len)) > 0)
		user = take_user(m, find_user(m,
		    SLICE((const char *)text, (size_t)n)));
	OPENSSL_cleanse(text, len);
	free(text);
	return user;
}
