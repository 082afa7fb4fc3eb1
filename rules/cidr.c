/*
 * cidr - networks of IPv4 and IPv6; the format is that of cidr_table(5).
 *
 * A rule about one family says nothing about addresses of the other, not even
 * when it is negated: "!0.0.0.0/0" is not "any IPv6 address". An address
 * ::ffff:192.0.2.1 is an IPv6 address here, as it is in Postfix.
 */

#include <arpa/inet.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/braces.h"
#include "rules/patterns.h"
#include "rules/subst.h"
#include "rules/table_impl.h"

#define QUOTE_MAX	60

struct network {
	int		family;
	unsigned	bits;
	uint8_t		ip[16];
};

/* 0, or -1 if it is no address. inet_pton(3) knows no leading zeros. */
static int
parse_ip(struct network *n, const char *text)
{
	n->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	n->bits = n->family == AF_INET ? 32 : 128;
	return inet_pton(n->family, text, n->ip) == 1 ? 0 : -1;
}

static bool
same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned octets = bits / 8, rest = bits % 8;

	return memcmp(a, b, octets) == 0 && (rest == 0 ||
	    ((a[octets] ^ b[octets]) >> (8 - rest)) == 0);
}

static bool
host_bits_are_zero(const struct network *n)
{
	unsigned i;

	for (i = n->bits; i < (n->family == AF_INET ? 32U : 128U); i++)
		if (n->ip[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

static int
parse_bits(struct network *n, const char *text)
{
	unsigned bits = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9' && bits <= 128; i++)
		bits = 10 * bits + (unsigned)(text[i] - '0');
	if (i == 0 || text[i] != '\0' || bits > n->bits)
		return -1;
	n->bits = bits;
	return 0;
}

/* "[address]" becomes "address". NULL or what is wrong (static). */
static const char *
unbracket(char **text)
{
	char *end;

	if (**text != '[')
		return NULL;
	++*text;
	if ((end = strchr(*text, ']')) == NULL)
		return "no \"]\"";
	if (end[1] != '\0' && end[1] != '/')
		return "text behind \"]\"";
	memmove(end, end + 1, strlen(end + 1) + 1);
	return NULL;
}

/* text is changed. NULL or what is wrong (static). */
static const char *
parse_network(struct network *n, char *text)
{
	const char *wrong = unbracket(&text);
	char *slash;

	if (wrong != NULL)
		return wrong;
	if ((slash = strchr(text, '/')) != NULL)
		*slash = '\0';
	if (parse_ip(n, text) == -1)
		return "not an IP address";
	if (slash == NULL)
		return NULL;
	if (parse_bits(n, slash + 1) == -1)
		return "not a length of its prefix";
	return host_bits_are_zero(n) ? NULL :
	    "bits are set behind its prefix";
}

static void
add(struct patterns *p, char *text, bool negated, struct subst *result,
    unsigned long line)
{
	struct network *n = xcalloc(1, sizeof(*n));
	char quoted[4 * QUOTE_MAX + 6];
	const char *wrong;

	log_quote(quoted, sizeof(quoted), text, strlen(text), QUOTE_MAX);
	if (*text == '\0')
		wrong = "no network (try 192.0.2.0/24 or 2001:db8::/32)";
	else
		wrong = parse_network(n, text);
	if (wrong == NULL) {
		patterns_add(p, n, negated, result, line);
		return;
	}
	report_mistake(p->report, p->name, line, "%s: %s", quoted, wrong);
	subst_free(&result);
	free(n);
}

static void
parse_endif(struct patterns *p, const char *rest, unsigned long line)
{
	/* Postfix skips such a line, unlike the one in a pcre table. */
	if (*rest != '\0')
		report_mistake(p->report, p->name, line,
		    "text behind \"endif\"");
	else if (patterns_endif(p) == -1)
		report_mistake(p->report, p->name, line,
		    "\"endif\" without \"if\"");
}

/* A result is taken as it is; there are no groups. */
static struct subst *
literal(const char *text)
{
	const char *unused;
	struct subst *s;
	struct buf b;

	buf_init(&b, 2 * strlen(text) + 1);
	for (; *text != '\0'; text++) {
		if (*text == '$')
			buf_addc(&b, '$');
		buf_addc(&b, *text);
	}
	s = subst_parse(b.p, 0, &unused);
	buf_fini(&b);
	return s;
}

static void
cidr_parse(struct patterns *p, char *line, unsigned long number)
{
	bool negated;
	char *rest;

	if ((rest = statement(line, "if")) != NULL) {
		rest = negations(rest, &negated);
		add(p, rest, negated, NULL, number);
		return;
	}
	if ((rest = statement(line, "endif")) != NULL) {
		parse_endif(p, rest, number);
		return;
	}
	line = negations(line, &negated);
	for (rest = line; *rest != '\0' && !is_white(*rest); rest++)
		;
	if (*rest != '\0')
		*rest++ = '\0';
	while (is_white(*rest))
		rest++;
	if (*rest == '\0')
		report_mistake(p->report, p->name, number,
		    "no result (try \"192.0.2.0/24 OK\")");
	else
		add(p, line, negated, literal(rest), number);
}

/* The key was made a network in cidr_find(). */
static enum match
cidr_match(const struct patterns *p, const void *what, const struct query *q,
    struct slice *group, size_t ngroups)
{
	const struct network *n = what, *key = p->shared;

	(void)q;
	(void)group;
	(void)ngroups;
	if (n->family != key->family)
		return MATCH_NEVER;
	return same_prefix(n->ip, key->ip, n->bits) ? MATCH_YES : MATCH_NO;
}

static const struct pattern_kind kind = {
	.parse	= cidr_parse,
	.match	= cidr_match,
	.free	= free,
};

/* The table */

static void *
cidr_open(const struct source *s, char **why)
{
	return patterns_load(&kind, NULL, s, why);
}

static enum table_result
cidr_find(void *priv, struct query *q)
{
	struct patterns *p = priv;
	enum table_result r;
	struct network key;

	if (parse_ip(&key, q->key) == -1)
		return TABLE_NOT_FOUND;
	p->shared = &key;
	r = patterns_find(p, q);
	p->shared = NULL;
	return r;
}

const struct table_type table_cidr = {
	.name	= "cidr",
	.suffix	= "",
	.flags	= TABLE_FILE | TABLE_INLINE | TABLE_PATTERNS | TABLE_IPS,
	.open	= cidr_open,
	.close	= patterns_close,
	.find	= cidr_find,
	.size	= patterns_size,
};
