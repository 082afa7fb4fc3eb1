/* Mailboxes and paths: what the grammar produces, and what only looks like
   it. */

#include "smtp/address.h"

#include <stdlib.h>

#include "tap.h"

static const struct address_limits limits = {
	.local_part = 64, .domain = 255, .path = 256
};

#define X10	"xxxxxxxxxx"
#define X60	X10 X10 X10 X10 X10 X10
#define LABEL63	X60 "xxx"

/* want NULL: refused. path is a RCPT path unless it is a reverse one. */
static const struct {
	const char	*path, *want;
} paths[] = {
	{ "<a@b>", "a@b" },
	{ "<user@localhost>", "user@localhost" },
	{ "<User.Name@Example.ORG>", "User.Name@Example.ORG" },
	{ "<!#$%&'*+-/=?^_`{|}~@example.org>",
	  "!#$%&'*+-/=?^_`{|}~@example.org" },
	{ "<a@1>", "a@1" },
	{ "<a@3com.4>", "a@3com.4" },
	{ "<a@r3---s.example>", "a@r3---s.example" },
	{ "<azAZ09@azAZ09>", "azAZ09@azAZ09" },
	{ "<-a@example>", "-a@example" },

	/* dots */
	{ "<.a@b>", NULL },
	{ "<a.@b>", NULL },
	{ "<a..b@c>", NULL },
	{ "<.@b>", NULL },
	{ "<a@.b>", NULL },
	{ "<a@b.>", NULL },
	{ "<a@b..c>", NULL },
	{ "<a@.>", NULL },

	/* domains */
	{ "<a@-b>", NULL },
	{ "<a@b->", NULL },
	{ "<a@b-.c>", NULL },
	{ "<a@b.-c>", NULL },
	{ "<a@b_c>", "a@b_c" },
	{ "<a@_b._c_>", "a@_b._c_" },
	{ "<a@b/c>", NULL },
	{ "<a@b:c>", NULL },
	{ "<a@b@c>", NULL },
	{ "<a@b,c>", NULL },
	{ "<a@>", NULL },
	{ "<@b>", NULL },
	{ "<@>", NULL },
	{ "<a>", NULL },
	{ "<>", NULL },
	{ "<a@" LABEL63 ".example>", "a@" LABEL63 ".example" },
	{ "<a@" LABEL63 "x.example>", NULL },

	/* what is around the path */
	{ "", NULL },
	{ "<", NULL },
	{ "a@b", NULL },
	{ "<a@b", NULL },
	{ "a@b>", NULL },
	{ " <a@b>", NULL },
	{ "< a@b>", NULL },
	{ "<a@b >", NULL },
	{ "<a @b>", NULL },
	{ "<a@ b>", NULL },
	{ "<a@b> ", "a@b" },
	{ "<a@b> SIZE=1", "a@b" },
	{ "<a@b>SIZE=1", NULL },
	{ "<a@b>>", NULL },
	{ "<<a@b>>", NULL },
	{ "<a@b><c@d>", NULL },
	{ "<(c)a@b>", NULL },
	{ "<a@b(c)>", NULL },
	{ "\"A\" <a@b>", NULL },

	/* controls */
	{ "<a\t@b>", NULL },
	{ "<a@b\r>", NULL },
	{ "<a@b\n>", NULL },
	{ "<a\rb@c>", NULL },
	{ "<a\x7f@b>", NULL },
	{ "<\"a\tb\"@c>", NULL },
	{ "<\"a\r\nb\"@c>", NULL },
	{ "<\"a\\\rb\"@c>", NULL },
	{ "<\"a\\\x7f\"@c>", NULL },

	/* quotes: only where they are needed */
	{ "<\"a\"@b>", "a@b" },
	{ "<\"a.b\"@c>", "a.b@c" },
	{ "<\"\\a\\b\"@c>", "ab@c" },
	{ "<\"a b\"@c>", "\"a b\"@c" },
	{ "<\"a\\ b\"@c>", "\"a b\"@c" },
	{ "<\"\"@b>", "\"\"@b" },
	{ "<\".\"@b>", "\".\"@b" },
	{ "<\"a..b\"@c>", "\"a..b\"@c" },
	{ "<\"a.\"@b>", "\"a.\"@b" },
	{ "<\"a@b\"@c>", "\"a@b\"@c" },
	{ "<\"a>b\"@c>", "\"a>b\"@c" },
	{ "<\"<>\"@c>", "\"<>\"@c" },
	{ "<\"a\\\"b\"@c>", "\"a\\\"b\"@c" },
	{ "<\"a\\\\b\"@c>", "\"a\\\\b\"@c" },
	{ "<\"a\\@b\"@c>", "\"a@b\"@c" },
	{ "<\"(c)\"@b>", "\"(c)\"@b" },
	{ "<\"\\\"@b>", NULL },
	{ "<\"a@b>", NULL },
	{ "<\"a\\", NULL },
	{ "<\"", NULL },
	{ "<a\"b\"@c>", NULL },
	{ "<\"a\"b@c>", NULL },
	{ "<\"a\".b@c>", NULL },
	{ "<a.\"b\"@c>", NULL },
	{ "<\"a\"\"b\"@c>", NULL },
	{ "<a\\@b@c>", NULL },

	/* source routes go */
	{ "<@x.example:a@b>", "a@b" },
	{ "<@x,@y.example,@z:a@b>", "a@b" },
	{ "<@x:\"a b\"@c>", "\"a b\"@c" },
	{ "<@x:a@[192.0.2.1]>", "a@[192.0.2.1]" },
	{ "<@x,:a@b>", NULL },
	{ "<@x,y:a@b>", NULL },
	{ "<@x, @y:a@b>", NULL },
	{ "<@x:@y:a@b>", NULL },
	{ "<@:a@b>", NULL },
	{ "<@-x:a@b>", NULL },
	{ "<@[192.0.2.1]:a@b>", NULL },
	{ "<@x:>", NULL },
	{ "<@x:Postmaster>", NULL },
	{ "<:a@b>", NULL },

	/* address literals */
	{ "<a@[192.0.2.1]>", "a@[192.0.2.1]" },
	{ "<a@[0.0.0.0]>", "a@[0.0.0.0]" },
	{ "<a@[192.0.002.010]>", "a@[192.0.2.10]" },
	{ "<a@[192.0.2.256]>", NULL },
	{ "<a@[192.0.2.0001]>", NULL },
	{ "<a@[192.0.2]>", NULL },
	{ "<a@[192.0.2.]>", NULL },
	{ "<a@[192.0.2.1.]>", NULL },
	{ "<a@[192.0.2.1.2]>", NULL },
	{ "<a@[192.0..1]>", NULL },
	{ "<a@[0x7f.0.0.1]>", NULL },
	{ "<a@[192.0.2.-1]>", NULL },
	{ "<a@[ 192.0.2.1]>", NULL },
	{ "<a@[192.0.2.1>", NULL },
	{ "<a@[192.0.2.1]x>", NULL },
	{ "<a@[192.0.2.1].b>", NULL },
	{ "<a@x[192.0.2.1]>", NULL },
	{ "<a@[]>", NULL },
	{ "<a@[[192.0.2.1]]>", NULL },
	{ "<a@[IPv6:2001:db8:0:1:2:3:4:5]>",
	  "a@[IPv6:2001:db8:0:1:2:3:4:5]" },
	{ "<a@[ipV6:2001:DB8::1]>", "a@[ipV6:2001:DB8::1]" },
	{ "<a@[IPv6:::]>", "a@[IPv6:::]" },
	{ "<a@[IPv6:::1]>", "a@[IPv6:::1]" },
	{ "<a@[IPv6:2001:db8::]>", "a@[IPv6:2001:db8::]" },
	{ "<a@[IPv6:1:2:3:4:5:6::]>", "a@[IPv6:1:2:3:4:5:6::]" },
	{ "<a@[IPv6:1:2:3:4:5:6:7::]>", NULL },
	{ "<a@[IPv6:::2:3:4:5:6:7:8]>", NULL },
	{ "<a@[IPv6:::ffff:192.0.2.1]>", "a@[IPv6:::ffff:192.0.2.1]" },
	{ "<a@[IPv6:1:2:3:4::192.0.2.1]>", "a@[IPv6:1:2:3:4::192.0.2.1]" },
	{ "<a@[IPv6:1:2:3:4:5::192.0.2.1]>", NULL },
	{ "<a@[IPv6:1:2:3:4:5:6:192.0.2.1]>",
	  "a@[IPv6:1:2:3:4:5:6:192.0.2.1]" },
	{ "<a@[IPv6:1:2:3:4:5:6:7:192.0.2.1]>", NULL },
	{ "<a@[IPv6:192.0.2.1]>", NULL },
	{ "<a@[IPv6:1:2:3:4:5:6:7]>", NULL },
	{ "<a@[IPv6:1:2:3:4:5:6:7:8:9]>", NULL },
	{ "<a@[IPv6:1::2::3]>", NULL },
	{ "<a@[IPv6:1:::2]>", NULL },
	{ "<a@[IPv6::1:2]>", NULL },
	{ "<a@[IPv6:1:2:3:4:5:6:7:]>", NULL },
	{ "<a@[IPv6:12345::]>", NULL },
	{ "<a@[IPv6:fe80::1%eth0]>", NULL },
	{ "<a@[IPv6:g::]>", NULL },
	{ "<a@[IPv6:]>", NULL },
	{ "<a@[IPv6:1:2:3:4:5:6:7:8888888888888888888888888888888888888]>",
	  NULL },
	{ "<a@[2001:db8::1]>", NULL },
	{ "<a@[x400:whatever]>", NULL },

	/* postmaster may come without a domain */
	{ "<Postmaster>", "Postmaster" },
	{ "<pOSTMASTER>", "Postmaster" },
	{ "<postmaster> NOTIFY=NEVER", "Postmaster" },
	{ "<postmaster@b>", "postmaster@b" },
	{ "<Postmasters>", NULL },
	{ "<\"postmaster\">", NULL },
	{ "<postmaster", NULL },
	{ "<postmaster@>", NULL },

	/* UTF-8 */
	{ "<żółw@example.org>", "żółw@example.org" },
	{ "<\"a ż\"@b>", "\"a ż\"@b" },
	{ "<\"żółw\"@b>", "żółw@b" },
	{ "<\"\\ż\"@b>", NULL },
	{ "<😀@b>", "😀@b" },
	{ "<a@bücher.example>", "a@bücher.example" },
	{ "<a@BÜCHER.Example>", "a@bücher.Example" },
	{ "<a@bu\xcc\x88" "cher.example>", "a@bücher.example" },
	{ "<a@faß.example>", "a@faß.example" },
	{ "<a@παράδειγμα.δοκιμή>", "a@παράδειγμα.δοκιμή" },
	{ "<a@ｅxample.org>", "a@example.org" },
	{ "<@bücher.example:a@b>", "a@b" },
	{ "<a\xff@b>", NULL },
	{ "<a\x80@b>", NULL },
	{ "<a\xc3@b>", NULL },
	{ "<a\xc0\xaf@b>", NULL },		/* overlong */
	{ "<a\xe0\x80\xaf@b>", NULL },
	{ "<a\xed\xa0\x80@b>", NULL },		/* surrogate */
	{ "<a\xf4\x90\x80\x80@b>", NULL },	/* past U+10FFFF */
	{ "<a\xc2\x80@b>", NULL },		/* C1 controls */
	{ "<a\xc2\x85@b>", NULL },
	{ "<a\xc2\x9f@b>", NULL },
	{ "<\"a\xc2\x80\"@b>", NULL },
	{ "<a\xc2\xa0@b>", "a\xc2\xa0@b" },	/* the first that is none */
	{ "<a\xef\xb7\x90@b>", NULL },		/* noncharacters */
	{ "<a\xef\xb7\xaf@b>", NULL },
	{ "<a\xef\xb7\x8f@b>", "a\xef\xb7\x8f@b" },
	{ "<a\xef\xb7\xb0@b>", "a\xef\xb7\xb0@b" },
	{ "<a\xef\xbf\xbf@b>", NULL },
	{ "<a\xf0\x9f\xbf\xbe@b>", NULL },
	{ "<a@b\xff>", NULL },

	/* names that IDNA does not have, or that map to something else */
	{ "<a@x＠y>", NULL },
	{ "<a@x。y>", NULL },
	{ "<a@x／y>", NULL },
	{ "<a@ü_x.example>", NULL },
	{ "<a@-ü.example>", NULL },
	{ "<a@ü-.example>", NULL },
	{ "<a@💩.example>", NULL },
	{ "<a@x\xe2\x80\x8dy.example>", NULL },	/* a joiner without reason */
	{ "<a@\xcc\x81x.example>", NULL },	/* a mark without a letter */
	{ "<a@אb.example>", NULL },		/* two directions */
	{ "<a@\xc2\xad.example>", NULL },	/* maps to nothing */

	/* A-labels */
	{ "<a@xn--bcher-kva.example>", "a@xn--bcher-kva.example" },
	{ "<a@XN--BCHER-KVA.example>", "a@XN--BCHER-KVA.example" },
	{ "<a@xn--.example>", NULL },
	{ "<a@xn--a.example>", NULL },
	{ "<a@xn--abc-.example>", NULL },
	{ "<a@xn--zzzzzzzzz.example>", NULL },
	{ "<a@ｘn--bcher-kva.example>", "a@bücher.example" },
};

static void
check_paths(void)
{
	struct address a;
	const char *why;
	size_t i, used;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const char *p = paths[i].path, *want = paths[i].want;
		int rc = address_parse_path(&a, PATH_FORWARD, p, strlen(p),
		    true, &limits, &used, &why);

		if (want == NULL)
			ok(rc == -1 && a.len == 0 && why[0] != '\0',
			    "%s is refused (%s)", p, rc < 0 ? why : a.text);
		else if (ok(rc == 0, "%s is good (%s)", p, rc ? why : ""))
			is_str(a.text, want, "and is this");
	}
}

/* People read these: each says what is wrong, not only that something is. */
static void
check_reasons(void)
{
	static const struct {
		const char	*path, *why;
	} cases[] = {
		{ "a@b", "no < before the address" },
		{ "<a@b", "no > behind the address" },
		{ "<a@b>SIZE=1", "text behind the address" },
		{ "<a>", "address has no domain" },
		{ "<a", "address has no domain" },
		{ "<a[b>", "local part has a character that needs quotes" },
		{ "<>", "no local part" },
		{ "<@b>", "no local part" },
		{ "<.a@b>", "misplaced dot in local part" },
		{ "<a..b@c>", "misplaced dot in local part" },
		{ "<a.@b>", "misplaced dot in local part" },
		{ "<\"a@b>", "bad quoted local part" },
		{ "<a@b\x1f>", "control character in address" },
		{ "<a@b\x7f>", "control character in address" },
		{ "<a b@c>", "space in address" },
		{ "<(a)b@c>", "comment in address" },
		{ "<a@b(c)>", "comment in address" },
		{ "<a@b..c>", "domain has an empty label" },
		{ "<a@-b>", "domain label starts with a hyphen" },
		{ "<a@b->", "domain label ends with a hyphen" },
		{ "<a@b@c>", "no > behind the address" },
		{ "<a@xn--.b>", "domain is no valid international name" },
		{ "<a@[b]>", "bad address literal" },
		{ "<a\xff@b>", "address is not valid UTF-8" },
	};
	struct address a;
	const char *why;
	size_t i, used;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		address_parse_path(&a, PATH_FORWARD, cases[i].path,
		    strlen(cases[i].path), true, &limits, &used, &why);
		is_str(why, cases[i].why, cases[i].path);
	}
	address_parse_path(&a, PATH_FORWARD, "<\xc5\xbc@b>", 6, false, &limits,
	    &used, &why);
	is_str(why, "address needs SMTPUTF8", "UTF-8 without it");
}

/* Dots where the grammar has none: what is meant, in the words of the grammar,
   and where it is strict already nothing else. */
static void
check_odd_dots(void)
{
	static const struct address_limits lenient = {
		.local_part = 64, .domain = 255, .path = 256, .odd_dots = true
	};
	static const struct {
		const char	*path, *want;	/* or why not */
	} cases[] = {
		{ "<a..b@c>", "\"a..b\"@c" },
		{ "<.a@b>", "\".a\"@b" },
		{ "<a.@b>", "\"a.\"@b" },
		{ "<.@b>", "\".\"@b" },
		{ "<\"a..b\"@c>", "\"a..b\"@c" },
		{ "<a.b@c>", "a.b@c" },
		{ "<a.\xc5\xbc.@c>", "\"a.\xc5\xbc.\"@c" },
		{ "<@b>", "no local part" },
		{ "<a,.b@c>", "local part has a character that needs quotes" },
		{ "<a. .b@c>", "space in address" },
		{ "<a.b..c>", "address has no domain" },
	};
	struct address a;
	const char *why;
	size_t i, used;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		address_parse_path(&a, PATH_FORWARD, cases[i].path,
		    strlen(cases[i].path), true, &lenient, &used, &why);
		is_str(why != NULL ? why : a.text, cases[i].want,
		    cases[i].path);
	}
}

static int
reverse(struct address *a, const char *p)
{
	const char *why;
	size_t used;

	return address_parse_path(a, PATH_REVERSE, p, strlen(p), true, &limits,
	    &used, &why);
}

static void
check_kinds(void)
{
	struct address a;

	ok(reverse(&a, "<>") == 0 && a.len == 0, "null sender");
	is_str(address_domain(&a), "", "which has no domain");
	ok(!address_is_postmaster(&a), "and is not postmaster");
	ok(reverse(&a, "<> SIZE=1") == 0, "null sender with parameters");
	ok(reverse(&a, "<>x") == -1, "text behind the null sender");
	ok(reverse(&a, "< >") == -1, "a space is no null sender");
	ok(reverse(&a, "<Postmaster>") == -1, "bare postmaster as sender");
	ok(reverse(&a, "<a@b>") == 0 && a.len > 0, "a sender");
	ok(reverse(&a, "<@x:a@b>") == 0, "a sender with a route");
}

/* The octets behind the path are not part of it, and not looked at. */
static void
check_used(void)
{
	static const char line[] = "<\"a>b\"@c> SIZE=1";
	struct address a;
	const char *why;
	size_t used = 0, len;
	int rc;

	rc = address_parse_path(&a, PATH_REVERSE, line, strlen(line), false,
	    &limits, &used, &why);
	ok(rc == 0, "path with parameters behind it");
	is_int((long long)used, 9, "ends behind its >");
	is_int((long long)a.local_len, 5, "quotes count in the local part");
	for (len = 0; len < 9; len++) {
		char *copy = malloc(len + 1);	/* its end is seen by ASan */

		memcpy(copy, line, len);
		rc = address_parse_path(&a, PATH_REVERSE, copy, len, false,
		    &limits, &used, &why);
		ok(rc == -1, "the first %zu octets are no path", len);
		free(copy);
	}
}

static void
check_nul(void)
{
	static const char inside[] = "<a\0@b>", quoted[] = "<\"\\\0\"@b>",
	    domain[] = "<a@b\0>", literal[] = "<a@[IPv6:::\0]>";
	struct address a;
	const char *why;
	size_t used;

#define REFUSED(s)	(address_parse_path(&a, PATH_FORWARD, s, \
	    sizeof(s) - 1, true, &limits, &used, &why) == -1)
	ok(REFUSED(inside), "NUL in the local part");
	ok(REFUSED(quoted), "NUL behind a backslash");
	ok(REFUSED(domain), "NUL in the domain");
	ok(REFUSED(literal), "NUL in a literal");
#undef REFUSED
}

static void
check_smtputf8(void)
{
	static const struct {
		const char	*path;
		bool		 utf8;
	} cases[] = {
		{ "<a@b>", false },
		{ "<a@xn--bcher-kva.example>", false },
		{ "<ż@b>", true },
		{ "<\"ż\"@b>", true },
		{ "<a@bücher.example>", true },
		{ "<a@ｅxample.org>", true },
		{ "<@bücher.example:a@b>", true },
	};
	struct address a;
	const char *why;
	size_t i, used;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *p = cases[i].path;
		int rc;

		rc = address_parse_path(&a, PATH_REVERSE, p, strlen(p), true,
		    &limits, &used, &why);
		ok(rc == 0 && a.utf8 == cases[i].utf8, "%s %s SMTPUTF8", p,
		    cases[i].utf8 ? "needs" : "does not need");
		rc = address_parse_path(&a, PATH_REVERSE, p, strlen(p), false,
		    &limits, &used, &why);
		ok((rc == 0) == !cases[i].utf8, "%s without it", p);
	}
}

/* Make "<LOCAL@DOMAIN>" with this many octets in each part; labels have at most
   50, so that only the lengths can be wrong. */
static int
parse_sized(size_t local, size_t domain, size_t route)
{
	char p[2048], *o = p;
	struct address a;
	const char *why = "";
	size_t used, i;

	*o++ = '<';
	for (i = 0; i < route; i++)
		*o++ = i == 0 ? '@' : i == route - 1 ? ':' :
		    i % 50 == 49 && i < route - 2 ? '.' : 'r';
	memset(o, 'l', local);
	o += local;
	*o++ = '@';
	for (i = 0; i < domain; i++)
		*o++ = i % 50 == 49 && i < domain - 1 ? '.' : 'd';
	*o++ = '>';
	return address_parse_path(&a, PATH_FORWARD, p, (size_t)(o - p), true,
	    &limits, &used, &why) == 0 ? 0 : strstr(why, "too long") ? 1 : 2;
}

static void
check_lengths(void)
{
	static const struct address_limits wide = {
		.local_part = 300, .domain = 1000, .path = ADDRESS_ROOM
	}, narrow = { .local_part = 3, .domain = 7, .path = 20 };
	const char *q64 = "<\"" X60 " x\"@b>", *q65 = "<\"" X60 " xx\"@b>",
	    *e65 = "<\"" X60 "\\xx\"@b>", *why;
	char p[3000] = "<a@", *u = p + 3;
	struct address a;
	size_t i, used;

	is_int(parse_sized(64, 100, 0), 0, "local part of 64");
	is_int(parse_sized(65, 100, 0), 1, "local part of 65");
	is_int(parse_sized(1, 252, 0), 0, "path of 256");
	is_int(parse_sized(1, 253, 0), 1, "path of 257");
	is_int(parse_sized(64, 189, 0), 0, "64 and 189 are 256");
	is_int(parse_sized(64, 190, 0), 1, "64 and 190 are 257");
	is_int(parse_sized(1, 100, 152), 0, "a route counts: 256");
	is_int(parse_sized(1, 100, 153), 1, "a route counts: 257");
	is_int(parse_sized(1, 1200, 0), 1, "domain of 1200");
	is_int(parse_sized(1200, 1, 0), 1, "local part of 1200");
	is_int(reverse(&a, q64), 0, "quoted, 64 with its quotes");
	is_int(reverse(&a, q65), -1, "quoted, 65 with its quotes");
	is_int(reverse(&a, e65), -1, "65 with a backslash that goes");

#define NARROW(s)	address_parse_path(&a, PATH_FORWARD, s, strlen(s), \
	    true, &narrow, &used, &why)
	is_int(NARROW("<aaa@b.ccc.d>"), 0, "3 and 7 octets");
	is_int(NARROW("<aaaa@b>"), -1, "local part of 4");
	is_int(NARROW("<a@b.ccc.dd>"), -1, "domain of 8");
	is_int(NARROW("<a@\xc3\xbc>"), 0, "7 octets as A-label");
	is_int(NARROW("<a@\xc3\xbc.b>"), -1, "9 octets as A-label");
	is_int(NARROW("<@x:aaa@bbbb>   DSN"), 0, "only the path counts");
#undef NARROW

	/* 200 labels of one U-label each: 600 octets, 1,600 as A-labels. */
	for (i = 0; i < 200; i++)
		u = stpcpy(u, "ü.");
	strcpy(u - 1, ">");
	is_int(address_parse_path(&a, PATH_FORWARD, p, strlen(p), true, &wide,
	    &used, &why), -1, "too long as A-labels");
}

static void
check_mailbox(void)
{
	struct address a;
	const char *why;

#define MAILBOX(s)	address_parse_mailbox(&a, s, strlen(s), &limits, &why)
	is_int(MAILBOX("a@b"), 0, "a mailbox alone");
	is_int(MAILBOX("ż@bücher.example"), 0, "with UTF-8");
	is_int(MAILBOX("<a@b>"), -1, "not with <>");
	is_int(MAILBOX("a@b "), -1, "not with a space behind");
	is_int(MAILBOX("a@b SIZE=1"), -1, "not with a parameter");
	is_int(MAILBOX("@x:a@b"), -1, "not with a route");
	is_int(MAILBOX("postmaster"), -1, "not without a domain");
	is_int(MAILBOX(""), -1, "not empty");
#undef MAILBOX
}

static void
check_parts(void)
{
	static const struct {
		const char	*path, *local, *domain, *ascii;
		bool		 postmaster;
	} cases[] = {
		{ "<a.b@C.Example>", "a.b", "C.Example", "c.example", false },
		{ "<\"a b\"@c>", "a b", "c", "c", false },
		{ "<\"a\\\"\\\\@b\"@c>", "a\"\\@b", "c", "c", false },
		{ "<\"\"@c>", "", "c", "c", false },
		{ "<a@[192.0.2.1]>", "a", "[192.0.2.1]", "[192.0.2.1]", false },
		{ "<a@BÜCHER.Example>", "a", "bücher.Example",
		  "xn--bcher-kva.example", false },
		{ "<a@azAZ-09.Example>", "a", "azAZ-09.Example",
		  "azaz-09.example", false },
		{ "<a@XN--Bcher-KVA>", "a", "XN--Bcher-KVA", "xn--bcher-kva",
		  false },
		{ "<POSTmaster@b>", "POSTmaster", "b", "b", true },
		{ "<\"post\\master\"@b>", "postmaster", "b", "b", true },
		{ "<postmaster>", "Postmaster", "", "", true },
		{ "<postmaster1@b>", "postmaster1", "b", "b", false },
		{ "<postmaste@b>", "postmaste", "b", "b", false },
	};
	char local[ADDRESS_ROOM], domain[ADDRESS_ROOM];
	struct address a;
	const char *why;
	size_t i, used;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *p = cases[i].path;

		is_int(address_parse_path(&a, PATH_FORWARD, p, strlen(p), true,
		    &limits, &used, &why), 0, p);
		is_str(address_local(&a, local), cases[i].local, "local part");
		is_str(address_domain(&a), cases[i].domain, "domain");
		is_str(address_ascii_domain(&a, domain), cases[i].ascii,
		    "domain in ASCII");
		is_int(address_is_postmaster(&a), cases[i].postmaster,
		    "postmaster or not");
	}
}

static unsigned
next_random(void)
{
	static unsigned seed = 20240229;

	seed = seed * 1103515245 + 12345;
	return seed >> 16;
}

/*
 * Whatever gets through is canonical: it goes through once more and stays the
 * same, keeps its local part, and holds nothing that could end a command.
 */
static void
check_canonical(void)
{
	static const char *const pieces[] = {
		"a", "B", "0", ".", "@", "\"", "\\", " ", "<", ">", ":", ",",
		"-", "[", "]", "1.2.3.4", "IPv6:", "::", "ü", "É", "xn--",
		"xn--bcher-kva", "\r", "\n", "\t", "\xff", "\xc2\x85", "(",
		"a@b",
	};
	char path[600], again[ADDRESS_ROOM + 2], one[ADDRESS_ROOM],
	    two[ADDRESS_ROOM];
	size_t n, good = 0, bad = 0, used;
	struct address a, b;
	const char *why;
	int i, k;

	for (i = 0; i < 200000; i++) {
		char *o = stpcpy(path, "<");

		for (k = (int)(next_random() % 4); k >= 0; k--)
			o = stpcpy(o, pieces[next_random() %
			    (sizeof(pieces) / sizeof(pieces[0]))]);
		if (next_random() % 2)
			o = stpcpy(o, "@b");
		strcpy(o, ">");
		if (address_parse_path(&a, PATH_FORWARD, path, strlen(path),
		    true, &limits, &used, &why) < 0)
			continue;
		good++;
		n = (size_t)snprintf(again, sizeof(again), "<%s>", a.text);
		if (address_parse_path(&b, PATH_FORWARD, again, n, true,
		    &limits, &used, &why) < 0 || used != n ||
		    strcmp(a.text, b.text) != 0 ||
		    strcmp(address_local(&a, one), address_local(&b, two)) ||
		    strpbrk(a.text, "\r\n\t\xff") != NULL) {
			printf("# %s became %s\n", path, a.text);
			bad++;
		}
	}
	ok(good > 1000, "%zu random paths were good", good);
	is_int((long long)bad, 0, "all of them canonical");
}

static void
check_helo(void)
{
	static const struct {
		const char	*name;
		bool		 safe;
	} cases[] = {
		{ "mx.example.org", true },
		{ "[192.0.2.1]", true },
		{ "[IPv6:2001:db8::1]", true },
		{ "my_pc", true },
		{ "-", true },
		{ "", false },
		{ "a b", false },
		{ "a\tb", false },
		{ "a\r\nMAIL", false },
		{ "a\x7f", false },
		{ "a(b)", false },
		{ "<a>", false },
		{ "\"a\"", false },
		{ "bücher.example", false },
		{ "\xff", false },
	};
	char name[257];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(helo_is_safe(cases[i].name, strlen(cases[i].name)),
		    cases[i].safe, cases[i].name);
	memset(name, 'x', sizeof(name));
	ok(helo_is_safe(name, 255), "255 octets");
	ok(!helo_is_safe(name, 256), "256 octets");
	name[3] = '\0';
	ok(!helo_is_safe(name, 10), "a NUL inside");
}

int
main(void)
{
	check_paths();
	check_reasons();
	check_odd_dots();
	check_kinds();
	check_used();
	check_nul();
	check_smtputf8();
	check_lengths();
	check_mailbox();
	check_parts();
	check_canonical();
	check_helo();
	return tap_done();
}
