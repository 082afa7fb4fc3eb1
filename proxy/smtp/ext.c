/*
 * ext - ESMTP keywords as a set.
 *
 * What a backend says is read keyword by keyword, and whatever is odd about
 * one costs that keyword only: not to offer an extension is always legal.
 */

#include "smtp/ext.h"

#include <string.h>

#include "smtp/command.h"

static const char *const keywords[EXT_COUNT] = {
#define EXT(id, keyword, who)	[EXT_##id] = keyword,
#include "smtp/ext.def"
#undef EXT
};

/* The extensions that a client gets only from a backend that has them. */
enum {
	OURS = 0,
	NEEDS = 1,
	NEEDS_BACKEND = 0
#define EXT(id, keyword, who)	| (who * (1 << EXT_##id))
#include "smtp/ext.def"
#undef EXT
};

static const char *const mechs[AUTH_MECHS] = {
	[AUTH_PLAIN] = "PLAIN",
	[AUTH_LOGIN] = "LOGIN",
	[AUTH_XOAUTH2] = "XOAUTH2",
	[AUTH_OAUTHBEARER] = "OAUTHBEARER",
	[AUTH_SCRAM_SHA_1] = "SCRAM-SHA-1",
	[AUTH_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[AUTH_SCRAM_SHA_512] = "SCRAM-SHA-512",
};

static const char *const xattrs[XATTRS] = {
	[XATTR_NAME] = "NAME",
	[XATTR_ADDR] = "ADDR",
	[XATTR_PORT] = "PORT",
	[XATTR_PROTO] = "PROTO",
	[XATTR_HELO] = "HELO",
	[XATTR_IDENT] = "IDENT",
	[XATTR_SOURCE] = "SOURCE",
	[XATTR_LOGIN] = "LOGIN",
	[XATTR_DESTADDR] = "DESTADDR",
	[XATTR_DESTPORT] = "DESTPORT",
	[XATTR_REVERSE_NAME] = "REVERSE_NAME",
};

#define XFORWARD_XATTRS	(XATTR_SOURCE + 1)	/* the rest is XCLIENT's only */

static int
find(const char *const *names, int n, struct slice name)
{
	for (int i = 0; i < n; i++)
		if (slice_is_nocase(name, names[i]))
			return i;
	return -1;
}

int
auth_mech_find(struct slice name)
{
	return find(mechs, AUTH_MECHS, name);
}

const char *
auth_mech_name(enum auth_mech m)
{
	return mechs[m];
}

int
xattr_find(struct slice name)
{
	return find(xattrs, XATTRS, name);
}

const char *
xattr_name(enum xattr a)
{
	return xattrs[a];
}

/*
 * Reading what a backend offers
 */

/* 1*max_digits DIGIT, all of s; more than 64 bits are UINT64_MAX. */
static bool
parse_number(struct slice s, size_t max_digits, uint64_t *number)
{
	uint64_t n = 0;

	if (s.len == 0 || s.len > max_digits)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';

		if (digit > 9)
			return false;
		n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
	}
	*number = n;
	return true;
}

/* Words that find() knows, as bits; the others are none of our business. */
static unsigned
parse_names(const char *const *names, int n, struct slice params)
{
	struct slice word;
	unsigned bits = 0;

	while (slice_word(&params, &word)) {
		int i = find(names, n, word);

		if (i >= 0)
			bits |= 1u << i;
	}
	return bits;
}

/* RFC 1870 section 4: "SIZE" [SP 1*20DIGIT], where 0 means no limit. */
static bool
parse_size(struct ext_set *e, struct slice params)
{
	struct slice word;

	e->size = 0;
	return !slice_word(&params, &word) || parse_number(word, 20, &e->size);
}

/* RFC 9422 section 3: "RCPTMAX=" 1 to 999999, and others of that form. A limit
   that we do not know may be of any form. */
static bool
parse_limit(struct ext_set *e, struct slice word)
{
	static const char *const names[] = { "RCPTMAX", "MAILMAX",
		"RCPTDOMAINMAX" };
	unsigned *limits[] = { &e->rcptmax, &e->mailmax, &e->rcptdomainmax };
	const char *eq = memchr(word.p, '=', word.len);
	size_t len = eq ? (size_t)(eq - word.p) : word.len;
	int i = find(names, 3, SLICE(word.p, len));
	uint64_t n;

	if (i < 0)
		return true;
	if (eq == NULL ||
	    !parse_number(SLICE(eq + 1, word.len - len - 1), 6, &n) || n == 0)
		return false;
	*limits[i] = (unsigned)n;
	return true;
}

static bool
parse_limits(struct ext_set *e, struct slice params)
{
	struct slice word;

	e->rcptmax = e->mailmax = e->rcptdomainmax = 0;
	while (slice_word(&params, &word))
		if (!parse_limit(e, word)) {
			e->rcptmax = e->mailmax = e->rcptdomainmax = 0;
			return false;
		}
	return true;
}

/* RFC 2852 section 2: "DELIVERBY" [SP 1*9DIGIT *("," …)], in seconds. */
static bool
parse_deliverby(struct ext_set *e, struct slice params)
{
	struct slice word;
	const char *comma;
	uint64_t n = 0;

	e->deliverby_min = 0;
	if (!slice_word(&params, &word))
		return true;
	comma = memchr(word.p, ',', word.len);
	if (comma != NULL)
		word.len = (size_t)(comma - word.p);
	if (!parse_number(word, 9, &n))
		return false;
	e->deliverby_min = (unsigned)n;
	return true;
}

/* RFC 6710 section 3: "MT-PRIORITY" [SP profile-name]. */
static bool
parse_mt_priority(struct ext_set *e, struct slice params)
{
	struct slice word;

	e->mt_priority[0] = '\0';
	if (!slice_word(&params, &word))
		return true;
	if (word.len >= sizeof(e->mt_priority))
		return false;
	for (size_t i = 0; i < word.len; i++)
		if (word.p[i] < '!' || word.p[i] > '~')
			return false;
	memcpy(e->mt_priority, word.p, word.len);
	e->mt_priority[word.len] = '\0';
	return true;
}

/* The parameters of one keyword. False: it counts as not offered. Keywords
   without parameters may get some one day; they stay what they are. */
static bool
parse_params(struct ext_set *e, enum ext_id id, struct slice params)
{
	switch ((int)id) {
	case EXT_SIZE:
		return parse_size(e, params);
	case EXT_AUTH:	/* may come twice: "AUTH X" and, for old, "AUTH=X" */
		e->auth |= parse_names(mechs, AUTH_MECHS, params);
		return e->auth != 0;
	case EXT_XCLIENT:
		e->xclient = parse_names(xattrs, XATTRS, params);
		return e->xclient != 0;
	case EXT_XFORWARD:
		e->xforward = parse_names(xattrs, XFORWARD_XATTRS, params);
		return e->xforward != 0;
	case EXT_LIMITS:
		return parse_limits(e, params);
	case EXT_DELIVERBY:
		return parse_deliverby(e, params);
	case EXT_MTPRIORITY:
		return parse_mt_priority(e, params);
	}
	return true;
}

static void
parse_keyword(struct ext_set *e, struct slice line)
{
	struct slice word;
	int id;

	if (!slice_word(&line, &word))
		return;
	if (word.len > 5 && slice_is_nocase(SLICE(word.p, 5), "AUTH=")) {
		line = SLICE(word.p + 5, word.len - 5 + line.len);
		word.len = 4;
	}
	id = find(keywords, EXT_COUNT, word);
	if (id < 0)
		return;
	if (parse_params(e, (enum ext_id)id, line))
		e->bits |= 1u << id;
	else
		e->bits &= ~(1u << id);
}

void
ext_parse(struct ext_set *e, const struct reply *ehlo)
{
	const char *p = ehlo->text.p, *end = p + ehlo->text.len;

	*e = (struct ext_set){ .bits = 0 };
	/* The first line is the server's name and greeting. */
	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		const char *lf;

		p++;
		lf = memchr(p, '\n', (size_t)(end - p));
		parse_keyword(e, SLICE(p, (size_t)((lf ? lf : end) - p)));
	}
}

/*
 * What we offer
 */

/* The smaller one of two limits of which 0 is none. */
static uint64_t
smaller(uint64_t a, uint64_t b)
{
	if (a == 0 || (b != 0 && b < a))
		return b;
	return a;
}

static void
clear_unless(struct ext_set *e, unsigned bits, bool condition)
{
	if (!condition)
		e->bits &= ~bits;
}

void
ext_intersect(struct ext_set *out, const struct ext_ours *ours,
    const struct ext_set *backend)
{
	static const struct ext_set unknown;
	const struct ext_set *b = backend ? backend : &unknown;
	unsigned all = (1u << EXT_COUNT) - 1;

	*out = *b;
	out->bits = (all & ~(unsigned)NEEDS_BACKEND) | (b->bits & NEEDS_BACKEND);
	out->size = smaller(ours->size, b->size);
	out->rcptmax = (unsigned)smaller(ours->rcptmax, b->rcptmax);
	out->mailmax = 0;
	out->xclient = ours->xclient;
	out->xforward = 0;

	clear_unless(out, EXT_BIT(STARTTLS), ours->starttls);
	clear_unless(out, EXT_BIT(XCLIENT), ours->xclient != 0);
	clear_unless(out, EXT_BIT(XFORWARD), false);
	clear_unless(out, EXT_BIT(AUTH), ours->auth);
	clear_unless(out, EXT_BIT(REQUIRETLS), ours->tls);
	clear_unless(out, EXT_BIT(SMTPUTF8), ext_has(b, EXT_BIT(EIGHTBITMIME)));
	clear_unless(out, EXT_BIT(BINARYMIME),
	    ours->binary && ext_has(b, EXT_BIT(CHUNKING)));
	clear_unless(out, EXT_BIT(LIMITS),
	    out->rcptmax != 0 || out->rcptdomainmax != 0);
	if (!ext_has(out, EXT_BIT(AUTH)))
		out->auth = 0;
}

static void
add_names(struct buf *b, const char *const *names, int n, unsigned bits)
{
	for (int i = 0; i < n; i++)
		if (bits & (1u << i))
			buf_addf(b, " %s", names[i]);
}

static void
add_limit(struct buf *b, const char *name, unsigned limit)
{
	if (limit > 0)
		buf_addf(b, " %s=%u", name, limit);
}

static void
format_params(const struct ext_set *e, enum ext_id id, struct buf *b)
{
	switch ((int)id) {
	case EXT_SIZE:
		if (e->size > 0)
			buf_addf(b, " %llu", (unsigned long long)e->size);
		break;
	case EXT_AUTH:
		add_names(b, mechs, AUTH_MECHS, e->auth);
		break;
	case EXT_XCLIENT:
		add_names(b, xattrs, XATTRS, e->xclient);
		break;
	case EXT_XFORWARD:
		add_names(b, xattrs, XATTRS, e->xforward);
		break;
	case EXT_LIMITS:
		add_limit(b, "RCPTMAX", e->rcptmax);
		add_limit(b, "MAILMAX", e->mailmax);
		add_limit(b, "RCPTDOMAINMAX", e->rcptdomainmax);
		break;
	case EXT_DELIVERBY:
		if (e->deliverby_min > 0)
			buf_addf(b, " %u", e->deliverby_min);
		break;
	case EXT_MTPRIORITY:
		if (e->mt_priority[0] != '\0')
			buf_addf(b, " %s", e->mt_priority);
		break;
	}
}

void
ext_format(const struct ext_set *e, const char *hostname, struct reply *r)
{
	reply_set(r, 250, "%s", hostname);
	for (int i = 0; i < EXT_COUNT; i++) {
		if (!(e->bits & (1u << i)))
			continue;
		buf_addf(&r->text, "\n%s", keywords[i]);
		format_params(e, (enum ext_id)i, &r->text);
		r->lines++;
	}
}
