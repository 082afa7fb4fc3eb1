/* socketmap and tcp: questions, and replies fed in pieces of 1, 8 and 64
   octets, good and bad. */

#include "rules/remote.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "tap.h"

static const struct {
	enum remote_kind kind;
	const char	*argument, *host, *port, *path, *name;
} places[] = {
	{ REMOTE_TCP, "127.0.0.1:25", "127.0.0.1", "25", NULL, NULL },
	{ REMOTE_TCP, "[::1]:smtp", "::1", "smtp", NULL, NULL },
	{ REMOTE_TCP, "host.example:1", "host.example", "1", NULL, NULL },
	{ REMOTE_SOCKETMAP, "inet:127.0.0.1:25:map", "127.0.0.1", "25", NULL,
	    "map" },
	{ REMOTE_SOCKETMAP, "inet:[::1]:25:map", "::1", "25", NULL, "map" },
	{ REMOTE_SOCKETMAP, "unix:/run/x:map", NULL, NULL, "/run/x", "map" },
};

static const struct {
	enum remote_kind kind;
	const char	*argument;
} no_places[] = {
	{ REMOTE_TCP, "" }, { REMOTE_TCP, "host" }, { REMOTE_TCP, ":25" },
	{ REMOTE_TCP, "host:" },
	{ REMOTE_SOCKETMAP, "" }, { REMOTE_SOCKETMAP, "inet:host:25:" },
	{ REMOTE_SOCKETMAP, "inet:host:25" }, { REMOTE_SOCKETMAP, "inet:map" },
	{ REMOTE_SOCKETMAP, "unix:map" }, { REMOTE_SOCKETMAP, "unix::map" },
	{ REMOTE_SOCKETMAP, "host:25:map" },
	{ REMOTE_SOCKETMAP, "unix:/run/x:two words" },
};

static void
test_places(void)
{
	struct remote r;
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		is_int(remote_parse(&r, places[i].kind, places[i].argument,
		    &why), 0, places[i].argument);
		is_str(r.host, places[i].host, "  host");
		is_str(r.port, places[i].port, "  port");
		is_str(r.path, places[i].path, "  path");
		is_str(r.name, places[i].name, "  name");
		remote_fini(&r);
	}
	for (i = 0; i < sizeof(no_places) / sizeof(no_places[0]); i++) {
		why = NULL;
		is_int(remote_parse(&r, no_places[i].kind,
		    no_places[i].argument, &why), -1, no_places[i].argument);
		ok(why != NULL && r.host == NULL && r.name == NULL, "  why");
	}
}

static const struct {
	const char	*argument;	/* with a map: socketmap */
	const char	*key;
	size_t		 len;
	const char	*want;
} requests[] = {
	{ "h:1", "user@example.org", 16, "get user@example.org\n" },
	{ "h:1", "", 0, "get \n" },
	{ "h:1", "a b%c\r\n", 7, "get a%20b%25c%0D%0A\n" },
	{ "h:1", "\xc3\xb6\0\x7f", 4, "get %C3%B6%00%7F\n" },
	{ "inet:h:1:map", "user@x", 6, "10:map user@x," },
	{ "inet:h:1:map", "a, b\n", 5, "9:map a, b\n," },
	{ "inet:h:1:map", "", 0, "4:map ," },
};

static void
test_requests(void)
{
	struct remote r;
	const char *why;
	struct buf b;
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		remote_parse(&r, strncmp(requests[i].argument, "inet:", 5) ?
		    REMOTE_TCP : REMOTE_SOCKETMAP, requests[i].argument, &why);
		buf_init(&b, 1000);
		remote_request(&r, requests[i].key, requests[i].len, &b);
		is_str(b.p, requests[i].want, "a question");
		buf_fini(&b);
		buf_init(&b, 5);
		remote_request(&r, requests[i].key, requests[i].len, &b);
		ok(b.failed || strlen(requests[i].want) <= 5, "  a limit");
		buf_fini(&b);
		remote_fini(&r);
	}
}

#define OCTETS(s)	s, sizeof(s) - 1

struct reply_case {
	const char		*wire;
	size_t			 len;
	enum remote_status	 status;
	enum table_result	 result;
	const char		*text;
	size_t			 left;	/* octets that are not the reply's */
};

static const struct reply_case tcp[] = {
	{ OCTETS("200 value\n"), REMOTE_DONE, TABLE_FOUND, "value", 0 },
	{ OCTETS("200 two%20words%0a\n"), REMOTE_DONE, TABLE_FOUND,
	    "two words\n", 0 },
	{ OCTETS("200 \n"), REMOTE_DONE, TABLE_FOUND, "", 0 },
	{ OCTETS("200\tx\n"), REMOTE_DONE, TABLE_FOUND, "x", 0 },
	{ OCTETS("200 x\r\n"), REMOTE_DONE, TABLE_FOUND, "x\r", 0 },
	{ OCTETS("200  x\n"), REMOTE_DONE, TABLE_FOUND, " x", 0 },
	{ OCTETS("200 %c3%B6\n"), REMOTE_DONE, TABLE_FOUND, "\xc3\xb6", 0 },
	{ OCTETS("500 no such key\n"), REMOTE_DONE, TABLE_NOT_FOUND,
	    "no such key", 0 },
	{ OCTETS("400 later\n"), REMOTE_DONE, TABLE_FAILED, "later", 0 },
	{ OCTETS("200 a\n200 b\n"), REMOTE_DONE, TABLE_FOUND, "a", 6 },
	{ OCTETS("200 a"), REMOTE_MORE, 0, NULL, 0 },
	{ OCTETS(""), REMOTE_MORE, 0, NULL, 0 },
	{ OCTETS("200\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("2000 x\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("600 x\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("OK x\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("200 %\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("200 %4\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("200 %4g\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("200 a%00b\n"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("200 a\0b\n"), REMOTE_BAD, 0, NULL, 0 },
};

static const struct reply_case socketmap[] = {
	{ OCTETS("8:OK value,"), REMOTE_DONE, TABLE_FOUND, "value", 0 },
	{ OCTETS("3:OK ,"), REMOTE_DONE, TABLE_FOUND, "", 0 },
	{ OCTETS("7:OK a, b,"), REMOTE_DONE, TABLE_FOUND, "a, b", 0 },
	{ OCTETS("9:NOTFOUND ,"), REMOTE_DONE, TABLE_NOT_FOUND, "", 0 },
	{ OCTETS("8:NOTFOUND,"), REMOTE_DONE, TABLE_NOT_FOUND, "", 0 },
	{ OCTETS("10:TEMP later,"), REMOTE_DONE, TABLE_FAILED, "later", 0 },
	{ OCTETS("7:TIMEOUT,"), REMOTE_DONE, TABLE_FAILED, "", 0 },
	{ OCTETS("8:PERM for,"), REMOTE_DONE, TABLE_FAILED, "for", 0 },
	{ OCTETS("4:OK a,4:OK b,"), REMOTE_DONE, TABLE_FOUND, "a", 7 },
	{ OCTETS("4:OK a"), REMOTE_MORE, 0, NULL, 0 },
	{ OCTETS("40"), REMOTE_MORE, 0, NULL, 0 },
	{ OCTETS("0:,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("2:OK,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("4:ok a,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("5:OKAY ,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("4:OK a;"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("3:OK a,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS(":OK a,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("04:OK a,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("-4:OK a,"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("x"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("100001:"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("99999999999999999999999999:"), REMOTE_BAD, 0, NULL, 0 },
	{ OCTETS("5:OK \0a,"), REMOTE_BAD, 0, NULL, 0 },
};

/* Feed in pieces. Stores how much was not used. */
static enum remote_status
feed(struct remote_reply *r, const char *p, size_t len, size_t piece,
    size_t *left)
{
	enum remote_status status = REMOTE_MORE;
	size_t used, n;

	while (len > 0 && status == REMOTE_MORE) {
		n = len < piece ? len : piece;
		status = remote_reply_feed(r, p, n, &used);
		p += used;
		len -= used;
		if (status == REMOTE_MORE && used != n)
			return REMOTE_BAD;
	}
	*left = len;
	return status;
}

static void
test_reply(enum remote_kind kind, const struct reply_case *c, size_t piece)
{
	char name[300];
	struct remote_reply r;
	size_t left = 0;

	remote_reply_init(&r, kind);
	is_int(feed(&r, c->wire, c->len, piece, &left), c->status,
	    log_quote(name, sizeof(name), c->wire, c->len, 60));
	if (c->status == REMOTE_DONE) {
		is_int(r.result, c->result, "  result");
		ok(slice_is(r.text, c->text), "  text");
		is_int((long long)left, (long long)c->left, "  left over");
	}
	remote_reply_fini(&r);
}

static void
test_replies(enum remote_kind kind, const struct reply_case *cases, size_t n)
{
	static const size_t pieces[] = { 1, 8, 64 };
	size_t i, p;

	for (i = 0; i < n; i++)
		for (p = 0; p < 3; p++)
			test_reply(kind, &cases[i], pieces[p]);
}

static void
test_limits(void)
{
	enum { BIG = 100000 };
	char *wire = xmalloc(BIG + 100);
	struct remote_reply r;
	size_t left, n;

	memset(wire, 'a', BIG + 100);
	memcpy(wire, "200 ", 4);
	remote_reply_init(&r, REMOTE_TCP);
	is_int(feed(&r, wire, 4096, 64, &left), REMOTE_MORE,
	    "tcp: a line of 4096 octets");
	is_int(feed(&r, wire, 1, 64, &left), REMOTE_BAD, "  and no more");
	remote_reply_fini(&r);

	n = (size_t)sprintf(wire, "%d:OK ", BIG);
	wire[n] = 'a';
	wire[n - 3 + BIG] = ',';
	remote_reply_init(&r, REMOTE_SOCKETMAP);
	is_int(feed(&r, wire, BIG + n - 2, 64, &left), REMOTE_DONE,
	    "socketmap: a reply of 100000 octets");
	is_int((long long)r.text.len, BIG - 3, "  is all there");
	remote_reply_fini(&r);
	free(wire);
}

int
main(void)
{
	test_places();
	test_requests();
	test_replies(REMOTE_TCP, tcp, sizeof(tcp) / sizeof(tcp[0]));
	test_replies(REMOTE_SOCKETMAP, socketmap,
	    sizeof(socketmap) / sizeof(socketmap[0]));
	test_limits();
	return tap_done();
}
