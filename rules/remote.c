/*
 * remote - what is said to a socketmap or tcp server, and what it answers.
 *
 * A socketmap question and its answer are one netstring each: "8:name key,".
 * A tcp question is a line "get KEY", its answer a line with a code, both with
 * %XX for what would not fit into a line.
 */

#include "rules/remote.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/braces.h"
#include "rules/table_impl.h"

/* Of socketmap_table(5) and tcp_table(5). */
#define SOCKETMAP_MAX	100000
#define TCP_MAX		4096

/* Where it is */

/* The name of a service is looked up later, with the host. */
static bool
is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	long port = digits <= 5 ? strtol(text, NULL, 10) : 0;

	return text[digits] == '\0' && port > 0 && port <= UINT16_MAX;
}

/* "HOST:PORT" with an IPv6 host in brackets. */
static int
parse_place(struct remote *r, struct slice s, const char **why)
{
	const char *colon = memrchr(s.p, ':', s.len);
	size_t host;

	if (colon == NULL || colon == s.p || colon + 1 == s.p + s.len) {
		*why = "no HOST:PORT";
		return -1;
	}
	host = (size_t)(colon - s.p);
	r->port = xstrndup(colon + 1, s.len - host - 1);
	if (isdigit((unsigned char)*r->port) && !is_port(r->port)) {
		*why = "not a port";
		return -1;
	}
	if (s.p[0] == '[' && s.p[host - 1] == ']' && host > 2)
		r->host = xstrndup(s.p + 1, host - 2);
	else
		r->host = xstrndup(s.p, host);
	return 0;
}

static int
parse_socketmap(struct remote *r, const char *argument, const char **why)
{
	const char *name = strrchr(argument, ':');

	if (name == NULL || name[1] == '\0' || strchr(name, ' ') != NULL) {
		*why = "no name of a map at the end (try "
		    "inet:127.0.0.1:8891:name)";
		return -1;
	}
	r->name = xstrdup(name + 1);
	if (strncmp(argument, "inet:", 5) == 0 && name - argument > 5)
		return parse_place(r, SLICE(argument + 5,
		    (size_t)(name - argument - 5)), why);
	if (strncmp(argument, "unix:", 5) == 0 && name - argument > 5) {
		r->path = xstrndup(argument + 5, (size_t)(name - argument - 5));
		return 0;
	}
	*why = "neither inet:HOST:PORT:NAME nor unix:PATH:NAME";
	return -1;
}

int
remote_parse(struct remote *r, enum remote_kind kind, const char *argument,
    const char **why)
{
	int done;

	*r = (struct remote){ .kind = kind };
	done = kind == REMOTE_TCP ?
	    parse_place(r, SLICE_STR(argument), why) :
	    parse_socketmap(r, argument, why);
	if (done == -1)
		remote_fini(r);
	return done;
}

void
remote_fini(struct remote *r)
{
	free(r->host);
	free(r->port);
	free(r->path);
	free(r->name);
	*r = (struct remote){ .kind = r->kind };
}

/* Questions */

/* %XX for what is not printable ASCII, for space, and for "%". */
static void
add_encoded(struct buf *to, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] > ' ' && p[i] < 0x7f && p[i] != '%')
			buf_addc(to, p[i]);
		else
			buf_addf(to, "%%%02X", (unsigned char)p[i]);
	}
}

void
remote_request(const struct remote *r, const char *key, size_t len,
    struct buf *to)
{
	if (r->kind == REMOTE_TCP) {
		buf_adds(to, "get ");
		add_encoded(to, key, len);
		buf_addc(to, '\n');
		return;
	}
	buf_addf(to, "%zu:%s ", strlen(r->name) + 1 + len, r->name);
	buf_add(to, key, len);
	buf_addc(to, ',');
}

/* Answers */

void
remote_reply_init(struct remote_reply *r, enum remote_kind kind)
{
	*r = (struct remote_reply){ .kind = kind, .result = TABLE_FAILED };
	buf_init(&r->octets, kind == REMOTE_TCP ? TCP_MAX : SOCKETMAP_MAX + 1);
}

void
remote_reply_fini(struct remote_reply *r)
{
	buf_fini(&r->octets);
}

/* In place. -1: broken, or a NUL, which ends a value for whoever uses it. */
static int
decode(char *p, size_t *len)
{
	char *to = p, *end = p + *len;
	int high, low;

	for (; p < end; p++) {
		if (*p != '%') {
			*to++ = *p;
			continue;
		}
		high = end - p > 2 ? hex_digit(p[1]) : -1;
		low = end - p > 2 ? hex_digit(p[2]) : -1;
		if (high == -1 || low == -1 || (high == 0 && low == 0))
			return -1;
		*to++ = (char)(16 * high + low);
		p += 2;
	}
	*len -= (size_t)(end - to);
	*to = '\0';
	return 0;
}

/* octets is "CODE text". */
static enum remote_status
judge_tcp(struct remote_reply *r)
{
	char *p = r->octets.p;
	size_t len = r->octets.len;

	if (len < 4 || !is_white(p[3]) || memchr(p, '\0', len) != NULL)
		return REMOTE_BAD;
	if (memcmp(p, "200", 3) == 0)
		r->result = TABLE_FOUND;
	else if (memcmp(p, "500", 3) == 0)
		r->result = TABLE_NOT_FOUND;
	else if (memcmp(p, "400", 3) == 0)
		r->result = TABLE_FAILED;
	else
		return REMOTE_BAD;
	p += 4;
	len -= 4;
	if (decode(p, &len) == -1)
		return REMOTE_BAD;
	r->text = SLICE(p, len);
	return REMOTE_DONE;
}

/* octets is "STATUS text". */
static enum remote_status
judge_socketmap(struct remote_reply *r)
{
	static const struct {
		const char	 *status;
		enum table_result result;
	} rows[] = {
		{ "OK",		TABLE_FOUND },
		{ "NOTFOUND",	TABLE_NOT_FOUND },
		{ "TEMP",	TABLE_FAILED },
		{ "TIMEOUT",	TABLE_FAILED },
		{ "PERM",	TABLE_FAILED },
	};
	const char *space = memchr(r->octets.p, ' ', r->octets.len);
	size_t len = space != NULL ? (size_t)(space - r->octets.p) :
	    r->octets.len, i;

	if (memchr(r->octets.p, '\0', r->octets.len) != NULL)
		return REMOTE_BAD;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_is(SLICE(r->octets.p, len), rows[i].status))
			break;
	/* "OK" without a space has no value, not even an empty one. */
	if (i == sizeof(rows) / sizeof(rows[0]) ||
	    (rows[i].result == TABLE_FOUND && space == NULL))
		return REMOTE_BAD;
	r->result = rows[i].result;
	r->text = space == NULL ? SLICE("", 0) :
	    SLICE(space + 1, r->octets.len - len - 1);
	return REMOTE_DONE;
}

static enum remote_status
feed_tcp(struct remote_reply *r, const char *p, size_t len, size_t *used)
{
	const char *end = memchr(p, '\n', len);
	size_t line = end != NULL ? (size_t)(end - p) : len;

	buf_add(&r->octets, p, line);
	*used = end != NULL ? line + 1 : line;
	if (r->octets.failed)
		return REMOTE_BAD;
	return end != NULL ? judge_tcp(r) : REMOTE_MORE;
}

/* One octet of the length in front of ":". */
static enum remote_status
count(struct remote_reply *r, char c)
{
	if (c == ':' && r->octets.len > 0) {
		r->counted = true;
		buf_reset(&r->octets);
		return REMOTE_MORE;
	}
	/* "0" is a length; "01" is none. */
	if (c < '0' || c > '9' || (r->octets.len > 0 && r->left == 0))
		return REMOTE_BAD;
	buf_addc(&r->octets, c);
	r->left = 10 * r->left + (size_t)(c - '0');
	return r->left <= SOCKETMAP_MAX ? REMOTE_MORE : REMOTE_BAD;
}

static enum remote_status
feed_socketmap(struct remote_reply *r, const char *p, size_t len, size_t *used)
{
	size_t n;

	while (!r->counted) {
		if (*used == len)
			return REMOTE_MORE;
		if (count(r, p[(*used)++]) == REMOTE_BAD)
			return REMOTE_BAD;
	}
	n = len - *used < r->left ? len - *used : r->left;
	buf_add(&r->octets, p + *used, n);
	r->left -= n;
	*used += n;
	if (*used == len)
		return REMOTE_MORE;
	return p[(*used)++] == ',' ? judge_socketmap(r) : REMOTE_BAD;
}

enum remote_status
remote_reply_feed(struct remote_reply *r, const char *p, size_t len,
    size_t *used)
{
	*used = 0;
	if (r->kind == REMOTE_TCP)
		return feed_tcp(r, p, len, used);
	return feed_socketmap(r, p, len, used);
}

/* The table */

static void *
open_remote(const struct source *s, enum remote_kind kind, char **why)
{
	struct remote *r = xcalloc(1, sizeof(*r));
	const char *reason;

	if (remote_parse(r, kind, s->argument, &reason) == 0)
		return r;
	*why = xasprintf("%s: %s", s->argument, reason);
	free(r);
	return NULL;
}

static void *
socketmap_open(const struct source *s, char **why)
{
	return open_remote(s, REMOTE_SOCKETMAP, why);
}

static void *
tcp_open(const struct source *s, char **why)
{
	return open_remote(s, REMOTE_TCP, why);
}

static void
remote_close(void *priv)
{
	struct remote *r = priv;

	remote_fini(r);
	free(r);
}

static size_t
remote_size(const void *priv)
{
	(void)priv;
	return 0;
}

static const struct remote *
remote_remote(const void *priv)
{
	return priv;
}

#define REMOTE	.suffix	= "",						\
		.flags	= TABLE_PATTERNS,				\
		.close	= remote_close,					\
		.size	= remote_size,					\
		.remote	= remote_remote

const struct table_type table_socketmap = {
	.name = "socketmap", .open = socketmap_open, REMOTE
};
const struct table_type table_tcp = { .name = "tcp", .open = tcp_open, REMOTE };
