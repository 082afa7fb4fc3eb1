/*
 * The name of a client, asked from a DNS server that lives in this process, on
 * the same loop, and that may be hostile.
 */

#include "proxy/resolve.h"

#include <sys/socket.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>
#include <ldns/ldns.h>

#include "base/clock.h"
#include "tap.h"

#define TIMEOUT_MS	5000

static struct event_base *base;

static void fill(ldns_pkt *, const char *, ldns_rr_type);

/* The server */

#define PTR(ip, name)	ip ".in-addr.arpa. 60 IN PTR " name
#define V6(n)		n ".0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0." \
			"8.b.d.0.1.0.0.2.ip6.arpa."
#define L63	"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz" \
		"abcdefghijk"

static const char *const zone[] = {
	PTR("1.2.0.192", "Mail.Example.ORG."),
	"mail.example.org. 60 IN A 192.0.2.99",
	"mail.example.org. 60 IN A 192.0.2.1",
	PTR("2.2.0.192", "forgotten.example."),
	PTR("3.2.0.192", "liar.example."),
	"liar.example. 60 IN A 192.0.2.99",
	PTR("4.2.0.192", "six.only.example."),
	"six.only.example. 60 IN AAAA 2001:db8::4",
	/* RFC 2317 */
	"5.2.0.192.in-addr.arpa. 60 IN CNAME 5.0-7.2.0.192.in-addr.arpa.",
	"5.0-7.2.0.192.in-addr.arpa. 60 IN PTR alias.example.",
	"alias.example. 60 IN CNAME real.example.",
	"real.example. 60 IN A 192.0.2.5",
	/* the second name is the good one */
	PTR("6.2.0.192", "first.example."),
	PTR("6.2.0.192", "second.example."),
	"first.example. 60 IN A 192.0.2.99",
	"second.example. 60 IN A 192.0.2.6",
	PTR("8.2.0.192", "broken.example."),
	/* one name fails, another is good, or not */
	PTR("9.2.0.192", "broken.example."),
	PTR("9.2.0.192", "good9.example."),
	"good9.example. 60 IN A 192.0.2.9",
	PTR("10.2.0.192", "broken.example."),
	PTR("10.2.0.192", "liar.example."),
	/* private networks have names too */
	PTR("3.2.1.10", "ten.example."),
	"ten.example. 60 IN A 10.1.2.3",
	PTR("3.2.168.192", "lan.test."),
	"lan.test. 60 IN A 192.168.2.3",
	PTR("2.0.0.127", "two.example."),
	"two.example. 60 IN A 127.0.0.2",
	PTR("1.0.0.127", "liar.example."),
	PTR("3.2.64.100", "cgn.home.arpa."),
	"cgn.home.arpa. 60 IN A 100.64.2.3",
	V6("1") " 60 IN PTR v6.example.",
	"v6.example. 60 IN AAAA 2001:db8::2",
	"v6.example. 60 IN AAAA 2001:db8::1",
	V6("2") " 60 IN PTR v6.example.net.",
	"v6.example.net. 60 IN A 192.0.2.1",
	/* hostile names: all lead back, none may be used */
	PTR("1.100.51.198", "a\\013\\010RCPT\\032TO:<x>.example."),
	"a\\013\\010RCPT\\032TO:<x>.example. 60 IN A 198.51.100.1",
	PTR("2.100.51.198", "two\\032words.example."),
	PTR("3.100.51.198", "b\\195\\188cher.example."),
	PTR("4.100.51.198", "nul\\000.example."),
	PTR("5.100.51.198", "dot\\.inside.example."),
	"dot.inside.example. 60 IN A 198.51.100.5",
	PTR("6.100.51.198", "."),
	PTR("7.100.51.198", "192.0.2.7."),
	PTR("8.100.51.198", L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyz"
	    "abcdefghijklmnopqrstuvwxyz.abcdef."),
	PTR("9.100.51.198", "-x.example."),
	PTR("10.100.51.198", "a\\\\b.example."),
	PTR("11.100.51.198", "quote\\034.example."),
	/* a hostile one first, a good one second */
	PTR("12.100.51.198", "a\\010b.example."),
	PTR("12.100.51.198", "ok12.example."),
	"ok12.example. 60 IN A 198.51.100.12",
};

static struct {
	int		 fd;
	char		 where[32];	/* "127.0.0.1@PORT" */
	struct event	*readable;
	int		 questions;
	char		 random[1024];	/* one more record, made by a test */
} server;

/* Names of the server with manners of their own. */
static const struct {
	const char	*name;		/* or a domain of names */
	enum { SERVFAIL, REFUSED, SILENT, GARBAGE, LONG_NAME } manner;
} odd[] = {
	{ "7.2.0.192.in-addr.arpa.", SERVFAIL },
	{ "broken.example.", SERVFAIL },
	{ "11.2.0.192.in-addr.arpa.", REFUSED },
	{ "1.113.0.203.in-addr.arpa.", SILENT },
	{ "2.113.0.203.in-addr.arpa.", GARBAGE },
	{ "3.113.0.203.in-addr.arpa.", LONG_NAME },
	{ "66.in-addr.arpa.", SILENT },
};

/* Add the record if it is for name, and what its CNAME leads to; true if the
   name exists. */
static bool
add_one(ldns_pkt *reply, const char *line, const char *name, ldns_rr_type type)
{
	ldns_rr *rr = NULL;
	ldns_rr_type has;
	char *target;

	if (strncasecmp(line, name, strlen(name)) != 0 ||
	    ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) != LDNS_STATUS_OK)
		return false;
	has = ldns_rr_get_type(rr);
	if (has != type && has != LDNS_RR_TYPE_CNAME) {
		ldns_rr_free(rr);
		return true;
	}
	ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, rr);
	if (has == LDNS_RR_TYPE_CNAME) {
		target = ldns_rdf2str(ldns_rr_rdf(rr, 0));
		fill(reply, target, type);
		free(target);
	}
	return true;
}

/* 203.0.113.200 has 200 names, of which the last leads back; .201 has one
   with 200 addresses, and the last is right. */
static bool
add_many(ldns_pkt *reply, const char *name, ldns_rr_type type)
{
	bool exists = false;
	char line[128];
	int i;

	for (i = 0; i < 200; i++) {
		snprintf(line, sizeof(line),
		    PTR("200.113.0.203", "n%d.example."), i);
		exists |= add_one(reply, line, name, type);
		snprintf(line, sizeof(line),
		    "many.example. 60 IN A 203.0.113.%d", i + 2);
		exists |= add_one(reply, line, name, type);
	}
	exists |= add_one(reply, PTR("201.113.0.203", "many.example."), name,
	    type);
	exists |= add_one(reply, "n199.example. 60 IN A 203.0.113.200", name,
	    type);
	return exists;
}

static void
fill(ldns_pkt *reply, const char *name, ldns_rr_type type)
{
	bool exists = add_many(reply, name, type);
	size_t i;

	for (i = 0; i < sizeof(zone) / sizeof(zone[0]); i++)
		exists |= add_one(reply, zone[i], name, type);
	exists |= add_one(reply, server.random, name, type);
	if (!exists)
		ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
}

/* A PTR record whose name has 5 labels of 63 octets. */
static size_t
make_long_name(uint8_t *wire, size_t len)
{
	static const uint8_t head[] = {
		0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 1, 65
	};
	int i;

	wire[7] = 1;		/* one answer */
	wire[11] = 0;		/* nothing behind it */
	memcpy(wire + len, head, sizeof(head));
	len += sizeof(head);
	for (i = 0; i < 5; i++) {
		wire[len] = 63;
		memset(wire + len + 1, 'x', 63);
		len += 64;
	}
	wire[len++] = 0;
	return len;
}

static bool
is_below(const char *name, const char *domain)
{
	size_t len = strlen(name), n = strlen(domain);

	return len >= n && strcasecmp(name + len - n, domain) == 0 &&
	    (len == n || name[len - n - 1] == '.');
}

/* Fill the reply to name; returns the manner, or -1. */
static int
answer(ldns_pkt *reply, const char *name, ldns_rr_type type)
{
	int manner = -1;
	size_t i;

	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (is_below(name, odd[i].name))
			manner = odd[i].manner;
	if (manner == SERVFAIL)
		ldns_pkt_set_rcode(reply, LDNS_RCODE_SERVFAIL);
	else if (manner == REFUSED)
		ldns_pkt_set_rcode(reply, LDNS_RCODE_REFUSED);
	else if (manner != LONG_NAME)
		fill(reply, name, type);
	return manner;
}

static void
on_question(evutil_socket_t fd, short what, void *arg)
{
	uint8_t in[4096], out[16384], *wire = NULL;
	struct sockaddr_storage from;
	socklen_t fromlen = sizeof(from);
	ssize_t n = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from,
	    &fromlen);
	ldns_pkt *query = NULL, *reply = ldns_pkt_new();
	ldns_rr *question;
	char *name;
	size_t len = 0;
	int manner;

	(void)what, (void)arg;
	if (n < 0 || ldns_wire2pkt(&query, in, (size_t)n) != LDNS_STATUS_OK) {
		ok(false, "a question that can be read");
		return;
	}
	server.questions++;
	question = ldns_rr_list_rr(ldns_pkt_question(query), 0);
	name = ldns_rdf2str(ldns_rr_owner(question));
	ldns_pkt_set_id(reply, ldns_pkt_id(query));
	ldns_pkt_set_qr(reply, true);
	ldns_pkt_set_ra(reply, true);
	ldns_pkt_push_rr(reply, LDNS_SECTION_QUESTION, ldns_rr_clone(question));
	manner = answer(reply, name, ldns_rr_get_type(question));
	if (ldns_pkt2wire(&wire, reply, &len) != LDNS_STATUS_OK ||
	    len > sizeof(out) - 512)
		ok(false, "an answer that can be written");
	else
		memcpy(out, wire, len);
	if (manner == GARBAGE)
		len -= 3;
	if (manner == LONG_NAME)
		len = make_long_name(out, len);
	if (manner != SILENT)
		sendto(fd, out, len, 0, (struct sockaddr *)&from, fromlen);
	free(wire);
	free(name);
	ldns_pkt_free(query);
	ldns_pkt_free(reply);
}

static void
server_start(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ok(server.fd >= 0 &&
	    bind(server.fd, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
	    getsockname(server.fd, (struct sockaddr *)&sin, &len) == 0,
	    "DNS server on a free port");
	snprintf(server.where, sizeof(server.where), "127.0.0.1@%d",
	    ntohs(sin.sin_port));
	server.readable = event_new(base, server.fd, EV_READ | EV_PERSIST,
	    on_question, NULL);
	event_add(server.readable, NULL);
}

/* The client */

struct answer {
	int			 calls;
	enum resolve_result	 result;
	char			 name[256], reverse[256];	/* "": NULL */
	struct resolve_query	**cancel;	/* when it is called */
	struct resolver		*again;		/* ask for .again_ip then */
	const char		*again_ip;
	struct answer		*next;
};

static struct netaddr
ip(const char *text)
{
	struct netaddr a = { 0 };

	if (netaddr_parse_ip(&a, text, strlen(text)) < 0)
		ok(false, "%s is an address", text);
	return a;
}

static void
on_name(void *arg, enum resolve_result result, const char *name,
    const char *reverse)
{
	struct answer *a = arg;
	struct netaddr addr;

	a->calls++;
	a->result = result;
	snprintf(a->name, sizeof(a->name), "%s", name ? name : "");
	snprintf(a->reverse, sizeof(a->reverse), "%s", reverse ? reverse : "");
	if (a->cancel != NULL)
		resolve_cancel(a->cancel);
	if (a->again != NULL) {
		addr = ip(a->again_ip);
		resolve_name(a->again, &addr, on_name, a->next);
	}
}

static struct resolver *
start(void)
{
	const char *servers[1] = { server.where }, *why = NULL;
	struct resolver *r = resolver_new(base, servers, 1, TIMEOUT_MS, &why);

	if (r == NULL) {
		printf("Bail out! %s\n", why);
		exit(1);
	}
	return r;
}

static void
turn_until(const int *counter, int value)
{
	while (*counter < value)
		event_base_loop(base, EVLOOP_ONCE);
}

static struct answer
ask(struct resolver *r, const char *text)
{
	struct netaddr addr = ip(text);
	struct answer a = { 0 };

	resolve_name(r, &addr, on_name, &a);
	turn_until(&a.calls, 1);
	return a;
}

static void
is_answer(const struct answer *a, enum resolve_result result, const char *name,
    const char *reverse, const char *what)
{
	if (!ok(a->calls == 1 && a->result == result &&
	    strcmp(a->name, name) == 0 && strcmp(a->reverse, reverse) == 0,
	    "%s", what))
		printf("# calls %d, result %d, name \"%s\", reverse \"%s\"\n",
		    a->calls, (int)a->result, a->name, a->reverse);
}

static const struct {
	const char		*ip;
	enum resolve_result	 result;
	const char		*name, *reverse;
	const char		*what;
} cases[] = {
	{ "192.0.2.1", RESOLVE_OK, "mail.example.org", "mail.example.org",
	    "a name that leads back, in lower case" },
	{ "192.0.2.2", RESOLVE_NONE, "", "forgotten.example",
	    "the name does not exist" },
	{ "192.0.2.3", RESOLVE_NONE, "", "liar.example",
	    "the name has another address" },
	{ "192.0.2.4", RESOLVE_NONE, "", "six.only.example",
	    "the name has an address of the other family" },
	{ "192.0.2.5", RESOLVE_OK, "alias.example", "alias.example",
	    "CNAMEs on both ways" },
	{ "192.0.2.6", RESOLVE_OK, "second.example", "second.example",
	    "the second name leads back" },
	{ "192.0.2.7", RESOLVE_TEMPFAIL, "", "", "SERVFAIL for the address" },
	{ "192.0.2.8", RESOLVE_TEMPFAIL, "", "broken.example",
	    "SERVFAIL for the name" },
	{ "192.0.2.9", RESOLVE_OK, "good9.example", "good9.example",
	    "SERVFAIL for one name, another is good" },
	{ "192.0.2.10", RESOLVE_TEMPFAIL, "", "broken.example",
	    "SERVFAIL for one name, another is wrong" },
	{ "192.0.2.11", RESOLVE_TEMPFAIL, "", "", "REFUSED" },
	{ "192.0.2.77", RESOLVE_NONE, "", "", "no such address" },
	{ "10.1.2.3", RESOLVE_OK, "ten.example", "ten.example",
	    "private network 10" },
	{ "192.168.2.3", RESOLVE_OK, "lan.test", "lan.test",
	    "private network 192.168, name in .test" },
	{ "100.64.2.3", RESOLVE_OK, "cgn.home.arpa", "cgn.home.arpa",
	    "shared network 100.64, name in home.arpa" },
	{ "2001:db8::1", RESOLVE_OK, "v6.example", "v6.example", "IPv6" },
	{ "::ffff:192.0.2.1", RESOLVE_OK, "mail.example.org",
	    "mail.example.org", "IPv4 in IPv6" },
	{ "2001:db8::2", RESOLVE_NONE, "", "v6.example.net",
	    "IPv6, the name has IPv4 only" },
	{ "2001:db8::77", RESOLVE_NONE, "", "", "no such IPv6 address" },
	{ "127.0.0.1", RESOLVE_OK, "localhost", "localhost", "localhost" },
	{ "::1", RESOLVE_OK, "localhost", "localhost", "localhost, IPv6" },
	{ "127.0.0.2", RESOLVE_OK, "two.example", "two.example",
	    "another loopback address" },
	{ "127.9.9.9", RESOLVE_NONE, "", "", "loopback without a name" },
	{ "198.51.100.1", RESOLVE_NONE, "", "", "CR LF in the name" },
	{ "198.51.100.2", RESOLVE_NONE, "", "", "space in the name" },
	{ "198.51.100.3", RESOLVE_NONE, "", "", "UTF-8 in the name" },
	{ "198.51.100.4", RESOLVE_NONE, "", "", "NUL in the name" },
	{ "198.51.100.5", RESOLVE_NONE, "", "", "dot inside a label" },
	{ "198.51.100.6", RESOLVE_NONE, "", "", "the root as the name" },
	{ "198.51.100.7", RESOLVE_NONE, "", "", "an address as the name" },
	{ "198.51.100.8", RESOLVE_NONE, "", L63 "." L63 "." L63 ".abcdefghi"
	    "jklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz.abcdef",
	    "the longest name" },
	{ "198.51.100.9", RESOLVE_NONE, "", "", "hyphen first" },
	{ "198.51.100.10", RESOLVE_NONE, "", "", "backslash in the name" },
	{ "198.51.100.11", RESOLVE_NONE, "", "", "quote in the name" },
	{ "198.51.100.12", RESOLVE_OK, "ok12.example", "ok12.example",
	    "a bad name does not hide a good one" },
	{ "203.0.113.200", RESOLVE_NONE, "", "n0.example",
	    "200 names: the last one is not looked at" },
	{ "203.0.113.201", RESOLVE_NONE, "", "many.example",
	    "200 addresses: the last one is not looked at" },
};

static void
test_cases(void)
{
	struct resolver *r = start();
	struct answer a;
	size_t i;
	int before;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		a = ask(r, cases[i].ip);
		is_answer(&a, cases[i].result, cases[i].name,
		    cases[i].reverse, cases[i].what);
	}

	before = server.questions;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].result == RESOLVE_TEMPFAIL)
			continue;
		a = ask(r, cases[i].ip);
		is_answer(&a, cases[i].result, cases[i].name,
		    cases[i].reverse, "again, from the cache");
	}
	is_int(server.questions, before, "the cache needs no questions");
	resolver_free(&r);
	ok(r == NULL, "freed");
}

/* From the cache the callback comes first, and there is no handle. */
static void
test_handle(void)
{
	struct resolver *r = start();
	struct netaddr addr = ip("192.0.2.1"), unix_addr = { AF_UNIX, 0, {0} };
	struct resolve_query *q;
	struct answer a = { 0 }, b = { 0 }, c = { 0 };

	q = resolve_name(r, &addr, on_name, &a);
	ok(q != NULL && a.calls == 0, "a handle while DNS is asked");
	turn_until(&a.calls, 1);
	q = resolve_name(r, &addr, on_name, &b);
	ok(q == NULL && b.calls == 1, "no handle when it is known");
	q = resolve_name(r, &unix_addr, on_name, &c);
	ok(q == NULL, "no handle for a unix socket");
	is_answer(&c, RESOLVE_NONE, "", "", "a unix socket has no name");
	resolver_free(&r);
}

/* Silence, and packets that cannot be read, end with the deadline. */
static void
test_timeout(void)
{
	static const char *const ips[] = {
		"203.0.113.1", "203.0.113.2", "203.0.113.3"
	};
	struct resolver *r;
	struct answer a;
	struct netaddr addr;
	size_t i;

	for (i = 0; i < 3; i++) {
		r = start();
		addr = ip(ips[i]);
		a = (struct answer){ 0 };
		resolve_name(r, &addr, on_name, &a);
		turn_until(&server.questions, server.questions + 1);
		clock_advance(TIMEOUT_MS - 1000);
		ok(a.calls == 0, "not before the deadline");
		clock_advance(1000);
		is_answer(&a, RESOLVE_TEMPFAIL, "", "", "deadline");
		/* an orphan is left, and another client may ask the same */
		resolve_name(r, &addr, on_name, &a);
		clock_advance(TIMEOUT_MS);
		is_int(a.calls, 2, "asked again while the first is pending");
		resolver_free(&r);
		is_int(a.calls, 2, "nothing comes when it is freed");
	}
}

static void
test_cancel(void)
{
	struct resolver *r = start();
	struct netaddr good = ip("192.0.2.6"), dead = ip("203.0.113.1");
	struct netaddr other = ip("192.0.2.1");
	struct resolve_query *q, *pending;
	struct answer a = { 0 }, b = { 0 }, c = { 0 };
	int i;

	/* before anything happened */
	q = resolve_name(r, &good, on_name, &a);
	resolve_cancel(&q);
	ok(q == NULL, "cancel leaves NULL");
	resolve_cancel(&q);

	/* the same question is under way for somebody else */
	q = resolve_name(r, &good, on_name, &a);
	pending = resolve_name(r, &good, on_name, &b);
	ok(pending != NULL, "two ask the same");
	resolve_cancel(&q);
	turn_until(&b.calls, 1);
	is_answer(&b, RESOLVE_OK, "second.example", "second.example",
	    "the other one gets the answer");
	is_int(a.calls, 0, "the cancelled ones do not");

	/* after each number of questions on its way */
	for (i = 1; i <= 3; i++) {
		struct resolver *fresh = start();
		int first = server.questions;

		q = resolve_name(fresh, &good, on_name, &a);
		turn_until(&server.questions, first + i);
		resolve_cancel(&q);
		event_base_loop(base, EVLOOP_NONBLOCK);
		resolver_free(&fresh);
	}
	is_int(a.calls, 0, "cancelled half-way");

	/* inside the callback */
	c.cancel = &q;
	q = resolve_name(r, &dead, on_name, &c);
	clock_advance(TIMEOUT_MS);
	ok(c.calls == 1 && q == NULL, "cancelled inside its own callback");

	/* pending when the resolver goes */
	pending = resolve_name(r, &dead, on_name, &a);
	q = resolve_name(r, &other, on_name, &a);
	ok(pending != NULL && q != NULL, "two questions pending");
	resolver_free(&r);
	clock_advance(TIMEOUT_MS);
	event_base_loop(base, EVLOOP_NONBLOCK);
	is_int(a.calls, 0, "freed with questions pending");
}

/* The callback asks for the next name, which is known, or not. */
static void
test_nested(void)
{
	struct resolver *r = start();
	struct answer last = { 0 }, b, a;

	b = (struct answer){
		.again = r, .again_ip = "2001:db8::1", .next = &last
	};
	a = (struct answer){
		.again = r, .again_ip = "192.0.2.1", .next = &b
	};
	ask(r, "192.0.2.1");
	resolve_name(r, &(struct netaddr){ AF_INET, 0, { 192, 0, 2, 5 } },
	    on_name, &a);
	turn_until(&last.calls, 1);
	is_answer(&a, RESOLVE_OK, "alias.example", "alias.example", "outer");
	is_answer(&b, RESOLVE_OK, "mail.example.org", "mail.example.org",
	    "asked inside, from the cache");
	is_answer(&last, RESOLVE_OK, "v6.example", "v6.example",
	    "asked inside, from DNS");
	resolver_free(&r);
}

/* A DNS server that is away: what waits for it is bounded. */
static void
test_flood(void)
{
	struct resolver *r = start();
	struct netaddr addr = { AF_INET, 0, { 66, 0, 0, 1 } };
	struct answer a = { 0 }, b;
	int i;

	for (i = 0; i < 4096; i++) {
		addr.ip[1] = (uint8_t)(i >> 8);
		addr.ip[2] = (uint8_t)i;
		resolve_name(r, &addr, on_name, &a);
	}
	is_int(a.calls, 0, "4096 questions wait");
	b = ask(r, "192.0.2.1");
	is_answer(&b, RESOLVE_TEMPFAIL, "", "", "the next one does not");
	clock_advance(TIMEOUT_MS);
	is_int(a.calls, 4096, "all have their deadline");
	b = ask(r, "192.0.2.1");
	is_answer(&b, RESOLVE_TEMPFAIL, "", "", "orphans count, too");
	resolver_free(&r);
}

/* Whatever octets a name has: what we report is a host name. */
static void
test_random(void)
{
	static const char fit[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
	struct resolver *r = start();
	int i, j, bad = 0, kept = 0;

	srand(1);
	for (i = 0; i < 300; i++) {
		char text[32];
		struct answer a;
		int len = rand() % 6 + 1, n;

		n = snprintf(server.random, sizeof(server.random),
		    "%d.%d.9.10.in-addr.arpa. 60 IN PTR ", i % 250, i / 250);
		for (j = 0; j < len; j++)
			n += snprintf(server.random + n,
			    sizeof(server.random) - (size_t)n, "\\%03d",
			    rand() % 4 ? 'a' + rand() % 26 : rand() % 256);
		snprintf(server.random + n, sizeof(server.random) - (size_t)n,
		    ".example.");
		snprintf(text, sizeof(text), "10.9.%d.%d", i / 250, i % 250);
		a = ask(r, text);
		kept += a.reverse[0] != '\0';
		bad += a.result == RESOLVE_OK || strspn(a.reverse, fit) !=
		    strlen(a.reverse);
	}
	server.random[0] = '\0';
	is_int(bad, 0, "300 random names: only host names come out");
	ok(kept > 30 && kept < 270, "%d of them were host names", kept);
	resolver_free(&r);
}

/* Without servers of our own the machine's files are used. */
static void
test_system(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	const char *why = NULL, *bad[1] = { "not an address" };
	struct resolver *r = resolver_new(base, NULL, 0, TIMEOUT_MS, &why);
	char want[NI_MAXHOST] = "localhost";
	struct answer a;

	ok(r != NULL, "a resolver from resolv.conf and hosts");
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	getnameinfo((struct sockaddr *)&sin, sizeof(sin), want, sizeof(want),
	    NULL, 0, NI_NAMEREQD);
	a = ask(r, "127.0.0.1");
	is_answer(&a, RESOLVE_OK, want, want, "127.0.0.1 as libc names it");
	resolver_free(&r);

	r = resolver_new(base, bad, 1, TIMEOUT_MS, &why);
	ok(r == NULL && why != NULL, "a server that is no address: %s", why);
}

int
main(void)
{
	alarm(60);
	base = event_base_new();
	clock_freeze();
	clock_start(base);
	server_start();
	test_cases();
	test_handle();
	test_timeout();
	test_cancel();
	test_nested();
	test_flood();
	test_random();
	test_system();
	event_free(server.readable);
	close(server.fd);
	clock_stop();
	event_base_free(base);
	return tap_done();
}
