/*
 * PROXY headers: what HAProxy sends is understood, what it would not send is
 * refused, and no octets whatever are more than the one or the other.
 */

#include <stdint.h>
#include <stdlib.h>

#include "base/proxyhdr.h"
#include "tap.h"

#define SIG	"\r\n\r\n\0\r\nQUIT\n"
#define HEADER(s)	s, sizeof(s) - 1

/* 192.0.2.1:4660 → 198.51.100.2:25 */
#define IP4	"\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x00\x19"
#define IP6	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" \
		"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
		"\x12\x34\x00\x19"
#define MAPPED	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01" \
		"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x02" \
		"\x12\x34\x00\x19"
#define WITH_CHECKSUM	SIG "\x21\x11\x00\x13" \
		"\x7f\x00\x00\x01\x7f\x00\x00\x01\x91\x4e\xa9\x27" \
		"\x03\x00\x04\xa1\x17\x6c\x59"
#define FF39	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static const struct {
	const char	*name;
	const char	*in;
	size_t		 len;
	const char	*src, *dst;	/* NULL: local */
} valid[] = {
	{ "v1, IPv4", HEADER("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\n"),
	    "192.0.2.1:4660", "198.51.100.2:25" },
	{ "v1, ports 0 and 65535",
	    HEADER("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n"),
	    "255.255.255.255:65535", "0.0.0.0:0" },
	{ "v1, IPv6", HEADER("PROXY TCP6 2001:DB8::1 2001:db8::2 4660 25\r\n"),
	    "[2001:db8::1]:4660", "[2001:db8::2]:25" },
	{ "v1, the longest IPv6",
	    HEADER("PROXY TCP6 " FF39 " " FF39 " 65535 65535\r\n"),
	    "[" FF39 "]:65535", "[" FF39 "]:65535" },
	{ "v1, v4-mapped",
	    HEADER("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 4660 25\r\n"),
	    "192.0.2.1:4660", "198.51.100.2:25" },
	{ "v1, unknown", HEADER("PROXY UNKNOWN\r\n"), NULL, NULL },
	{ "v1, unknown with addresses: 107 octets",
	    HEADER("PROXY UNKNOWN " FF39 " " FF39 " 65535 65535\r\n"),
	    NULL, NULL },
	{ "v1, unknown with anything",
	    HEADER("PROXY UNKNOWN \n\r \0\xff\r\n"), NULL, NULL },
	{ "v2, IPv4", HEADER(SIG "\x21\x11\0\x0c" IP4),
	    "192.0.2.1:4660", "198.51.100.2:25" },
	{ "v2, IPv6", HEADER(SIG "\x21\x21\0\x24" IP6),
	    "[2001:db8::1]:4660", "[2001:db8::2]:25" },
	{ "v2, v4-mapped", HEADER(SIG "\x21\x21\0\x24" MAPPED),
	    "192.0.2.1:4660", "198.51.100.2:25" },
	{ "v2, local", HEADER(SIG "\x20\0\0\0"), NULL, NULL },
	{ "v2, local with addresses to ignore",
	    HEADER(SIG "\x20\x11\0\x0c" IP4), NULL, NULL },
	{ "v2, local of a family of the future",
	    HEADER(SIG "\x20\xff\0\x03" "abc"), NULL, NULL },
	{ "v2, unspec", HEADER(SIG "\x21\0\0\0"), NULL, NULL },
	{ "v2, unspec with something", HEADER(SIG "\x21\0\0\x02" "\xff\xff"),
	    NULL, NULL },
	{ "v2, TLVs", HEADER(SIG "\x21\x11\0\x1c" IP4
	    "\x04\0\0" "\x02\0\x05" "12345" "\xee\0\x02" "ab"),
	    "192.0.2.1:4660", "198.51.100.2:25" },
	/* These two were sent by HAProxy. */
	{ "v2, checksum", HEADER(WITH_CHECKSUM),
	    "127.0.0.1:37198", "127.0.0.1:43303" },
	{ "v2, no TLS", HEADER(SIG "\x21\x11\x00\x14"
	    "\x7f\x00\x00\x01\x7f\x00\x00\x01\x93\x06\xd5\x9f"
	    "\x20\x00\x05\x00\x00\x00\x00\x00"),
	    "127.0.0.1:37638", "127.0.0.1:54687" },
};

static const struct {
	const char	*name;
	const char	*in;
	size_t		 len;
	const char	*why;
} invalid[] = {
	{ "SMTP", HEADER("EHLO x\r\n"), "no PROXY header" },
	{ "a greeting too early", HEADER("\r\n"), NULL },
	{ "half a signature", HEADER("\r\n\r\nQ"), "no PROXY header" },
	{ "lower case", HEADER("proxy TCP4"), "no PROXY header" },
	{ "two spaces", HEADER("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n"),
	    "PROXY header with an unknown family" },
	{ "a tab", HEADER("PROXY\tTCP4"), "no PROXY header" },
	{ "another family", HEADER("PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n"),
	    "PROXY header with an unknown family" },
	{ "a longer family", HEADER("PROXY UNKNOWNS\r\n"),
	    "PROXY header with an unknown family" },
	{ "no family", HEADER("PROXY \r\n"),
	    "PROXY header with an unknown family" },
	{ "no addresses", HEADER("PROXY TCP4\r\n"),
	    "PROXY header with a bad address" },
	{ "IPv6 as TCP4", HEADER("PROXY TCP4 ::1 ::1 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "IPv4 as TCP6", HEADER("PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "one of each", HEADER("PROXY TCP6 ::1 1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "a leading zero", HEADER("PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "three numbers", HEADER("PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "two spaces inside", HEADER("PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "LF inside", HEADER("PROXY TCP4 1.2.3.4\n1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "NUL inside", HEADER("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n"),
	    "PROXY header with a bad address" },
	{ "one port", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
	    "PROXY header with a bad port" },
	{ "port 65536", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n"),
	    "PROXY header with a bad port" },
	{ "port 4294967297", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 4294967297 1"
	    "\r\n"), "PROXY header with a bad port" },
	{ "port 025", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 025 1\r\n"),
	    "PROXY header with a bad port" },
	{ "port +1", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 1 +1\r\n"),
	    "PROXY header with a bad port" },
	{ "a space behind", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n"),
	    "PROXY header with a bad port" },
	{ "a field behind", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n"),
	    "PROXY header with a bad port" },
	{ "CR CR LF", HEADER("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\r\n"),
	    "PROXY header with a bad port" },
	{ "108 octets",
	    HEADER("PROXY UNKNOWN " FF39 " " FF39 " 65535 655350\r\n"),
	    "PROXY header without an end" },
	{ "no end in 107 octets",
	    HEADER("PROXY UNKNOWN " FF39 " " FF39 " 65535 65535 1"),
	    "PROXY header without an end" },
	{ "version 1 in binary", HEADER(SIG "\x11"),
	    "PROXY header of an unknown version" },
	{ "version 3", HEADER(SIG "\x31"),
	    "PROXY header of an unknown version" },
	{ "command 2", HEADER(SIG "\x22"),
	    "PROXY header with an unknown command" },
	{ "a datagram", HEADER(SIG "\x21\x12"),
	    "PROXY header with an unknown family" },
	{ "no transport", HEADER(SIG "\x21\x10"),
	    "PROXY header with an unknown family" },
	{ "family 4", HEADER(SIG "\x21\x41"),
	    "PROXY header with an unknown family" },
	{ "4097 octets", HEADER(SIG "\x21\x11\x0f\xf1"),
	    "PROXY header too long" },
	{ "65551 octets, local", HEADER(SIG "\x20\0\xff\xff"),
	    "PROXY header too long" },
	{ "no room for addresses", HEADER(SIG "\x21\x11\0\x0b" IP4),
	    "PROXY header too short for its addresses" },
	{ "no room for IPv6", HEADER(SIG "\x21\x21\0\x0c" IP4),
	    "PROXY header too short for its addresses" },
	{ "half a TLV", HEADER(SIG "\x21\x11\0\x0e" IP4 "\x04\0"),
	    "PROXY header with a broken TLV" },
	{ "a TLV longer than the header",
	    HEADER(SIG "\x21\x11\0\x10" IP4 "\x04\0\x02" "ab"),
	    "PROXY header with a broken TLV" },
	{ "a checksum of 3 octets",
	    HEADER(SIG "\x21\x11\0\x12" IP4 "\x03\0\x03" "abc"),
	    "PROXY header with a broken TLV" },
	{ "TLS of 4 octets",
	    HEADER(SIG "\x21\x11\0\x13" IP4 "\x20\0\x04" "\0\0\0\0"),
	    "PROXY header with a broken TLV" },
	{ "a wrong checksum", HEADER(SIG "\x21\x11\x00\x13"
	    "\x7f\x00\x00\x01\x7f\x00\x00\x01\x91\x4f\xa9\x27"
	    "\x03\x00\x04\xa1\x17\x6c\x59"),
	    "PROXY header with a wrong checksum" },
	{ "two checksums", HEADER(SIG "\x21\x11\x00\x1a" IP4
	    "\x03\x00\x04\0\0\0\0" "\x03\x00\x04\0\0\0\0"),
	    "PROXY header with two checksums" },
};

/* Parse a copy of exactly len octets, so that a look behind is noticed. */
static enum proxyhdr_status
parse(struct proxyhdr *h, const char *in, size_t len, size_t *used,
    const char **why)
{
	char *p = malloc(len + 1), *exact = p + 1;
	enum proxyhdr_status status;

	memcpy(exact, in, len);
	*why = NULL;
	status = proxyhdr_parse(h, exact, len, used, why);
	free(p);
	return status;
}

static void
is_done(const char *in, size_t len, const char *src, const char *dst,
    const char *name)
{
	char text[NETADDR_TEXT], more[5000];
	struct proxyhdr h;
	const char *why;
	size_t used, cut;

	for (cut = 0; cut < len; cut++)
		if (parse(&h, in, cut, &used, &why) != PROXYHDR_MORE)
			break;
	is_int((long long)cut, (long long)len, name);
	memcpy(more, in, len);
	memcpy(more + len, "EHLO x\r\n", 8);
	is_int(parse(&h, more, len + 8, &used, &why), PROXYHDR_DONE, "done");
	is_int((long long)used, (long long)len, "and no more is taken");
	is_int(h.local, src == NULL, "local");
	if (src != NULL) {
		is_str(netaddr_text(&h.src, text), src, "source");
		is_str(netaddr_text(&h.dst, text), dst, "destination");
	} else {
		ok(h.src.family == 0 && h.dst.family == 0, "no address");
	}
}

static void
test_valid(void)
{
	size_t i;

	for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		is_done(valid[i].in, valid[i].len, valid[i].src, valid[i].dst,
		    valid[i].name);
}

static void
test_invalid(void)
{
	struct proxyhdr h;
	const char *why;
	size_t i, used;

	for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		is_int(parse(&h, invalid[i].in, invalid[i].len, &used, &why),
		    invalid[i].why ? PROXYHDR_BAD : PROXYHDR_MORE,
		    invalid[i].name);
		is_str(why, invalid[i].why, "why");
	}
}

static void
test_unix(void)
{
	char in[16 + 216] = SIG "\x21\x31\0\xd8/run/x";
	struct proxyhdr h;
	const char *why;
	size_t used;

	is_int(parse(&h, in, sizeof(in) - 1, &used, &why), PROXYHDR_MORE,
	    "unix, but one octet");
	is_int(parse(&h, in, sizeof(in), &used, &why), PROXYHDR_DONE, "unix");
	ok(h.src.family == AF_UNIX && h.dst.family == AF_UNIX && !h.local &&
	    used == sizeof(in), "its paths are not kept");
}

static struct netaddr
address(const char *ip, uint16_t port)
{
	struct netaddr a = { 0 };

	if (strcmp(ip, "unix") == 0)
		a.family = AF_UNIX;
	else
		netaddr_parse_ip(&a, ip, strlen(ip));
	a.port = port;
	return a;
}

static const struct {
	const char	*name;
	int		 version;
	const char	*src, *dst;
	const char	*tls, *cipher;
	const char	*want;
	size_t		 len;
	bool		 local;		/* as the parser sees it */
} formats[] = {
	{ "v1, IPv4", 1, "192.0.2.1", "198.51.100.2", NULL, NULL,
	    HEADER("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\n"), false },
	{ "v1, IPv6; no word about TLS", 1, "2001:db8::1", "2001:db8::2",
	    "TLSv1.3", "X",
	    HEADER("PROXY TCP6 2001:db8::1 2001:db8::2 4660 25\r\n"), false },
	{ "v1, mixed", 1, "192.0.2.1", "2001:db8::2", NULL, NULL,
	    HEADER("PROXY UNKNOWN\r\n"), true },
	{ "v1, unix", 1, "unix", "unix", NULL, NULL,
	    HEADER("PROXY UNKNOWN\r\n"), true },
	{ "v2, IPv4", 2, "192.0.2.1", "198.51.100.2", NULL, NULL,
	    HEADER(SIG "\x21\x11\0\x0c" IP4), false },
	{ "v2, IPv6", 2, "2001:db8::1", "2001:db8::2", NULL, NULL,
	    HEADER(SIG "\x21\x21\0\x24" IP6), false },
	{ "v2, mixed", 2, "192.0.2.1", "2001:db8::2", NULL, NULL,
	    HEADER(SIG "\x21\0\0\0"), true },
	{ "v2, unix", 2, "unix", "unix", NULL, NULL,
	    HEADER(SIG "\x21\0\0\0"), true },
	{ "v2, TLS", 2, "192.0.2.1", "198.51.100.2", "TLSv1.3", "AES",
	    HEADER(SIG "\x21\x11\0\x24" IP4 "\x20\0\x15" "\x01\0\0\0\x01"
	    "\x21\0\x07" "TLSv1.3" "\x23\0\x03" "AES"), false },
	{ "v2, no TLS", 2, "192.0.2.1", "198.51.100.2", NULL, "AES",
	    HEADER(SIG "\x21\x11\0\x0c" IP4), false },
};

static void
test_formats(void)
{
	char from[NETADDR_TEXT], to[NETADDR_TEXT];
	struct proxyhdr_tls tls;
	struct netaddr src, dst;
	struct buf out;
	size_t i;

	buf_init(&out, PROXYHDR_MAX);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		src = address(formats[i].src, 4660);
		dst = address(formats[i].dst, 25);
		tls.version = formats[i].tls;
		tls.cipher = formats[i].cipher;
		buf_reset(&out);
		buf_adds(&out, "before");
		proxyhdr_format(&out, formats[i].version, &src, &dst, &tls);
		ok(out.len == 6 + formats[i].len && memcmp(out.p + 6,
		    formats[i].want, formats[i].len) == 0, "%s",
		    formats[i].name);
		is_done(out.p + 6, out.len - 6, formats[i].local ? NULL
		    : netaddr_text(&src, from), netaddr_text(&dst, to),
		    "and parsed again");
	}
	buf_reset(&out);
	proxyhdr_format(&out, 2, &src, &dst, NULL);
	is_int((long long)out.len, 28, "no TLS at all");
	buf_fini(&out);
	buf_init(&out, 20);
	proxyhdr_format(&out, 2, &src, &dst, NULL);
	ok(out.failed, "no room is told by the buf");
	buf_fini(&out);
}

/* One wrong bit in a header with a checksum is found. */
static void
test_damage(void)
{
	char in[35];
	struct proxyhdr h;
	const char *why;
	size_t used, bit;
	int done = 0;

	memcpy(in, WITH_CHECKSUM, sizeof(in));
	for (bit = 0; bit < sizeof(in) * 8; bit++) {
		in[bit / 8] ^= (char)(1 << bit % 8);
		done += parse(&h, in, sizeof(in), &used, &why) == PROXYHDR_DONE;
		in[bit / 8] ^= (char)(1 << bit % 8);
	}
	/* Nine flips make a header without a checksum to verify: PROXY becomes
	   LOCAL, or the type of the TLV becomes one of eight others. */
	ok(parse(&h, in, sizeof(in), &used, &why) == PROXYHDR_DONE,
	    "unharmed it is fine");
	is_int(done, 9, "each bit is guarded but those that say so");
}

/* Random octets, with good starts so that they get somewhere. */
static void
test_random(void)
{
	static const char *starts[] = { "", "PROXY ", "PROXY TCP4 1.2.3.4 ",
	    "PROXY TCP6 ::1 ", "PROXY UNKNOWN" };
	static const char letters[] = " .:0123456789abcdef\r\n";
	char in[300];
	struct proxyhdr h;
	const char *why;
	size_t i, len, used;
	enum proxyhdr_status status;
	int round, wrong = 0, seen[3] = { 0 };

	srand(1);
	for (round = 0; round < 200000; round++) {
		len = (size_t)rand() % sizeof(in);
		for (i = 0; i < len; i++)
			in[i] = (char)(round % 2 ? rand()
			    : letters[(size_t)rand() % (sizeof(letters) - 1)]);
		if (rand() % 2)
			memcpy(in, SIG "\x21\x11\0", 15);
		else
			memcpy(in, starts[round % 5],
			    strlen(starts[round % 5]));
		if (rand() % 4 == 0)
			in[12] = 0x20, in[14] = 0;
		status = parse(&h, in, len, &used, &why);
		seen[status]++;
		wrong += status == PROXYHDR_DONE && (used == 0 || used > len);
		wrong += (status == PROXYHDR_BAD) != (why != NULL);
	}
	is_int(wrong, 0, "random octets");
	ok(seen[PROXYHDR_MORE] > 0 && seen[PROXYHDR_DONE] > 0 &&
	    seen[PROXYHDR_BAD] > 0, "of all kinds: %d more, %d done, %d bad",
	    seen[0], seen[1], seen[2]);
}

int
main(void)
{
	test_valid();
	test_invalid();
	test_unix();
	test_formats();
	test_damage();
	test_random();
	return tap_done();
}
