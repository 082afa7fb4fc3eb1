/* New headers: edits as Postfix does them for milters, untouched octets stay,
   what is new is canonical; the same as a naive model for any edits. */

#include <stdlib.h>

#include "base/mem.h"
#include "filters/header.h"
#include "filters/rewrite.h"
#include "filters/words.h"
#include "tap.h"

#define ADD(n, v)	{ .kind = EDIT_ADD_HEADER, .name = (n), .value = (v) }
#define INS(i, n, v)	{ .kind = EDIT_INSERT_HEADER, .nth = (i),	\
			  .name = (n), .value = (v) }
#define CHG(i, n, v)	{ .kind = EDIT_CHANGE_HEADER, .nth = (i),	\
			  .name = (n), .value = (v) }
#define DEL(i, n)	{ .kind = EDIT_DELETE_HEADER, .nth = (i),	\
			  .name = (n), .value = "" }
#define BY(f, ...)	{ __VA_ARGS__, .by = (f) }
#define MANY		8

/* Content, edits, and the new content: body behind the header included. */
static const struct {
	const char		*name, *in;
	struct txn_edit		 edits[MANY];
	const char		*want;
} cases[] = {
	{ "add", "A: 1\r\nB: 2\r\n\r\nbody", { ADD("X", "y") },
	    "A: 1\r\nB: 2\r\nX: y\r\n\r\nbody" },
	{ "add twice", "A: 1\r\n\r\nbody", { ADD("X", "y"), ADD("X", "z") },
	    "A: 1\r\nX: y\r\nX: z\r\n\r\nbody" },
	{ "add without a value", "A: 1\r\n\r\n", { ADD("X", "") },
	    "A: 1\r\nX:\r\n\r\n" },
	{ "insert at 0", "A: 1\r\n\r\nx", { INS(0, "X", "y") },
	    "X: y\r\nA: 1\r\n\r\nx" },
	{ "insert at 1: below the Received we do not have",
	    "A: 1\r\n\r\nx", { INS(1, "X", "y") }, "X: y\r\nA: 1\r\n\r\nx" },
	{ "insert at 2", "A: 1\r\nB: 2\r\n\r\nx", { INS(2, "X", "y") },
	    "A: 1\r\nX: y\r\nB: 2\r\n\r\nx" },
	{ "insert at 3 of 2", "A: 1\r\nB: 2\r\n\r\nx", { INS(3, "X", "y") },
	    "A: 1\r\nB: 2\r\nX: y\r\n\r\nx" },
	{ "insert far behind", "A: 1\r\n\r\nx", { INS(99, "X", "y") },
	    "A: 1\r\nX: y\r\n\r\nx" },
	{ "insert at 0 twice: the second on top", "A: 1\r\n\r\n",
	    { INS(0, "X", "1"), INS(0, "Y", "2") },
	    "Y: 2\r\nX: 1\r\nA: 1\r\n\r\n" },
	{ "insert at 0 and at 1", "A: 1\r\n\r\n",
	    { INS(0, "X", "1"), INS(1, "Y", "2") },
	    "X: 1\r\nY: 2\r\nA: 1\r\n\r\n" },
	{ "change", "A: 1\r\nB: 2\r\nC: 3\r\n\r\nx", { CHG(1, "B", "new") },
	    "A: 1\r\nB: new\r\nC: 3\r\n\r\nx" },
	{ "change, another case", "Subject: 1\r\n\r\nx",
	    { CHG(1, "sUBJECT", "new") }, "sUBJECT: new\r\n\r\nx" },
	{ "change the second", "S: 1\r\nS: 2\r\n\r\n", { CHG(2, "S", "new") },
	    "S: 1\r\nS: new\r\n\r\n" },
	{ "change 0 is 1", "S: 1\r\nS: 2\r\n\r\n", { CHG(0, "S", "new") },
	    "S: new\r\nS: 2\r\n\r\n" },
	{ "change what is not there", "A: 1\r\n\r\n", { CHG(1, "S", "new") },
	    "A: 1\r\nS: new\r\n\r\n" },
	{ "change to nothing deletes", "A: 1\r\nS: 2\r\n\r\n",
	    { CHG(1, "S", "") }, "A: 1\r\n\r\n" },
	{ "change to nothing what is not there", "A: 1\r\n\r\n",
	    { CHG(1, "S", ""), ADD("X", "y") }, "A: 1\r\nX: y\r\n\r\n" },
	{ "change folded", "S: 1\r\n 2\r\n\t3\r\nA: 1\r\n\r\n",
	    { CHG(1, "S", "new") }, "S: new\r\nA: 1\r\n\r\n" },
	{ "change what was added", "A: 1\r\n\r\n",
	    { ADD("X", "1"), CHG(1, "X", "2") }, "A: 1\r\nX: 2\r\n\r\n" },
	{ "delete 1, delete 1 again: both", "S: 1\r\nS: 2\r\nA: 1\r\n\r\n",
	    { DEL(1, "S"), DEL(1, "S") }, "A: 1\r\n\r\n" },
	{ "delete downwards", "S: 1\r\nS: 2\r\nA: 1\r\n\r\n",
	    { DEL(2, "S"), DEL(1, "S") }, "A: 1\r\n\r\n" },
	{ "delete all", "S: 1\r\nA: 1\r\ns: 2\r\n\r\n", { DEL(0, "S") },
	    "A: 1\r\n\r\n" },
	{ "delete all and what was added", "S: 1\r\n\r\n",
	    { ADD("S", "2"), DEL(0, "S"), ADD("S", "3") }, "S: 3\r\n\r\n" },
	{ "delete the only one", "S: 1\r\n\r\nx", { DEL(1, "S") }, "\r\nx" },
	{ "a space before the colon", "S : 1\r\n\r\nx", { CHG(1, "S", "2") },
	    "S: 2\r\n\r\nx" },

	/* Octets that nobody touches */
	{ "odd octets stay", "A:1 \r\nB :\t2\r\n \xff\x01 \r\nc:3\r\n\r\n",
	    { ADD("X", "y") },
	    "A:1 \r\nB :\t2\r\n \xff\x01 \r\nc:3\r\nX: y\r\n\r\n" },
	{ "LF alone stays", "A: 1\nB: 2\n\nx", { ADD("X", "y") },
	    "A: 1\nB: 2\nX: y\r\n\nx" },

	/* Where the header ends */
	{ "no header", "\r\nbody", { ADD("X", "y") }, "X: y\r\n\r\nbody" },
	{ "no header, no empty line", "hello\r\nworld\r\n", { ADD("X", "y") },
	    "X: y\r\n\r\nhello\r\nworld\r\n" },
	{ "no empty line", "A: 1\r\nhello\r\n", { ADD("X", "y") },
	    "A: 1\r\nX: y\r\n\r\nhello\r\n" },
	{ "a space first", " A: 1\r\nB: 2\r\n", { ADD("X", "y") },
	    "X: y\r\n\r\n A: 1\r\nB: 2\r\n" },
	{ "nothing", "", { ADD("X", "y") }, "X: y\r\n" },
	{ "an empty line", "\r\n", { ADD("X", "y") }, "X: y\r\n\r\n" },
	{ "header only", "A: 1\r\n", { ADD("X", "y") }, "A: 1\r\nX: y\r\n" },
	{ "header only, no line end", "A: 1", { ADD("X", "y") },
	    "A: 1\r\nX: y\r\n" },
	{ "… and nothing left", "A: 1", { DEL(1, "A") }, "" },
	{ "a mailbox line", "From x Mon\r\nA: 1\r\n\r\nx",
	    { INS(0, "X", "y") },
	    "From x Mon\r\nX: y\r\nA: 1\r\n\r\nx" },
	{ "a mailbox line only", "From x Mon\r\n", { ADD("X", "y") },
	    "From x Mon\r\nX: y\r\n" },
	{ "a mailbox line, no line end", "From x", { ADD("X", "y") },
	    "From x\r\nX: y\r\n" },
	{ "a mailbox line and body", "From x\r\nhello\r\n", { ADD("X", "y") },
	    "From x\r\nX: y\r\n\r\nhello\r\n" },
	{ "what was body stays body", "A: 1\r\nFrom x\r\nB: 2\r\n",
	    { DEL(1, "A") }, "\r\nFrom x\r\nB: 2\r\n" },
	{ "a line of spaces is no end", "A: 1\r\n \r\nB: 2\r\n\r\n",
	    { ADD("X", "y") }, "A: 1\r\n \r\nB: 2\r\nX: y\r\n\r\n" },

	/* Several filters */
	{ "numbers are about what came", "S: 1\r\nS: 2\r\nS: 3\r\n\r\n",
	    { BY("p", .kind = EDIT_DELETE_HEADER, .nth = 1, .name = "S"),
	      BY("q", .kind = EDIT_CHANGE_HEADER, .nth = 2, .name = "S",
	      .value = "new") }, "S: new\r\nS: 3\r\n\r\n" },
	{ "one does not see what the other added", "A: 1\r\n\r\n",
	    { BY("p", .kind = EDIT_INSERT_HEADER, .name = "X", .value = "p"),
	      BY("q", .kind = EDIT_CHANGE_HEADER, .nth = 1, .name = "X",
	      .value = "q") }, "X: p\r\nA: 1\r\nX: q\r\n\r\n" },
	{ "the later wins", "S: 1\r\n\r\n",
	    { BY("p", .kind = EDIT_DELETE_HEADER, .nth = 1, .name = "S"),
	      BY("q", .kind = EDIT_CHANGE_HEADER, .nth = 1, .name = "S",
	      .value = "q") }, "S: q\r\n\r\n" },
	{ "all are all", "S: 1\r\n\r\n",
	    { BY("p", .kind = EDIT_ADD_HEADER, .name = "S", .value = "p"),
	      BY("q", .kind = EDIT_DELETE_HEADER, .nth = 0, .name = "S") },
	    "\r\n" },
	{ "places are about what came", "A: 1\r\nB: 2\r\n\r\n",
	    { BY("p", .kind = EDIT_INSERT_HEADER, .nth = 1, .name = "X",
	      .value = "p"), BY("q", .kind = EDIT_INSERT_HEADER, .nth = 2,
	      .name = "Y", .value = "q") },
	    "X: p\r\nA: 1\r\nY: q\r\nB: 2\r\n\r\n" },

	/* By the field that came */
	{ "in front of a field", "A: 1\r\nB: 2\r\n\r\n",
	    { { .kind = EDIT_INSERT_HEADER, .field = 1, .name = "X",
	      .value = "1" }, { .kind = EDIT_INSERT_HEADER, .field = 2,
	      .name = "Y", .value = "2" }, { .kind = EDIT_INSERT_HEADER,
	      .field = 2, .name = "Z", .value = "3" } },
	    "X: 1\r\nA: 1\r\nY: 2\r\nZ: 3\r\nB: 2\r\n\r\n" },
	{ "another name in its place", "A: 1\r\nS: 2\r\nB: 3\r\n\r\n",
	    { { .kind = EDIT_CHANGE_HEADER, .field = 2, .name = "X",
	      .value = "y" } }, "A: 1\r\nX: y\r\nB: 3\r\n\r\n" },
	{ "delete two of them", "S: 1\r\nS: 2\r\nS: 3\r\n\r\n",
	    { { .kind = EDIT_DELETE_HEADER, .field = 1, .name = "S" },
	      { .kind = EDIT_DELETE_HEADER, .field = 2, .name = "S" } },
	    "S: 3\r\n\r\n" },
};

/* Name: value → the field. */
static const struct {
	const char	*name, *value;
	bool		 smtputf8;
	const char	*want;
} fields[] = {
	{ "plain", "y", false, "X: y\r\n" },
	{ "a space of its own", " y", false, "X: y\r\n" },
	{ "a tab of its own", "\ty", false, "X:\ty\r\n" },
	{ "folded with LF", "a;\n b", false, "X: a;\r\n b\r\n" },
	{ "folded with CR LF", "a;\r\n\tb", false, "X: a;\r\n\tb\r\n" },
	{ "a line without a space", "a\nb\r\nc", false,
	    "X: a\r\n\tb\r\n\tc\r\n" },
	{ "no field comes of it", "a\r\nBcc: evil@example.org", false,
	    "X: a\r\n\tBcc: evil@example.org\r\n" },
	{ "no body comes of it", "a\r\n\r\nevil", false,
	    "X: a\r\n\tevil\r\n" },
	{ "no line of spaces", "a\n \n\t\n b\n", false, "X: a\r\n b\r\n" },
	{ "only line ends", "\r\n\n", false, "X:\r\n" },
	{ "folded behind the colon", "\n\tv=1", false, "X:\r\n\tv=1\r\n" },
	{ "a CR alone", "a\rb\r", false, "X: a b \r\n" },
	{ "CR CR LF", "a\r\r\n b", false, "X: a \r\n b\r\n" },
	{ "controls", "a\001b\177\033[1m", false, "X: a?b??[1m\r\n" },
	{ "UTF-8 in a message with SMTPUTF8", "gr\xc3\xbc\xc3\x9f", true,
	    "X: gr\xc3\xbc\xc3\x9f\r\n" },
	{ "UTF-8 in any other", "gr\xc3\xbc\xc3\x9f", false,
	    "X: =?UTF-8?B?Z3LDvMOf?=\r\n" },
	{ "ASCII around it", "an \xc3\xa4 and \xc3\xb6 it is", false,
	    "X: an =?UTF-8?B?w6QgYW5kIMO2?= it is\r\n" },
	{ "not UTF-8", "gr\xfc\xdf", false,
	    "X: =?unknown-8bit?B?Z3L83w==?=\r\n" },
	{ "not UTF-8 with SMTPUTF8", "gr\xfc\xdf", true,
	    "X: =?unknown-8bit?B?Z3L83w==?=\r\n" },
	{ "a line of each", "a\n \xc3\xa4", false,
	    "X: a\r\n =?UTF-8?B?w6Q=?=\r\n" },
	{ "more than a word", "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
	    "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
	    "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
	    "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", false,
	    "X: =?UTF-8?B?w6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOk"
	    "w6TDpMOkw6Q=?=\r\n =?UTF-8?B?w6TDpA==?=\r\n" },
};

/* Feed it in pieces, rewrite it, and put the body behind. */
static enum rewrite_status
run(const char *in, size_t len, size_t piece, const struct txn_edit *edits,
    size_t n, const struct rewrite_options *o, const char *id,
    struct buf *out)
{
	struct rewrite *r = rewrite_new(id);
	enum rewrite_status status;
	size_t i, octets = 0;

	for (i = 0; i < len; i += piece)
		if (rewrite_feed(r, in + i, piece < len - i ? piece :
		    len - i))
			break;
	status = rewrite_header(r, edits, n, o, out, &octets);
	if (status == REWRITE_SAME)
		buf_add(out, in, octets);
	if (status != REWRITE_TOO_BIG)
		buf_add(out, in + octets, len - octets);
	rewrite_free(&r);
	return status;
}

static size_t
count_edits(const struct txn_edit *e)
{
	size_t n = 0;

	while (n < MANY && e[n].name != NULL)
		n++;
	return n;
}

static void
check_cases(void)
{
	const struct rewrite_options o = { .received = NULL };
	struct txn_edit e[MANY];
	struct buf out;
	size_t i, j, piece;
	char name[200];

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (piece = 1; piece < 1000; piece += 400) {
			memcpy(e, cases[i].edits, sizeof(e));
			for (j = 0; j < MANY; j++)
				if (e[j].value == NULL)
					e[j].value = "";
			buf_init(&out, 10000);
			run(cases[i].in, strlen(cases[i].in), piece, e,
			    count_edits(e), &o, NULL, &out);
			snprintf(name, sizeof(name), "%s (%zu)",
			    cases[i].name, piece);
			is_str(out.p, cases[i].want, name);
			buf_fini(&out);
		}
}

static void
check_fields(void)
{
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		buf_init(&out, 10000);
		rewrite_field(&out, "X", fields[i].value, fields[i].smtputf8);
		is_str(out.p, fields[i].want, fields[i].name);
		buf_fini(&out);
	}
}

static void
check_received(void)
{
	struct rewrite_options o = { .received = "from x" };
	const struct txn_edit e[] = {
		INS(0, "X", "0"), INS(2, "Y", "1"), CHG(1, "Received", "new"),
	};
	struct buf out;

	buf_init(&out, 1000);
	run("A: 1\r\n\r\nx", 9, 100, NULL, 0, &o, NULL, &out);
	is_str(out.p, "Received: from x\r\nA: 1\r\n\r\nx", "ours on top");
	buf_reset(&out);
	run("Received: a\r\nA: 1\r\n\r\nx", 22, 100, e, 3, &o, NULL, &out);
	is_str(out.p, "X: 0\r\nReceived: from x\r\nY: 1\r\n"
	    "Received: new\r\nA: 1\r\n\r\nx", "counted by who inserts, and "
	    "hidden from who changes");
	buf_fini(&out);
}

static void
check_authres(void)
{
	static const char in[] = "Authentication-Results: mx; a\r\nA: 1\r\n"
	    "authentication-results : (x)\r\n mx 1; b\r\n"
	    "Authentication-Results: other; c\r\n\r\nx";
	const struct rewrite_options o = { .received = NULL };
	const struct txn_edit e[] = {
		CHG(1, "Authentication-Results", "new"),
	};
	struct buf out;

	buf_init(&out, 1000);
	is_int(run(in, strlen(in), 7, NULL, 0, &o, "mx", &out), REWRITE_DONE,
	    "forged ones are a change");
	is_str(out.p, "A: 1\r\nAuthentication-Results: other; c\r\n\r\nx",
	    "they are left out");
	buf_reset(&out);
	run(in, strlen(in), 7, e, 1, &o, "mx", &out);
	is_str(out.p, "A: 1\r\nAuthentication-Results: new\r\n\r\nx",
	    "and not counted");
	buf_reset(&out);
	is_int(run(in, strlen(in), 7, NULL, 0, &o, "my", &out), REWRITE_SAME,
	    "none of ours, no change");
	buf_fini(&out);
}

static void
check_replaced(void)
{
	struct rewrite_options o = { .replaced = true, .body = true };
	struct buf out;

	buf_init(&out, 1000);
	run("A: 1\r\nhello", 11, 100, NULL, 0, &o, NULL, &out);
	is_str(out.p, "A: 1\r\n\r\nhello", "an empty line for a new body");
	buf_reset(&out);
	run("A: 1", 4, 100, NULL, 0, &o, NULL, &out);
	is_str(out.p, "A: 1\r\n\r\n", "and a line end");
	buf_reset(&out);
	o.body = false;
	run("A: 1\r\n\r\n", 8, 100, NULL, 0, &o, NULL, &out);
	is_str(out.p, "A: 1\r\n\r\n", "it stays when there is none");
	buf_fini(&out);
}

static void
check_limits(void)
{
	const struct rewrite_options o = { .received = NULL };
	const struct txn_edit e[] = { ADD("X", "y") };
	size_t len = HEADER_OCTETS_MAX + 100, i;
	char *in = xmalloc(len);
	struct buf out;

	for (i = 0; i < len; i++)
		in[i] = "A: bcdef\r\n"[i % 10];
	buf_init(&out, REWRITE_OCTETS_MAX);
	is_int(run(in, len, 65536, e, 1, &o, NULL, &out), REWRITE_TOO_BIG,
	    "too many fields");
	memset(in, 'x', len);
	memcpy(in, "A: ", 3);
	is_int(run(in, len, 65536, e, 1, &o, NULL, &out), REWRITE_TOO_BIG,
	    "too large a field");
	free(in);
	buf_fini(&out);
}

/* What every field of ours must be. */
static bool
is_canonical(const char *p, size_t len)
{
	size_t i, start = 0;

	for (i = 0; i < len; i++) {
		if (p[i] != '\n') {
			if (p[i] != '\r' && p[i] != '\t' &&
			    ((unsigned char)p[i] < ' ' || p[i] == 127))
				return false;
			if (p[i] == '\r' && (i + 1 == len || p[i + 1] != '\n'))
				return false;
			continue;
		}
		if (i == start || p[i - 1] != '\r' || i - 1 - start > 998)
			return false;
		if (start > 0 && (p[start] != ' ' && p[start] != '\t'))
			return false;
		if (strspn(p + start, " \t") >= i - 1 - start)
			return false;
		start = i + 1;
	}
	return start == len;
}

static unsigned seed = 1;

static unsigned
rnd(unsigned below)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % below;
}

static void
check_long_values(void)
{
	static const char letters[] = "aaaaaaaa \t;\r\n\xc3\xa4\xff\001";
	char value[5000], name[100];
	unsigned i, j, n, kinds, bad = 0;
	struct buf out, joined;

	for (i = 0; i < 5000; i++) {
		n = rnd(sizeof(value) - 1);
		kinds = 1 + rnd(sizeof(letters) - 1);
		for (j = 0; j < n; j++)
			value[j] = letters[rnd(4) ? rnd(kinds) : 0];
		value[n] = '\0';
		buf_init(&out, 100000);
		rewrite_field(&out, "X-Name", value, rnd(2));
		bad += !is_canonical(out.p, out.len);
		buf_fini(&out);
	}
	snprintf(name, sizeof(name), "%u random values are canonical", i);
	is_int(bad, 0, name);

	/* Folding changes nothing where there are spaces. */
	for (j = 0; j < 4000; j++)
		value[j] = j % 7 == 3 ? ' ' : 'a';
	value[j] = '\0';
	buf_init(&out, 100000);
	buf_init(&joined, 100000);
	rewrite_field(&out, "X", value, false);
	for (j = 3; j < out.len; j++)
		if (out.p[j] != '\r' && out.p[j] != '\n')
			buf_addc(&joined, out.p[j]);
	is_str(joined.p, value, "a long line is folded at its spaces");
	ok(is_canonical(out.p, out.len), "… and is canonical");
	buf_fini(&out);
	buf_fini(&joined);
}

/* RFC 2047 5: an encoded word has spaces around it. */
static bool
are_apart(const char *p)
{
	while ((p = strstr(p, "=?UTF-8?B?")) != NULL) {
		if (p[-1] != ' ')
			return false;
		p = strstr(p + 10, "?=") + 2;
		if (*p != ' ' && *p != '\r')
			return false;
	}
	return true;
}

/* What was encoded is what words_decode() reads. */
static void
check_encoded_words(void)
{
	static const char *const chars[] = { "a", "b", " ", "=", "?", "_",
	    "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
	struct header_parser parser;
	struct buf value, out, back;
	struct slice rest;
	struct header h;
	unsigned i, n, bad = 0;
	char name[100];
	size_t used;

	for (i = 0; i < 5000; i++) {
		buf_init(&value, 1000);
		buf_init(&out, 10000);
		buf_init(&back, 10000);
		buf_adds(&value, "x");
		for (n = rnd(200); n > 0; n--)
			buf_adds(&value, chars[rnd(sizeof(chars) /
			    sizeof(chars[0]))]);
		buf_adds(&value, rnd(2) ? "\xc3\xa4" : "x");
		rewrite_field(&out, "X", value.p, false);
		header_init(&parser);
		header_parse(&parser, out.p, out.len, &used, &h, &rest);
		header_finish(&parser, &h, &rest);
		words_decode(h.value, &back);
		if ((strcmp(back.p, value.p) != 0 || !are_apart(out.p)) &&
		    bad++ == 0)
			printf("# got %s\n# want %s\n# in %s\n", back.p,
			    value.p, out.p);
		header_fini(&parser);
		buf_fini(&value);
		buf_fini(&out);
		buf_fini(&back);
	}
	snprintf(name, sizeof(name), "%u random texts come back", i);
	is_int(bad, 0, name);
}

/*
 * The naive model: every filter has its own list of what it knows, in which it
 * counts as Postfix does; the message is one more list, of what is there.
 */
#define IDS	64
#define FILTERS	2

struct model {
	struct {
		char	name, value;	/* 'A', '3': "A: 3" */
		bool	gone;
	}		 id[IDS];
	int		 order[IDS], n;		/* of all that ever were */
	int		 view[FILTERS][IDS], nview[FILTERS];
};

static void
put_at(int *list, int *n, int at, int id)
{
	memmove(&list[at + 1], &list[at], (size_t)(*n - at) * sizeof(*list));
	list[at] = id;
	(*n)++;
}

static int
index_of(const int *list, int n, int id)
{
	int i;

	for (i = 0; i < n && list[i] != id; i++)
		;
	return i;
}

/* At "at" in the view of f, and behind what is in front of it there. */
static void
model_insert(struct model *m, int f, int at, char name, char value)
{
	int id = m->n, where;

	where = at == 0 ? 0 : at > m->nview[f] ? m->n :
	    index_of(m->order, m->n, m->view[f][at - 1]) + 1;
	if (at > m->nview[f])
		at = m->nview[f];
	m->id[id].name = name;
	m->id[id].value = value;
	put_at(m->order, &m->n, where, id);
	put_at(m->view[f], &m->nview[f], at, id);
}

static int
model_find(const struct model *m, int f, char name, int nth)
{
	int i;

	for (i = 0; i < m->nview[f]; i++)
		if (m->id[m->view[f][i]].name == name && --nth == 0)
			return i;
	return -1;
}

static void
model_delete(struct model *m, int f, int at)
{
	m->id[m->view[f][at]].gone = true;
	memmove(&m->view[f][at], &m->view[f][at + 1],
	    (size_t)(--m->nview[f] - at) * sizeof(int));
}

static void
model_delete_all(struct model *m, int f, char name)
{
	int at, i;

	for (i = 0; i < m->n; i++)
		if (m->id[i].name == name)
			m->id[i].gone = true;
	while ((at = model_find(m, f, name, 1)) != -1)
		model_delete(m, f, at);
}

static void
model_apply(struct model *m, int f, const struct txn_edit *e)
{
	int at;

	if (e->kind == EDIT_ADD_HEADER)
		model_insert(m, f, IDS, *e->name, *e->value);
	else if (e->kind == EDIT_INSERT_HEADER)
		model_insert(m, f, (int)e->nth, *e->name, *e->value);
	else if (e->kind == EDIT_DELETE_HEADER && e->nth == 0)
		model_delete_all(m, f, *e->name);
	else if ((at = model_find(m, f, *e->name, e->nth ? (int)e->nth : 1))
	    == -1) {
		if (e->kind == EDIT_CHANGE_HEADER && *e->value != '\0')
			model_insert(m, f, IDS, *e->name, *e->value);
	} else if (e->kind == EDIT_DELETE_HEADER || *e->value == '\0')
		model_delete(m, f, at);
	else {
		m->id[m->view[f][at]].value = *e->value;
		m->id[m->view[f][at]].gone = false;
	}
}

/* Item 0 is the place of the Received that is not written. */
static void
model_write(const struct model *m, struct buf *out)
{
	int i, id;

	for (i = 0; i < m->n; i++) {
		id = m->order[i];
		if (id != 0 && !m->id[id].gone)
			buf_addf(out, "%c: %c\r\n", m->id[id].name,
			    m->id[id].value);
	}
	buf_adds(out, "\r\nbody");
}

static void
model_take(struct model *m, char name, char value)
{
	int f;

	m->id[m->n].name = name;
	m->id[m->n].value = value;
	for (f = 0; f < FILTERS; f++)
		m->view[f][m->nview[f]++] = m->n;
	m->order[m->n] = m->n;
	m->n++;
}

static void
random_edit(struct txn_edit *e, const char *const *texts)
{
	static const char *const names[] = { "A", "B", "C" };
	static const char *const filters[FILTERS] = { "f", "g" };

	*e = (struct txn_edit){
		.kind = EDIT_ADD_HEADER + rnd(4), .nth = rnd(5),
		.name = names[rnd(3)], .value = texts[rnd(6)],
		.by = filters[rnd(FILTERS)],
	};
	if (e->kind <= EDIT_INSERT_HEADER && *e->value == '\0')
		e->value = "9";
}

static void
check_random_edits(void)
{
	static const char *const texts[] = { "1", "2", "3", "4", "5", "" };
	const struct rewrite_options o = { .received = NULL };
	struct txn_edit e[20];
	struct buf in, out, want;
	struct model m;
	unsigned i, j, n, bad = 0;
	char name[100];

	for (i = 0; i < 20000; i++) {
		buf_init(&in, 1000);
		buf_init(&out, 10000);
		buf_init(&want, 10000);
		memset(&m, 0, sizeof(m));
		model_take(&m, '-', '-');
		for (n = rnd(8); n > 0; n--) {
			char c = (char)('A' + rnd(3)), v = *texts[rnd(5)];

			buf_addf(&in, "%c: %c\r\n", c, v);
			model_take(&m, c, v);
		}
		buf_adds(&in, "\r\nbody");
		n = rnd(sizeof(e) / sizeof(e[0]) + 1);
		for (j = 0; j < n; j++) {
			random_edit(&e[j], texts);
			model_apply(&m, *e[j].by == 'g', &e[j]);
		}
		run(in.p, in.len, 1 + rnd(50), e, n, &o, NULL, &out);
		model_write(&m, &want);
		if (strcmp(out.p, want.p) != 0 && bad++ == 0)
			printf("# in %s\n# got %s\n# want %s\n", in.p, out.p,
			    want.p);
		buf_fini(&in);
		buf_fini(&out);
		buf_fini(&want);
	}
	snprintf(name, sizeof(name), "%u random lists are as in the model", i);
	is_int(bad, 0, name);
}

/* The edits of one filter in one go, or some of them, and the others when those
   are done: the same, and our Received is where it is to be. */
static void
check_two_goes(void)
{
	static const char *const texts[] = { "1", "2", "3", "4", "5", "" };
	struct rewrite_options whole = { .received = "x" }, o;
	struct txn_edit e[20];
	struct buf in, mid, out, want;
	unsigned i, j, n, cut, bad = 0;
	size_t place;
	char name[100];

	for (i = 0; i < 20000; i++) {
		buf_init(&in, 1000);
		buf_init(&mid, 10000);
		buf_init(&out, 10000);
		buf_init(&want, 10000);
		for (n = rnd(8); n > 0; n--)
			buf_addf(&in, "%c: %s\r\n", (char)('A' + rnd(3)),
			    texts[rnd(5)]);
		buf_adds(&in, "\r\nbody");
		n = rnd(sizeof(e) / sizeof(e[0]) + 1);
		for (j = 0; j < n; j++) {
			random_edit(&e[j], texts);
			e[j].by = "f";
		}
		run(in.p, in.len, 50, e, n, &whole, NULL, &want);
		cut = rnd(n + 1);
		place = 0;
		o = (struct rewrite_options){ .place = &place };
		run(in.p, in.len, 50, e, cut, &o, NULL, &mid);
		o.received = "x";
		run(mid.p, mid.len, 50, e + cut, n - cut, &o, NULL, &out);
		if (strcmp(out.p, want.p) != 0 && bad++ == 0)
			printf("# in %s\n# got %s\n# want %s\n", in.p, out.p,
			    want.p);
		buf_fini(&in);
		buf_fini(&mid);
		buf_fini(&out);
		buf_fini(&want);
	}
	snprintf(name, sizeof(name), "%u random lists in two goes", i);
	is_int(bad, 0, name);
}

/* What is written is what the next parser reads. */
static void
list_fields(const char *p, size_t len, struct buf *out)
{
	struct header_parser parser;
	struct header h;
	struct slice rest = SLICE("", 0);
	enum header_status status;
	size_t used, n = 0;

	header_init(&parser);
	do {
		status = header_parse(&parser, p + n, len - n, &used, &h,
		    &rest);
		n += used;
		if (status == HEADER_MORE)
			status = header_finish(&parser, &h, &rest);
		if (status == HEADER_FIELD)
			buf_addf(out, "%.*s|", (int)h.name.len, h.name.p);
	} while (status == HEADER_FIELD);
	buf_addf(out, "#%zu", rest.len + len - n);
	header_fini(&parser);
}

/* Any content: one field more, and the same body. */
static void
check_any_content(void)
{
	static const char *const lines[] = {
		"A: 1\r\n", " x\r\n", "\r\n", "From x\r\n", "hello\r\n", "B:",
		"C : y\r\n", "\t\r\n", ">From y\r\n", "..\r\n", "x"
	};
	const struct rewrite_options o = { .received = NULL };
	const struct txn_edit add[] = { ADD("X", "y") };
	struct buf in, out, before, after;
	unsigned i, n, bad = 0;
	char name[100], *hash;

	for (i = 0; i < 20000; i++) {
		buf_init(&in, 1000);
		buf_init(&out, 2000);
		buf_init(&before, 1000);
		buf_init(&after, 1000);
		for (n = rnd(7); n > 0; n--)
			buf_adds(&in, lines[rnd(sizeof(lines) /
			    sizeof(lines[0]))]);
		run(in.p, in.len, 1 + rnd(9), add, 1, &o, NULL, &out);
		list_fields(in.p, in.len, &before);
		list_fields(out.p, out.len, &after);
		if ((hash = strchr(after.p, '#')) == NULL || hash <
		    after.p + 2 || memcmp(hash - 2, "X|", 2) != 0 ||
		    strcmp(hash, strchr(before.p, '#')) != 0 ||
		    strncmp(before.p, after.p, (size_t)(hash - 2 - after.p)))
			if (bad++ == 0)
				printf("# in %s\n# out %s\n", in.p, out.p);
		buf_fini(&in);
		buf_fini(&out);
		buf_fini(&before);
		buf_fini(&after);
	}
	snprintf(name, sizeof(name), "%u messages get one field, and keep "
	    "their body", i);
	is_int(bad, 0, name);
}

int
main(void)
{
	check_cases();
	check_fields();
	check_received();
	check_authres();
	check_replaced();
	check_limits();
	check_long_values();
	check_encoded_words();
	check_random_edits();
	check_two_goes();
	check_any_content();
	return tap_done();
}
