/* What header_checks and body_checks see: each row is what Postfix 3.7 looked
   up when it was given the message. The same for any split. */

#include <stdlib.h>

#include "base/mem.h"
#include "filters/checks_scan.h"
#include "tap.h"

#define TYPE(t)		"Content-Type: " t "\r\n"
#define MIXED		TYPE("multipart/mixed; boundary=x")
#define DIGEST		TYPE("multipart/digest; boundary=x")
#define RFC822		TYPE("message/rfc822")
#define M_MIXED		"m:Content-Type: multipart/mixed; boundary=x|"
#define M_DIGEST	"m:Content-Type: multipart/digest; boundary=x|"
#define M_RFC822	"m:Content-Type: message/rfc822|"

/* want: "p:text|" for each, p(rimary), m(ime), n(ested), b(ody) */
static const struct {
	const char	*name, *in, *want;
	size_t		 len;		/* 0: in is a string */
} cases[] = {
	{ "nothing", "", "", 0 },
	{ "header, body, a body line that is empty",
	    "Subject: a\r\n\r\nb\r\n\r\nc\r\n", "p:Subject: a|b:b|b:c|", 0 },
	{ "MIME headers are recognised by name",
	    "Content-Id: x\r\nContent-Foo: x\r\nMime-Version: 1.0\r\n"
	    "Content-Disposition: x\r\nContent-Description: x\r\n"
	    "content-transfer-encoding: x\r\nContent-Length: 5\r\n",
	    "m:Content-Id: x|p:Content-Foo: x|m:Mime-Version: 1.0|"
	    "m:Content-Disposition: x|m:Content-Description: x|"
	    "m:content-transfer-encoding: x|p:Content-Length: 5|", 0 },
	{ "folding, and spaces in front of the colon",
	    "Subject \t: a\r\n  b\r\n\tc\r\nFoo: \t bar \r\nBaz:\r\n x\r\n",
	    "p:Subject: a\n  b\n\tc|p:Foo: \t bar |p:Baz:\n x|", 0 },
	{ "a folded line of spaces", "A:\r\n \r\n \t\r\nB:\r\n\r\n",
	    "p:A:\n \n \t|p:B:|", 0 },
	{ "mailbox lines", "From foo\r\n>From bar\r\nA: x\r\n>From b\r\nC: x",
	    "p:X-Mailbox-Line: From foo|p:X-Mailbox-Line: >From bar|p:A: x|"
	    "b:>From b|b:C: x|", 0 },
	{ "a mailbox line is not continued", "From a\r\n b\r\nC: d\r\n",
	    "p:X-Mailbox-Line: From a|b: b|b:C: d|", 0 },
	{ "a space first is body", " A: b\r\nC: d\r\n", "b: A: b|b:C: d|", 0 },
	{ "no header", "\r\nA: b\r\n", "b:A: b|", 0 },
	{ "what is no header ends it", "A: b\r\nnone\r\nC: d\r\n",
	    "p:A: b|b:none|b:C: d|", 0 },
	{ "a colon first", "A: b\r\n:c\r\n", "p:A: b|b::c|", 0 },
	{ "8 bit in a value, and in a name",
	    "A: b\r\n f\xc3\xa9\r\nX\xc3\xa9: y\r\n",
	    "p:A: b\n f\xc3\xa9|b:X\xc3\xa9: y|", 0 },
	{ "controls in names", "A\001: b\r\n", "b:A\001: b|", 0 },
	{ "DEL in a name", "A\177: b\r\n", "b:A\177: b|", 0 },
	{ "signs in a name", "A!#()<>@,\": b\r\n", "p:A!#()<>@,\": b|", 0 },
	{ "a name of two words", "A B: c\r\n", "b:A B: c|", 0 },
	{ "NUL in a header", "A: b\0c\r\n d\0e\r\nF\0: g\r\n",
	    "p:A: b\n d|b:F|", 21 },
	{ "NUL in the body", "\r\na\0b\r\n\0c\r\nd\r\n", "b:a|b:d|", 14 },

	{ "a multipart", MIXED "\r\npre\r\n--x\r\nA: b\r\n\r\nC: d\r\n--x\r\n"
	    "no\r\nE: f\r\n--xyz\r\n\r\ng\r\n--x--\r\nH: i\r\n--x\r\nJ: k\r\n",
	    M_MIXED "b:pre|b:--x|m:A: b|b:C: d|b:--x|b:no|b:E: f|b:--xyz|b:g|"
	    "b:--x--|b:H: i|b:--x|b:J: k|", 0 },
	{ "a boundary in place of the empty line", MIXED "--x\r\nA: b\r\n--x\r\n"
	    "B: c\r\n--x--z\r\nC: d\r\n",
	    M_MIXED "b:--x|m:A: b|b:--x|m:B: c|b:--x--z|b:C: d|", 0 },
	{ "a boundary behind a space is none", MIXED "\r\n--x\r\nA: b\r\n"
	    "  --x\r\nno\r\n", M_MIXED "b:--x|m:A: b\n  --x|b:no|", 0 },
	{ "a part whose header starts with a space", MIXED "\r\n--x\r\n\tA: b"
	    "\r\nB: c\r\n", M_MIXED "b:--x|b:\tA: b|b:B: c|", 0 },
	{ "the inner boundary starts like the outer one", MIXED "\r\n--x\r\n"
	    TYPE("multipart/mixed; boundary=xy") "\r\n--xy\r\nA: b\r\n\r\n"
	    "--xy--\r\nq: r\r\n--x\r\nB: c\r\n", M_MIXED "b:--x|"
	    "m:Content-Type: multipart/mixed; boundary=xy|b:--xy|m:A: b|"
	    "b:--xy--|b:q: r|b:--x|m:B: c|", 0 },
	{ "the outer one ends the inner one", MIXED "\r\n--x\r\n"
	    TYPE("multipart/mixed; boundary=y") "\r\n--y\r\nA: b\r\n\r\n--x\r\n"
	    "B: c\r\n\r\n--y\r\nD: e\r\n", M_MIXED "b:--x|"
	    "m:Content-Type: multipart/mixed; boundary=y|b:--y|m:A: b|b:--x|"
	    "m:B: c|b:--y|b:D: e|", 0 },
	{ "an attached message", MIXED "\r\n--x\r\n" RFC822 "\r\nA: b\r\n"
	    TYPE("text/plain") "\r\nC: d\r\n--x\r\nE: f\r\n",
	    M_MIXED "b:--x|" M_RFC822 "n:A: b|m:Content-Type: text/plain|"
	    "b:C: d|b:--x|m:E: f|", 0 },
	{ "a message in a message", RFC822 "\r\nA: b\r\n" RFC822
	    "\r\nC: d\r\n\r\ne", M_RFC822 "n:A: b|" M_RFC822 "n:C: d|b:e|",
	    0 },
	{ "… needs an empty line", RFC822 "no\r\nA: b\r\n",
	    M_RFC822 "b:no|b:A: b|", 0 },
	{ "… has one header", RFC822 "\r\n\r\nA: b\r\n", M_RFC822 "b:A: b|", 0 },
	{ "… whatever its encoding", RFC822
	    "Content-Transfer-Encoding: base64\r\n\r\nA: b\r\n", M_RFC822
	    "m:Content-Transfer-Encoding: base64|n:A: b|", 0 },
	{ "parts of a digest are messages", DIGEST "\r\n--x\r\nA: b\r\n\r\n"
	    "C: d\r\n\r\n--x\r\n" TYPE("text/plain") "\r\nE: f\r\n",
	    M_DIGEST "b:--x|m:A: b|n:C: d|b:--x|m:Content-Type: text/plain|"
	    "b:E: f|", 0 },
	{ "another type does not change that", DIGEST "\r\n--x\r\n"
	    TYPE("image/gif") "\r\nA: b\r\n", M_DIGEST "b:--x|"
	    "m:Content-Type: image/gif|n:A: b|", 0 },
	{ "an empty type does", RFC822 TYPE("") "\r\nA: b\r\n",
	    M_RFC822 "m:Content-Type: |b:A: b|", 0 },
};

/* Content-Type: TYPE; is "--BOUNDARY" one of its boundaries? */
static const struct {
	const char	*type, *boundary;
	bool		 yes;
} types[] = {
	{ "multipart/mixed; boundary=x", "x", true },
	{ "Multipart/Mixed; Boundary=\"x\"", "x", true },
	{ "multipart/mixed; boundary=\"x", "x", true },
	{ "multipart/mixed; boundary=(c)x", "x", true },
	{ "multipart/mixed boundary=x", "x", false },
	{ "multipart/mixed; foo; boundary=x", "x", true },
	{ "multipart/mixed; foo=a b=c boundary=x", "x", false },
	{ "multipart/mixed; boundary=y; boundary=x", "y", true },
	{ "multipart/mixed; boundary=y; boundary=x", "x", true },
	{ "multipart; boundary=x", "x", true },
	{ "multipart/; boundary=x", "x", true },
	{ "multipart/a/b;boundary=x y", "x", true },
	{ "multipart/mixed; boundary=\"\\x\"", "x", true },
	{ "multipart/mixed; boundary*=x", "x", false },
	{ "multipart/mixed; boundary*0=x", "x", false },
	{ "multipart/mixed; (boundary=y) boundary=x", "y", false },
	{ "multipart/mixed;\r\n\tboundary=\r\n\tx", "x", true },
	{ "multipart/mixed; boundary=\"\r\n x\"", "x", false },
	{ "multipart/mixed; boundary=\"a\r\n b\"", "a b", true },
	{ "multipart/mixed; a=\"boundary=y; boundary=x", "x", false },
	{ "multipart/mixed; boundary=x@y", "x", true },
	{ "multipart/mixed; boundary=.x", ".x", true },
	{ "multipart/mixed; boundary=a.b", "a", false },
	{ "multipart/mixed; boundary=[x]", "[", true },
	{ "multipart/mixed; boundary=\001x", "\001", true },
	{ "multipart/mixed; boundary=\xe9x", "\xe9", false },
	{ "multipart/mixed; boundary=x\001y", "x", true },
	{ "multipart/mixed, boundary=x", "x", false },
	{ "multipart/mixed; boundary==x", "=", true },
	{ "multipart/mixed; boundary:x", "x", false },
	{ "multipart/mixed\r\nContent-Type: text/plain; boundary=x", "x",
	    false },
	{ "multipart/mixed; boundary=x\r\nContent-Type: text/plain", "x",
	    true },
	{ "multipart/mixed; boundary=\"\"", "x", true },
	{ "multipart/mixed; boundary=\"\"", "", false },
	{ "(a (b) ) multipart (x) / (y) mixed (z) ; (q) boundary (r) = (s) x",
	    "x", true },
	{ "multipart/mixed; boundary=\"x \"", "x", false },
	{ "multipart/mixed; boundary=X", "x", false },
	{ "multipart/mixed; (unclosed boundary=x", "x", false },
	{ "multipart/mixed; (a\\) boundary=x) boundary=y", "x", false },
	{ "multipart/mixed; \"boundary\"=x", "x", false },
	{ "\"multipart\"/mixed; boundary=x", "x", false },
	{ "multipart/mixed; a b c d \"; boundary=y\"; boundary=x", "y", false },
	{ "multipart/mixed; a b c d (; boundary=y); boundary=x", "x", true },
	{ "text/plain; boundary=x", "x", false },
	{ "; boundary=x", "x", false },
	{ "", "x", false },
	{ "multipart/mixed; boundary=\"", "x", true },
	{ "multipart/mixed; boundary=\"a\\", "a", true },
	{ "multipart/mixed; (", "x", false },
};

/* Octets that are given, against where they are said to be. */
static void
add_line(struct buf *out, const char *in, size_t len,
    const struct scan_line *l)
{
	if (l->line.p != NULL) {
		buf_adds(out, "l:");
		buf_add(out, l->line.p, l->line.len);
		buf_addc(out, '|');
	}
	if (l->class == SCAN_NONE)
		return;
	buf_addf(out, "%c:", "pmnb"[l->class]);
	buf_add(out, l->text.p, l->text.len);
	buf_addc(out, '|');
	if (l->offset + l->len > len || (l->class == SCAN_BODY &&
	    memcmp(in + l->offset, l->text.p, l->text.len) != 0) ||
	    (l->ended && l->offset + l->len < len &&
	    in[l->offset + l->len - 1] != '\n'))
		buf_addf(out, "(is not at %d)", (int)l->offset);
}

/* Without line breaks, for the name of a test. */
static const char *
one_line(const char *text)
{
	static char out[200];
	size_t i;

	snprintf(out, sizeof(out), "%s", text);
	for (i = 0; out[i] != '\0'; i++)
		if (out[i] == '\r' || out[i] == '\n')
			out[i] = '|';
	return out;
}

/* In pieces of split octets, each in memory of its own. */
static void
scan(struct checks_scan *s, const char *in, size_t len, size_t split,
    struct buf *out)
{
	struct scan_line l;
	size_t at, n, used, k;
	char *piece;

	buf_reset(out);
	for (at = 0; at < len; at += n) {
		n = len - at < split ? len - at : split;
		piece = xmalloc(n);
		memcpy(piece, in + at, n);
		for (k = 0; checks_scan(s, piece + k, n - k, &used, &l) ==
		    SCAN_FOUND; k += used)
			add_line(out, in, len, &l);
		if (k + used != n)
			buf_adds(out, "(input is left)");
		free(piece);
	}
	while (checks_scan_finish(s, &l) == SCAN_FOUND)
		add_line(out, in, len, &l);
}

static void
scan_all(const char *in, size_t len, size_t split, bool whole, struct buf *out)
{
	struct checks_scan s;

	checks_scan_init(&s, whole, false);
	scan(&s, in, len, split, out);
	checks_scan_fini(&s);
}

static void
test_cases(void)
{
	static const size_t splits[] = { 100000, 1, 2, 7, 64 };
	struct buf out;
	size_t i, j;

	buf_init(&out, 100000);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = cases[i].len > 0 ? cases[i].len :
		    strlen(cases[i].in);

		for (j = 0; j < sizeof(splits) / sizeof(splits[0]); j++) {
			scan_all(cases[i].in, len, splits[j], false, &out);
			is_str(out.p, cases[i].want, cases[i].name);
		}
	}
	buf_fini(&out);
}

static void
test_types(void)
{
	struct buf in, out;
	size_t i;

	buf_init(&in, 1000);
	buf_init(&out, 1000);
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		buf_reset(&in);
		buf_addf(&in, "Content-Type: %s\r\n\r\n--%s\r\nIs: one\r\n",
		    types[i].type, types[i].boundary);
		scan_all(in.p, in.len, 1000, false, &out);
		ok((strstr(out.p, "m:Is: one|") != NULL) == types[i].yes,
		    "%s", one_line(types[i].type));
	}
	buf_fini(&in);
	buf_fini(&out);
}

static void
fill(struct buf *b, char c, size_t n)
{
	while (n-- > 0)
		buf_addc(b, c);
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

/* A line of n octets: how are they divided? */
static const struct {
	char		first;
	size_t		n;
	const char	*want;
} lines[] = {
	{ 'a', 2047, "2047" },
	{ 'a', 2048, "2048" },
	{ 'a', 2049, "2048 1" },
	{ 'a', 4096, "2048 2048" },
	{ '.', 2046, "2046" },
	{ '.', 2047, "2047" },
	{ '.', 2048, "2047 1" },
	{ '.', 4100, "2047 2048 5" },
	{ 'a', 70000, "2048 2048 2048 2048 2048 2048 2048 2048 2048 2048 2048 "
	    "2048 2048 2048 2048 2048 2048 2048 2048 2048 2048 2048 2048 2048 "
	    "2048" },		/* and no more than 51200 octets */
};

static void
lengths(struct checks_scan *s, const struct buf *in, struct buf *out)
{
	struct scan_line l;
	size_t used, at = 0;

	buf_reset(out);
	for (; checks_scan(s, in->p + at, in->len - at, &used, &l) ==
	    SCAN_FOUND; at += used)
		if (l.class == SCAN_BODY)
			buf_addf(out, "%s%zu", out->len > 0 ? " " : "",
			    l.text.len);
}

static void
test_pieces(void)
{
	struct checks_scan s;
	struct buf in, out;
	bool whole = false;
	size_t i;

	buf_init(&in, 200000);
	buf_init(&out, 100000);
	do
		for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			buf_reset(&in);
			buf_adds(&in, "A: b\r\n\r\n");
			buf_addc(&in, lines[i].first);
			fill(&in, 'b', lines[i].n - 1);
			buf_adds(&in, "\r\n");
			checks_scan_init(&s, whole, false);
			lengths(&s, &in, &out);
			is_str(out.p, lines[i].want, "pieces");
			checks_scan_fini(&s);
		}
	while ((whole = !whole));

	buf_reset(&in);
	buf_adds(&in, MIXED "\r\n--x");
	fill(&in, 'q', 2045);
	buf_adds(&in, "A: b\r\nC: d\r\n\r\n");
	fill(&in, 'q', 2048);
	buf_adds(&in, "--x\r\nE: f\r\nX");
	fill(&in, 'q', 2048);
	buf_adds(&in, ": y\r\n--x\r\nX");
	fill(&in, 'q', 2045);
	buf_adds(&in, ": y\r\nX");
	fill(&in, 'q', 2047);
	buf_adds(&in, ": y\r\nG: h\r\n");
	scan_all(in.p, in.len, 100, false, &out);
	ok(strstr(out.p, "|m:A: b|m:C: d|") != NULL, "behind a long boundary");
	ok(strstr(out.p, "|b:--x|b:E: f|") != NULL,
	    "a boundary starts its line");
	is_int((int)count(out.p, "|m:Xq"), 1, "the colon is in the first piece");
	ok(strstr(out.p, "|b:: y|b:G: h|") != NULL, "or it is body");

	buf_reset(&in);
	buf_adds(&in, "From ");
	fill(&in, 'a', 2043);
	buf_adds(&in, "From b\r\nC: d\r\n");
	scan_all(in.p, in.len, 100, false, &out);
	ok(strstr(out.p, "aX-Mailbox-Line: From b|p:C: d|") != NULL,
	    "a long mailbox line");
	buf_fini(&in);
	buf_fini(&out);
}

/* How much of a body is looked at: rows are what is in front of 50 lines of
   1023 octets, one of n, and "E". */
static const struct {
	const char	*before;
	size_t		 n;		/* with n + 1, E is not seen */
} sizes[] = {
	{ "A: b\r\n\r\n", 1070 },
	{ "A: b\r\n", 1071 },
	{ MIXED "\r\npre\r\n--x\r\n\r\n", 1070 },
	{ MIXED "\r\npre\r\n--x\r\nA: b\r\n", 1071 },
	{ MIXED "\r\npre\r\n--x--\r\n", 1065 },
	{ RFC822 "\r\nA: b\r\n\r\n", 1070 },
};

static bool
sees_end(const char *before, size_t n)
{
	struct buf in, out;
	bool sees;
	int i;

	buf_init(&in, 100000);
	buf_init(&out, 100000);
	buf_adds(&in, before);
	for (i = 0; i < 49; i++) {
		fill(&in, 'd', 1022);
		buf_adds(&in, "\r\n");
	}
	fill(&in, 'd', n);
	buf_adds(&in, "\r\nE\r\nF\r\n");
	scan_all(in.p, in.len, 10000, false, &out);
	sees = strstr(out.p, "b:E|") != NULL;
	buf_fini(&in);
	buf_fini(&out);
	return sees;
}

static void
test_limits(void)
{
	struct buf in, out;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ok(sees_end(sizes[i].before, sizes[i].n), "inside of the limit");
		ok(!sees_end(sizes[i].before, sizes[i].n + 1), "beyond it");
	}
	buf_init(&in, 400000);
	buf_init(&out, 400000);
	buf_adds(&in, "A: b\r\n ");
	fill(&in, 'c', 200000);
	buf_adds(&in, "\r\nD: e\r\n");
	scan_all(in.p, in.len, 5000, false, &out);
	is_int((int)out.len, 2 + 5 + 50 * 2048 + 1 + 2 + 4 + 1,
	    "a header is cut");

	/* MIME in MIME; the last is too deep. */
	for (i = 101; i < 104; i++) {
		struct checks_scan s;
		size_t k;

		buf_reset(&in);
		for (k = 0; k < i; k++)
			buf_addf(&in, TYPE("multipart/mixed; boundary=b%zu-")
			    "\r\n--b%zu-\r\n", k, k);
		buf_adds(&in, "A: b\r\n");
		checks_scan_init(&s, false, false);
		scan(&s, in.p, in.len, 1000, &out);
		ok(checks_scan_is_too_deep(&s) == (i == 103), "nesting");
		ok((strstr(out.p, "m:A: b") != NULL) == (i != 103),
		    "of boundaries");
		checks_scan_fini(&s);
	}
	buf_fini(&in);
	buf_fini(&out);
}

static void
test_whole_lines(void)
{
	static const char in[] = "A: b\r\n" MIXED "\r\n1\r\n\r\n--x\r\nC: d\r\n "
	    "e\r\n\r\nf\0g\r\nh";
	struct buf out;
	size_t split;

	buf_init(&out, 1000);
	for (split = 1; split < 100; split += 3) {
		scan_all(in, sizeof(in) - 1, split, true, &out);
		ok(out.len == sizeof("p:A: b|" M_MIXED "l:1|b:1|l:|l:--x|b:--x|"
		    "l:C: d|l: e|m:C: d\n e|l:|l:f\0g|b:f|l:h|b:h|") - 1 &&
		    memcmp(out.p, "p:A: b|" M_MIXED "l:1|b:1|l:|l:--x|b:--x|"
		    "l:C: d|l: e|m:C: d\n e|l:|l:f\0g|b:f|l:h|b:h|", out.len)
		    == 0, "whole lines");
	}
	buf_fini(&out);
}

static const struct {
	const char	*in;
	bool		 lacks;
	int		 at;
} bodies[] = {
	{ "A: b\r\n\r\nc\r\n", false, 6 },
	{ "A: b\r\nc\r\n", true, 6 },
	{ " c\r\n", true, 0 },
	{ "\r\nc\r\n", false, 0 },
	{ "A: b\r\n", false, 0 },
};

static void
test_body_start(void)
{
	struct checks_scan s;
	struct buf out;
	uint64_t at;
	size_t i;

	buf_init(&out, 1000);
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		checks_scan_init(&s, false, false);
		scan(&s, bodies[i].in, strlen(bodies[i].in), 3, &out);
		ok(checks_scan_lacks_empty_line(&s, &at) == bodies[i].lacks,
		    "%s", one_line(bodies[i].in));
		is_int((int)at, bodies[i].at, "where the body starts");
		checks_scan_fini(&s);
	}
	checks_scan_init(&s, false, true);
	scan(&s, MIXED "\r\n--x\r\nA: b\r\n", strlen(MIXED) + 13, 7, &out);
	is_str(out.p, M_MIXED "b:--x|b:A: b|", "without MIME");
	checks_scan_fini(&s);
	buf_fini(&out);
}

int
main(void)
{
	test_cases();
	test_types();
	test_pieces();
	test_limits();
	test_whole_lines();
	test_body_start();
	return tap_done();
}
