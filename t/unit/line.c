/* Lines end with CR LF; anything that nearly does is reported. */

#include "smtp/line.h"

#include "t/tap.h"

#define LIMIT	16

static const struct {
	const char	*name;
	const char	*in;
	const char	*want;	/* one word for each line: see expect() */
} cases[] = {
	{ "a line",		"NOOP\r\n",		"ok(NOOP)" },
	{ "an empty line",	"\r\n",			"ok()" },
	{ "no end",		"NOOP",			"" },
	{ "only a CR",		"NOOP\r",		"" },
	{ "several lines",	"a\r\nb\r\n\r\nc",	"ok(a)ok(b)ok()" },
	{ "bare LF",		"a\nb\r\n",		"lf(a)ok(b)" },
	{ "bare LF first",	"\n\n",			"lf()lf()" },
	{ "LF CR",		"a\n\rb\r\n",		"lf(a)ok(\rb)" },
	{ "CR CR LF",		"a\r\r\n",		"ok(a\r)" },
	{ "CR inside",		"a\rb\r\n",		"ok(a\rb)" },
	{ "as long as may be",	"12345678901234\r\n",	"ok(12345678901234)" },
	{ "one too many",	"123456789012345\r\na\r\n", "long ok(a)" },
	{ "much too many",
	    "1234567890123456789012345678901234567890\r\na\r\n",
	    "long ok(a)" },
	{ "too many and bare LF",
	    "1234567890123456789012345678901234567890\na\r\n",
	    "lf ok(a)" },
	{ "no end in sight", "123456789012345678901234567890", "long" },
};

struct reader {
	char	buf[256];
	size_t	len, scanned;
	bool	discarding;
	char	got[256];
};

static void
say(struct reader *r, const char *what, struct slice line)
{
	size_t n = strlen(r->got);

	snprintf(r->got + n, sizeof(r->got) - n, "%s(%.*s)", what,
	    (int)line.len, line.p);
}

/*
 * What a session does with the octets it has. Whether a long line is seen in
 * one piece or in many makes no difference to what is said: "long " once,
 * "lf " when a LF without CR ended it.
 */
static void
take_lines(struct reader *r)
{
	enum line_status status;
	struct slice line;
	size_t used;

	while ((status = line_cut(r->buf, r->len, LIMIT, &r->scanned, &line,
		    &used)) != LINE_MORE) {
		bool ended = r->buf[used - 1] == '\n';
		bool was_long = r->discarding || used > LIMIT ||
		    status == LINE_TOO_LONG;

		if (was_long && ended)
			strcat(r->got, status == LINE_BARE_LF ? "lf " : "long ");
		else if (status != LINE_TOO_LONG)
			say(r, status == LINE_OK ? "ok" : "lf", line);
		r->discarding = !ended;
		memmove(r->buf, r->buf + used, r->len - used);
		r->len -= used;
	}
}

static void
feed(struct reader *r, const char *in, size_t piece)
{
	size_t left = strlen(in);

	*r = (struct reader){ .len = 0 };
	while (left > 0) {
		size_t n = left < piece ? left : piece;

		memcpy(r->buf + r->len, in, n);
		r->len += n;
		in += n;
		left -= n;
		take_lines(r);
	}
	if (r->discarding)
		strcat(r->got, "long");
}

static void
test_cases(void)
{
	static const size_t pieces[] = { 1, 8, 64 };
	struct reader r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t j = 0; j < 3; j++) {
			char name[100];

			snprintf(name, sizeof(name), "%s, in pieces of %zu",
			    cases[i].name, pieces[j]);
			feed(&r, cases[i].in, pieces[j]);
			is_str(r.got, cases[i].want, name);
			ok(r.len <= LIMIT, "and no more than that is kept");
		}
}

/* Octets known to have no LF are not looked at again. */
static void
test_scanned(void)
{
	size_t scanned = 0, used;
	struct slice line;
	char buf[] = "abcd";

	is_int(line_cut(buf, 4, LIMIT, &scanned, &line, &used), LINE_MORE,
	    "no end");
	is_int((long long)scanned, 4, "four octets scanned");
	buf[1] = '\n';
	is_int(line_cut(buf, 5, LIMIT, &scanned, &line, &used), LINE_MORE,
	    "they are not scanned again");
	is_int(line_cut(NULL, 0, LIMIT, &(size_t){ 0 }, &line, &used),
	    LINE_MORE, "no octets at all");
}

/* Nothing outside of p[0..len) counts. */
static void
test_edges(void)
{
	char buf[LIMIT];
	size_t scanned = 0, used;
	struct slice line;

	is_int(line_cut(&"\r\n"[1], 1, LIMIT, &scanned, &line, &used),
	    LINE_BARE_LF, "a CR before the start is none of ours");
	memset(buf, 'x', sizeof(buf));
	is_int(line_cut(buf, LIMIT - 1, LIMIT, &scanned, &line, &used),
	    LINE_MORE, "room for a LF");
	is_int(line_cut(buf, LIMIT, LIMIT, &scanned, &line, &used),
	    LINE_TOO_LONG, "no room for a LF");
	is_int((long long)used, LIMIT, "all of it may go");
}

/* A CR at the end of what is discarded waits for its LF. */
static void
test_discarded_cr(void)
{
	char buf[LIMIT + 1];
	size_t scanned = 0, used;
	struct slice line;

	memset(buf, 'x', sizeof(buf));
	buf[LIMIT - 1] = '\r';
	is_int(line_cut(buf, LIMIT, LIMIT, &scanned, &line, &used),
	    LINE_TOO_LONG, "too long");
	is_int((long long)used, LIMIT - 1, "all but the CR may go");
	is_int((long long)scanned, 0, "and the next search starts anew");
	buf[LIMIT] = '\n';
	is_int(line_cut(buf + used, 2, LIMIT, &scanned, &line, &used),
	    LINE_OK, "CR LF ends what was too long");
}

int
main(void)
{
	test_cases();
	test_scanned();
	test_edges();
	test_discarded_cr();
	return tap_done();
}
