/* Addresses, places and networks, and what only looks like them. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/net.h"
#include "tap.h"

static const struct {
	const char	*in;
	const char	*ip, *text;	/* NULL: no address */
} ips[] = {
	{ "192.0.2.1", "192.0.2.1", "192.0.2.1:25" },
	{ "0.0.0.0", "0.0.0.0", "0.0.0.0:25" },
	{ "2001:db8::1", "2001:db8::1", "[2001:db8::1]:25" },
	{ "2001:DB8:0:0::1", "2001:db8::1", "[2001:db8::1]:25" },
	{ "::", "::", "[::]:25" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:25" },
	{ "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:25" },
	{ "::ffff:c000:201", "192.0.2.1", "192.0.2.1:25" },
	{ "::192.0.2.1", "::192.0.2.1", "[::192.0.2.1]:25" },
	{ "", NULL, NULL },
	{ "192.0.2", NULL, NULL },
	{ "192.0.2.1.", NULL, NULL },
	{ "192.0.2.256", NULL, NULL },
	{ "192.0.2.01", NULL, NULL },
	{ " 192.0.2.1", NULL, NULL },
	{ "192.0.2.1 ", NULL, NULL },
	{ "0x7f.0.0.1", NULL, NULL },
	{ "2130706433", NULL, NULL },
	{ ":", NULL, NULL },
	{ ":::", NULL, NULL },
	{ "1::2::3", NULL, NULL },
	{ "[::1]", NULL, NULL },
	{ "fe80::1%eth0", NULL, NULL },
	{ "::1/128", NULL, NULL },
	{ "fffff::1", NULL, NULL },
	{ "1:2:3:4:5:6:7:8:9", NULL, NULL },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255.255", NULL, NULL },
	{ "localhost", NULL, NULL },
};

static void
test_ips(void)
{
	char text[NETADDR_TEXT];
	struct netaddr a, untouched = { AF_INET, 7, { 1 } };
	size_t i;

	for (i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		a = untouched;
		is_int(netaddr_parse_ip(&a, ips[i].in, strlen(ips[i].in)),
		    ips[i].ip != NULL ? 0 : -1, ips[i].in);
		if (ips[i].ip == NULL) {
			ok(memcmp(&a, &untouched, sizeof(a)) == 0,
			    "leaves it alone");
			continue;
		}
		a.port = 25;
		is_str(netaddr_ip(&a, text), ips[i].ip, "address");
		is_str(netaddr_text(&a, text), ips[i].text, "and port");
	}
	is_int(netaddr_parse_ip(&a, "192.0.2.1\0", 10), -1, "a NUL behind");
	is_int(netaddr_parse_ip(&a, "192.0.2.12", 9), 0, "length counts");
	is_str(netaddr_ip(&a, text), "192.0.2.1", "and not the NUL");
}

static void
test_other_families(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr odd = { .sa_family = AF_APPLETALK };
	char text[NETADDR_TEXT];
	struct netaddr a, b;

	netaddr_from_sockaddr(&a, (struct sockaddr *)&un);
	is_str(netaddr_ip(&a, text), "unix", "a unix socket");
	is_str(netaddr_text(&a, text), "unix", "has no port");
	ok(!netaddr_same_ip(&a, &a), "and no IP to compare");
	netaddr_from_sockaddr(&b, &odd);
	is_int(b.family, 0, "another family");
	is_str(netaddr_text(&b, text), "unknown", "is unknown");
	ok(!netaddr_same_ip(&b, &b), "to everybody");
}

static void
test_sockaddrs(void)
{
	struct sockaddr_storage ss;
	struct netaddr a, b;
	char text[NETADDR_TEXT];

	netaddr_parse_ip(&a, "192.0.2.1", 9);
	a.port = 53188;
	is_int(netaddr_to_sockaddr(&a, &ss), sizeof(struct sockaddr_in),
	    "length of an IPv4 sockaddr");
	netaddr_from_sockaddr(&b, (struct sockaddr *)&ss);
	is_str(netaddr_text(&b, text), "192.0.2.1:53188", "there and back");
	ok(netaddr_same_ip(&a, &b), "it is the same");
	b.port = 1;
	ok(netaddr_same_ip(&a, &b), "with another port");
	b.ip[3]++;
	ok(!netaddr_same_ip(&a, &b), "its neighbour is not");
	ok(!netaddr_is_local(&a), "it is another machine");
	netaddr_parse_ip(&b, "127.9.9.9", 9);
	ok(netaddr_is_local(&b), "and 127.0.0.0/8 is this one");
	netaddr_parse_ip(&b, "::1", 3);
	ok(netaddr_is_local(&b), "as ::1 is");
	netaddr_parse_ip(&b, "7f01::1", 7);
	ok(!netaddr_is_local(&b), "but no other address of IPv6");

	netaddr_parse_ip(&a, "2001:db8::1", 11);
	a.port = 25;
	is_int(netaddr_to_sockaddr(&a, &ss), sizeof(struct sockaddr_in6),
	    "length of an IPv6 sockaddr");
	netaddr_from_sockaddr(&b, (struct sockaddr *)&ss);
	is_str(netaddr_text(&b, text), "[2001:db8::1]:25", "there and back");
	b.ip[15]++;
	ok(!netaddr_same_ip(&a, &b), "its neighbour is another");

	inet_pton(AF_INET6, "::ffff:192.0.2.1",
	    &((struct sockaddr_in6 *)&ss)->sin6_addr);
	netaddr_from_sockaddr(&a, (struct sockaddr *)&ss);
	is_str(netaddr_text(&a, text), "192.0.2.1:25", "v4-mapped is IPv4");
	netaddr_parse_ip(&b, "192.0.2.1", 9);
	ok(memcmp(a.ip, b.ip, sizeof(a.ip)) == 0, "in all octets");
}

static const struct {
	const char	*in;
	const char	*why;		/* NULL: it is a place */
	enum where_kind	 kind;
	bool		 lmtp;
	const char	*host, *port, *path;
} wheres[] = {
	{ "127.0.0.1:25", NULL, WHERE_TCP, false, "127.0.0.1", "25", NULL },
	{ "mx.example.org:smtp", NULL, WHERE_TCP, false, "mx.example.org",
	    "smtp", NULL },
	{ "[::1]:0", NULL, WHERE_TCP, false, "::1", "0", NULL },
	{ "lmtp+[2001:db8::1]:24", NULL, WHERE_TCP, true, "2001:db8::1", "24",
	    NULL },
	{ "localhost:65535", NULL, WHERE_TCP, false, "localhost", "65535",
	    NULL },
	{ "unix:/run/x y:25", NULL, WHERE_UNIX, false, NULL, NULL,
	    "/run/x y:25" },
	{ "lmtp+unix:a", NULL, WHERE_UNIX, true, NULL, NULL, "a" },
	{ "exec:/usr/sbin/sendmail -bs", NULL, WHERE_EXEC, false, NULL, NULL,
	    "/usr/sbin/sendmail -bs" },
	{ "mx", NULL, WHERE_MX, false, NULL, NULL, NULL },
	{ "lmtp+mx", NULL, WHERE_MX, true, NULL, NULL, NULL },
	{ "mx:25", NULL, WHERE_TCP, false, "mx", "25", NULL },
	{ "", "no port", 0, false, NULL, NULL, NULL },
	{ "localhost", "no port", 0, false, NULL, NULL, NULL },
	{ "localhost:", "no port", 0, false, NULL, NULL, NULL },
	{ "[::1]", "no port", 0, false, NULL, NULL, NULL },
	{ "[::1]25", "no port", 0, false, NULL, NULL, NULL },
	{ "[:", "no port", 0, false, NULL, NULL, NULL },
	{ ":25", "no host", 0, false, NULL, NULL, NULL },
	{ "::1:25", "an IPv6 address needs brackets: [ADDRESS]:PORT", 0, false,
	    NULL, NULL, NULL },
	{ "[]:25", "not an IPv6 address between the brackets", 0, false, NULL,
	    NULL, NULL },
	{ "[127.0.0.1]:25", "not an IPv6 address between the brackets", 0,
	    false, NULL, NULL, NULL },
	{ "[::1]x]:25", "not an IPv6 address between the brackets", 0, false,
	    NULL, NULL, NULL },
	{ "a b:25", "not a host name", 0, false, NULL, NULL, NULL },
	{ "smtp+mx.example:25", "not a host name", 0, false, NULL, NULL, NULL },
	{ "lmtp+lmtp+a:25", "not a host name", 0, false, NULL, NULL, NULL },
	{ "localhost:65536", "not a port", 0, false, NULL, NULL, NULL },
	{ "localhost:000000025", "not a port", 0, false, NULL, NULL, NULL },
	{ "localhost:-1 ", "not a port", 0, false, NULL, NULL, NULL },
	{ "localhost:25 ", "not a port", 0, false, NULL, NULL, NULL },
	{ "unix:", "no path", 0, false, NULL, NULL, NULL },
	{ "exec:", "no command", 0, false, NULL, NULL, NULL },
};

static void
test_wheres(void)
{
	struct where w;
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(wheres) / sizeof(wheres[0]); i++) {
		is_int(where_parse(&w, wheres[i].in, &why),
		    wheres[i].why == NULL ? 0 : -1, wheres[i].in);
		is_str(why, wheres[i].why, "why");
		is_str(w.text, why == NULL ? wheres[i].in : NULL, "text");
		ok(w.kind == wheres[i].kind && w.lmtp == wheres[i].lmtp,
		    "kind");
		is_str(w.host, wheres[i].host, "host");
		is_str(w.port, wheres[i].port, "port");
		is_str(w.path, wheres[i].path, "path");
		where_fini(&w);
	}
}

static void
test_where_limits(void)
{
	char path[200] = "unix:/";
	const char *why;
	struct where w;

	memset(path + 6, 'x', 106);
	is_int(where_parse(&w, path, &why), 0, "the longest path of a socket");
	where_fini(&w);
	path[112] = 'x';
	is_int(where_parse(&w, path, &why), -1, "and one more");
	is_str(why, "the path is too long for a socket", "is too long");
	where_fini(&w);
}

static void
test_resolve(void)
{
	struct netaddr a[2];
	const char *why = NULL;
	char text[NETADDR_TEXT];
	struct where w;

	where_parse(&w, "127.0.0.1:2525", &why);
	is_int(where_resolve(&w, a, 2, &why), 1, "an address is its own");
	is_str(netaddr_text(&a[0], text), "127.0.0.1:2525", "with its port");
	where_fini(&w);
	where_parse(&w, "[::ffff:127.0.0.1]:2525", &why);
	is_int(where_resolve(&w, a, 2, &why), 1, "a v4-mapped one");
	is_str(netaddr_text(&a[0], text), "127.0.0.1:2525", "is IPv4");
	where_fini(&w);
	where_parse(&w, "127.0.0.1:no-such-service", &why);
	is_int(where_resolve(&w, a, 2, &why), -1, "a service nobody knows");
	ok(why != NULL && *why != '\0', "is explained: %s", why);
	where_fini(&w);
}

static const struct {
	const char	*net;
	const char	*why;		/* NULL: it is a network */
	const char	*in, *out;	/* members and not; NULL: none to try */
} nets[] = {
	{ "192.0.2.0/24", NULL, "192.0.2.255", "192.0.3.0" },
	{ "192.0.2.1", NULL, "192.0.2.1", "192.0.2.0" },
	{ "192.0.2.1/32", NULL, "192.0.2.1", "192.0.2.2" },
	{ "192.0.2.128/25", NULL, "192.0.2.128", "192.0.2.127" },
	{ "10.0.0.0/8", NULL, "10.255.255.255", "11.0.0.0" },
	{ "0.0.0.0/0", NULL, "255.1.2.3", "2001:db8::1" },
	{ "128.0.0.0/1", NULL, "192.0.2.1", "127.255.255.255" },
	{ "2001:db8::/32", NULL, "2001:db8:ffff::", "2001:db9::" },
	{ "2001:db8::1", NULL, "2001:db8::1", "2001:db8::2" },
	{ "2001:db8::/127", NULL, "2001:db8::1", "2001:db8::2" },
	{ "::/0", NULL, "::1", "192.0.2.1" },
	{ "192.0.2.0/24", NULL, "::ffff:192.0.2.7", "::192.0.2.7" },
	{ "::ffff:192.0.2.0/120", NULL, "192.0.2.7", "192.0.3.7" },
	{ "::ffff:0:0/96", NULL, "192.0.2.7", "::1" },
	{ "192.0.2.1/24", "host bits set", NULL, NULL },
	{ "192.0.2.0/22", "host bits set", NULL, NULL },
	{ "2001:db8::1/64", "host bits set", NULL, NULL },
	{ "::ffff:192.0.2.1/120", "host bits set", NULL, NULL },
	{ "::1/0", "host bits set", NULL, NULL },
	{ "192.0.2.0/33", "not a prefix length", NULL, NULL },
	{ "192.0.2.0/", "not a prefix length", NULL, NULL },
	{ "192.0.2.0/024", "not a prefix length", NULL, NULL },
	{ "192.0.2.0/-1", "not a prefix length", NULL, NULL },
	{ "192.0.2.0/24 ", "not a prefix length", NULL, NULL },
	{ "192.0.2.0/255.255.255.0", "not a prefix length", NULL, NULL },
	{ "192.0.2.0/4294967320", "not a prefix length", NULL, NULL },
	{ "2001:db8::/129", "not a prefix length", NULL, NULL },
	{ "::ffff:0:0/90", "not a prefix length", NULL, NULL },
	{ "192.0.2/24", "not an address or network", NULL, NULL },
	{ "", "not an address or network", NULL, NULL },
	{ "/24", "not an address or network", NULL, NULL },
	{ "localhost", "not an address or network", NULL, NULL },
};

static bool
has(const struct netset *s, const char *ip)
{
	struct netaddr a;

	return netaddr_parse_ip(&a, ip, strlen(ip)) == 0 && netset_has(s, &a);
}

static void
test_netsets(void)
{
	struct netset s = { 0 }, all = { 0 };
	const struct netaddr none = { 0 }, un = { .family = AF_UNIX };
	const char *why;
	size_t i;

	ok(!has(&s, "192.0.2.1"), "nobody is in an empty set");
	for (i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		is_int(netset_add(&s, nets[i].net, &why),
		    nets[i].why == NULL ? 0 : -1, nets[i].net);
		is_str(why, nets[i].why, "why");
		is_int((long long)s.n, nets[i].why == NULL, "rows");
		if (nets[i].in != NULL) {
			ok(has(&s, nets[i].in), "%s is in", nets[i].in);
			ok(!has(&s, nets[i].out), "%s is out", nets[i].out);
		}
		netset_fini(&s);
	}
	netset_add(&all, "0.0.0.0/0", &why);
	netset_add(&all, "::/0", &why);
	netset_add(&all, "192.0.2.0/24", &why);
	ok(has(&all, "::1") && has(&all, "192.0.2.1"), "several rows");
	ok(!netset_has(&all, &none) && !netset_has(&all, &un),
	    "what has no address is in no network");
	netset_fini(&all);
	ok(all.n == 0 && !has(&all, "::1"), "fini empties it");
}

/* Each prefix length, against counting the bits one by one. */
static void
test_prefixes(void)
{
	struct netset s = { 0 };
	struct netaddr net, a;
	char text[NETADDR_TEXT + 4], ip[NETADDR_TEXT];
	int bits, flip, wrong = 0;
	const char *why;

	srand(1);
	for (bits = 0; bits <= 128; bits++) {
		net = (struct netaddr){ .family = AF_INET6 };
		for (flip = 0; flip < bits; flip++)
			if (rand() % 2 || flip == 0)
				net.ip[flip / 8] |= (uint8_t)(0x80 >> flip % 8);
		snprintf(text, sizeof(text), "%s/%d", netaddr_ip(&net, ip),
		    bits);
		wrong += netset_add(&s, text, &why) != 0;
		wrong += !netset_has(&s, &net);
		for (flip = 0; flip < 128; flip++) {
			a = net;
			a.ip[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
			wrong += netset_has(&s, &a) != (flip >= bits);
		}
		netset_fini(&s);
	}
	is_int(wrong, 0, "every bit of every prefix length");
}

int
main(void)
{
	test_ips();
	test_other_families();
	test_sockaddrs();
	test_wheres();
	test_where_limits();
	test_resolve();
	test_netsets();
	test_prefixes();
	return tap_done();
}
