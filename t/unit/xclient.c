/* XCLIENT and XFORWARD: who the client is, whatever a stranger put into a
   name. */

#include "smtp/xclient.h"

#include <sys/socket.h>
#include <arpa/inet.h>
#include <stdlib.h>

#include "smtp/xtext.h"
#include "tap.h"

#define BIT(a)	(1u << XATTR_##a)
#define EVERY	((1u << XATTRS) - 1)
#define X10	"xxxxxxxxxx"
#define X60	X10 X10 X10 X10 X10 X10

static struct netaddr
addr(const char *ip, uint16_t port)
{
	struct netaddr a = { 0 };

	a.family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	a.port = port;
	inet_pton(a.family, ip, a.ip);
	return a;
}

static struct buf sent;

static const char *
format(const char *verb, unsigned offered, const struct xclient *x)
{
	buf_fini(&sent);
	buf_init(&sent, 4096);
	xclient_format(&sent, verb, offered, x);
	return sent.p;
}

/* Sending */

static void
check_plain(void)
{
	struct xclient x = {
		.addr = addr("192.0.2.1", 51234),
		.dest = addr("2001:db8::25", 25),
		.name = "mail.example.org",
		.reverse_name = "mail.example.org",
		.helo = "[192.0.2.1]",
		.proto = "ESMTP",
		.login = "user name",
	};

	is_str(format("XCLIENT", EVERY, &x), "XCLIENT NAME=mail.example.org "
	    "REVERSE_NAME=mail.example.org PROTO=ESMTP HELO=[192.0.2.1] "
	    "PORT=51234 DESTADDR=IPV6:2001:db8::25 DESTPORT=25 "
	    "LOGIN=user+20name ADDR=192.0.2.1\r\n", "all of XCLIENT");
	is_str(format("XFORWARD", BIT(NAME) | BIT(ADDR) | BIT(PORT) |
	    BIT(PROTO) | BIT(HELO) | BIT(IDENT) | BIT(SOURCE) | BIT(LOGIN), &x),
	    "XFORWARD NAME=mail.example.org PROTO=ESMTP HELO=[192.0.2.1] "
	    "PORT=51234 ADDR=192.0.2.1\r\n", "XFORWARD without LOGIN");
	is_str(format("XCLIENT", BIT(ADDR), &x), "XCLIENT ADDR=192.0.2.1\r\n",
	    "only what is offered");
	is_str(format("XCLIENT", 0, &x), "", "nothing is offered");
	is_int(xclient_format(&sent, "XCLIENT", 0, &x), 0, "no line");
	is_str(format("XCLIENT", BIT(IDENT) | BIT(SOURCE), &x), "",
	    "only what we do not send");
	x.addr = addr("2001:db8::1", 1);
	is_str(format("XCLIENT", BIT(ADDR) | BIT(PORT), &x),
	    "XCLIENT PORT=1 ADDR=IPV6:2001:db8::1\r\n", "IPv6");
}

static void
check_unknown(void)
{
	struct xclient x = { 0 };

	is_str(format("XCLIENT", EVERY, &x), "XCLIENT NAME=[UNAVAILABLE] "
	    "REVERSE_NAME=[UNAVAILABLE] HELO=[UNAVAILABLE] "
	    "PORT=[UNAVAILABLE] DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE] "
	    "LOGIN=[UNAVAILABLE] ADDR=[UNAVAILABLE]\r\n", "nothing is known");
	is_str(format("XCLIENT", BIT(PROTO), &x), "", "PROTO is left out");
	x.name_tempfail = true;
	is_str(format("XCLIENT", BIT(NAME), &x),
	    "XCLIENT NAME=[TEMPUNAVAIL]\r\n", "DNS failed");
	x.addr.family = AF_UNIX;
	is_str(format("XCLIENT", BIT(ADDR), &x),
	    "XCLIENT ADDR=[UNAVAILABLE]\r\n", "a local socket");
}

/* PTR names, as anyone may publish them. */
static void
check_names(void)
{
	static const struct {
		const char	*name;
		bool		 good;
	} names[] = {
		{ "a", true },
		{ "azAZ09.-", false },
		{ "azAZ09-_.azAZ09", true },
		{ "a:b", false },
		{ "a/b", false },
		{ "a`b", false },
		{ "a{b", false },
		{ "a_b.example", true },
		{ "1-2-3-4.example", true },
		{ "192.0.2.1.example", true },
		{ "xn--bcher-kva.example", true },
		{ X60 "xxx." X60 "xxx." X60 "xxx." X60 "xxx", true },
		{ X60 "xxx." X60 "xxx." X60 "xxx." X60 "xxx.a", false },
		{ X60 "xxxx.example", false },
		{ "", false },
		{ ".", false },
		{ "a.", false },
		{ ".a", false },
		{ "a..b", false },
		{ "-a.example", false },
		{ "a-.example", false },
		{ "192.0.2.1", false },
		{ "12345", false },
		{ "a\r\nMAIL FROM:<x@y>", false },
		{ "a\r\n", false },
		{ "a\n", false },
		{ "a\r", false },
		{ "a ADDR=192.0.2.9", false },
		{ "a\tb", false },
		{ "a=b", false },
		{ "a+20b", false },
		{ "a;b", false },
		{ "a@b", false },
		{ "[UNAVAILABLE]", false },
		{ "bücher.example", false },
		{ "a\xff", false },
		{ "a\x7f", false },
		{ X60 "." X60 "." X60 "." X60 "." X60, false },
	};
	struct xclient x = { 0 };
	char want[400];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		x.name = x.reverse_name = names[i].name;
		snprintf(want, sizeof(want), "XCLIENT NAME=%s\r\n",
		    names[i].good ? names[i].name : "[UNAVAILABLE]");
		is_str(format("XCLIENT", BIT(NAME), &x), want, "NAME");
		snprintf(want, sizeof(want), "XCLIENT REVERSE_NAME=%s\r\n",
		    names[i].good ? names[i].name : "[UNAVAILABLE]");
		is_str(format("XCLIENT", BIT(REVERSE_NAME), &x), want,
		    "REVERSE_NAME");
	}
}

static void
check_helo_and_login(void)
{
	static const struct {
		const char	*value, *helo, *login;
	} cases[] = {
		{ "my=pc+1", "my+3Dpc+2B1", "my+3Dpc+2B1" },
		{ "my pc", "[UNAVAILABLE]", "my+20pc" },
		{ "ü", "[UNAVAILABLE]", "+C3+BC" },
		{ "a\r\nQUIT", "[UNAVAILABLE]", "[UNAVAILABLE]" },
		{ "a\n", "[UNAVAILABLE]", "[UNAVAILABLE]" },
		{ "\x7f", "[UNAVAILABLE]", "[UNAVAILABLE]" },
		{ "", "[UNAVAILABLE]", "[UNAVAILABLE]" },
		{ X60 X60 X60 X60 X60, "[UNAVAILABLE]", "[UNAVAILABLE]" },
		/* 240 octets, 258 when they are encoded */
		{ X60 X60 X60 X10 X10 X10 X10 X10 "+=+=+=+=+=",
		  "[UNAVAILABLE]", "[UNAVAILABLE]" },
	};
	struct xclient x = { 0 };
	char want[400];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		x.helo = x.login = cases[i].value;
		snprintf(want, sizeof(want), "XCLIENT HELO=%s\r\n",
		    cases[i].helo);
		is_str(format("XCLIENT", BIT(HELO), &x), want, "HELO");
		snprintf(want, sizeof(want), "XCLIENT LOGIN=%s\r\n",
		    cases[i].login);
		is_str(format("XCLIENT", BIT(LOGIN), &x), want, "LOGIN");
	}
}

/* Values of any length: every line is a whole command within its limit, and
   the last one has LOGIN and ADDR. */
static void
check_long(void)
{
	char name[250], helo[256], login[256], *line, *end;
	struct xclient x = {
		.addr = addr("2001:db8:1111:2222:3333:4444:5555:6666", 65535),
		.dest = addr("2001:db8:1111:2222:3333:4444:5555:6666", 65535),
		.name = name, .reverse_name = name, .helo = helo,
		.login = login, .proto = "ESMTP"
	};
	int lines, counted, n, i, bad = 0, most = 0;

	for (n = 1; n < 250; n++) {
		for (i = 0; i < n; i++)
			name[i] = i % 60 == 59 && i < n - 1 ? '.' : 'n';
		name[n] = '\0';
		memset(helo, 'h', sizeof(helo));
		helo[n] = '\0';
		memset(login, 'l', sizeof(login));
		login[n] = '\0';
		buf_fini(&sent);
		buf_init(&sent, 4096);
		lines = xclient_format(&sent, "XCLIENT", EVERY, &x);
		counted = 0;
		for (line = sent.p; *line != '\0'; line = end + 2, counted++) {
			end = strstr(line, "\r\n");
			if (end == NULL || end + 2 - line > XCLIENT_LINE_MAX ||
			    strncmp(line, "XCLIENT ", 8) != 0) {
				bad++;
				break;
			}
			if (counted == lines - 1 &&
			    (strstr(line, " LOGIN=") == NULL ||
			    strstr(line, " ADDR=") == NULL))
				bad++;
			if (counted < lines - 1 && (strstr(line, " ADDR=") <
			    end && strstr(line, " ADDR=") != NULL))
				bad++;
		}
		if (counted != lines || sent.failed)
			bad++;
		if (lines > most)
			most = lines;
	}
	is_int(bad, 0, "lines are whole, short, and in order");
	ok(most >= 3, "and there were up to %d", most);
}

/* Receiving */

static int
parse(struct xclient *x, struct buf *store, const char *arg, const char **why)
{
	char *copy = malloc(strlen(arg) + 1);	/* not NUL-terminated */
	int rc;

	*why = "";
	memcpy(copy, arg, strlen(arg));
	rc = xclient_parse(x, SLICE(copy, strlen(arg)), store, why);
	free(copy);
	return rc;
}

static void
check_parse(void)
{
	struct xclient x = { .helo = "before" };
	struct buf store;
	const char *why;
	char ip[NETADDR_TEXT];

	buf_init(&store, 2000);
	is_int(parse(&x, &store, "NAME=mail.example.org addr=192.0.2.1 "
	    "PORT=51234 PROTO=esmtp LOGIN=user+20name "
	    "REVERSE_NAME=other.example DESTADDR=IPV6:2001:db8::25 "
	    "DESTPORT=25", &why), 0, "all but HELO");
	is_str(x.name, "mail.example.org", "name");
	is_str(x.reverse_name, "other.example", "reverse name");
	is_str(x.login, "user name", "login is decoded");
	is_str(x.proto, "ESMTP", "protocol");
	is_str(x.helo, "before", "HELO was not named and stays");
	is_str(netaddr_ip(&x.addr, ip), "192.0.2.1", "address");
	is_int(x.addr.port, 51234, "port");
	is_str(netaddr_ip(&x.dest, ip), "2001:db8::25", "destination");
	is_int(x.dest.port, 25, "its port");

	is_int(parse(&x, &store, "ADDR=IPV6:2001:db8::1 HELO=[IPv6:::1]", &why),
	    0, "a second one");
	is_str(netaddr_ip(&x.addr, ip), "2001:db8::1", "changes the address");
	is_int(x.addr.port, 51234, "and not the port");
	is_str(x.helo, "[IPv6:::1]", "HELO");
	is_str(x.name, "mail.example.org", "name is still there");

	is_int(parse(&x, &store, "PORT=[UNAVAILABLE] HELO=[UNAVAILABLE]",
	    &why), 0, "take the port back");
	is_str(netaddr_ip(&x.addr, ip), "2001:db8::1", "the address stays");
	is_int(x.addr.port, 0, "the port does not");
	is_int(parse(&x, &store, "NAME=[TEMPUNAVAIL] LOGIN=[unavailable] "
	    "ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=[UNAVAILABLE] "
	    "REVERSE_NAME=[UNAVAILABLE]", &why), 0, "take it back");
	ok(x.name == NULL && x.name_tempfail, "name: DNS failed");
	ok(x.login == NULL && x.reverse_name == NULL && x.proto == NULL &&
	    x.addr.family == 0 && x.addr.port == 0, "the others: unknown");
	is_int(parse(&x, &store, "NAME=[UNAVAILABLE]", &why), 0, "no name");
	ok(x.name == NULL && !x.name_tempfail, "DNS did not fail");
	is_int(x.dest.port, 25, "destination was never touched");
	is_int(parse(&x, &store, "DESTADDR=[UNAVAILABLE] "
	    "DESTPORT=[UNAVAILABLE] HELO=[UNAVAILABLE]", &why), 0, "now it is");
	ok(x.dest.family == 0 && x.dest.port == 0 && x.helo == NULL,
	    "and unknown");
	buf_fini(&store);
}

static void
check_bad(void)
{
	static const char *const bad[] = {
		"",
		"   ",
		"NAME",
		"NAME=",
		"=x",
		"FOO=x",
		"IDENT=x",
		"SOURCE=LOCAL",
		"IDENT=[UNAVAILABLE]",
		"NAMES=x",
		"NAME=a NAME=b",
		"NAME=a+0D+0Ab",
		"NAME=a+20b",
		"NAME=a+00b",
		"NAME=a+2",
		"NAME=a=b",
		"NAME=ü",
		"NAME=-a",
		"NAME=192.0.2.1",
		"NAME=[UNAVAILABLE",
		"REVERSE_NAME=a+3Cb",
		"HELO=a+20b",
		"HELO=a+0Ab",
		"LOGIN=a+0Ab",
		"LOGIN=a\tb",
		"ADDR=192.0.2.256",
		"ADDR=192.0.2",
		"ADDR=mail.example.org",
		"ADDR=2001:db8::1",
		"ADDR=IPV6:192.0.2.1",
		"ADDR=IPV6:",
		"ADDR=IPV6:2001:db8::g",
		"ADDR=192.0.2.1+00",
		"DESTADDR=x",
		"PORT=0",
		"PORT=65536",
		"PORT=100000000000",
		"PORT=000025",
		"PORT=2:",
		"PORT=-1",
		"PORT=25x",
		"PORT=smtp",
		"DESTPORT=x",
		"PROTO=LMTP",
		"PROTO=SMTP+0D",
		"LOGIN=" X60 X60 X60 X60 "xxxxxxxxxxxxxxxx",
		"ADDR=192.0.2.9 PORT=9 NAME=new.example FOO=x",
		"NAME=new.example HELO=new.example ADDR=x",
	};
	struct xclient x = {
		.addr = addr("192.0.2.1", 25), .name = "old.example",
		.helo = "old", .proto = "SMTP"
	}, before;
	struct buf store;
	const char *why;
	size_t i;

	buf_init(&store, 2000);
	is_int(parse(&x, &store, "LOGIN=me", &why), 0, "something to keep");
	before = x;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ok(parse(&x, &store, bad[i], &why) == -1 && why[0] != '\0',
		    "\"%s\" is refused: %s", bad[i], why);
		ok(memcmp(&x, &before, sizeof(x)) == 0 &&
		    strcmp(x.login, "me") == 0 &&
		    strcmp(x.name, "old.example") == 0, "and changes nothing");
	}
	buf_fini(&store);
}

static void
check_edges(void)
{
	static const char *const good[] = {
		"PORT=1", "PORT=65535", "DESTPORT=10809", "PORT=00025",
		"LOGIN=" X60 X60 X60 X60 "xxxxxxxxxxxxxxx", "LOGIN=+c3+bc",
		"  NAME=a  ", "proto=SMTP", "HELO=-",
	};
	struct xclient x = { 0 };
	struct buf store;
	const char *why;
	size_t i;

	buf_init(&store, 2000);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(parse(&x, &store, good[i], &why) == 0, "\"%s\" is good%s",
		    good[i], why);
	buf_fini(&store);
}

/* A peer that names its client again and again needs no more memory. */
static void
check_again(void)
{
	struct xclient x = { 0 };
	struct buf store;
	const char *why;
	char arg[100];
	int i, bad = 0;

	buf_init(&store, 100);
	for (i = 0; i < 1000; i++) {
		snprintf(arg, sizeof(arg), "%s=host-%d.example",
		    i % 2 ? "NAME" : "HELO", i);
		if (parse(&x, &store, arg, &why) < 0)
			bad++;
	}
	is_int(bad, 0, "a thousand times");
	is_str(x.name, "host-999.example", "the last name");
	is_str(x.helo, "host-998.example", "the last HELO");
	is_int(parse(&x, &store, "LOGIN=" X60 X10, &why), -1,
	    "more than the store holds");
	is_str(x.name, "host-999.example", "and the name is still there");
	buf_fini(&store);
}

/* What we send, we read. */
static void
check_round_trip(void)
{
	struct xclient x = {
		.addr = addr("2001:db8::1", 51234),
		.dest = addr("192.0.2.25", 25),
		.name = "mail.example.org", .reverse_name = "a_b.example",
		.helo = "my=pc", .proto = "SMTP", .login = "ż ó",
	}, y = { 0 };
	struct buf store;
	const char *why;
	char *arg;

	format("XCLIENT", EVERY, &x);
	arg = strdup(sent.p + strlen("XCLIENT "));
	*strchr(arg, '\r') = '\0';
	buf_init(&store, 2000);
	is_int(parse(&y, &store, arg, &why), 0, "our own command");
	ok(netaddr_same_ip(&x.addr, &y.addr) && x.addr.port == y.addr.port &&
	    netaddr_same_ip(&x.dest, &y.dest) && x.dest.port == y.dest.port,
	    "same addresses");
	is_str(y.name, x.name, "same name");
	is_str(y.reverse_name, x.reverse_name, "same reverse name");
	is_str(y.helo, x.helo, "same HELO");
	is_str(y.login, x.login, "same login");
	free(arg);
	buf_fini(&store);
}

int
main(void)
{
	buf_init(&sent, 4096);
	check_plain();
	check_unknown();
	check_names();
	check_helo_and_login();
	check_long();
	check_parse();
	check_bad();
	check_edges();
	check_again();
	check_round_trip();
	buf_fini(&sent);
	return tap_done();
}
