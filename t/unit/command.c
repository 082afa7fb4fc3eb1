/* Commands: verbs, what is no SMTP, arguments of MAIL, RCPT and BDAT. */

#include "smtp/command.h"

#include "t/tap.h"

/* A string literal with NULs in it, and its length. */
#define S(s)	s, sizeof(s) - 1

static const struct {
	const char		*line;
	size_t			 len;
	enum command_verb	 verb;
	const char		*name, *arg;
	bool			 ctl, eight_bit;
} lines[] = {
	{ S("EHLO mx.example"), CMD_EHLO, "EHLO", "mx.example", 0, 0 },
	{ S("ehlo  mx  "), CMD_EHLO, "ehlo", "mx", 0, 0 },
	{ S("HELO"), CMD_HELO, "HELO", "", 0, 0 },
	{ S("LhLo x"), CMD_LHLO, "LhLo", "x", 0, 0 },
	{ S("MAIL FROM:<a@b> SIZE=5"), CMD_MAIL, "MAIL", "FROM:<a@b> SIZE=5",
	    0, 0 },
	{ S("RCPT TO:<\xc3\xa4@b>"), CMD_RCPT, "RCPT", "TO:<\xc3\xa4@b>",
	    0, 1 },
	{ S("DATA"), CMD_DATA, "DATA", "", 0, 0 },
	{ S("DATA "), CMD_DATA, "DATA", "", 0, 0 },
	{ S("BDAT 86 LAST"), CMD_BDAT, "BDAT", "86 LAST", 0, 0 },
	{ S("RSET"), CMD_RSET, "RSET", "", 0, 0 },
	{ S("noop a  b"), CMD_NOOP, "noop", "a  b", 0, 0 },
	{ S("VRFY x"), CMD_VRFY, "VRFY", "x", 0, 0 },
	{ S("EXPN x"), CMD_EXPN, "EXPN", "x", 0, 0 },
	{ S("HELP"), CMD_HELP, "HELP", "", 0, 0 },
	{ S("QUIT"), CMD_QUIT, "QUIT", "", 0, 0 },
	{ S("STARTTLS"), CMD_STARTTLS, "STARTTLS", "", 0, 0 },
	{ S("AUTH PLAIN ="), CMD_AUTH, "AUTH", "PLAIN =", 0, 0 },
	{ S("XCLIENT NAME=x"), CMD_XCLIENT, "XCLIENT", "NAME=x", 0, 0 },
	{ S("XFORWARD NAME=x"), CMD_XFORWARD, "XFORWARD", "NAME=x", 0, 0 },

	/* unknown: answered, and the conversation goes on */
	{ S(""), CMD_UNKNOWN, "", "", 0, 0 },
	{ S("XEXCH50 1 2"), CMD_UNKNOWN, "XEXCH50", "1 2", 0, 0 },
	{ S("X-EXPS GSSAPI"), CMD_UNKNOWN, "X-EXPS", "GSSAPI", 0, 0 },
	{ S("XXXX mx.example"), CMD_UNKNOWN, "XXXX", "mx.example", 0, 0 },
	{ S("EHL"), CMD_UNKNOWN, "EHL", "", 0, 0 },
	{ S("EHLOX"), CMD_UNKNOWN, "EHLOX", "", 0, 0 },
	{ S("GETX / x"), CMD_UNKNOWN, "GETX", "/ x", 0, 0 },

	/* controls: no verb is recognised through them */
	{ S("DATA\0"), CMD_UNKNOWN, "DATA", "", 1, 0 },
	{ S("DATA\r"), CMD_UNKNOWN, "DATA\r", "", 1, 0 },
	{ S("MAIL\tFROM:<a@b>"), CMD_UNKNOWN, "MAIL\tFROM:<a@b>", "", 1, 0 },
	{ S("QUIT\x7f"), CMD_UNKNOWN, "QUIT\x7f", "", 1, 0 },
	{ S("NOOP \0x"), CMD_NOOP, "NOOP", "", 1, 0 },
	{ S("NOOP a\tb"), CMD_NOOP, "NOOP", "a\tb", 1, 0 },
	{ S("MAIL FROM:<a@b>\r"), CMD_MAIL, "MAIL", "FROM:<a@b>\r", 1, 0 },

	/* not SMTP */
	{ S("GET / HTTP/1.1"), CMD_FOREIGN, "GET", "/ HTTP/1.1", 0, 0 },
	{ S("get / HTTP/1.1"), CMD_FOREIGN, "get", "/ HTTP/1.1", 0, 0 },
	{ S("POST / HTTP/1.1"), CMD_FOREIGN, "POST", "/ HTTP/1.1", 0, 0 },
	{ S("PUT /"), CMD_FOREIGN, "PUT", "/", 0, 0 },
	{ S("HEAD /"), CMD_FOREIGN, "HEAD", "/", 0, 0 },
	{ S("DELETE /"), CMD_FOREIGN, "DELETE", "/", 0, 0 },
	{ S("OPTIONS *"), CMD_FOREIGN, "OPTIONS", "*", 0, 0 },
	{ S("CONNECT a:25"), CMD_FOREIGN, "CONNECT", "a:25", 0, 0 },
	{ S("TRACE /"), CMD_FOREIGN, "TRACE", "/", 0, 0 },
	{ S("PRI * HTTP/2.0"), CMD_FOREIGN, "PRI", "* HTTP/2.0", 0, 0 },
	{ S("Host: localhost"), CMD_FOREIGN, "Host:", "localhost", 0, 0 },
	{ S("Received: from x"), CMD_FOREIGN, "Received:", "from x", 0, 0 },
	{ S("X-A:b c"), CMD_FOREIGN, "X-A:b", "c", 0, 0 },
	{ S("\x16\x03\x01\x02"), CMD_FOREIGN, "\x16\x03\x01\x02", "", 1, 0 },
	{ S("NOOP \x80"), CMD_NOOP, "NOOP", "\x80", 0, 1 },
	{ S("\xff\xfb"), CMD_FOREIGN, "\xff\xfb", "", 0, 1 },
	{ S(" EHLO x"), CMD_FOREIGN, "", "EHLO x", 0, 0 },
	{ S("."), CMD_FOREIGN, ".", "", 0, 0 },
	{ S("<html>"), CMD_FOREIGN, "<html>", "", 0, 0 },
	{ S("\0EHLO x"), CMD_FOREIGN, "", "x", 1, 0 },
};

/* The slice as a string, in one of a few static buffers. */
static const char *
text(struct slice s)
{
	static char bufs[4][100];
	static int turn;
	char *out = bufs[turn++ % 4];

	snprintf(out, sizeof(bufs[0]), "%.*s", (int)s.len, s.p);
	return out;
}

static void
test_lines(void)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *line = lines[i].line;
		struct command c;

		command_parse(&c, line, lines[i].len);
		is_int(c.verb, lines[i].verb, line);
		is_str(text(c.name), lines[i].name, "its name");
		is_str(text(c.arg), lines[i].arg, "its argument");
		ok(c.ctl == lines[i].ctl, "its controls");
		ok(c.eight_bit == lines[i].eight_bit, "its eighth bits");
	}
}

/* The name of each verb leads back to it. */
static void
test_names(void)
{
	is_str(command_name(CMD_UNKNOWN), "?", "unknown has no name");
	is_str(command_name(CMD_FOREIGN), "?", "foreign has no name");
	for (int v = CMD_FOREIGN + 1; v < CMD_VERBS; v++) {
		const char *name = command_name((enum command_verb)v);
		struct command c;

		command_parse(&c, name, strlen(name));
		is_int(c.verb, v, name);
	}
}

static const struct {
	const char	*arg, *keyword;
	const char	*strict, *lenient;	/* NULL: refused */
} paths[] = {
	{ "FROM:<a@b>",		"FROM:", "<a@b>",	"<a@b>" },
	{ "from:<a@b> SIZE=1",	"FROM:", "<a@b> SIZE=1", "<a@b> SIZE=1" },
	{ "To:<a@b>",		"TO",	 "<a@b>",	"<a@b>" },
	{ "FROM:",		"FROM:", "",		"" },
	{ "FROM: <a@b>",	"FROM:", NULL,		"<a@b>" },
	{ "FROM:   <a@b>",	"FROM:", NULL,		"<a@b>" },
	{ "FROM :<a@b>",	"FROM:", NULL,		"<a@b>" },
	{ "FROM",		"FROM:", NULL,		NULL },
	{ "FROM <a@b>",		"FROM:", NULL,		NULL },
	{ "FROM<a@b>",		"FROM:", NULL,		NULL },
	{ "TO:<a@b>",		"FROM:", NULL,		NULL },
	{ "FRO",		"FROM:", NULL,		NULL },
	{ "",			"FROM:", NULL,		NULL },
	{ "FROMX:<a@b>",	"FROM:", NULL,		NULL },
	{ "FROM:\t<a@b>",	"FROM:", "\t<a@b>",	"\t<a@b>" },
};

static void
test_paths(void)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		for (int lenient = 0; lenient < 2; lenient++) {
			const char *want = lenient ? paths[i].lenient
						   : paths[i].strict;
			struct slice rest = SLICE_STR("");
			int rc;

			rc = command_path_arg(SLICE_STR(paths[i].arg),
			    paths[i].keyword, lenient, &rest);
			is_str(rc == 0 ? text(rest) : NULL, want,
			    paths[i].arg);
		}
	}
	is_int(command_path_arg(SLICE("FROM:<a@b>", 4), "FROM:", false,
		   &(struct slice){ .len = 0 }),
	    -1, "a colon behind the end is none");
}

static const struct {
	const char	*arg;
	int		 rc;
	uint64_t	 size;
	bool		 last;
} chunks[] = {
	{ "0",				0, 0, false },
	{ "86",				0, 86, false },
	{ "0 LAST",			0, 0, true },
	{ "86 last",			0, 86, true },
	{ "86   LAST",			0, 86, true },
	{ "000000000000000000000086",	0, 86, false },
	{ "9223372036854775807",	0, INT64_MAX, false },
	{ "9223372036854775808",	-1, 0, false },
	{ "18446744073709551617",	-1, 0, false },
	{ "92233720368547758070",	-1, 0, false },
	{ "",				-1, 0, false },
	{ "LAST",			-1, 0, false },
	{ "-1",				-1, 0, false },
	{ "+1",				-1, 0, false },
	{ "0x10",			-1, 0, false },
	{ "1e3",			-1, 0, false },
	{ "10 LAS",			-1, 0, false },
	{ "10 LASTX",			-1, 0, false },
	{ "10 LAST LAST",		-1, 0, false },
	{ "10 20",			-1, 0, false },
	{ "10\tLAST",			-1, 0, false },
	{ "10,LAST",			-1, 0, false },
};

static void
test_chunks(void)
{
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		uint64_t size = 0;
		bool last = false;
		int rc = command_bdat_arg(SLICE_STR(chunks[i].arg), &size,
		    &last);

		is_int(rc, chunks[i].rc, chunks[i].arg);
		if (rc == 0) {
			is_int((long long)size, (long long)chunks[i].size,
			    "its size");
			ok(last == chunks[i].last, "its LAST");
		}
	}
}

static void
test_words(void)
{
	struct slice s = SLICE_STR("  a bc   d "), word;

	ok(slice_word(&s, &word), "first word");
	is_str(text(word), "a", "first word");
	ok(slice_word(&s, &word), "second word");
	is_str(text(word), "bc", "second word");
	ok(slice_word(&s, &word), "third word");
	is_str(text(word), "d", "third word");
	ok(!slice_word(&s, &word), "no more");
	ok(!slice_word(&s, &word), "and none again");
}

int
main(void)
{
	test_lines();
	test_names();
	test_paths();
	test_chunks();
	test_words();
	return tap_done();
}
