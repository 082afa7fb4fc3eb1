/*
 * Dot transparency: stuffing, the terminator, and line ends that lie.
 *
 * Next to the cases by hand there is a second decoder, slow and obvious: it
 * sees all input at once, splits it at CR LF and knows no states. Both must
 * agree on every short string and on many long ones, however they are cut.
 */

#include "smtp/dot.h"

#include <stdlib.h>

#include "t/tap.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define S(s)		s, sizeof(s) - 1
#define IN_MAX		256
#define OUT_MAX		1024

/* All that a decoder can tell. */
struct result {
	char		out[OUT_MAX];
	size_t		len, used;
	enum dot_status	status;
	bool		bare_cr, bare_lf, nul, eight_bit, ends_in_crlf;
	uint64_t	dotted;
	size_t		longest;
};

enum mode {
	NORMALIZE = 1,
	PASS = 2		/* BDAT: dots mean nothing */
};

static bool
same(const struct result *a, const struct result *b)
{
	return a->len == b->len && memcmp(a->out, b->out, a->len) == 0 &&
	    a->used == b->used && a->status == b->status &&
	    a->bare_cr == b->bare_cr && a->bare_lf == b->bare_lf &&
	    a->nul == b->nul && a->eight_bit == b->eight_bit &&
	    a->ends_in_crlf == b->ends_in_crlf && a->dotted == b->dotted &&
	    a->longest == b->longest;
}

/* Octets as C text, for what a failed check prints. */
static const char *
quote(const char *p, size_t len)
{
	static char bufs[2][4 * OUT_MAX + 1];
	static int turn;
	char *out = bufs[turn++ % 2], *o = out;

	for (; len > 0; p++, len--) {
		if (*p == '\r' || *p == '\n')
			o += sprintf(o, "\\%c", *p == '\r' ? 'r' : 'n');
		else if (*p < ' ' || *p > '~')
			o += sprintf(o, "\\x%02x", (unsigned char)*p);
		else
			*o++ = *p;
	}
	*o = '\0';
	return out;
}

static void
explain(const char *who, const struct result *r)
{
	printf("#  %s: \"%s\" status=%d used=%zu cr=%d lf=%d nul=%d 8bit=%d "
	       "crlf=%d dotted=%d longest=%zu\n",
	    who, quote(r->out, r->len), r->status, r->used, r->bare_cr,
	    r->bare_lf, r->nul, r->eight_bit, r->ends_in_crlf, (int)r->dotted,
	    r->longest);
}

/*
 * The decoder that sees everything at once.
 */

static void
reference_body(struct result *r, const char *p, size_t len, int mode)
{
	for (; len > 0; p++, len--) {
		if (*p == '\r')
			r->bare_cr = true;
		if (*p == '\n')
			r->bare_lf = true;
		if (*p == '\n' && mode & NORMALIZE)
			r->out[r->len++] = '\r';
		r->out[r->len++] = *p == '\r' && mode & NORMALIZE ? ' ' : *p;
	}
}

/* What can be told from the output alone. */
static void
reference_facts(struct result *r)
{
	size_t line = 0;

	for (size_t i = 0; i < r->len; i++) {
		if (line == 0 && r->out[i] == '.')
			r->dotted++;
		if (r->out[i] == '\0')
			r->nul = true;
		if ((unsigned char)r->out[i] > 127)
			r->eight_bit = true;
		if (++line > r->longest)
			r->longest = line;
		if (r->out[i] == '\n')
			line = 0;
	}
	r->ends_in_crlf = r->len == 0 || (r->len >= 2 &&
	    memcmp(r->out + r->len - 2, "\r\n", 2) == 0);
}

static void
reference(struct result *r, const char *in, size_t len, int mode)
{
	const char *p = in, *end = in + len, *crlf;

	memset(r, 0, sizeof(*r));
	r->used = len;
	while ((crlf = memmem(p, (size_t)(end - p), "\r\n", 2)) != NULL) {
		bool dot = *p == '.' && !(mode & PASS);

		if (dot && crlf == p + 1) {
			r->status = DOT_END;
			r->used = (size_t)(crlf + 2 - in);
			break;
		}
		reference_body(r, p + dot, (size_t)(crlf - p) - dot, mode);
		memcpy(r->out + r->len, "\r\n", 2);
		r->len += 2;
		p = crlf + 2;
	}
	if (crlf == NULL && p < end) {
		if (*p == '.' && !(mode & PASS))
			p++;
		if (p < end && end[-1] == '\r')
			end--;
		reference_body(r, p, (size_t)(end - p), mode);
	}
	reference_facts(r);
}

/*
 * The decoder under test, fed with in[0..len) cut at the places where bit i of
 * cuts is set, behind octet i.
 */

static void
take(struct result *r, struct dot *d, const char *in, size_t len, int mode)
{
	char out[2 * IN_MAX + 2];
	size_t outlen, used = len;

	memset(out, '#', sizeof(out));
	if (mode & PASS)
		outlen = dot_pass(d, in, len, out);
	else
		r->status = dot_decode(d, in, len, out, &outlen, &used);
	if (outlen > dot_room(len))
		abort();
	memcpy(r->out + r->len, out, outlen);
	r->len += outlen;
	r->used += used;
}

static void
decode(struct result *r, const char *in, size_t len, uint64_t cuts, int mode)
{
	size_t start = 0;
	struct dot d;

	memset(r, 0, sizeof(*r));
	dot_init(&d, mode & NORMALIZE);
	for (size_t i = 0; i < len && r->status != DOT_END; i++)
		if (i + 1 == len || (cuts >> (i & 63) & 1)) {
			take(r, &d, in + start, i + 1 - start, mode);
			start = i + 1;
		}
	r->bare_cr = d.bare_cr;
	r->bare_lf = d.bare_lf;
	r->nul = d.nul;
	r->eight_bit = d.eight_bit;
	r->ends_in_crlf = d.ends_in_crlf;
	r->dotted = d.dotted;
	r->longest = d.longest;
}

/*
 * Cases by hand
 */

static const struct {
	const char	*name;
	const char	*wire;
	size_t		 len;
	enum dot_status	 status;
	const char	*want;		/* content; NULs are checked elsewhere */
	const char	*normal;	/* normalised; NULL: the same */
	bool		 bare_cr, bare_lf;
} cases[] = {
	{ "one line", S("hi\r\n.\r\n"), DOT_END, "hi\r\n", NULL, 0, 0 },
	{ "nothing", S(".\r\n"), DOT_END, "", NULL, 0, 0 },
	{ "an empty line", S("\r\n.\r\n"), DOT_END, "\r\n", NULL, 0, 0 },
	{ "a stuffed dot", S("..hi\r\n.\r\n"), DOT_END, ".hi\r\n", NULL, 0, 0 },
	{ "a line of one dot", S("..\r\n.\r\n"), DOT_END, ".\r\n", NULL, 0, 0 },
	{ "two dots", S("...\r\n.\r\n"), DOT_END, "..\r\n", NULL, 0, 0 },
	{ "a dot that was not stuffed", S(".hi\r\n.\r\n"), DOT_END, "hi\r\n",
	    NULL, 0, 0 },
	{ "dots inside", S("a.b.\r\n.\r\n"), DOT_END, "a.b.\r\n", NULL, 0, 0 },
	{ "no end", S("a\r\n."), DOT_MORE, "a\r\n", NULL, 0, 0 },
	{ "no end but for the LF", S("a\r\n.\r"), DOT_MORE, "a\r\n", NULL,
	    0, 0 },
	{ "a CR is withheld", S("a\r"), DOT_MORE, "a", NULL, 0, 0 },
	{ "CR LF, then a CR", S("a\r\n\r"), DOT_MORE, "a\r\n", NULL, 0, 0 },

	/* what somebody somewhere takes, or took, for the end */
	{ "LF . LF", S("a\n.\nb"), DOT_MORE, "a\n.\nb",
	    "a\r\n.\r\nb", 0, 1 },
	{ "LF . CR LF", S("a\n.\r\nb"), DOT_MORE, "a\n.\r\nb",
	    "a\r\n.\r\nb", 0, 1 },
	{ "CR LF . LF", S("a\r\n.\nb"), DOT_MORE, "a\r\n\nb",
	    "a\r\n\r\nb", 0, 1 },
	{ "CR . CR", S("a\r.\rb"), DOT_MORE, "a\r.\rb", "a . b", 1, 0 },
	{ "CR . CR LF", S("a\r.\r\nb"), DOT_MORE, "a\r.\r\nb",
	    "a .\r\nb", 1, 0 },
	{ "CR . LF", S("a\r.\nb"), DOT_MORE, "a\r.\nb", "a .\r\nb", 1, 1 },
	{ "LF . CR", S("a\n.\rb"), DOT_MORE, "a\n.\rb", "a\r\n. b", 1, 1 },
	{ "CR LF . CR", S("a\r\n.\rb"), DOT_MORE, "a\r\n\rb",
	    "a\r\n b", 1, 0 },
	{ "CR LF . CR CR LF", S("a\r\n.\r\r\nb"), DOT_MORE, "a\r\n\r\r\nb",
	    "a\r\n \r\nb", 1, 0 },
	{ "CR CR LF . CR LF", S("a\r\r\n.\r\n"), DOT_END, "a\r\r\n",
	    "a \r\n", 1, 0 },
	{ "CR CR LF . CR CR LF", S("a\r\r\n.\r\r\nb"), DOT_MORE,
	    "a\r\r\n\r\r\nb", "a \r\n \r\nb", 1, 0 },
	{ "CR LF CR . CR LF", S("a\r\n\r.\r\nb"), DOT_MORE, "a\r\n\r.\r\nb",
	    "a\r\n .\r\nb", 1, 0 },
	{ "LF LF . CR LF", S("a\n\n.\r\nb"), DOT_MORE, "a\n\n.\r\nb",
	    "a\r\n\r\n.\r\nb", 0, 1 },
	{ "CR LF LF . CR LF", S("a\r\n\n.\r\nb"), DOT_MORE,
	    "a\r\n\n.\r\nb", "a\r\n\r\n.\r\nb", 0, 1 },
	{ "LF CR . CR LF", S("a\n\r.\r\nb"), DOT_MORE, "a\n\r.\r\nb",
	    "a\r\n .\r\nb", 1, 1 },
	{ "LF CR . LF CR", S("a\n\r.\n\rb"), DOT_MORE, "a\n\r.\n\rb",
	    "a\r\n .\r\n b", 1, 1 },
	{ "CR LF . SP CR LF", S("a\r\n. \r\nb"), DOT_MORE, "a\r\n \r\nb",
	    NULL, 0, 0 },
	{ "CR LF SP . CR LF", S("a\r\n .\r\nb"), DOT_MORE, "a\r\n .\r\nb",
	    NULL, 0, 0 },
	{ "LF first", S("\n.\r\nb"), DOT_MORE, "\n.\r\nb", "\r\n.\r\nb", 0, 1 },
	{ "CR first", S("\r.\r\nb"), DOT_MORE, "\r.\r\nb", " .\r\nb", 1, 0 },
	{ ". LF first", S(".\nb"), DOT_MORE, "\nb", "\r\nb", 0, 1 },
	{ ". CR first", S(".\rb"), DOT_MORE, "\rb", " b", 1, 0 },
	{ "a dot and a line that starts with CR", S("\r\n.\r.\r\nb"), DOT_MORE,
	    "\r\n\r.\r\nb", "\r\n .\r\nb", 1, 0 },
	{ "a vertical tab, a form feed", S("a\v.\v\f.\f\r\nb"), DOT_MORE,
	    "a\v.\v\f.\f\r\nb", NULL, 0, 0 },
};

/* The same with NULs, whose content is not a string. */
static const struct {
	const char	*name;
	const char	*wire;
	size_t		 len;
	const char	*want;
	size_t		 wantlen;
} nuls[] = {
	{ "CR LF NUL . CR LF", S("a\r\n\0.\r\nb"), S("a\r\n\0.\r\nb") },
	{ "CR LF . NUL CR LF", S("a\r\n.\0\r\nb"), S("a\r\n\0\r\nb") },
	{ "CR NUL LF . CR LF", S("a\r\0\n.\r\nb"), S("a\r\0\n.\r\nb") },
	{ "CR LF . CR NUL LF", S("a\r\n.\r\0\nb"), S("a\r\n\r\0\nb") },
};

/* The first case that is cut in two and gives another result, or -1. */
static int
odd_cut(const struct result *whole, const char *in, size_t len, int mode)
{
	struct result r;

	for (size_t i = 0; i < len; i++) {
		decode(&r, in, len, UINT64_C(1) << i, mode);
		if (!same(&r, whole))
			return (int)i;
	}
	decode(&r, in, len, UINT64_MAX, mode);
	return same(&r, whole) ? -1 : (int)len;
}

static void
check_case(const char *name, const char *wire, size_t len,
    enum dot_status status, const char *want, size_t wantlen, int mode)
{
	struct result r;

	decode(&r, wire, len, 0, mode);
	ok(r.status == status && r.used == len, "%s: where it ends", name);
	if (!ok(r.len == wantlen && memcmp(r.out, want, wantlen) == 0,
		"%s: content", name)) {
		printf("#   got \"%s\"\n", quote(r.out, r.len));
		printf("#  want \"%s\"\n", quote(want, wantlen));
	}
	is_int(odd_cut(&r, wire, len, mode), -1, "the same in any two pieces");
}

/* Whatever came before, the true end is found where it is. */
static void
check_true_end(const char *name, const char *wire, size_t len)
{
	char in[IN_MAX];
	struct result r;

	memcpy(in, wire, len);
	memcpy(in + len, "\r\n.\r\nQUIT\r\n", 11);
	decode(&r, in, len + 11, 0, 0);
	ok(r.status == DOT_END && r.used == len + 5,
	    "%s: the true end comes later", name);
	ok(r.ends_in_crlf, "and content ends in CR LF");
}

static void
test_cases(void)
{
	struct result r;

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *name = cases[i].name, *wire = cases[i].wire;
		const char *want = cases[i].want;
		const char *normal = cases[i].normal ? cases[i].normal : want;
		size_t len = cases[i].len;

		check_case(name, wire, len, cases[i].status, want,
		    strlen(want), 0);
		check_case(name, wire, len, cases[i].status, normal,
		    strlen(normal), NORMALIZE);
		decode(&r, wire, len, 0, 0);
		ok(r.bare_cr == cases[i].bare_cr, "%s: bare CR", name);
		ok(r.bare_lf == cases[i].bare_lf, "%s: bare LF", name);
		if (cases[i].status == DOT_MORE && wire[len - 1] == 'b')
			check_true_end(name, wire, len);
	}
}

static void
test_nuls(void)
{
	struct result r;

	for (size_t i = 0; i < COUNT(nuls); i++) {
		check_case(nuls[i].name, nuls[i].wire, nuls[i].len, DOT_MORE,
		    nuls[i].want, nuls[i].wantlen, 0);
		check_true_end(nuls[i].name, nuls[i].wire, nuls[i].len);
		decode(&r, nuls[i].wire, nuls[i].len, 0, 0);
		ok(r.nul, "the NUL was seen");
	}
}

/* Input behind the end is not touched. */
static void
test_behind_the_end(void)
{
	static const char in[] = "a\r\n.\r\n\nb\0\xff..";
	struct result r;

	decode(&r, in, sizeof(in) - 1, 0, 0);
	is_int(r.status, DOT_END, "the end");
	is_int((long long)r.used, 6, "used up to the end");
	ok(!r.bare_lf && !r.nul && !r.eight_bit, "and nothing else was seen");
	is_int((long long)r.longest, 3, "longest line");
}

static void
test_reuse(void)
{
	size_t outlen, used;
	char out[64];
	struct dot d;

	dot_init(&d, true);
	dot_decode(&d, "\r.\n\0\xff", 5, out, &outlen, &used);
	ok(d.bare_cr && d.bare_lf && d.nul && d.eight_bit, "all bad");
	dot_init(&d, false);
	ok(!d.bare_cr && !d.bare_lf && !d.nul && !d.eight_bit, "all forgotten");
	is_int(dot_decode(&d, ".\r\n", 3, out, &outlen, &used), DOT_END,
	    "the first line may be the end again");
	is_int(dot_decode(&d, "x", 1, out, &outlen, &used), DOT_END,
	    "an end stays an end");
	is_int((long long)(used + outlen), 0, "and takes and gives nothing");
}

/* Lengths, and octets above 127 in each place of a word. */
static void
test_facts(void)
{
	struct result r;

	decode(&r, S("12345678\r\n1234\r\n"), 0, 0);
	is_int((long long)r.longest, 10, "longest line with its CR LF");
	decode(&r, S("12\r\n123456789"), 0, 0);
	is_int((long long)r.longest, 9, "longest line so far");
	decode(&r, S("..\r\n..a\r\na\n.\r\n"), 0, 0);
	is_int((long long)r.dotted, 3, "dots behind any LF count");
	decode(&r, S("..\r\n..a\r\na\n."), 0, PASS);
	is_int((long long)r.dotted, 3, "in BDAT content too");
	for (size_t i = 0; i < 20; i++) {
		char in[20];

		memset(in, '\x7f', sizeof(in));
		in[i] = '\x80';
		decode(&r, in, sizeof(in), 0, 0);
		ok(r.eight_bit, "octet 128 in place %zu", i);
	}
	decode(&r, S("\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"), 0, 0);
	ok(!r.eight_bit, "octet 127");
}

static void
test_pass_end(void)
{
	char out[8];
	struct dot d;

	dot_init(&d, false);
	is_int((long long)dot_pass(&d, "a\r", 2, out), 1, "a CR is withheld");
	ok(!d.bare_cr, "and not yet judged");
	is_int((long long)dot_pass_end(&d, out), 1, "it comes at the end");
	is_int(out[0], '\r', "as it is");
	ok(d.bare_cr && !d.ends_in_crlf, "as a bare one");
	is_int((long long)dot_pass_end(&d, out), 0, "and only once");
	dot_init(&d, true);
	dot_pass(&d, "a\r", 2, out);
	dot_pass_end(&d, out);
	is_int(out[0], ' ', "normalised");
	dot_init(&d, false);
	dot_pass(&d, "a\r", 2, out);
	is_int((long long)dot_pass(&d, "\nb", 2, out), 3,
	    "a CR LF may lie in two chunks");
	ok(!d.bare_cr && !d.bare_lf, "and is none of the bare ones");
	is_int((long long)dot_pass_end(&d, out), 0, "nothing is withheld");
}

/*
 * Properties
 */

/* xorshift64*: the same strings in each run. */
static uint64_t
next_random(void)
{
	static uint64_t x = 88172645463325252;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	return x * UINT64_C(2685821657736338717);
}

static bool
agrees(const char *in, size_t len, uint64_t cuts, int mode)
{
	struct result want, got;

	reference(&want, in, len, mode);
	decode(&got, in, len, cuts, mode);
	if (same(&want, &got))
		return true;
	printf("# \"%s\" cuts=%llx mode=%d\n", quote(in, len),
	    (unsigned long long)cuts, mode);
	explain("want", &want);
	explain(" got", &got);
	return false;
}

/* All strings of len octets, in one piece, in all two, and octet by octet. */
static bool
all_strings_agree(size_t len, int mode)
{
	static const char alphabet[5] = "\r\n.a";	/* and NUL */
	size_t n = 1;
	char in[16];

	for (size_t i = 0; i < len; i++)
		n *= 5;
	for (size_t k = 0; k < n; k++) {
		size_t rest = k;

		for (size_t i = 0; i < len; i++, rest /= 5)
			in[i] = alphabet[rest % 5];
		for (size_t i = 0; i < len; i++)
			if (!agrees(in, len, UINT64_C(1) << i, mode))
				return false;
		if (!agrees(in, len, UINT64_MAX, mode))
			return false;
	}
	return true;
}

static void
test_all_strings(void)
{
	for (size_t len = 1; len <= 7; len++)
		for (int mode = 0; mode < 4; mode++)
			ok(all_strings_agree(len, mode),
			    "all strings of %zu octets, mode %d", len, mode);
}

static size_t
random_string(char *out, size_t max)
{
	static const char alphabet[] = { '\r', '\n', '\r', '\n', '.', '.', 'a',
		'\0', '\x80' };
	size_t len = next_random() % max;

	for (size_t i = 0; i < len; i++)
		out[i] = alphabet[next_random() % sizeof(alphabet)];
	return len;
}

static void
test_random_strings(void)
{
	char in[IN_MAX];
	bool good = true;

	for (int i = 0; i < 300000 && good; i++) {
		size_t len = random_string(in, i % 10 ? 24 : 200);
		uint64_t cuts = next_random() & next_random();

		good = agrees(in, len, cuts, i % 4);
	}
	ok(good, "300000 random strings, cut at random");
}

/* Stuff content in pieces. */
static size_t
encode(const char *in, size_t len, uint64_t cuts, bool *at_bol, char *out)
{
	size_t start = 0, n = 0;

	*at_bol = true;
	for (size_t i = 0; i < len; i++)
		if (i + 1 == len || (cuts >> (i & 63) & 1)) {
			n += dot_encode(at_bol, in + start, i + 1 - start,
			    out + n);
			start = i + 1;
		}
	return n;
}

/* Is there a line of one dot, for a reader to whom a LF or a CR ends a line? */
static bool
has_dot_line(const char *p, size_t len)
{
	char last = '\n';

	for (size_t i = 0; i < len; last = p[i++])
		if (p[i] == '.' && (last == '\n' || last == '\r') &&
		    i + 1 < len && (p[i + 1] == '\r' || p[i + 1] == '\n'))
			return true;
	return false;
}

/*
 * What came in is normalised, stuffed, and sent; the next MTA must read exactly
 * that content, the end where we put it, and nothing bare, whatever it takes
 * for a line end.
 */
static bool
survives(const char *in, size_t len, uint64_t cuts, int mode)
{
	char wire[2 * OUT_MAX + 16];
	struct result content, back;
	bool at_bol;
	size_t n;

	decode(&content, in, len, cuts, mode | NORMALIZE);
	n = encode(content.out, content.len, next_random(), &at_bol, wire);
	if (n - content.len != content.dotted || has_dot_line(wire, n) ||
	    at_bol != content.ends_in_crlf)
		return false;
	if (!at_bol) {
		memcpy(wire + n, "\r\n", 2);
		memcpy(content.out + content.len, "\r\n", 2);
		n += 2;
		content.len += 2;
	}
	memcpy(wire + n, ".\r\n.\r\n", 6);
	decode(&back, wire, n + 6, 0, 0);
	return back.status == DOT_END && back.used == n + 3 &&
	    back.len == content.len && !back.bare_cr && !back.bare_lf &&
	    memcmp(back.out, content.out, back.len) == 0;
}

static void
test_round_trip(void)
{
	char in[IN_MAX];
	bool good = true;

	for (int i = 0; i < 200000 && good; i++) {
		size_t len = random_string(in, i % 10 ? 24 : 200);
		uint64_t cuts = next_random();

		good = survives(in, len, cuts, i % 2 ? PASS : 0);
		if (!good)
			printf("# \"%s\" cuts=%llx\n", quote(in, len),
			    (unsigned long long)cuts);
	}
	ok(good, "200000 random messages arrive as they are");
}

static const struct {
	const char	*in, *want;
	bool		 at_bol;
} stuffed[] = {
	{ "", "", true },
	{ ".", "..", false },
	{ "a", "a", false },
	{ ".\r\n", "..\r\n", true },
	{ "..a\r\n", "...a\r\n", true },
	{ "a.\r\n.b\r\n..\r\n", "a.\r\n..b\r\n...\r\n", true },
	{ "\r\n\r\n.", "\r\n\r\n..", false },
	{ "a\r", "a\r", false },
	/* by mistake, but no line of one dot comes out */
	{ "a\n.\r\n", "a\n..\r\n", true },
};

static void
test_encode(void)
{
	for (size_t i = 0; i < COUNT(stuffed); i++) {
		const char *in = stuffed[i].in;

		for (int whole = 0; whole < 2; whole++) {
			char out[64];
			bool at_bol;
			size_t n = encode(in, strlen(in), whole ? 0 :
			    UINT64_MAX, &at_bol, out);

			out[n] = '\0';
			is_str(out, stuffed[i].want,
			    whole ? "stuffed" : "stuffed octet by octet");
			ok(at_bol == stuffed[i].at_bol, "at a line start?");
		}
	}
}

int
main(void)
{
	test_cases();
	test_nuls();
	test_behind_the_end();
	test_reuse();
	test_facts();
	test_pass_end();
	test_all_strings();
	test_random_strings();
	test_round_trip();
	test_encode();
	return tap_done();
}
