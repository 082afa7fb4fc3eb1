/*
 * xclient - the XCLIENT command of Postfix, both ways, and XFORWARD.
 *
 * Sending, a value is either known to be harmless or it is [UNAVAILABLE]: a
 * backend that refused a name would refuse the whole session, so a stranger's
 * PTR record must not even be able to be wrong.
 *
 * Receiving, everything is read before anything is changed, and the strings are
 * copied together into one new buffer: the old ones may be in the old one.
 */

#include "smtp/xclient.h"

#include <sys/socket.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "smtp/address.h"
#include "smtp/command.h"
#include "smtp/xtext.h"

static const char unavailable[] = "[UNAVAILABLE]";
static const char tempunavail[] = "[TEMPUNAVAIL]";

/* Names */

static bool
is_host_char(char c)
{
	char lower = (char)(c | 0x20);

	return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z') ||
	    c == '-' || c == '_';
}

static bool
is_host_label(const char *p, size_t len)
{
	size_t i;

	if (len < 1 || len > 63 || p[0] == '-' || p[len - 1] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!is_host_char(p[i]))
			return false;
	return true;
}

/*
 * Will every MTA take this for a host name? "_" is in too many PTR records to
 * be refused. Digits and dots alone look like an address, which no name may.
 */
static bool
is_host_name(const char *name)
{
	const char *p = name, *dot;

	if (strlen(name) > XCLIENT_VALUE_MAX ||
	    strspn(name, "0123456789.") == strlen(name))
		return false;
	for (;; p = dot + 1) {
		dot = strchrnul(p, '.');
		if (!is_host_label(p, (size_t)(dot - p)))
			return false;
		if (*dot == '\0')
			return true;
	}
}

/* Sending */

/* One attribute as " KEY=VALUE". A NULL value is unavailable; so is one that is
   too long. */
static void
add_attr(struct buf *out, enum xattr attr, const char *value)
{
	struct buf encoded;

	buf_init(&encoded, XCLIENT_VALUE_MAX);
	if (value != NULL)
		xtext_encode(&encoded, value, strlen(value));
	buf_addf(out, " %s=", xattr_name(attr));
	if (encoded.failed || encoded.len == 0)
		buf_adds(out, unavailable);
	else
		buf_add(out, encoded.p, encoded.len);
	buf_fini(&encoded);
}

static void
add_name(struct buf *out, enum xattr attr, const char *name, bool tempfail)
{
	if (name != NULL && is_host_name(name))
		add_attr(out, attr, name);
	else if (name == NULL && tempfail)
		buf_addf(out, " %s=%s", xattr_name(attr), tempunavail);
	else
		add_attr(out, attr, NULL);
}

static bool
is_ip(const struct netaddr *a)
{
	return a->family == AF_INET || a->family == AF_INET6;
}

static void
add_addr(struct buf *out, enum xattr attr, const struct netaddr *a)
{
	char ip[NETADDR_TEXT], value[NETADDR_TEXT + 8];

	if (!is_ip(a)) {
		add_attr(out, attr, NULL);
		return;
	}
	snprintf(value, sizeof(value), "%s%s",
	    a->family == AF_INET6 ? "IPV6:" : "", netaddr_ip(a, ip));
	add_attr(out, attr, value);
}

static void
add_port(struct buf *out, enum xattr attr, const struct netaddr *a)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)a->port);
	add_attr(out, attr, is_ip(a) && a->port > 0 ? port : NULL);
}

static bool
is_text(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

/* What one attribute adds to a line. */
static void
add_one(struct buf *out, enum xattr attr, const struct xclient *x)
{
	switch (attr) {
	case XATTR_NAME:
		add_name(out, attr, x->name, x->name_tempfail);
		break;
	case XATTR_REVERSE_NAME:
		add_name(out, attr, x->reverse_name, x->name_tempfail);
		break;
	case XATTR_PROTO:
		/* Postfix has no [UNAVAILABLE] here. */
		if (x->proto != NULL)
			add_attr(out, attr, x->proto);
		break;
	case XATTR_HELO:
		add_attr(out, attr, x->helo != NULL &&
		    helo_is_safe(x->helo, strlen(x->helo)) ? x->helo : NULL);
		break;
	case XATTR_LOGIN:
		add_attr(out, attr, x->login != NULL && is_text(x->login) ?
		    x->login : NULL);
		break;
	case XATTR_ADDR:
		add_addr(out, attr, &x->addr);
		break;
	case XATTR_PORT:
		add_port(out, attr, &x->addr);
		break;
	case XATTR_DESTADDR:
		add_addr(out, attr, &x->dest);
		break;
	case XATTR_DESTPORT:
		add_port(out, attr, &x->dest);
		break;
	case XATTR_IDENT:
	case XATTR_SOURCE:
	case XATTRS:
		break;
	}
}

/*
 * The attributes in the order in which they go; those of one row are not
 * separated. After ADDR the backend may no longer trust us with XCLIENT, so it
 * is last; and Postfix forgets LOGIN at the next XCLIENT that has none.
 */
static const enum xattr order[][2] = {
	{ XATTR_NAME,		XATTRS },
	{ XATTR_REVERSE_NAME,	XATTRS },
	{ XATTR_PROTO,		XATTRS },
	{ XATTR_HELO,		XATTRS },
	{ XATTR_PORT,		XATTRS },
	{ XATTR_DESTADDR,	XATTRS },
	{ XATTR_DESTPORT,	XATTRS },
	{ XATTR_LOGIN,		XATTR_ADDR },
};

int
xclient_format(struct buf *out, const char *verb, unsigned offered,
    const struct xclient *x)
{
	size_t i, k, line = 0;	/* octets in the line so far, without CR LF */
	struct buf item;
	int lines = 0;

	if (strcasecmp(verb, "XCLIENT") != 0)
		offered &= ~(1u << XATTR_LOGIN);
	buf_init(&item, XCLIENT_LINE_MAX);
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		buf_reset(&item);
		for (k = 0; k < 2; k++)
			if (offered & (1u << order[i][k]))
				add_one(&item, order[i][k], x);
		if (item.len == 0)
			continue;
		if (lines == 0 || line + item.len + 2 > XCLIENT_LINE_MAX) {
			buf_addf(out, "%s%s", lines > 0 ? "\r\n" : "", verb);
			line = strlen(verb);
			lines++;
		}
		buf_add(out, item.p, item.len);
		line += item.len;
	}
	if (lines > 0)
		buf_adds(out, "\r\n");
	buf_fini(&item);
	return lines;
}

/* Receiving */

/* What an XCLIENT names, while it is read. */
struct draft {
	struct xclient	 x;
	struct buf	 text;		/* all strings, each with a NUL */
	unsigned	 seen;		/* 1 << xattr */
	size_t		 at[XATTRS];	/* strings: their place in text, plus
					   1; 0: NULL */
};

/* The member of x that holds this attribute's string; NULL: it is none. */
static const char **
string_of(struct xclient *x, enum xattr attr)
{
	switch (attr) {
	case XATTR_NAME:
		return &x->name;
	case XATTR_REVERSE_NAME:
		return &x->reverse_name;
	case XATTR_HELO:
		return &x->helo;
	case XATTR_LOGIN:
		return &x->login;
	default:
		return NULL;
	}
}

static void
keep_string(struct draft *d, enum xattr attr, const char *s)
{
	d->at[attr] = d->text.len + 1;
	buf_add(&d->text, s, strlen(s) + 1);
}

static const char *
take_addr(struct netaddr *a, const char *value)
{
	struct netaddr ip;
	bool v6 = strncasecmp(value, "IPV6:", 5) == 0;
	const char *text = v6 ? value + 5 : value;

	if (netaddr_parse_ip(&ip, text, strlen(text)) < 0 ||
	    v6 != (strchr(text, ':') != NULL))
		return "bad address";
	a->family = ip.family;
	memcpy(a->ip, ip.ip, sizeof(a->ip));
	return NULL;
}

static const char *
take_port(struct netaddr *a, const char *value)
{
	unsigned port = 0;
	const char *p;

	for (p = value; *p >= '0' && *p <= '9' && p - value < 5; p++)
		port = port * 10 + (unsigned)(*p - '0');
	if (p == value || *p != '\0' || port < 1 || port > 65535)
		return "bad port";
	a->port = (uint16_t)port;
	return NULL;
}

static const char *
take_proto(struct xclient *x, const char *value)
{
	if (strcasecmp(value, "SMTP") == 0)
		x->proto = "SMTP";
	else if (strcasecmp(value, "ESMTP") == 0)
		x->proto = "ESMTP";
	else
		return "bad protocol";
	return NULL;
}

static const char *
take_string(struct draft *d, enum xattr attr, const char *value)
{
	if (attr == XATTR_HELO && !helo_is_safe(value, strlen(value)))
		return "bad HELO name";
	if (attr != XATTR_HELO && attr != XATTR_LOGIN && !is_host_name(value))
		return "bad host name";
	if (attr == XATTR_NAME)
		d->x.name_tempfail = false;
	keep_string(d, attr, value);
	return NULL;
}

static const char *
take_value(struct draft *d, enum xattr attr, const char *value)
{
	switch (attr) {
	case XATTR_NAME:
	case XATTR_REVERSE_NAME:
	case XATTR_HELO:
	case XATTR_LOGIN:
		return take_string(d, attr, value);
	case XATTR_PROTO:
		return take_proto(&d->x, value);
	case XATTR_ADDR:
		return take_addr(&d->x.addr, value);
	case XATTR_DESTADDR:
		return take_addr(&d->x.dest, value);
	case XATTR_PORT:
		return take_port(&d->x.addr, value);
	case XATTR_DESTPORT:
		return take_port(&d->x.dest, value);
	case XATTR_IDENT:
	case XATTR_SOURCE:
	case XATTRS:
		break;
	}
	return "unknown attribute";
}

static void
clear_value(struct draft *d, enum xattr attr, bool tempfail)
{
	struct netaddr *a = attr == XATTR_ADDR || attr == XATTR_PORT ?
	    &d->x.addr : &d->x.dest;

	if (attr == XATTR_NAME)
		d->x.name_tempfail = tempfail;
	if (attr == XATTR_PROTO)
		d->x.proto = NULL;
	if (attr == XATTR_ADDR || attr == XATTR_DESTADDR) {
		a->family = 0;
		memset(a->ip, 0, sizeof(a->ip));
	}
	if (attr == XATTR_PORT || attr == XATTR_DESTPORT)
		a->port = 0;
}

/* attribute-name "=" xtext. NULL, or what is wrong. */
static const char *
take_attr(struct draft *d, struct slice word)
{
	const char *eq = memchr(word.p, '=', word.len), *why = NULL;
	struct slice name, value;
	struct buf plain;
	int attr;

	if (eq == NULL)
		return "attribute without a value";
	name = SLICE(word.p, (size_t)(eq - word.p));
	value = SLICE(eq + 1, word.len - name.len - 1);
	attr = xattr_find(name);
	if (attr < 0 || attr == XATTR_IDENT || attr == XATTR_SOURCE)
		return "unknown attribute";
	if (d->seen & (1u << attr))
		return "attribute given twice";
	d->seen |= 1u << attr;
	if (value.len < 1 || value.len > XCLIENT_VALUE_MAX)
		return "bad length of a value";
	if (slice_is_nocase(value, unavailable) ||
	    slice_is_nocase(value, tempunavail)) {
		clear_value(d, (enum xattr)attr,
		    slice_is_nocase(value, tempunavail));
		return NULL;
	}
	buf_init(&plain, XCLIENT_VALUE_MAX);
	if (xtext_decode(&plain, value.p, value.len) < 0)
		why = "bad xtext";
	else
		why = take_value(d, (enum xattr)attr, plain.p);
	buf_fini(&plain);
	return why;
}

/* Strings that were not named stay; those that were are in d->text. */
static void
keep_others(struct draft *d)
{
	const char **s;
	int i;

	for (i = 0; i < XATTRS; i++) {
		s = string_of(&d->x, (enum xattr)i);
		if (s != NULL && *s != NULL && !(d->seen & (1u << i)))
			keep_string(d, (enum xattr)i, *s);
	}
}

/* The text has found its last place: let the strings point there. */
static void
finish(struct draft *d, struct xclient *x, struct buf *store)
{
	const char **s;
	int i;

	buf_fini(store);
	*store = d->text;
	for (i = 0; i < XATTRS; i++) {
		s = string_of(&d->x, (enum xattr)i);
		if (s != NULL)
			*s = d->at[i] > 0 ? store->p + d->at[i] - 1 : NULL;
	}
	*x = d->x;
}

int
xclient_parse(struct xclient *x, struct slice arg, struct buf *store,
    const char **why)
{
	struct draft d = { .x = *x };
	const char *trouble = NULL;
	struct slice word;

	buf_init(&d.text, store->limit);
	while (trouble == NULL && slice_word(&arg, &word))
		trouble = take_attr(&d, word);
	if (trouble == NULL && d.seen == 0)
		trouble = "no attributes";
	keep_others(&d);
	if (trouble == NULL && d.text.failed)
		trouble = "values are too long";
	if (trouble != NULL) {
		buf_fini(&d.text);
		*why = trouble;
		return -1;
	}
	finish(&d, x, store);
	return 0;
}
