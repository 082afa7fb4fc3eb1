/*
 * proxyhdr - the PROXY protocol, versions 1 and 2, both ways.
 *
 * The header is short and comes at once, so nothing is kept between calls: the
 * caller shows all it has until the answer is not MORE. What cannot become a
 * header is refused as early as it is seen, because somebody who should not be
 * here is waiting.
 *
 * Where the specification leaves a choice we refuse: a header that we accept
 * without taking addresses from it (UNKNOWN, UNSPEC, LOCAL) makes the client
 * look like the balancer, and the balancer is trusted.
 */

#include "base/proxyhdr.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#define V1_START	"PROXY "
#define V1_MAX		107	/* the longest line, CR LF included */
#define V2_START	"\r\n\r\n\0\r\nQUIT\n"
#define V2_START_LEN	12
#define V2_FIXED	16	/* signature, command, family, length */

#define COMMAND_LOCAL	0
#define COMMAND_PROXY	1

#define TLV_CRC32C	0x03
#define TLV_UNIQUE_ID	0x05
#define TLV_SSL		0x20
#define TLV_SSL_VERSION	0x21
#define TLV_SSL_CIPHER	0x23

/* Family and transport of version 2, the second octet behind the signature. */
static const struct family {
	uint8_t		code;
	uint8_t		family;
	uint8_t		ip_len;
	uint8_t		port_len;
} families[] = {
	{ 0x11, AF_INET,  4,   2 },
	{ 0x21, AF_INET6, 16,  2 },
	{ 0x31, AF_UNIX,  108, 0 },
};

/* TLVs with a length that is not free. */
static const struct {
	uint8_t		type;
	uint16_t	min, max;
} tlv_sizes[] = {
	{ TLV_CRC32C,	 4, 4 },
	{ TLV_UNIQUE_ID, 0, 128 },
	{ TLV_SSL,	 5, UINT16_MAX },
};

static enum proxyhdr_status
bad(const char **why, const char *text)
{
	*why = text;
	return PROXYHDR_BAD;
}

/* Version 1 */

/* Cut the next field off s, up to a single space or the end. */
static struct slice
next_field(struct slice *s)
{
	const char *space = memchr(s->p, ' ', s->len);
	struct slice field = *s;

	if (space != NULL)
		field.len = (size_t)(space - s->p);
	s->p += field.len;
	s->len -= field.len;
	if (space != NULL)
		s->p++, s->len--;
	return field;
}

/* The colon tells: an IPv6 address that is v4-mapped comes back as IPv4. */
static bool
parse_ip(struct netaddr *a, struct slice field, bool six)
{
	return (memchr(field.p, ':', field.len) != NULL) == six &&
	    netaddr_parse_ip(a, field.p, field.len) == 0;
}

static bool
parse_port(struct netaddr *a, struct slice field)
{
	uint32_t port = 0;
	size_t i;

	if (field.len == 0 || field.len > 5 ||
	    (field.p[0] == '0' && field.len > 1))
		return false;
	for (i = 0; i < field.len; i++) {
		if (field.p[i] < '0' || field.p[i] > '9')
			return false;
		port = port * 10 + (uint32_t)(field.p[i] - '0');
	}
	a->port = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* src-ip SP dst-ip SP src-port SP dst-port, and nothing behind */
static const char *
parse_v1_addresses(struct proxyhdr *h, struct slice rest, bool six)
{
	if (!parse_ip(&h->src, next_field(&rest), six) ||
	    !parse_ip(&h->dst, next_field(&rest), six))
		return "PROXY header with a bad address";
	if (!parse_port(&h->src, next_field(&rest)) ||
	    !parse_port(&h->dst, rest))
		return "PROXY header with a bad port";
	return NULL;
}

/* What stands between "PROXY " and CR LF. */
static const char *
parse_v1_line(struct proxyhdr *h, struct slice line)
{
	struct slice rest = line, family = next_field(&rest);

	/* "The receiver must ignore anything presented" behind UNKNOWN. */
	h->local = slice_is(family, "UNKNOWN");
	if (h->local)
		return NULL;
	if (slice_is(family, "TCP4"))
		return parse_v1_addresses(h, rest, false);
	if (slice_is(family, "TCP6"))
		return parse_v1_addresses(h, rest, true);
	return "PROXY header with an unknown family";
}

static enum proxyhdr_status
parse_v1(struct proxyhdr *h, const char *p, size_t len, size_t *used,
    const char **why)
{
	size_t start = strlen(V1_START), most = len < V1_MAX ? len : V1_MAX;
	const char *end = memmem(p, most, "\r\n", 2);

	if (end == NULL && len < V1_MAX)
		return PROXYHDR_MORE;
	if (end == NULL)
		return bad(why, "PROXY header without an end");
	*why = parse_v1_line(h, SLICE(p + start, (size_t)(end - p) - start));
	*used = (size_t)(end - p) + 2;
	return *why == NULL ? PROXYHDR_DONE : PROXYHDR_BAD;
}

/* Version 2 */

static uint16_t
get16(const char *p)
{
	return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

/*
 * CRC32C (RFC 4960 appendix B) over p[0..len), where the four octets at zero
 * count as 0. One bit at a time: this is a few dozen octets once a connection.
 */
static uint32_t
crc32c(const char *p, size_t len, size_t zero)
{
	uint32_t crc = 0xffffffff;
	size_t i;
	int bit;

	for (i = 0; i < len; i++) {
		crc ^= i - zero < 4 ? 0 : (uint8_t)p[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static bool
is_size_allowed(uint8_t type, size_t size)
{
	size_t i;

	for (i = 0; i < sizeof(tlv_sizes) / sizeof(tlv_sizes[0]); i++)
		if (tlv_sizes[i].type == type)
			return size >= tlv_sizes[i].min &&
			    size <= tlv_sizes[i].max;
	return true;
}

/*
 * The TLVs are p[at..len), p being the whole header. HAProxy writes the
 * checksum in network order, and it is the one that everybody follows.
 */
static const char *
check_tlvs(const char *p, size_t at, size_t len)
{
	size_t size, crc_at = 0;
	uint8_t type;

	for (; at < len; at += size) {
		if (len - at < 3)
			return "PROXY header with a broken TLV";
		type = (uint8_t)p[at];
		size = get16(p + at + 1);
		at += 3;
		if (size > len - at || !is_size_allowed(type, size))
			return "PROXY header with a broken TLV";
		if (type != TLV_CRC32C)
			continue;
		if (crc_at != 0)
			return "PROXY header with two checksums";
		crc_at = at;
	}
	if (crc_at != 0 && crc32c(p, len, crc_at) !=
	    ((uint32_t)get16(p + crc_at) << 16 | get16(p + crc_at + 2)))
		return "PROXY header with a wrong checksum";
	return NULL;
}

static void
get_address(struct netaddr *a, uint8_t family, const char *ip,
    const char *port)
{
	struct sockaddr_storage ss;
	struct netaddr raw = { .family = family };

	if (family == AF_UNIX) {
		*a = raw;
		return;
	}
	raw.port = get16(port);
	memcpy(raw.ip, ip, family == AF_INET ? 4 : 16);
	/* There and back: a v4-mapped address comes out as IPv4. */
	netaddr_to_sockaddr(&raw, &ss);
	netaddr_from_sockaddr(a, (struct sockaddr *)&ss);
}

static const struct family *
find_family(uint8_t code)
{
	size_t i;

	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (families[i].code == code)
			return &families[i];
	return NULL;
}

/* A whole header, p[0..len), with the PROXY command and a known family. */
static const char *
parse_v2_addresses(struct proxyhdr *h, const char *p, size_t len)
{
	const struct family *f = find_family((uint8_t)p[13]);
	size_t port_at = V2_FIXED + 2 * f->ip_len;
	size_t tlvs_at = port_at + 2 * f->port_len;

	if (len < tlvs_at)
		return "PROXY header too short for its addresses";
	get_address(&h->src, f->family, p + V2_FIXED, p + port_at);
	get_address(&h->dst, f->family, p + V2_FIXED + f->ip_len,
	    p + port_at + f->port_len);
	return check_tlvs(p, tlvs_at, len);
}

/*
 * Is what there is of the fixed part all right? LOCAL ignores the family.
 * Datagrams are a valid family, but no SMTP.
 */
static const char *
check_v2_start(const char *p, size_t len)
{
	uint8_t command = len > 12 ? (uint8_t)p[12] : 0x20;
	uint8_t family = len > 13 ? (uint8_t)p[13] : 0;

	if (command >> 4 != 2)
		return "PROXY header of an unknown version";
	if ((command & 15) > COMMAND_PROXY)
		return "PROXY header with an unknown command";
	if ((command & 15) == COMMAND_PROXY && family != 0 &&
	    find_family(family) == NULL)
		return "PROXY header with an unknown family";
	if (len >= V2_FIXED && V2_FIXED + get16(p + 14) > PROXYHDR_MAX)
		return "PROXY header too long";
	return NULL;
}

static enum proxyhdr_status
parse_v2(struct proxyhdr *h, const char *p, size_t len, size_t *used,
    const char **why)
{
	size_t size;

	if ((*why = check_v2_start(p, len)) != NULL)
		return PROXYHDR_BAD;
	if (len < V2_FIXED || len < (size_t)V2_FIXED + get16(p + 14))
		return PROXYHDR_MORE;
	size = (size_t)V2_FIXED + get16(p + 14);
	*used = size;
	h->local = (p[12] & 15) == COMMAND_LOCAL || p[13] == 0;
	/* The rest of a LOCAL or UNSPEC header has no known form. */
	if (!h->local && (*why = parse_v2_addresses(h, p, size)) != NULL)
		return PROXYHDR_BAD;
	return PROXYHDR_DONE;
}

/* Does p[0..len) start with the octets of start, as far as it goes? */
static bool
starts(const char *p, size_t len, const char *start, size_t start_len)
{
	return memcmp(p, start, len < start_len ? len : start_len) == 0;
}

enum proxyhdr_status
proxyhdr_parse(struct proxyhdr *h, const char *p, size_t len, size_t *used,
    const char **why)
{
	*h = (struct proxyhdr){ 0 };
	*used = 0;
	if (len == 0)
		return PROXYHDR_MORE;
	if (starts(p, len, V2_START, V2_START_LEN))
		return len <= V2_START_LEN ? PROXYHDR_MORE
		    : parse_v2(h, p, len, used, why);
	if (starts(p, len, V1_START, strlen(V1_START)))
		return len <= strlen(V1_START) ? PROXYHDR_MORE
		    : parse_v1(h, p, len, used, why);
	return bad(why, "no PROXY header");
}

/* Formatting */

static bool
same_family(const struct netaddr *src, const struct netaddr *dst)
{
	return src->family == dst->family &&
	    (src->family == AF_INET || src->family == AF_INET6);
}

static void
format_v1(struct buf *out, const struct netaddr *src,
    const struct netaddr *dst)
{
	char from[NETADDR_TEXT], to[NETADDR_TEXT];

	if (!same_family(src, dst))
		buf_adds(out, V1_START "UNKNOWN\r\n");
	else
		buf_addf(out, V1_START "TCP%d %s %s %u %u\r\n",
		    src->family == AF_INET ? 4 : 6, netaddr_ip(src, from),
		    netaddr_ip(dst, to), src->port, dst->port);
}

static void
add16(struct buf *out, size_t n)
{
	buf_addc(out, (char)(n >> 8));
	buf_addc(out, (char)n);
}

static void
add_tlv(struct buf *out, uint8_t type, const char *text)
{
	buf_addc(out, (char)type);
	add16(out, strlen(text));
	buf_adds(out, text);
}

/* 2.2.6: the client bits, "verify" (not 0: it showed no certificate that we
   have verified), then version and cipher as TLVs of their own. */
static void
add_tls(struct buf *out, const struct proxyhdr_tls *tls)
{
	const char *cipher = tls->cipher != NULL ? tls->cipher : "";

	buf_addc(out, TLV_SSL);
	add16(out, 5 + 3 + strlen(tls->version) + 3 + strlen(cipher));
	buf_add(out, "\1\0\0\0\1", 5);
	add_tlv(out, TLV_SSL_VERSION, tls->version);
	add_tlv(out, TLV_SSL_CIPHER, cipher);
}

static void
format_v2(struct buf *out, const struct netaddr *src,
    const struct netaddr *dst, const struct proxyhdr_tls *tls)
{
	bool known = same_family(src, dst);
	size_t size = src->family == AF_INET ? 4 : 16, start, len;

	buf_add(out, V2_START, V2_START_LEN);
	buf_addc(out, 0x20 | COMMAND_PROXY);
	buf_addc(out, (char)(!known ? 0 : size == 4 ? 0x11 : 0x21));
	start = out->len;
	add16(out, 0);
	if (known) {
		buf_add(out, src->ip, size);
		buf_add(out, dst->ip, size);
		add16(out, src->port);
		add16(out, dst->port);
	}
	if (tls != NULL && tls->version != NULL)
		add_tls(out, tls);
	if (out->failed)
		return;
	len = out->len - start - 2;
	out->p[start] = (char)(len >> 8);
	out->p[start + 1] = (char)len;
}

void
proxyhdr_format(struct buf *out, int version, const struct netaddr *src,
    const struct netaddr *dst, const struct proxyhdr_tls *tls)
{
	if (version == 1)
		format_v1(out, src, dst);
	else
		format_v2(out, src, dst, tls);
}
