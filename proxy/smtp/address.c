/*
 * address - mailboxes and paths of RFC 5321 sections 4.1.2 and 4.1.3, with
 * the international forms of RFC 6531 section 3.3.
 *
 * One function per production of the grammar, each with its line of ABNF. They
 * read from a struct reader and append what they have read, in canonical
 * form, to its address. The first complaint stays; whoever fails returns.
 *
 * Lengths are those of what the client sent, because that is what the limits of
 * RFC 5321 are about. The canonical form is never longer, but for U-labels.
 *
 * International labels go through libidn2 one by one. UTS #46 maps characters
 * before IDNA looks at them, and among them are some that look like "@", "/"
 * or "." and become that: so what comes back must be letters, digits and
 * hyphens. The U-label is then made from the A-label: whatever the next
 * program knows about mapping, there is nothing left for it to map.
 */

#include "smtp/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <idn2.h>

#include "base/utf8.h"

#define LABEL_MAX	63	/* RFC 1035 2.3.4 */
#define U_LABEL_ROOM	256	/* 59 characters of 4 octets behind "xn--" */

struct reader {
	const char		*p, *end;
	bool			 cut;	/* the input goes on behind end, where
					   the limit is */
	bool			 utf8_ok;
	size_t			 ascii;	/* octets of the domain so far, as
					   A-labels */
	const char		*why;	/* the first complaint; static text */
	const struct address_limits *limits;
	struct address		*a;	/* what has been read */
};

/* The reader */

static int
refuse(struct reader *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
	return -1;
}

/* The octet at r->p has no place in the grammar. */
static int
unexpected(struct reader *r, const char *why)
{
	if (r->p == r->end)
		return refuse(r, r->cut ? "address is too long" : why);
	if ((unsigned char)*r->p < ' ' || *r->p == 0x7f)
		return refuse(r, "control character in address");
	if (*r->p == ' ')
		return refuse(r, "space in address");
	if (*r->p == '(')
		return refuse(r, "comment in address");
	return refuse(r, why);
}

/* Our U-labels may be longer than what they were made from. */
static int
put(struct reader *r, const char *p, size_t len)
{
	if (len >= ADDRESS_ROOM - r->a->len)
		return refuse(r, "address is too long");
	memcpy(r->a->text + r->a->len, p, len);
	r->a->len += len;
	return 0;
}

static bool
next_is(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static bool
skip(struct reader *r, char c)
{
	if (!next_is(r, c))
		return false;
	r->p++;
	return true;
}

static bool
next_is_word(const struct reader *r, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(r->end - r->p) >= len &&
	    strncasecmp(r->p, word, len) == 0;
}

/* Characters */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_let_dig(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The underscore is let through, as Postfix and Exim do: hosts have such
   names, whatever RFC 952 says. */
static bool
is_label_char(char c)
{
	return is_let_dig(c) || c == '-' || c == '_';
}

static bool
is_atext(char c)
{
	return is_let_dig(c) ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

static uint32_t
code_point(const char *p, size_t len)
{
	uint32_t c = (unsigned char)p[0] & (0xffu >> (len + 1));
	size_t i;

	for (i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

/* C1 controls, and what Unicode promises never to be a character (23.7). */
static bool
is_forbidden(uint32_t c)
{
	return (c >= 0x80 && c < 0xa0) || (c >= 0xfdd0 && c <= 0xfdef) ||
	    (c & 0xfffe) == 0xfffe;
}

/*
 * The length of the character at r->p when it is one of UTF8-non-ascii and may
 * stand in this address; else 0, and a complaint if it is not ASCII.
 */
static size_t
next_utf8(struct reader *r)
{
	size_t n;

	if (r->p == r->end || !is_high(*r->p))
		return 0;
	n = utf8_length(r->p, (size_t)(r->end - r->p));
	if (n == 0)
		refuse(r, "address is not valid UTF-8");
	else if (is_forbidden(code_point(r->p, n)))
		refuse(r, "control character in address");
	else if (!r->utf8_ok)
		refuse(r, "address needs SMTPUTF8");
	else
		r->a->utf8 = true;
	return r->why == NULL ? n : 0;
}

/* The local part */

/* Atom = 1*atext. Returns its length in octets. */
static size_t
skip_atom(struct reader *r)
{
	const char *start = r->p;
	size_t n;

	while ((n = r->p < r->end && is_atext(*r->p) ? 1 : next_utf8(r)) > 0)
		r->p += n;
	return (size_t)(r->p - start);
}

/* Would p[0..len), which holds what a Quoted-string may, do without quotes? */
static bool
is_dot_string(const char *p, size_t len)
{
	char before = '.';
	size_t i;

	for (i = 0; i < len; before = p[i++]) {
		if (p[i] == '.' && before == '.')
			return false;
		if (p[i] != '.' && !is_atext(p[i]) && !is_high(p[i]))
			return false;
	}
	return before != '.';
}

static int
put_quoted(struct reader *r, const char *p, size_t len)
{
	size_t i;

	if (put(r, "\"", 1) < 0)
		return -1;
	for (i = 0; i < len; i++) {
		if ((p[i] == '"' || p[i] == '\\') && put(r, "\\", 1) < 0)
			return -1;
		if (put(r, &p[i], 1) < 0)
			return -1;
	}
	return put(r, "\"", 1);
}

/* *("." / Atom): whole providers have given out such addresses. Without the
   quotes that the grammar asks for they are meant with them. */
static int
parse_odd_dots(struct reader *r)
{
	const char *start = r->p;

	while (skip(r, '.') || skip_atom(r) > 0)
		;
	if (r->p == start)
		return unexpected(r, "no local part");
	if (is_dot_string(start, (size_t)(r->p - start)))
		return put(r, start, (size_t)(r->p - start));
	return put_quoted(r, start, (size_t)(r->p - start));
}

/* Dot-string = Atom *("." Atom) */
static int
parse_dot_string(struct reader *r)
{
	const char *start = r->p;

	if (r->limits->odd_dots)
		return parse_odd_dots(r);

	do {
		if (skip_atom(r) > 0)
			continue;
		if (next_is(r, '.') || r->p > start)
			return unexpected(r, "misplaced dot in local part");
		return unexpected(r, "no local part");
	} while (skip(r, '.'));
	return put(r, start, (size_t)(r->p - start));
}

/*
 * Quoted-string   = DQUOTE *QcontentSMTP DQUOTE
 * quoted-pairSMTP = %d92 %d32-126	; RFC 6531 adds no UTF-8 here
 * qtextSMTP       = %d32-33 / %d35-91 / %d93-126 / UTF8-non-ascii
 */
static int
parse_quoted(struct reader *r)
{
	char text[ADDRESS_ROOM];	/* as large as the largest path */
	size_t len = 0, n;
	bool pair;

	r->p++;
	while (!next_is(r, '"')) {
		pair = skip(r, '\\');
		if (r->p < r->end && *r->p >= ' ' && *r->p <= '~')
			n = 1;
		else
			n = pair ? 0 : next_utf8(r);
		if (n == 0)
			return unexpected(r, "bad quoted local part");
		memcpy(text + len, r->p, n);
		len += n;
		r->p += n;
	}
	r->p++;
	if (is_dot_string(text, len))
		return put(r, text, len);
	return put_quoted(r, text, len);
}

/* Local-part = Dot-string / Quoted-string */
static int
parse_local_part(struct reader *r)
{
	const char *start = r->p;

	if ((next_is(r, '"') ? parse_quoted(r) : parse_dot_string(r)) < 0)
		return -1;
	if ((size_t)(r->p - start) > r->limits->local_part)
		return refuse(r, "local part is too long");
	r->a->local_len = r->a->len;
	return 0;
}

/* The domain */

/* Why p[0..len) is no label of letters, digits and hyphens; NULL if it is. */
static const char *
label_trouble(const char *p, size_t len)
{
	size_t i;

	if (len == 0)
		return "domain has an empty label";
	if (len > LABEL_MAX)
		return "domain label is longer than 63 octets";
	if (p[0] == '-')
		return "domain label starts with a hyphen";
	if (p[len - 1] == '-')
		return "domain label ends with a hyphen";
	for (i = 0; i < len; i++)
		if (!is_label_char(p[i]))
			return "domain has a character that no host name has";
	return NULL;
}

/* Does the label p[0..len) mean something to IDNA? */
static bool
is_idn_label(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (is_high(p[i]))
			return true;
	return len >= 4 && strncasecmp(p, "xn--", 4) == 0;
}

/* The A-label of an international label, in lower case; false: it has none. */
static bool
to_a_label(const char *p, size_t len, char out[LABEL_MAX + 1])
{
	char label[ADDRESS_ROOM], *ascii = NULL;
	bool good;

	if (len >= sizeof(label))
		return false;
	memcpy(label, p, len);
	label[len] = '\0';
	if (idn2_to_ascii_8z(label, &ascii, IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	good = label_trouble(ascii, strlen(ascii)) == NULL;
	if (good)
		memcpy(out, ascii, strlen(ascii) + 1);
	idn2_free(ascii);
	return good;
}

/*
 * The U-label of an A-label (or of a plain label, which is its own). False
 * unless it leads back to the same A-label: RFC 5890 2.3.2.1 asks for that,
 * and a "fake A-label" could mean one thing to us and another to the backend.
 */
static bool
to_u_label(const char *a_label, char out[U_LABEL_ROOM])
{
	char back[LABEL_MAX + 1], *u_label = NULL;
	bool good;

	if (idn2_to_unicode_8z8z(a_label, &u_label, 0) != IDN2_OK)
		return false;
	good = strlen(u_label) < U_LABEL_ROOM &&
	    to_a_label(u_label, strlen(u_label), back) &&
	    strcmp(a_label, back) == 0;
	if (good)
		memcpy(out, u_label, strlen(u_label) + 1);
	idn2_free(u_label);
	return good;
}

/* A-labels stay as they were written; U-labels are normalised. */
static int
put_idn_label(struct reader *r, const char *p, size_t len)
{
	char a_label[LABEL_MAX + 1], u_label[U_LABEL_ROOM];

	if (memchr(p, '_', len) != NULL || !to_a_label(p, len, a_label) ||
	    !to_u_label(a_label, u_label))
		return refuse(r, "domain is no valid international name");
	r->ascii += strlen(a_label);
	if (len >= 4 && strncasecmp(p, "xn--", 4) == 0)
		return put(r, p, len);
	return put(r, u_label, strlen(u_label));
}

/* sub-domain = Let-dig [Ldh-str] / U-label; with underscores */
static int
parse_sub_domain(struct reader *r)
{
	const char *start = r->p, *why;
	size_t len, n;

	for (;; r->p += n) {
		if (r->p < r->end && is_label_char(*r->p))
			n = 1;
		else if ((n = next_utf8(r)) == 0)
			break;
	}
	len = (size_t)(r->p - start);
	if (len == 0)
		return unexpected(r, label_trouble(start, 0));
	if (is_idn_label(start, len))
		return put_idn_label(r, start, len);
	why = label_trouble(start, len);
	if (why != NULL)
		return refuse(r, why);
	r->ascii += len;
	return put(r, start, len);
}

/* Domain = sub-domain *("." sub-domain) */
static int
parse_domain(struct reader *r)
{
	size_t limit = r->limits->domain, before = r->a->len;
	const char *start = r->p;

	r->ascii = 0;
	for (;;) {
		if (parse_sub_domain(r) < 0)
			return -1;
		if (!skip(r, '.'))
			break;
		r->ascii++;
		if (put(r, ".", 1) < 0)
			return -1;
	}
	if ((size_t)(r->p - start) > limit || r->ascii > limit ||
	    r->a->len - before > limit)
		return refuse(r, "domain is too long");
	return 0;
}

/* Address literals */

/*
 * IPv4-address-literal = Snum 3("."  Snum)
 * Snum                 = 1*3DIGIT	; decimal, 0 to 255
 *
 * Leading zeros are allowed and go: to inet_addr(3) they mean octal.
 */
static int
parse_ipv4(struct reader *r)
{
	char text[16];
	unsigned value[4] = { 0 };
	int i, digits, n;

	for (i = 0; i < 4; i++) {
		if (i > 0 && !skip(r, '.'))
			return unexpected(r, "bad address literal");
		for (digits = 0; r->p < r->end && is_digit(*r->p); digits++) {
			if (digits == 3)
				return refuse(r, "bad address literal");
			value[i] = value[i] * 10 + (unsigned)(*r->p++ - '0');
		}
		if (digits == 0 || value[i] > 255)
			return unexpected(r, "bad address literal");
	}
	n = snprintf(text, sizeof(text), "%u.%u.%u.%u", value[0], value[1],
	    value[2], value[3]);
	assert(n > 0 && (size_t)n < sizeof(text));
	return put(r, text, (size_t)n);
}

/* "::" must stand for two groups at least, in RFC 5321 unlike elsewhere. */
static bool
gap_is_wide_enough(const char *ip)
{
	int groups = strchr(ip, '.') != NULL ? 1 : 0;
	const char *p;

	if (strstr(ip, "::") == NULL)
		return true;
	for (p = ip; *p != '\0'; p++)
		if (*p != ':' && (p == ip || p[-1] == ':'))
			groups++;
	return groups <= 6;
}

/* IPv6-addr = IPv6-full / IPv6-comp / IPv6v4-full / IPv6v4-comp */
static int
parse_ipv6(struct reader *r)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr unused;
	size_t n = 0;

	while (r->p + n < r->end && r->p[n] != '\0' &&
	    strchr("0123456789ABCDEFabcdef:.", r->p[n]) != NULL)
		n++;
	if (n >= sizeof(text))
		return refuse(r, "bad address literal");
	memcpy(text, r->p, n);
	text[n] = '\0';
	r->p += n;
	if (inet_pton(AF_INET6, text, &unused) != 1 ||
	    !gap_is_wide_enough(text))
		return unexpected(r, "bad address literal");
	return put(r, text, n);
}

/*
 * address-literal      = "[" ( IPv4-address-literal /
 *			  IPv6-address-literal ) "]"
 * IPv6-address-literal = "IPv6:" IPv6-addr
 *
 * A General-address-literal needs a tag registered for it; there is none.
 */
static int
parse_literal(struct reader *r)
{
	static const char tag[] = "IPv6:";
	int rc;

	r->a->literal = true;
	r->p++;
	if (put(r, "[", 1) < 0)
		return -1;
	if (next_is_word(r, tag)) {
		rc = put(r, r->p, strlen(tag));
		r->p += strlen(tag);
		if (rc == 0)
			rc = parse_ipv6(r);
	} else {
		rc = parse_ipv4(r);
	}
	if (rc < 0)
		return -1;
	if (!skip(r, ']'))
		return unexpected(r, "bad address literal");
	return put(r, "]", 1);
}

/* Mailboxes and paths */

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static int
parse_mailbox(struct reader *r)
{
	if (parse_local_part(r) < 0)
		return -1;
	if (!skip(r, '@'))
		return unexpected(r, r->p == r->end || *r->p == '>' ?
		    "address has no domain" :
		    "local part has a character that needs quotes");
	if (put(r, "@", 1) < 0)
		return -1;
	if (next_is(r, '['))
		return parse_literal(r);
	return parse_domain(r);
}

/*
 * A-d-l     = At-domain *( "," At-domain )
 * At-domain = "@" Domain
 *
 * Read, as servers must, and forgotten, as they should (appendix C).
 */
static int
skip_source_route(struct reader *r)
{
	do {
		if (!skip(r, '@'))
			return unexpected(r, "bad source route");
		if (parse_domain(r) < 0)
			return -1;
	} while (skip(r, ','));
	if (!skip(r, ':'))
		return unexpected(r, "no local part");
	r->a->len = 0;
	return 0;
}

/* Path = "<" [ A-d-l ":" ] Mailbox ">", or "<>", or "<Postmaster>" */
static int
parse_path(struct reader *r, enum path_kind kind)
{
	static const char postmaster[] = "Postmaster";

	if (!skip(r, '<'))
		return refuse(r, "no < before the address");
	if (next_is(r, '>') && kind == PATH_REVERSE) {
		r->p++;
		return 0;
	}
	if (kind == PATH_FORWARD && next_is_word(r, "Postmaster>")) {
		r->p += strlen(postmaster);
		put(r, postmaster, strlen(postmaster));
		r->a->local_len = r->a->len;
	} else {
		if (next_is(r, '@') && skip_source_route(r) < 0)
			return -1;
		if (parse_mailbox(r) < 0)
			return -1;
	}
	if (!skip(r, '>'))
		return unexpected(r, "no > behind the address");
	return 0;
}

static struct reader
reader_on(struct address *a, const char *p, size_t len, size_t max,
    const struct address_limits *limits)
{
	assert(limits->path > 2 && limits->path <= ADDRESS_ROOM);
	a->len = a->local_len = 0;
	a->literal = a->utf8 = false;
	return (struct reader){
		.p = p, .end = p + (len < max ? len : max), .cut = len > max,
		.limits = limits, .a = a
	};
}

/* Leave a complete address or an empty one. */
static int
finish(struct reader *r, const char **why)
{
	struct address *a = r->a;

	if (r->why == NULL) {
		a->text[a->len] = '\0';
		return 0;
	}
	a->text[0] = '\0';
	a->len = a->local_len = 0;
	a->literal = a->utf8 = false;
	*why = r->why;
	return -1;
}

int
address_parse_path(struct address *a, enum path_kind kind, const char *p,
    size_t len, bool utf8_ok, const struct address_limits *limits,
    size_t *used, const char **why)
{
	struct reader r = reader_on(a, p, len, limits->path, limits);

	r.utf8_ok = utf8_ok;
	if (parse_path(&r, kind) == 0 && r.p != p + len && *r.p != ' ')
		refuse(&r, "text behind the address");
	*used = (size_t)(r.p - p);
	return finish(&r, why);
}

int
address_parse_mailbox(struct address *a, const char *p, size_t len,
    const struct address_limits *limits, const char **why)
{
	/* A path has two octets more: "<" and ">". */
	struct reader r = reader_on(a, p, len, limits->path - 2, limits);

	r.utf8_ok = true;
	if (parse_mailbox(&r) == 0 && r.p != p + len)
		unexpected(&r, "text behind the address");
	return finish(&r, why);
}

/* What an address says */

const char *
address_domain(const struct address *a)
{
	return a->local_len < a->len ? a->text + a->local_len + 1 : "";
}

bool
address_is_postmaster(const struct address *a)
{
	static const char postmaster[] = "postmaster";

	/* It needs no quotes, so it has none in canonical form. */
	return a->local_len == strlen(postmaster) &&
	    strncasecmp(a->text, postmaster, a->local_len) == 0;
}

char *
address_local(const struct address *a, char *out)
{
	const char *p = a->text, *end = a->text + a->local_len;
	char *o = out;

	if (a->local_len > 0 && *p == '"') {
		p++;
		end--;
	}
	while (p < end) {
		if (*p == '\\')
			p++;
		*o++ = *p++;
	}
	*o = '\0';
	return out;
}

/* Write the label p[0..len) in ASCII and lower case. Its length, or 0. */
static size_t
ascii_label(const char *p, size_t len, char out[LABEL_MAX + 1])
{
	size_t i;

	if (is_idn_label(p, len))
		return to_a_label(p, len, out) ? strlen(out) : 0;
	if (label_trouble(p, len) != NULL)
		return 0;
	for (i = 0; i < len; i++)
		out[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) :
		    p[i];
	out[len] = '\0';
	return len;
}

char *
address_ascii_domain(const struct address *a, char *out)
{
	const char *p = address_domain(a), *dot;
	char label[LABEL_MAX + 1];
	size_t len = 0, n;

	if (a->literal || *p == '\0')
		return memcpy(out, p, strlen(p) + 1);
	for (;; p = dot + 1) {
		dot = strchrnul(p, '.');
		n = ascii_label(p, (size_t)(dot - p), label);
		if (n == 0 || len + n + 1 >= ADDRESS_ROOM)
			return NULL;
		memcpy(out + len, label, n);
		len += n;
		if (*dot == '\0')
			break;
		out[len++] = '.';
	}
	out[len] = '\0';
	return out;
}

bool
helo_is_safe(const char *p, size_t len)
{
	size_t i;

	if (len < 1 || len > 255)
		return false;
	for (i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~' || strchr("<>()\"", p[i]))
			return false;
	return true;
}
