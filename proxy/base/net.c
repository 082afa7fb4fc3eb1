/*
 * net - addresses of peers: to text and back, and the networks they are in.
 *
 * Every netaddr is made through canonical(), so a v4-mapped address does not
 * exist in the program, and two addresses are the same if their octets are.
 */

#include "base/net.h"

#include <sys/un.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const uint8_t v4_mapped[12] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
};

/* Addresses */

static size_t
ip_size(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

static void
canonical(struct netaddr *a)
{
	if (a->family != AF_INET6 ||
	    memcmp(a->ip, v4_mapped, sizeof(v4_mapped)) != 0)
		return;
	a->family = AF_INET;
	memmove(a->ip, a->ip + 12, 4);
	memset(a->ip + 4, 0, 12);
}

void
netaddr_from_sockaddr(struct netaddr *a, const struct sockaddr *sa)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	*a = (struct netaddr){ 0 };
	if (sa->sa_family == AF_INET) {
		a->port = ntohs(in4->sin_port);
		memcpy(a->ip, &in4->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		a->port = ntohs(in6->sin6_port);
		memcpy(a->ip, &in6->sin6_addr, 16);
	} else if (sa->sa_family != AF_UNIX) {
		return;
	}
	a->family = (uint8_t)sa->sa_family;
	canonical(a);
}

socklen_t
netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = a->family;
	if (a->family == AF_INET) {
		in4->sin_port = htons(a->port);
		memcpy(&in4->sin_addr, a->ip, 4);
		return sizeof(*in4);
	}
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

/* inet_pton(3) takes no leading zeros, no zone and nothing behind. */
int
netaddr_parse_ip(struct netaddr *a, const char *ip, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct netaddr made = { 0 };

	if (len >= sizeof(text) || memchr(ip, '\0', len) != NULL)
		return -1;
	memcpy(text, ip, len);
	text[len] = '\0';
	made.family = memchr(ip, ':', len) != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(made.family, text, made.ip) != 1)
		return -1;
	canonical(&made);
	*a = made;
	return 0;
}

static bool
is_ip(const struct netaddr *a)
{
	return a->family == AF_INET || a->family == AF_INET6;
}

bool
netaddr_same_ip(const struct netaddr *a, const struct netaddr *b)
{
	return is_ip(a) && a->family == b->family &&
	    memcmp(a->ip, b->ip, ip_size(a->family)) == 0;
}

bool
netaddr_is_local(const struct netaddr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return (a->family == AF_INET && a->ip[0] == 127) ||
	    (a->family == AF_INET6 && memcmp(a->ip, one, 16) == 0) ||
	    a->family == AF_UNIX;
}

char *
netaddr_ip(const struct netaddr *a, char out[NETADDR_TEXT])
{
	if (is_ip(a))
		inet_ntop(a->family, a->ip, out, NETADDR_TEXT);
	else
		snprintf(out, NETADDR_TEXT, "%s",
		    a->family == AF_UNIX ? "unix" : "unknown");
	return out;
}

char *
netaddr_text(const struct netaddr *a, char out[NETADDR_TEXT])
{
	char ip[NETADDR_TEXT];

	netaddr_ip(a, ip);
	if (a->family == AF_INET6)
		snprintf(out, NETADDR_TEXT, "[%.45s]:%u", ip, a->port);
	else if (a->family == AF_INET)
		snprintf(out, NETADDR_TEXT, "%.15s:%u", ip, a->port);
	else
		memcpy(out, ip, sizeof(ip));
	return out;
}

/* Places */

static bool
is_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* sun_path needs its NUL: a longer path could never be connected to. */
static const char *
parse_path(struct where *w, enum where_kind kind, const char *path)
{
	if (*path == '\0')
		return kind == WHERE_UNIX ? "no path" : "no command";
	if (kind == WHERE_UNIX &&
	    strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "the path is too long for a socket";
	w->kind = kind;
	w->path = xstrdup(path);
	return NULL;
}

/* A number from 0 to 65535, or the name of a service. */
static bool
is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (text[digits] == '\0')
		return digits > 0 && digits <= 5 &&
		    strtol(text, NULL, 10) <= UINT16_MAX;
	return text[0] != '-' && text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

/* What getaddrinfo(3) may be asked for; no spaces, no slashes. */
static bool
is_host(const char *p, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t i;

	for (i = 0; i < len; i++)
		if (memchr(letters, p[i], sizeof(letters) - 1) == NULL)
			return false;
	return len > 0 && len <= 255;
}

/* HOST ":" PORT / "[" IPv6 "]" ":" PORT */
static const char *
parse_tcp(struct where *w, const char *text)
{
	const char *colon = strrchr(text, ':'), *host = text;
	struct netaddr a;
	size_t len;

	if (colon == NULL || (text[0] == '[' && colon[-1] != ']'))
		return "no port";
	len = (size_t)(colon - text);
	if (text[0] == '[') {
		host++, len -= 2;
		if (netaddr_parse_ip(&a, host, len) == -1 ||
		    memchr(host, ':', len) == NULL)
			return "not an IPv6 address between the brackets";
	} else if (len == 0) {
		return "no host";
	} else if (memchr(text, ':', len) != NULL) {
		return "an IPv6 address needs brackets: [ADDRESS]:PORT";
	} else if (!is_host(text, len)) {
		return "not a host name";
	}
	if (colon[1] == '\0')
		return "no port";
	if (!is_port(colon + 1))
		return "not a port";
	w->kind = WHERE_TCP;
	w->host = xstrndup(host, len);
	w->port = xstrdup(colon + 1);
	return NULL;
}

static const char *
parse_where(struct where *w, const char *text)
{
	if (is_prefix(text, "unix:"))
		return parse_path(w, WHERE_UNIX, text + 5);
	if (is_prefix(text, "exec:"))
		return parse_path(w, WHERE_EXEC, text + 5);
	if (strcmp(text, "mx") != 0)
		return parse_tcp(w, text);
	w->kind = WHERE_MX;
	return NULL;
}

int
where_parse(struct where *w, const char *text, const char **why)
{
	*w = (struct where){ .lmtp = is_prefix(text, "lmtp+") };
	if ((*why = parse_where(w, text + (w->lmtp ? 5 : 0))) != NULL) {
		where_fini(w);
		return -1;
	}
	w->text = xstrdup(text);
	return 0;
}

void
where_fini(struct where *w)
{
	free(w->text);
	free(w->host);
	free(w->port);
	free(w->path);
	*w = (struct where){ 0 };
}

int
where_resolve(const struct where *w, struct netaddr *out, int max,
    const char **why)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
	}, *list, *ai;
	int error, n = 0;

	error = getaddrinfo(w->host, w->port, &hints, &list);
	if (error != 0) {
		*why = gai_strerror(error);
		return -1;
	}
	for (ai = list; ai != NULL && n < max; ai = ai->ai_next) {
		netaddr_from_sockaddr(&out[n], ai->ai_addr);
		if (is_ip(&out[n]))
			n++;
	}
	freeaddrinfo(list);
	if (n > 0)
		return n;
	*why = "no address";
	return -1;
}

/* Networks */

/* The length of a prefix: digits only, no leading zero, at most most. */
static int
parse_bits(const char *text, int most)
{
	size_t digits = strspn(text, "0123456789");
	int bits;

	if (digits == 0 || digits > 3 || text[digits] != '\0' ||
	    (text[0] == '0' && digits > 1))
		return -1;
	bits = (int)strtol(text, NULL, 10);
	return bits <= most ? bits : -1;
}

/* Are the octets of a and b the same in their first bits? */
static bool
same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool
has_host_bits(const uint8_t *ip, unsigned bits, unsigned most)
{
	for (; bits < most; bits++)
		if (ip[bits / 8] & (0x80 >> bits % 8))
			return true;
	return false;
}

/*
 * ADDRESS ["/" BITS]. "::ffff:192.0.2.0/120" is the IPv4 network 192.0.2.0/24,
 * because the clients in it will look like that.
 */
static const char *
parse_network(struct netset_row *row, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct netaddr a;
	int bits, most = 32, mapped = 0;

	if (netaddr_parse_ip(&a, text, len) == -1)
		return "not an address or network";
	if (memchr(text, ':', len) != NULL)
		most = 128, mapped = a.family == AF_INET ? 96 : 0;
	bits = slash != NULL ? parse_bits(slash + 1, most) : most;
	if (bits < mapped)
		return "not a prefix length";
	bits -= mapped;
	if (has_host_bits(a.ip, (unsigned)bits, (unsigned)(most - mapped)))
		return "host bits set";
	*row = (struct netset_row){ a.family, (uint8_t)bits, { 0 } };
	memcpy(row->ip, a.ip, sizeof(row->ip));
	return NULL;
}

int
netset_add(struct netset *s, const char *text, const char **why)
{
	struct netset_row row;

	if ((*why = parse_network(&row, text)) != NULL)
		return -1;
	s->rows = xrealloc(s->rows, (s->n + 1) * sizeof(s->rows[0]));
	s->rows[s->n++] = row;
	return 0;
}

bool
netset_has(const struct netset *s, const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->rows[i].family == a->family &&
		    same_prefix(s->rows[i].ip, a->ip, s->rows[i].bits))
			return true;
	return false;
}

void
netset_fini(struct netset *s)
{
	free(s->rows);
	*s = (struct netset){ 0 };
}
