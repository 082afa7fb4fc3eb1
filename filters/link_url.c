/*
 * link_url - one address of the web, as browsers read it.
 */

#include "filters/link_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <idn2.h>

#include "filters/charset.h"

#define HOST_MAX	1000

/* Without tabs and line breaks, and without spaces around it. */
static void
clean(struct slice in, struct buf *out)
{
	size_t i;

	while (in.len > 0 && (unsigned char)*in.p <= ' ') {
		in.p++;
		in.len--;
	}
	while (in.len > 0 && (unsigned char)in.p[in.len - 1] <= ' ')
		in.len--;
	for (i = 0; i < in.len; i++)
		if (strchr("\t\r\n", in.p[i]) == NULL)
			buf_addc(out, in.p[i]);
		else if (in.p[i] == '\0')
			buf_addc(out, '?');
}

/* The length of scheme and colon; 0: there is none. */
static size_t
scheme_length(struct slice s)
{
	size_t i = 0;

	if (s.len == 0 || !isalpha((unsigned char)*s.p))
		return 0;
	while (i < s.len && (isalnum((unsigned char)s.p[i]) ||
	    s.p[i] == '+' || s.p[i] == '-' || s.p[i] == '.'))
		i++;
	return i < s.len && s.p[i] == ':' ? i + 1 : 0;
}

static bool
is_web(struct slice scheme)
{
	return slice_is_nocase(scheme, "http:") ||
	    slice_is_nocase(scheme, "https:") ||
	    slice_is_nocase(scheme, "ftp:");
}

static bool
is_slash(char c)
{
	return c == '/' || c == '\\';
}

/* One number of an IPv4 address: 80, 0x50, 0120. False: it is none. */
static bool
ipv4_number(struct slice s, uint64_t *n)
{
	unsigned base = 10;
	size_t i = 0;
	int digit;

	if (s.len > 1 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x') {
		base = 16;
		i = 2;
	} else if (s.len > 1 && s.p[0] == '0')
		base = 8;
	if (s.len == 0 || s.len > 20)
		return false;
	for (*n = 0; i < s.len; i++) {
		digit = hex_digit(s.p[i]);
		if (digit < 0 || digit >= (int)base)
			return false;
		*n = *n * base + (unsigned)digit;
		if (*n > UINT32_MAX)
			return false;
	}
	return true;
}

/* One to four numbers, the last of which fills what is left. */
static bool
is_ipv4(struct slice host, uint32_t *ip)
{
	uint64_t n, address = 0;
	const char *dot;
	size_t len;
	int left = 4;

	while (left > 0) {
		dot = memchr(host.p, '.', host.len);
		len = dot != NULL ? (size_t)(dot - host.p) : host.len;
		if (!ipv4_number(SLICE(host.p, len), &n))
			return false;
		if (dot == NULL || len + 1 == host.len) {
			if (n >= (uint64_t)1 << 8 * left)
				return false;
			*ip = (uint32_t)(address << 8 * left | n);
			return true;
		}
		if (n > 255)
			return false;
		address = address << 8 | n;
		left--;
		host = SLICE(dot + 1, host.len - len - 1);
	}
	return false;
}

static bool
is_ascii(const struct buf *b)
{
	size_t i;

	for (i = 0; i < b->len; i++)
		if ((unsigned char)b->p[i] >= 0x80 || b->p[i] == '\0')
			return false;
	return true;
}

/* International names to A-labels; what cannot be one stays. */
static void
add_name(const struct buf *name, struct buf *out)
{
	char *ascii = NULL;
	size_t i, len = name->len;

	if (!is_ascii(name) && strlen(name->p) == name->len &&
	    idn2_to_ascii_8z(name->p, &ascii, IDN2_NFC_INPUT |
	    IDN2_NONTRANSITIONAL) == IDN2_OK) {
		len = strlen(ascii);
		while (len > 0 && ascii[len - 1] == '.')
			len--;
		buf_add(out, ascii, len);
		idn2_free(ascii);
		return;
	}
	while (len > 0 && name->p[len - 1] == '.')
		len--;
	for (i = 0; i < len; i++)
		buf_addc(out, (unsigned char)name->p[i] <= ' ' ? '?' :
		    (char)tolower((unsigned char)name->p[i]));
}

/* The host as it stands in the address to what is asked for. */
static void
add_host(struct slice raw, struct buf *out)
{
	struct buf octets, name, ascii;
	char text[INET_ADDRSTRLEN];
	struct in_addr in;
	uint32_t ip;

	buf_init(&octets, HOST_MAX);
	buf_init(&name, 4 * HOST_MAX);
	buf_init(&ascii, 8 * HOST_MAX);
	buf_add_percent(&octets, raw);
	charset_repair(octets.p, octets.len, &name);
	add_name(&name, &ascii);
	if (is_ipv4(SLICE(ascii.p, ascii.len), &ip)) {
		in.s_addr = htonl(ip);
		buf_adds(out, inet_ntop(AF_INET, &in, text, sizeof(text)));
	} else
		buf_add(out, ascii.p, ascii.len);
	buf_fini(&octets);
	buf_fini(&name);
	buf_fini(&ascii);
}

/* [userinfo@]host[:port] */
static struct slice
host_of(struct slice authority)
{
	const char *at = memrchr(authority.p, '@', authority.len), *end;

	if (at != NULL)
		authority = SLICE(at + 1, authority.len -
		    (size_t)(at + 1 - authority.p));
	if (authority.len > 0 && *authority.p == '[')
		end = memchr(authority.p, ']', authority.len);
	else
		end = memchr(authority.p, ':', authority.len);
	if (end != NULL)
		authority.len = (size_t)(end - authority.p) + (*end == ']');
	return authority;
}

static void
add_rest(struct slice s, struct buf *url)
{
	bool path = true;
	size_t i;

	for (i = 0; i < s.len; i++) {
		path &= s.p[i] != '?' && s.p[i] != '#';
		buf_addc(url, path && s.p[i] == '\\' ? '/' :
		    (unsigned char)s.p[i] < ' ' ? '?' : s.p[i]);
	}
}

/* What is behind the scheme of an address with a host. */
static bool
web_url(const char *scheme, struct slice rest, struct buf *url,
    struct buf *host)
{
	struct slice authority, raw;
	size_t n = 0, from = host->len;

	while (rest.len > 0 && is_slash(*rest.p)) {
		rest.p++;
		rest.len--;
	}
	while (n < rest.len && !is_slash(rest.p[n]) && rest.p[n] != '?' &&
	    rest.p[n] != '#')
		n++;
	authority = SLICE(rest.p, n);
	raw = host_of(authority);
	add_host(raw, host);
	if (host->len == from)
		return false;
	buf_addf(url, "%s//", scheme);
	add_rest(SLICE(authority.p, (size_t)(raw.p - authority.p)), url);
	buf_add(url, host->p + from, host->len - from);
	add_rest(SLICE(raw.p + raw.len, (size_t)(rest.p + rest.len - raw.p) -
	    raw.len), url);
	return true;
}

bool
link_url(struct slice in, struct buf *url, struct buf *host)
{
	struct slice s, scheme;
	char word[8];
	struct buf b;
	bool good;
	size_t i;

	buf_init(&b, in.len + 1);
	clean(in, &b);
	s = SLICE(b.p, b.len);
	scheme = SLICE(s.p, scheme_length(s));
	if (is_web(scheme)) {
		for (i = 0; i < scheme.len; i++)
			word[i] = (char)tolower((unsigned char)s.p[i]);
		word[i] = '\0';
		good = web_url(word, SLICE(s.p + i, s.len - i), url, host);
	} else if (scheme.len > 0) {
		add_rest(s, url);
		good = true;
	} else
		good = s.len > 2 && is_slash(s.p[0]) && is_slash(s.p[1]) &&
		    web_url("https:", s, url, host);
	buf_fini(&b);
	return good;
}
