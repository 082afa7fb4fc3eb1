/* ESMTP parameters: the grammar of each, what was offered, and what the
   backend is told. */

#include "smtp/param.h"

#include "tap.h"

#define ALL	((1u << EXT_COUNT) - 1)
#define X10	"xxxxxxxxxx"
#define X100	X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X490	X100 X100 X100 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10

/* want: how the reply begins; NULL: the parameter is good. */
static const struct {
	enum param_where	 where;
	const char		*text, *want;
} cases[] = {
	{ PARAM_MAIL, "", NULL },
	{ PARAM_MAIL, "   ", NULL },
	{ PARAM_MAIL, "SIZE=1 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x "
	  "AUTH=<> REQUIRETLS BY=60;R MT-PRIORITY=3", NULL },
	{ PARAM_RCPT, "NOTIFY=DELAY ORCPT=rfc822;a@b", NULL },

	{ PARAM_MAIL, "FOO", "555 5.5.4 " },
	{ PARAM_MAIL, "FOO=BAR", "555 5.5.4 " },
	{ PARAM_MAIL, "=1", "555 5.5.4 " },
	{ PARAM_MAIL, "=", "555 5.5.4 " },
	{ PARAM_MAIL, "SIZE1=1", "555 5.5.4 " },
	{ PARAM_MAIL, "SIZ=1", "555 5.5.4 " },
	{ PARAM_MAIL, "NOTIFY=NEVER", "555 5.5.4 " },
	{ PARAM_MAIL, "ORCPT=rfc822;a@b", "555 5.5.4 " },
	{ PARAM_RCPT, "SIZE=1", "555 5.5.4 " },
	{ PARAM_RCPT, "BODY=7BIT", "555 5.5.4 " },
	{ PARAM_RCPT, "SMTPUTF8", "555 5.5.4 " },
	{ PARAM_RCPT, "RET=FULL", "555 5.5.4 " },

	{ PARAM_MAIL, "SIZE=1 SIZE=1", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=1 BODY=7BIT size=2", "501 5.5.4 " },
	{ PARAM_MAIL, "SMTPUTF8 SMTPUTF8", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4 " },

	{ PARAM_MAIL, "SIZE=0", NULL },
	{ PARAM_MAIL, "size=00000000000000000001", NULL },
	{ PARAM_MAIL, "SIZE", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=-1", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=+1", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=1k", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=0x10", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=1=1", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=1\t", "501 5.5.4 " },
	{ PARAM_MAIL, "SIZE=\xd9\xa1", "501 5.5.4 " },	/* ARABIC DIGIT ONE */

	{ PARAM_MAIL, "body=binarymime", NULL },
	{ PARAM_MAIL, "BODY=8BIT", "501 5.5.4 " },
	{ PARAM_MAIL, "BODY=", "501 5.5.4 " },
	{ PARAM_MAIL, "BODY", "501 5.5.4 " },

	{ PARAM_MAIL, "SMTPUTF8=", "501 5.5.4 " },
	{ PARAM_MAIL, "SMTPUTF8=1", "501 5.5.4 " },
	{ PARAM_MAIL, "REQUIRETLS=yes", "501 5.5.4 " },
	{ PARAM_MAIL, "requiretls", NULL },

	{ PARAM_MAIL, "AUTH=a@example.org", NULL },
	{ PARAM_MAIL, "AUTH=a+2Bb@example.org", NULL },
	{ PARAM_MAIL, "AUTH=+22a+20b+22@example.org", NULL },
	{ PARAM_MAIL, "AUTH=+C5+BC@example.org", NULL },
	{ PARAM_MAIL, "AUTH=", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=a", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=<a@b>", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=+3C+3E", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=a+b@example.org", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=a+2b@example.org", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=a@b+0D+0AQUIT", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=a+00@b", "501 5.5.4 " },
	{ PARAM_MAIL, "AUTH=\xc5\xbc@b", "501 5.5.4 " },

	{ PARAM_MAIL, "RET=full", NULL },
	{ PARAM_MAIL, "RET=HEADERS", "501 5.5.4 " },
	{ PARAM_MAIL, "RET=", "501 5.5.4 " },
	{ PARAM_MAIL, "RET=FULL,HDRS", "501 5.5.4 " },

	{ PARAM_MAIL, "ENVID=a+20b+2B!~", NULL },
	{ PARAM_MAIL, "ENVID=" X100, NULL },
	{ PARAM_MAIL, "ENVID=x" X100, "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=", "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=a+", "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=a=b", "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=a+00", "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=a+0D+0Ab", "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=+C3+BC", "501 5.5.4 " },
	{ PARAM_MAIL, "ENVID=ü", "501 5.5.4 " },

	{ PARAM_MAIL, "BY=1;R", NULL },
	{ PARAM_MAIL, "BY=+120;n", NULL },
	{ PARAM_MAIL, "BY=-120;NT", NULL },
	{ PARAM_MAIL, "BY=0;N", NULL },
	{ PARAM_MAIL, "BY=999999999;rt", NULL },
	{ PARAM_MAIL, "BY=1000000000;R", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=0;R", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=000;RT", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=-1;R", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=--1;N", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=-;N", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=;R", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1;", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1;T", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1;RN", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1;RTT", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1;R;T", "501 5.5.4 " },
	{ PARAM_MAIL, "BY=1.5;R", "501 5.5.4 " },

	{ PARAM_MAIL, "MT-PRIORITY=0", NULL },
	{ PARAM_MAIL, "mt-priority=9", NULL },
	{ PARAM_MAIL, "MT-PRIORITY=-9", NULL },
	{ PARAM_MAIL, "MT-PRIORITY=-0", "501 5.5.4 " },
	{ PARAM_MAIL, "MT-PRIORITY=+1", "501 5.5.4 " },
	{ PARAM_MAIL, "MT-PRIORITY=10", "501 5.5.4 " },
	{ PARAM_MAIL, "MT-PRIORITY=-10", "501 5.5.4 " },
	{ PARAM_MAIL, "MT-PRIORITY=-", "501 5.5.4 " },
	{ PARAM_MAIL, "MT-PRIORITY=", "501 5.5.4 " },

	{ PARAM_RCPT, "NOTIFY=success,Failure,DELAY", NULL },
	{ PARAM_RCPT, "NOTIFY=FAILURE", NULL },
	{ PARAM_RCPT, "NOTIFY=NEVER,DELAY", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=DELAY,NEVER", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=DELAY,", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=,DELAY", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=DELAY;FAILURE", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=ALWAYS", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY=", "501 5.5.4 " },
	{ PARAM_RCPT, "NOTIFY", "501 5.5.4 " },

	{ PARAM_RCPT, "ORCPT=rfc822;a+2Bb@example.org", NULL },
	{ PARAM_RCPT, "ORCPT=rfc822;+22a+20b+22@c", NULL },
	{ PARAM_RCPT, "ORCPT=X.400;/c+3Dde/", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=x400;/c+3Dde/", NULL },
	{ PARAM_RCPT, "ORCPT=rfc822;" X490 "xxx", NULL },
	{ PARAM_RCPT, "ORCPT=rfc822;" X490 "xxxx", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=a@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=;a@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc(822);a@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;a+b@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;a+0D+0Ab@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;a+00@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;a=b@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;ż@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=rfc822;+C5+BC@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a@b", NULL },
	{ PARAM_RCPT, "ORCPT=UTF-8;ż@bücher.example", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{17C}@b", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;a\\x{2B}b@c", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;\"a\\x{20}b\"@c", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{1F600}@b", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{FFFD}@b", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{10000}@b", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{10FFFD}@b", NULL },
	{ PARAM_RCPT, "ORCPT=utf-8;", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a+b@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a=b@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a\\x{D}\\x{A}@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a\\x{0D}@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\"a\\x{0A}\"@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\"a\\x{00}\"@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\"a\\x{7F}\"@c", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{17c}@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{D800}@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{110000}@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{0000017C}@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{85}@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;\\x{}@b", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a@b\\x{17C", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a@b\\x{", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a@b\\", "501 5.5.4 " },
	{ PARAM_RCPT, "ORCPT=utf-8;a\xff@b", "501 5.5.4 " },
};

static const struct ext_set all = { .bits = ALL };

static int
parse(struct params *p, enum param_where where, const char *text,
    const struct ext_set *offered, const char **reply)
{
	return params_parse(p, where, SLICE_STR(text), offered, reply);
}

static void
check_cases(void)
{
	struct params p;
	const char *reply;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text, *want = cases[i].want;
		int rc;

		reply = "";
		rc = parse(&p, cases[i].where, text, &all, &reply);
		if (want == NULL)
			ok(rc == 0, "\"%s\" is good", text);
		else
			ok(rc == -1 && strncmp(reply, want, strlen(want)) == 0,
			    "\"%s\" is refused: %s", text, rc ? reply : "");
	}
}

static void
check_result(void)
{
	static const char line[] = "  SIZE=12345  body=BinaryMIME RET=FULL  ";
	struct params p;
	const char *reply;
	char text[100];

	is_int(parse(&p, PARAM_MAIL, line, &all, &reply), 0, line);
	is_int(p.present, 1 << PARAM_SIZE | 1 << PARAM_BODY | 1 << PARAM_RET,
	    "what is present");
	is_int((long long)p.size, 12345, "size");
	is_int(p.body, BODY_BINARYMIME, "body");
	snprintf(text, sizeof(text), "%.*s", (int)p.text.len, p.text.p);
	is_str(text, "SIZE=12345  body=BinaryMIME RET=FULL", "text");

	is_int(parse(&p, PARAM_MAIL, "", &all, &reply), 0, "nothing");
	ok(p.present == 0 && p.size == 0 && p.body == BODY_NONE && !p.never &&
	    p.text.len == 0, "says nothing");
	parse(&p, PARAM_RCPT, "NOTIFY=never", &all, &reply);
	ok(p.never, "NOTIFY=NEVER");
	parse(&p, PARAM_RCPT, "NOTIFY=DELAY", &all, &reply);
	ok(!p.never, "another NOTIFY");
	parse(&p, PARAM_MAIL, "BODY=7BIT", &all, &reply);
	is_int(p.body, BODY_7BIT, "7BIT");
	parse(&p, PARAM_MAIL, "BODY=8bitmime", &all, &reply);
	is_int(p.body, BODY_8BITMIME, "8BITMIME");
}

static void
check_size(void)
{
	static const struct {
		const char	*text;
		uint64_t	 size;
	} sizes[] = {
		{ "SIZE=18446744073709551614", UINT64_MAX - 1 },
		{ "SIZE=18446744073709551615", UINT64_MAX },
		{ "SIZE=18446744073709551616", UINT64_MAX },
		{ "SIZE=18446744073709551620", UINT64_MAX },
		{ "SIZE=99999999999999999999", UINT64_MAX },
		{ "SIZE=100000000000000000000000000000", UINT64_MAX },
		{ "SIZE=000000000000000000000000000007", 7 },
	};
	struct params p;
	const char *reply;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		ok(parse(&p, PARAM_MAIL, sizes[i].text, &all, &reply) == 0 &&
		    p.size == sizes[i].size, "%s", sizes[i].text);
}

/* Each parameter with the one extension it needs, with all others, after
   HELO. */
static void
check_offered(void)
{
	static const struct {
		enum param_where	 where;
		const char		*text;
		unsigned		 needs;
	} rows[] = {
		{ PARAM_MAIL, "SIZE=1", EXT_BIT(SIZE) },
		{ PARAM_MAIL, "BODY=7BIT", EXT_BIT(EIGHTBITMIME) },
		{ PARAM_MAIL, "BODY=8BITMIME", EXT_BIT(EIGHTBITMIME) },
		{ PARAM_MAIL, "SMTPUTF8", EXT_BIT(SMTPUTF8) },
		{ PARAM_MAIL, "REQUIRETLS", EXT_BIT(REQUIRETLS) },
		{ PARAM_MAIL, "AUTH=<>", EXT_BIT(AUTH) },
		{ PARAM_MAIL, "RET=FULL", EXT_BIT(DSN) },
		{ PARAM_MAIL, "ENVID=x", EXT_BIT(DSN) },
		{ PARAM_MAIL, "BY=1;R", EXT_BIT(DELIVERBY) },
		{ PARAM_MAIL, "MT-PRIORITY=1", EXT_BIT(MTPRIORITY) },
		{ PARAM_RCPT, "NOTIFY=NEVER", EXT_BIT(DSN) },
		{ PARAM_RCPT, "ORCPT=rfc822;a@b", EXT_BIT(DSN) },
		{ PARAM_RCPT, "ORCPT=utf-8;\\x{17C}@b", EXT_BIT(DSN) },
	};
	struct ext_set only, others;
	struct params p;
	const char *reply;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = rows[i].text;

		only = (struct ext_set){ .bits = rows[i].needs };
		others = (struct ext_set){ .bits = ALL & ~rows[i].needs };
		is_int(parse(&p, rows[i].where, text, &only, &reply), 0, text);
		ok(parse(&p, rows[i].where, text, &others, &reply) == -1 &&
		    strncmp(reply, "555 5.5.4 ", 10) == 0,
		    "not without its extension");
		ok(parse(&p, rows[i].where, text, NULL, &reply) == -1 &&
		    strncmp(reply, "555 5.5.4 ", 10) == 0, "not after HELO");
	}
	is_int(parse(&p, PARAM_MAIL, " ", NULL, &reply), 0,
	    "no parameter after HELO");
}

static void
check_offered_values(void)
{
	static const unsigned no_binary[] = {
		ALL & ~EXT_BIT(BINARYMIME), ALL & ~EXT_BIT(CHUNKING),
	};
	struct ext_set some;
	struct params p;
	const char *reply;
	size_t i;

	for (i = 0; i < 2; i++) {
		some = (struct ext_set){ .bits = no_binary[i] };
		is_int(parse(&p, PARAM_MAIL, "BODY=BINARYMIME", &some, &reply),
		    -1, "BINARYMIME that was not offered");
		is_int(parse(&p, PARAM_MAIL, "BODY=8BITMIME", &some, &reply),
		    0, "8BITMIME that was");
	}
	some = (struct ext_set){ .bits = ALL & ~EXT_BIT(SMTPUTF8) };
	is_int(parse(&p, PARAM_RCPT, "ORCPT=utf-8;ż@b", &some, &reply), -1,
	    "UTF-8 in ORCPT without SMTPUTF8");
}

static void
forward(const char *text, unsigned bits, unsigned missing, const char *want)
{
	struct ext_set backend = { .bits = bits };
	struct buf b;

	buf_init(&b, 1000);
	is_int(params_forward(&b, SLICE_STR(text), &backend), missing, text);
	if (missing == 0)
		is_str(b.p, want, "to a backend");
	buf_fini(&b);
}

static void
check_forward(void)
{
	static const char every[] = "size=1 BODY=8bitmime SMTPUTF8 RET=HDRS "
	    "ENVID=a+2Bb AUTH=<> REQUIRETLS BY=60;R MT-PRIORITY=3";

	forward("", ALL, 0, "");
	forward(every, ALL, 0, " size=1 BODY=8bitmime SMTPUTF8 RET=HDRS "
	    "ENVID=a+2Bb AUTH=<> REQUIRETLS BY=60;R MT-PRIORITY=3");
	forward("SIZE=1   RET=FULL", ALL, 0, " SIZE=1 RET=FULL");
	forward("RET=FULL SIZE=1", EXT_BIT(DSN), 0, " RET=FULL");
	forward("SIZE=1", 0, 0, "");
	forward("AUTH=a@b", 0, 0, "");
	forward("body=7bit", 0, 0, "");
	forward("BODY=7BIT", EXT_BIT(EIGHTBITMIME), 0, " BODY=7BIT");
	forward("BODY=8BITMIME", ALL & ~EXT_BIT(EIGHTBITMIME),
	    EXT_BIT(EIGHTBITMIME), NULL);
	forward("BODY=BINARYMIME", ALL & ~EXT_BIT(BINARYMIME),
	    EXT_BIT(BINARYMIME), NULL);
	forward("BODY=BINARYMIME", ALL & ~EXT_BIT(CHUNKING), EXT_BIT(CHUNKING),
	    NULL);
	forward("BODY=BINARYMIME", ALL, 0, " BODY=BINARYMIME");
	forward("SMTPUTF8", 0, EXT_BIT(SMTPUTF8), NULL);
	forward("REQUIRETLS", 0, EXT_BIT(REQUIRETLS), NULL);
	forward("RET=FULL", 0, EXT_BIT(DSN), NULL);
	forward("ENVID=x", 0, EXT_BIT(DSN), NULL);
	forward("BY=1;R", 0, EXT_BIT(DELIVERBY), NULL);
	forward("MT-PRIORITY=1", 0, EXT_BIT(MTPRIORITY), NULL);
	forward("NOTIFY=NEVER ORCPT=rfc822;a@b", ALL, 0,
	    " NOTIFY=NEVER ORCPT=rfc822;a@b");
	forward("NOTIFY=NEVER", 0, EXT_BIT(DSN), NULL);
	forward("ORCPT=utf-8;ż@b", ALL, 0, " ORCPT=utf-8;ż@b");
	forward("ORCPT=utf-8;ż@b", ALL & ~EXT_BIT(SMTPUTF8), EXT_BIT(SMTPUTF8),
	    NULL);
	forward("ORCPT=utf-8;\\x{17C}@b", EXT_BIT(DSN), 0,
	    " ORCPT=utf-8;\\x{17C}@b");
}

int
main(void)
{
	check_cases();
	check_result();
	check_size();
	check_offered();
	check_offered_values();
	check_forward();
	return tap_done();
}
