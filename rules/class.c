/*
 * class - the words behind "is": helo.name is hostname, client.ip is private.
 *
 * A class asks for the form of a value, never for anything outside it.
 */

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "rules/rules_impl.h"

/* RFC 5321 4.1.2 Domain, and what is found in DNS all the same: "_". */
static bool
is_label(const char *p, size_t len)
{
	size_t i;

	if (len == 0 || len > 63 || p[0] == '-' || p[len - 1] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)p[i]) && p[i] != '-' &&
		    p[i] != '_' && (unsigned char)p[i] < 0x80)
			return false;
	return true;
}

/* The number of labels; 0: not a host name. */
static int
labels(struct slice s)
{
	const char *dot;
	int n = 0;

	if (s.len > 255)
		return 0;
	/* One dot at the end stands for the root. */
	if (s.len > 1 && s.p[s.len - 1] == '.')
		s.len--;
	for (;;) {
		dot = s.len > 0 ? memchr(s.p, '.', s.len) : NULL;
		n++;
		if (!is_label(s.p, dot ? (size_t)(dot - s.p) : s.len))
			return 0;
		if (dot == NULL)
			return n;
		s = SLICE(dot + 1, s.len - (size_t)(dot + 1 - s.p));
	}
}

/* "192.0.2.1" is made of labels, but it is no name. */
static bool
is_numeric(struct slice s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (!isdigit((unsigned char)s.p[i]) && s.p[i] != '.')
			return false;
	return true;
}

static bool
is_hostname(const struct rules_value *v)
{
	return labels(v->text) > 0 && !is_numeric(v->text);
}

static bool
is_fqdn(const struct rules_value *v)
{
	return labels(v->text) > 1 && !is_numeric(v->text);
}

/* RFC 5321 4.1.3: [192.0.2.1], [IPv6:2001:db8::1]. */
static bool
is_literal(const struct rules_value *v)
{
	struct slice s = v->text;
	struct netaddr ip;

	if (s.len < 3 || s.p[0] != '[' || s.p[s.len - 1] != ']')
		return false;
	s = SLICE(s.p + 1, s.len - 2);
	if (s.len > 5 && slice_is_nocase(SLICE(s.p, 5), "IPv6:"))
		return netaddr_parse_ip(&ip, s.p + 5, s.len - 5) == 0;
	return netaddr_parse_ip(&ip, s.p, s.len) == 0;
}

static bool
is_bare_ip(const struct rules_value *v)
{
	struct netaddr ip;

	return netaddr_parse_ip(&ip, v->text.p, v->text.len) == 0;
}

static bool
is_empty(const struct rules_value *v)
{
	switch (v->type) {
	case RULES_IP:
		return v->ip.family == 0;
	case RULES_STRINGS:
	case RULES_ADDRESSES:
	case RULES_NUMBERS:
		return v->list.n == 0;
	default:
		return v->text.len == 0;
	}
}

static bool
is_ascii(const struct rules_value *v)
{
	size_t i;

	for (i = 0; i < v->text.len; i++)
		if ((unsigned char)v->text.p[i] >= 0x80)
			return false;
	return true;
}

static bool
is_ipv4(const struct rules_value *v)
{
	return v->ip.family == AF_INET;
}

static bool
is_ipv6(const struct rules_value *v)
{
	return v->ip.family == AF_INET6;
}

/* An IPv6 loopback is ::1 and nothing else. */
static bool
is_loopback(const struct rules_value *v)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (v->ip.family == AF_INET)
		return v->ip.ip[0] == 127;
	return v->ip.family == AF_INET6 && memcmp(v->ip.ip, one, 16) == 0;
}

/* RFC 1918, RFC 3927, RFC 4193, RFC 4291 2.5.6. */
static bool
is_private(const struct rules_value *v)
{
	const uint8_t *ip = v->ip.ip;

	if (v->ip.family == AF_INET)
		return ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
		    (ip[0] == 192 && ip[1] == 168) ||
		    (ip[0] == 169 && ip[1] == 254);
	return v->ip.family == AF_INET6 && ((ip[0] & 0xfe) == 0xfc ||
	    (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80));
}

#define OF(t)	(1u << RULES_##t)
#define TEXTS	(OF(STRING) | OF(ADDRESS))
#define LISTS	(OF(STRINGS) | OF(ADDRESSES) | OF(NUMBERS))

static const struct {
	const char	*name;
	unsigned	 types;
	bool		 (*has)(const struct rules_value *v);
} classes[] = {
	{ "hostname",	TEXTS,			is_hostname },
	{ "fqdn",	TEXTS,			is_fqdn },
	{ "literal",	TEXTS,			is_literal },
	{ "ip",		TEXTS,			is_bare_ip },
	{ "ascii",	TEXTS,			is_ascii },
	{ "empty",	TEXTS | LISTS,		is_empty },
	{ "unknown",	TEXTS | OF(IP),		is_empty },
	{ "ipv4",	OF(IP),			is_ipv4 },
	{ "ipv6",	OF(IP),			is_ipv6 },
	{ "loopback",	OF(IP),			is_loopback },
	{ "private",	OF(IP),			is_private },
};

#define NCLASSES	(sizeof(classes) / sizeof(classes[0]))

int
class_find(struct slice name, enum rules_type type)
{
	size_t i;

	for (i = 0; i < NCLASSES; i++)
		if (slice_is(name, classes[i].name) &&
		    (classes[i].types & 1u << type))
			return (int)i;
	return -1;
}

bool
class_has(int class, const struct rules_value *v)
{
	return classes[class].has(v);
}

const char *
class_nth(enum rules_type type, size_t n)
{
	size_t i;

	for (i = 0; i < NCLASSES; i++)
		if ((classes[i].types & 1u << type) && n-- == 0)
			return classes[i].name;
	return NULL;
}
