/* Replies: a parser that believes nobody, a formatter that lets nothing out. */

#include "smtp/reply.h"

#include "t/tap.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define S(s)		s, sizeof(s) - 1

static const struct {
	const char		*name;
	const char		*in;
	size_t			 len;
	enum reply_status	 status;
	int			 code, lines;
	const char		*text;
	size_t			 rest;	/* octets behind the reply */
} parses[] = {
	{ "one line", S("250 2.0.0 Ok\r\n"), REPLY_DONE, 250, 1, "2.0.0 Ok", 0 },
	{ "several", S("250-mx\r\n250-SIZE 5\r\n250 DSN\r\n"), REPLY_DONE, 250,
	    3, "mx\nSIZE 5\nDSN", 0 },
	{ "no text", S("250 \r\n"), REPLY_DONE, 250, 1, "", 0 },
	{ "no text, no space", S("250\r\n"), REPLY_DONE, 250, 1, "", 0 },
	{ "empty lines", S("250-\r\n250-\r\n250 x\r\n"), REPLY_DONE, 250, 3,
	    "\n\nx", 0 },
	{ "LF alone", S("550-a\n550 b\n"), REPLY_DONE, 550, 2, "a\nb", 0 },
	{ "two replies", S("250 a\r\n421 b\r\n"), REPLY_DONE, 250, 1, "a", 7 },
	{ "421", S("421 4.3.2 bye\r\n"), REPLY_DONE, 421, 1, "4.3.2 bye", 0 },
	{ "lowest", S("200 x\r\n"), REPLY_DONE, 200, 1, "x", 0 },
	{ "highest", S("599 x\r\n"), REPLY_DONE, 599, 1, "x", 0 },
	{ "controls", S("250 a\rb\0c\x1b[1m\x7f\r\n"), REPLY_DONE, 250, 1,
	    "a?b?c?[1m?", 0 },
	{ "a TAB", S("250 a\tb\r\n"), REPLY_DONE, 250, 1, "a b", 0 },
	{ "UTF-8", S("250 \xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7\r\n"),
	    REPLY_DONE, 250, 1, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7", 0 },
	{ "Latin-1", S("250 f\xfcr\r\n"), REPLY_DONE, 250, 1, "f?r", 0 },
	{ "overlong LF", S("250 \xc0\x8a|\xe0\x80\x8a\r\n"), REPLY_DONE, 250,
	    1, "??|???", 0 },
	{ "a surrogate", S("250 \xed\xa0\x80\r\n"), REPLY_DONE, 250, 1,
	    "???", 0 },
	{ "past Unicode", S("250 \xf4\x90\x80\x80\r\n"), REPLY_DONE, 250, 1,
	    "????", 0 },
	{ "a C1 control", S("250 \xc2\x9b|\xc2\xa0\r\n"), REPLY_DONE, 250, 1,
	    "??|\xc2\xa0", 0 },
	{ "UTF-8 cut off", S("250 \xe2\x82\r\n"), REPLY_DONE, 250, 1, "??", 0 },

	{ "nothing", S(""), REPLY_MORE, 0, 0, "", 0 },
	{ "no line end", S("250 Ok"), REPLY_MORE, 0, 0, "", 6 },
	{ "CR is no end", S("250 Ok\r"), REPLY_MORE, 0, 0, "", 7 },
	{ "more to come", S("250-a\r\n250-b\r\n25"), REPLY_MORE, 250, 2,
	    "a\nb", 2 },

	{ "no code", S("hello\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "empty line", S("\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "two digits", S("25\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "four digits", S("2500 x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "1xx", S("199 x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "6xx", S("600 x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "a letter", S("25o x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "a sign", S("+25 x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "a space first", S(" 250 x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "a TAB behind", S("250\tx\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "a NUL behind", S("250\0x\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
	{ "the code changes", S("250-a\r\n251 b\r\n"), REPLY_BAD, 0, 0, NULL,
	    0 },
	{ "good, then bad", S("250-a\r\nb\r\n"), REPLY_BAD, 0, 0, NULL, 0 },
};

/* Hand in[0..len) to the parser as it would come from a socket. *rest is what
   was not consumed. */
static enum reply_status
feed(struct reply *r, const char *in, size_t len, size_t piece, size_t *rest)
{
	enum reply_status status = REPLY_MORE;
	size_t have = 0, done = 0, used;
	const char *why = NULL;

	reply_reset(r);
	while (have < len && status == REPLY_MORE) {
		have = len - have < piece ? len : have + piece;
		status = reply_parse(r, in + done, have - done, &used, &why);
		done += used;
	}
	if (status == REPLY_BAD)
		ok(why != NULL, "why: %s", why ? why : "?");
	*rest = len - done;
	return status;
}

static void
test_parse(void)
{
	static const size_t pieces[] = { 1, 8, 64 };
	struct reply r;
	size_t rest;

	reply_init(&r);
	for (size_t i = 0; i < COUNT(parses); i++)
		for (size_t j = 0; j < COUNT(pieces); j++) {
			is_int(feed(&r, parses[i].in, parses[i].len, pieces[j],
				   &rest),
			    parses[i].status, parses[i].name);
			if (parses[i].status == REPLY_BAD)
				continue;
			is_int(r.code, parses[i].code, "its code");
			is_int(r.lines, parses[i].lines, "its lines");
			is_str(r.text.p, parses[i].text, "its text");
			is_int((long long)rest, (long long)parses[i].rest,
			    "and what is left");
		}
	reply_fini(&r);
}

/* n lines of len octets, CR LF included; the last one has a space. */
static size_t
many_lines(char *out, size_t n, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		char *p = out + i * len;

		memset(p, 'x', len);
		memcpy(p, i + 1 < n ? "250-" : "250 ", 4);
		memcpy(p + len - 2, "\r\n", 2);
	}
	return n * len;
}

static void
test_limits(void)
{
	static const struct {
		size_t			 n, len;
		enum reply_status	 status;
	} cases[] = {
		{ REPLY_LINES_MAX,	20,			REPLY_DONE },
		{ REPLY_LINES_MAX + 1,	20,			REPLY_BAD },
		{ 1,			REPLY_LINE_MAX,		REPLY_DONE },
		{ 1,			REPLY_LINE_MAX + 1,	REPLY_BAD },
		{ 8,			REPLY_LINE_MAX,		REPLY_DONE },
		{ 9,			REPLY_LINE_MAX,		REPLY_BAD },
	};
	static char in[16 * REPLY_LINE_MAX];
	struct reply r;
	size_t rest;

	reply_init(&r);
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = many_lines(in, cases[i].n, cases[i].len);
		char name[80];

		snprintf(name, sizeof(name), "%zu lines of %zu octets",
		    cases[i].n, cases[i].len);
		is_int(feed(&r, in, len, 64, &rest), cases[i].status, name);
	}
	memset(in, '2', sizeof(in));
	is_int(feed(&r, in, REPLY_LINE_MAX - 1, 64, &rest), REPLY_MORE,
	    "a line without an end, and room for a LF");
	is_int(feed(&r, in, REPLY_LINE_MAX, 64, &rest), REPLY_BAD,
	    "no room for a LF");
	reply_fini(&r);
}

static const struct {
	int		 code;
	const char	*line;
	size_t		 want;
} enhanced[] = {
	{ 550, "5.1.1 no", 5 },
	{ 550, "5.1.1", 5 },
	{ 250, "2.123.999 ok", 9 },
	{ 421, "4.3.2 bye", 5 },
	{ 550, "4.1.1 no", 0 },
	{ 550, "5.1.1no", 0 },
	{ 550, "5.1. no", 0 },
	{ 550, "5..1 no", 0 },
	{ 550, "5.1", 0 },
	{ 550, "5.1.", 0 },
	{ 550, "5.1.1.1 no", 0 },
	{ 550, "5.1.1234 no", 0 },
	{ 550, "5.1234.1 no", 0 },
	{ 550, " 5.1.1 no", 0 },
	{ 550, "5", 0 },
	{ 550, "", 0 },
	{ 354, "3.0.0 go", 0 },
	{ 550, "55.1.1 no", 0 },
};

static void
test_enhanced(void)
{
	for (size_t i = 0; i < COUNT(enhanced); i++) {
		const char *line = enhanced[i].line;

		is_int((long long)reply_enhanced(enhanced[i].code, line,
			   strlen(line)),
		    (long long)enhanced[i].want, line);
	}
	is_int((long long)reply_enhanced(550, "5.1.1", 4), 0,
	    "not beyond its length");
}

static const struct {
	int		 code;
	const char	*text;
	const char	*want, *bare;
} formats[] = {
	{ 250, "2.1.0 Ok", "250 2.1.0 Ok\r\n", "250 2.1.0 Ok\r\n" },
	{ 250, "Ok", "250 2.0.0 Ok\r\n", "250 Ok\r\n" },
	{ 250, "", "250 2.0.0\r\n", "250 \r\n" },
	{ 421, "bye", "421 4.0.0 bye\r\n", "421 bye\r\n" },
	{ 354, "go", "354 go\r\n", "354 go\r\n" },
	{ 334, "", "334 \r\n", "334 \r\n" },
	{ 550, "5.1.1 a\n5.1.1 b", "550-5.1.1 a\r\n550 5.1.1 b\r\n",
	    "550-5.1.1 a\r\n550 5.1.1 b\r\n" },
	{ 550, "5.1.1 a\nb\n\n5.2.1 c",
	    "550-5.1.1 a\r\n550-5.1.1 b\r\n550-5.1.1\r\n550 5.2.1 c\r\n",
	    "550-5.1.1 a\r\n550-b\r\n550-\r\n550 5.2.1 c\r\n" },
	{ 550, "a\n5.7.1 b", "550-5.7.1 a\r\n550 5.7.1 b\r\n",
	    "550-a\r\n550 5.7.1 b\r\n" },
	/* the class is the one of the code */
	{ 550, "4.7.1 a\nb", "550-5.7.1 a\r\n550 5.7.1 b\r\n",
	    "550-4.7.1 a\r\n550 b\r\n" },
	{ 550, "3.7.1 a", "550 5.0.0 3.7.1 a\r\n", "550 3.7.1 a\r\n" },
	{ 220, "mx ESMTP", "220 2.0.0 mx ESMTP\r\n", "220 mx ESMTP\r\n" },
	/* nothing slips out, whoever put it there */
	{ 250, "a\rb\x01\x7f\xff", "250 2.0.0 a?b???\r\n",
	    "250 a?b???\r\n" },
};

static void
test_format(void)
{
	struct reply r;
	struct buf out;

	reply_init(&r);
	buf_init(&out, 65536);
	for (size_t i = 0; i < COUNT(formats); i++) {
		reply_reset(&r);
		r.code = formats[i].code;
		buf_adds(&r.text, formats[i].text);
		buf_reset(&out);
		reply_format(&r, false, &out);
		is_str(out.p, formats[i].want, formats[i].text);
		buf_reset(&out);
		reply_format(&r, true, &out);
		is_str(out.p, formats[i].bare, "the same, bare");
	}
	buf_fini(&out);
	reply_fini(&r);
}

/* Of a text of n times unit, as a reply with this code: the octets of its only
   line, and the last ones before CR LF. */
static void
check_cut(int code, const char *unit, size_t n, size_t want, const char *tail)
{
	struct reply r;
	struct buf out;
	char name[80];

	reply_init(&r);
	buf_init(&out, 65536);
	r.code = code;
	while (n-- > 0)
		buf_adds(&r.text, unit);
	reply_format(&r, false, &out);
	snprintf(name, sizeof(name), "%d and many %s", code, unit);
	is_int((long long)out.len, (long long)want, name);
	is_str(out.p + out.len - strlen(tail), tail, "its end");
	buf_fini(&out);
	reply_fini(&r);
}

static void
test_cut(void)
{
	check_cut(550, "x", 500, 512, "xx\r\n");
	check_cut(550, "x", 501, 512, "xx\r\n");
	check_cut(550, "\xc3\xa4", 250, 512, "\xc3\xa4\r\n");
	check_cut(550, "\xc3\xa4", 251, 512, "\xc3\xa4\r\n");
	check_cut(550, "\xe2\x82\xac", 400, 510, "\xe2\x82\xac\r\n");
	check_cut(334, "QUJD", 400, 4 + 1600 + 2, "QUJD\r\n");
}

/* What we format, the parser reads back. */
static void
test_round_trip(void)
{
	struct reply r;
	struct buf out;
	size_t rest;

	reply_init(&r);
	buf_init(&out, 65536);
	reply_set(&r, 451, "4.7.1 <%s>: %s\nsecond", "a@b", "later");
	is_int(r.lines, 2, "two lines were set");
	is_str(r.text.p, "4.7.1 <a@b>: later\nsecond", "their text");
	reply_format(&r, false, &out);
	is_int(feed(&r, out.p, out.len, 8, &rest), REPLY_DONE, "read back");
	is_str(r.text.p, "4.7.1 <a@b>: later\n4.7.1 second", "the text again");
	is_int(r.code, 451, "the code again");

	reply_set(&r, 501, "5.5.2 %s", "a\r\x1b\xff");
	is_str(r.text.p, "5.5.2 a???", "controls in an argument");
	reply_set(&r, 250, "%4000s", "x");
	is_int((long long)r.text.len, REPLY_LINE_MAX - 1, "no endless text");
	ok(reply_is_positive(&r), "250 is positive");
	buf_fini(&out);
	reply_fini(&r);
}

int
main(void)
{
	test_parse();
	test_limits();
	test_enhanced();
	test_format();
	test_cut();
	test_round_trip();
	return tap_done();
}
