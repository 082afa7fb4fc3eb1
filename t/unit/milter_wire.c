/* Packets of the milter protocol: what goes out, octet for octet, and what comes
   in, from milters that lie as well. */

#include "filters/milter_wire.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "t/tap.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define S(s)		s, sizeof(s) - 1

static struct buf out;

/* The packet in out, with "~" for NUL, and its length checked. */
static const char *
shown(void)
{
	static char text[400];
	size_t i, len = out.len - 4;

	ok(!out.failed && out.len > 4 && (unsigned char)out.p[2] == len / 256
	    && (unsigned char)out.p[3] == len % 256 && out.p[0] == 0 &&
	    out.p[1] == 0, "the length is right");
	for (i = 0; i < len && i < sizeof(text) - 1; i++)
		text[i] = out.p[i + 4] == '\0' ? '~' : out.p[i + 4];
	text[i] = '\0';
	buf_reset(&out);
	return text;
}

static void
test_commands(void)
{
	struct netaddr a = { .family = 0 };

	wire_put(&out, SMFIC_BODYEOB);
	is_str(shown(), "E", "an empty one");
	wire_put_options(&out);
	is_int((long long)out.len, 17, "the offer");
	ok(memcmp(out.p, "\0\0\0\15O\0\0\0\6\0\0\1\377\0\37\377\377", 17) == 0,
	    "6, 0x1ff, 0x1fffff");
	buf_reset(&out);
	wire_put_connect(&out, "localhost", &a);
	is_str(shown(), "Clocalhost~U", "a client without an address");
	netaddr_parse_ip(&a, "192.0.2.7", 9);
	a.port = 0x4142;
	wire_put_connect(&out, "mx.example", &a);
	is_str(shown(), "Cmx.example~4AB192.0.2.7~", "IPv4");
	netaddr_parse_ip(&a, "2001:db8::7", 11);
	a.port = 0x4142;
	wire_put_connect(&out, "[2001:db8::7]", &a);
	is_str(shown(), "C[2001:db8::7]~6AB2001:db8::7~", "IPv6");
	wire_put_text(&out, SMFIC_HELO, "a.example");
	is_str(shown(), "Ha.example~", "HELO");
	wire_put_address(&out, SMFIC_MAIL, "", "");
	is_str(shown(), "M<>~", "the null sender");
	wire_put_address(&out, SMFIC_RCPT, "a@b", " NOTIFY=NEVER  ORCPT=x ");
	is_str(shown(), "R<a@b>~NOTIFY=NEVER~ORCPT=x~", "parameters");
}

static void
test_headers(void)
{
	static const struct {
		const char	*raw;
		size_t		 len;
		bool		 leadspc;
		const char	*want;
	} rows[] = {
		{ S(" v"), false, "LN~v~" },
		{ S(" v"), true, "LN~ v~" },
		{ S("  v "), false, "LN~ v ~" },
		{ S("\tv"), false, "LN~\tv~" },
		{ S("v"), true, "LN~v~" },
		{ S(""), false, "LN~~" },
		{ S(" "), false, "LN~~" },
		{ S(" a\r\n\tb\r\n c"), false, "LN~a\n\tb\n c~" },
		{ S(" a\rb\nc\r"), false, "LN~a\rb\nc\r~" },
		{ S(" a\0b\0"), false, "LN~ab~" },
	};
	char *big = malloc(100000);
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		wire_put_header(&out, SLICE_STR("N"), SLICE(rows[i].raw,
		    rows[i].len), rows[i].leadspc);
		is_str(shown(), rows[i].want, "a field");
	}
	memset(big, 'x', 100000);
	wire_put_header(&out, SLICE_STR("N"), SLICE(big, 100000), true);
	is_int((long long)out.len, (long long)WIRE_PAYLOAD_MAX + WIRE_HEAD,
	    "a long one is cut");
	ok(out.p[out.len - 1] == '\0' && out.p[out.len - 2] == 'x',
	    "and ends in NUL");
	buf_reset(&out);
	wire_put_header(&out, SLICE(big, 100000), SLICE(big, 100000), true);
	is_int((long long)out.len, (long long)WIRE_PAYLOAD_MAX + WIRE_HEAD,
	    "so is a long name");
	free(big);
	buf_reset(&out);
}

static void
test_macros(void)
{
	char *big = malloc(70000);
	size_t start = wire_macros_begin(&out, 'M');

	wire_macros_end(&out, start);
	is_int((long long)out.len, 0, "no macros, no packet");
	start = wire_macros_begin(&out, 'M');
	wire_macro(&out, start, "i", "1");
	wire_macro(&out, start, "{auth_type}", "PLAIN");
	memset(big, 'x', 70000);
	big[69999] = '\0';
	wire_macro(&out, start, "{big}", big);
	wire_macros_end(&out, start);
	is_str(shown(), "DMi~1~{auth_type}~PLAIN~", "one that is too long "
	    "is left out");
	free(big);
}

static const struct {
	const char	*name;
	const char	*in;
	size_t		 len;
	enum wire_status status;
	size_t		 used;
	const char	*shown;		/* of wire_reply(); NULL: refused */
} packets[] = {
	{ "nothing", S(""), WIRE_MORE, 0, "" },
	{ "half a length", S("\0\0\0"), WIRE_MORE, 0, "" },
	{ "a length", S("\0\0\0\1"), WIRE_MORE, 0, "" },
	{ "length 0", S("\0\0\0\0c"), WIRE_BAD, 0, "" },
	{ "65537", S("\0\1\0\1"), WIRE_BAD, 0, "" },
	{ "65536", S("\0\1\0\0"), WIRE_MORE, 0, "" },
	{ "4 GB", S("\377\377\377\377b"), WIRE_BAD, 0, "" },
	{ "continue", S("\0\0\0\1c"), WIRE_PACKET, 5, "c" },
	{ "two", S("\0\0\0\1c\0\0\0\1a"), WIRE_PACKET, 5, "c" },
	{ "accept", S("\0\0\0\1a"), WIRE_PACKET, 5, "a" },
	{ "shutdown", S("\0\0\0\0014"), WIRE_PACKET, 5, "4" },
	{ "continue with more", S("\0\0\0\2cx"), WIRE_PACKET, 6, NULL },
	{ "unknown", S("\0\0\0\1Z"), WIRE_PACKET, 5, NULL },
	{ "conn_fail", S("\0\0\0\1f"), WIRE_PACKET, 5, NULL },
	{ "a list out of place", S("\0\0\0\1l"), WIRE_PACKET, 5, NULL },
	{ "a NUL", S("\0\0\0\1\0"), WIRE_PACKET, 5, NULL },
	{ "add", S("\0\0\0\6hA\0b c\0"), WIRE_PACKET, 0, NULL },
	{ "add header", S("\0\0\0\7hA\0b c\0"), WIRE_PACKET, 11, "h A b c" },
	{ "an empty value", S("\0\0\0\4hA\0\0"), WIRE_PACKET, 8, "h A " },
	{ "no value", S("\0\0\0\3hA\0"), WIRE_PACKET, 7, NULL },
	{ "no end", S("\0\0\0\4hA\0b"), WIRE_PACKET, 8, NULL },
	{ "left over", S("\0\0\0\6hA\0b\0c"), WIRE_PACKET, 10, NULL },
	{ "insert", S("\0\0\0\x9i\0\0\0\2A\0b\0"), WIRE_PACKET, 13,
	    "i 2 A b" },
	{ "insert without a place", S("\0\0\0\4i\0\0\0"), WIRE_PACKET, 8,
	    NULL },
	{ "change", S("\0\0\0\x8m\377\377\377\377A\0\0"), WIRE_PACKET, 12,
	    "m 4294967295 A " },
	{ "add rcpt", S("\0\0\0\5+a@b\0"), WIRE_PACKET, 9, "+ a@b" },
	{ "del rcpt", S("\0\0\0\5-a@b\0"), WIRE_PACKET, 9, "- a@b" },
	{ "del rcpt without NUL", S("\0\0\0\4-a@b"), WIRE_PACKET, 8, NULL },
	{ "rcpt with args", S("\0\0\0\7""2a@b\0x\0"), WIRE_PACKET, 11,
	    "2 a@b [x]" },
	{ "rcpt without args", S("\0\0\0\5""2a@b\0"), WIRE_PACKET, 9,
	    "2 a@b" },
	{ "args without NUL", S("\0\0\0\6""2a@b\0x"), WIRE_PACKET, 10, NULL },
	{ "from", S("\0\0\0\4e<>\0"), WIRE_PACKET, 8, "e <>" },
	{ "body", S("\0\0\0\4ba\0b"), WIRE_PACKET, 8, "b (3)" },
	{ "no body", S("\0\0\0\1b"), WIRE_PACKET, 5, "b (0)" },
	{ "quarantine", S("\0\0\0\3qx\0"), WIRE_PACKET, 7, "q x" },
};

static const char *
reply_shown(const struct wire_reply *r)
{
	static char text[300];
	int n;

	n = snprintf(text, sizeof(text), "%c", r->kind);
	if (r->kind == SMFIR_INSHEADER || r->kind == SMFIR_CHGHEADER)
		n += sprintf(text + n, " %u", r->nth);
	if (r->name != NULL)
		n += sprintf(text + n, " %s", r->name);
	if (r->value != NULL)
		n += sprintf(text + n, " %s", r->value);
	if (r->args != NULL)
		n += sprintf(text + n, " [%s]", r->args);
	if (r->kind == SMFIR_REPLBODY)
		sprintf(text + n, " (%zu)", r->octets.len);
	return text;
}

static void
test_packet(size_t i)
{
	struct wire_packet p;
	struct wire_reply r;
	enum wire_status status;
	const char *why = NULL;
	size_t used = 0;
	char *copy = malloc(packets[i].len + 1);

	/* The sanitizer sees whoever reads behind it. */
	memcpy(copy, packets[i].in, packets[i].len);
	status = wire_take(copy, packets[i].len, &p, &used, &why);
	is_int(status, packets[i].status, packets[i].name);
	ok((status == WIRE_BAD) == (why != NULL), "  why");
	if (status == WIRE_PACKET && packets[i].used > 0) {
		is_int((long long)used, (long long)packets[i].used, "  used");
		if (wire_reply(&p, &r, &why) == -1)
			ok(packets[i].shown == NULL && why != NULL,
			    "  refused: %s", why);
		else
			is_str(reply_shown(&r), packets[i].shown, "  is it");
	}
	free(copy);
}

static const struct {
	const char	*name;
	const char	*in;
	size_t		 len;
	int		 code;		/* 0: refused */
	const char	*text;
} codes[] = {
	{ "one line", S("550 5.7.1 no\0"), 550, "5.7.1 no" },
	{ "no NUL", S("450 4.7.1 no"), 450, "4.7.1 no" },
	{ "no enhanced code", S("554 go away\0"), 554, "go away" },
	{ "no text", S("554\0"), 554, "" },
	{ "three lines", S("550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\0"),
	    550, "5.7.1 a\n5.7.1 b\n5.7.1 c" },
	{ "empty lines", S("550-\r\n550 \0"), 550, "\n" },
	{ "100%%", S("550 5.7.1 100%% sure %d%\0"), 550,
	    "5.7.1 100% sure d" },
	{ "%%%%%", S("550 %%%%%\0"), 550, "%%" },
	{ "nothing", S(""), 0, NULL },
	{ "a NUL only", S("\0"), 0, NULL },
	{ "two NULs", S("550 a\0\0"), 0, NULL },
	{ "a NUL inside", S("550 a\0b\0"), 0, NULL },
	{ "two digits", S("55 a\0"), 0, NULL },
	{ "2xx", S("250 ok\0"), 0, NULL },
	{ "3xx", S("354 go on\0"), 0, NULL },
	{ "6xx", S("650 a\0"), 0, NULL },
	{ "four digits", S("5500 a\0"), 0, NULL },
	{ "text", S("no\0"), 0, NULL },
	{ "ends in a hyphen", S("550-a\0"), 0, NULL },
	{ "a line without a hyphen", S("550 a\r\n550 b\0"), 0, NULL },
	{ "another code", S("550-a\r\n551 b\0"), 0, NULL },
	{ "another class", S("550-a\r\n450 b\0"), 0, NULL },
	{ "a reply behind it", S("550-a\r\n250 b\0"), 0, NULL },
	{ "a line end", S("550 a\r\n\0"), 0, NULL },
	{ "LF", S("550-a\n550 b\0"), 0, NULL },
	{ "CR", S("550-a\r550 b\0"), 0, NULL },
	{ "LF in a line", S("550 a\n250 b\0"), 0, NULL },
	{ "enhanced code of another class", S("550 4.7.1 a\0"), 0, NULL },
	{ "… of success", S("550 2.0.0 a\0"), 0, NULL },
	{ "… on the second line", S("550-5.7.1 a\r\n550 4.7.1 b\0"), 0,
	    NULL },
	{ "digits that are none", S("550 2 messages\0"), 550, "2 messages" },
};

static void
test_codes(void)
{
	const char *why = NULL;
	struct buf lines;
	size_t i;
	char *copy;
	int code, r;

	buf_init(&lines, 1000);
	for (i = 0; i < COUNT(codes); i++) {
		copy = malloc(codes[i].len + 1);
		memcpy(copy, codes[i].in, codes[i].len);
		r = wire_replycode(SLICE(copy, codes[i].len), &code, &lines,
		    &why);
		is_int(r == 0 ? code : 0, codes[i].code, codes[i].name);
		if (r == 0)
			is_str(lines.p, codes[i].text, "  its text");
		free(copy);
	}
	buf_fini(&lines);
}

static const struct {
	const char	*name;
	const char	*in;
	size_t		 len;
	const char	*shown;		/* NULL: refused */
} options[] = {
	{ "all", S("\0\0\0\6\0\0\1\377\0\37\377\377"), "6 1ff 1fffff" },
	{ "version 2", S("\0\0\0\2\0\0\0\37\0\0\0\0"), "2 1f 0" },
	{ "version 1", S("\0\0\0\1\0\0\0\0\0\0\0\0"), NULL },
	{ "version 7", S("\0\0\0\7\0\0\0\0\0\0\0\0"), NULL },
	{ "an action too many", S("\0\0\0\6\0\0\2\0\0\0\0\0"), NULL },
	{ "larger packets", S("\0\0\0\6\0\0\0\0\40\0\0\1"), "6 0 1" },
	{ "too short", S("\0\0\0\6\0\0\0\0\0\0\0"), NULL },
	{ "nothing", S(""), NULL },
	{ "lists", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\0\0\0\2i {x}\0"
	    "\0\0\0\6j\0"), "6 100 0 2:i,{x} 6:j" },
	{ "commas", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\0\0\0\0,i,, j ,\0"),
	    "6 100 0 0:i,j" },
	{ "an empty list", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\0\0\0\0\0"),
	    "6 100 0" },
	{ "an unknown stage", S("\0\0\0\6\0\0\1\0\0\0\0\0"
	    "\0\0\0\7i\0\0\0\0\1j\0"), "6 100 0 1:j" },
	{ "a huge stage", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\377\377\377\377i\0"),
	    "6 100 0" },
	{ "half a stage", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\0\0\0"), NULL },
	{ "a stage alone", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\0\0\0\0"), NULL },
	{ "no end", S("\0\0\0\6\0\0\1\0\0\0\0\0" "\0\0\0\0i"), NULL },
};

static const char *
options_shown(struct wire_options *o)
{
	static char text[300];
	struct slice name;
	int i, n, first;

	n = snprintf(text, sizeof(text), "%u %x %x", o->version, o->actions,
	    o->protocol);
	for (i = 0; i < WIRE_STAGES; i++)
		for (first = 1; wire_next_name(&o->macros[i], &name);
		    first = 0)
			n += first ? sprintf(text + n, " %d:%.*s", i,
			    (int)name.len, name.p) : sprintf(text + n, ",%.*s",
			    (int)name.len, name.p);
	return text;
}

static void
test_options(void)
{
	struct wire_packet p = { .kind = SMFIC_OPTNEG };
	struct wire_options o;
	const char *why;
	size_t i;
	char *copy;

	for (i = 0; i < COUNT(options); i++) {
		copy = malloc(options[i].len + 1);
		memcpy(copy, options[i].in, options[i].len);
		p.payload = SLICE(copy, options[i].len);
		if (wire_options(&p, &o, &why) == 0)
			is_str(options_shown(&o), options[i].shown,
			    options[i].name);
		else
			ok(options[i].shown == NULL, "%s: %s",
			    options[i].name, why);
		free(copy);
	}
	p.kind = SMFIR_CONTINUE;
	ok(wire_options(&p, &o, &why) == -1, "another reply");
}

int
main(void)
{
	char head[WIRE_HEAD];
	size_t i;

	buf_init(&out, 1 << 20);
	test_commands();
	test_headers();
	test_macros();
	wire_body_head(head, 65535);
	ok(memcmp(head, "\0\1\0\0B", 5) == 0, "the head of a full piece");
	for (i = 0; i < COUNT(packets); i++)
		test_packet(i);
	test_codes();
	test_options();
	buf_fini(&out);
	return tap_done();
}
