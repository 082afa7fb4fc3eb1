/* Header fields from a stream: folding, where the header ends, limits; the
   same for any split. */

#include <stdlib.h>

#include "base/mem.h"
#include "filters/header.h"
#include "tap.h"

/* want: "name=value|" for each field, then "#" and the body, or "!" */
static const struct {
	const char	*name, *in, *want;
} cases[] = {
	{ "one field", "A: b\r\n\r\nbody", "A=b|#body" },
	{ "two fields", "A: b\r\nC: d\r\n\r\nx", "A=b|C=d|#x" },
	{ "no space behind the colon", "A:b\r\n\r\n", "A=b|#" },
	{ "spaces around the value", "A:  \t b c \t \r\n\r\n", "A=b c|#" },
	{ "space in front of the colon", "A \t: b\r\n\r\n", "A=b|#" },
	{ "empty value", "A:\r\nB: \r\n\r\n", "A=|B=|#" },
	{ "colon in the value", "A: b:c\r\n\r\n", "A=b:c|#" },
	{ "folded", "A: b\r\n c\r\n\td\r\n\r\nx", "A=b c\td|#x" },
	{ "folded behind the colon", "A:\r\n b\r\n\r\n", "A=b|#" },
	{ "a folded line of spaces is no end", "A: b\r\n \r\nC: d\r\n\r\nx",
	    "A=b|C=d|#x" },
	{ "LF alone", "A: b\nC: d\n e\n\nbody\n", "A=b|C=d e|#body\n" },
	{ "a CR inside stays", "A: b\rc\r\n\r\n", "A=b\rc|#" },
	{ "no header", "\r\nbody", "#body" },
	{ "no header, LF", "\nbody", "#body" },
	{ "nothing", "", "#" },
	{ "no body", "A: b\r\n", "A=b|#" },
	{ "no body, no line end", "A: b", "A=b|#" },
	{ "folded, no line end", "A: b\r\n c", "A=b c|#" },
	{ "no line end, no field", "hello", "#hello" },
	{ "a line that is no field is body", "A: b\r\nhello\r\nC: d\r\n",
	    "A=b|#hello\r\nC: d\r\n" },
	{ "… as the first line", "hello\r\nC: d\r\n", "#hello\r\nC: d\r\n" },
	{ "a space first is body", " A: b\r\nC: d\r\n", "# A: b\r\nC: d\r\n" },
	{ "a colon first is no field", ": b\r\n", "#: b\r\n" },
	{ "a space in a name is no field", "A b: c\r\n", "#A b: c\r\n" },
	{ "8 bit in a name is no field", "\xc3\xa4: c\r\n",
	    "#\xc3\xa4: c\r\n" },
	{ "a control in a name is no field", "A\001: c\r\n", "#A\001: c\r\n" },
	{ "mailbox line first", "From x Mon\r\nA: b\r\n\r\nx", "A=b|#x" },
	{ "escaped mailbox line", ">From x\r\nA: b\r\n\r\nx", "A=b|#x" },
	{ "two of them", "From x\r\n>From y\r\nA: b\r\n\r\nx", "A=b|#x" },
	{ "mailbox line later is body", "A: b\r\nFrom x\r\n",
	    "A=b|#From x\r\n" },
	{ "From: is a field", "From: x\r\n\r\n", "From=x|#" },
	{ "8 bit in a value", "A: \xc3\xa4\r\n\r\n", "A=\xc3\xa4|#" },
	{ "body with what looks like fields", "A: b\r\n\r\nC: d\r\n\r\n",
	    "A=b|#C: d\r\n\r\n" },
};

static void
add_field(struct buf *out, const struct header *h)
{
	buf_add(out, h->name.p, h->name.len);
	buf_addc(out, '=');
	buf_add(out, h->value.p, h->value.len);
	buf_addc(out, '|');
}

/* Feed in[0..len) in pieces, write what comes out. Returns the fields. */
static size_t
feed(struct buf *out, const char *in, size_t len, size_t piece)
{
	struct header_parser p;
	enum header_status st = HEADER_MORE;
	struct slice rest = SLICE("", 0);
	size_t i = 0, used, n, fields = 0;
	struct header h;

	header_init(&p);
	while (i < len && (st == HEADER_MORE || st == HEADER_FIELD)) {
		n = len - i < piece ? len - i : piece;
		do {
			st = header_parse(&p, in + i, n, &used, &h, &rest);
			i += used;
			n -= used;
			if (st == HEADER_FIELD) {
				add_field(out, &h);
				fields++;
			}
		} while (st == HEADER_FIELD);
	}
	while (st == HEADER_MORE || st == HEADER_FIELD) {
		st = header_finish(&p, &h, &rest);
		if (st == HEADER_FIELD) {
			add_field(out, &h);
			fields++;
		}
	}
	buf_addc(out, st == HEADER_END ? '#' : '!');
	if (st == HEADER_END) {
		buf_add(out, rest.p, rest.len);
		buf_add(out, in + i, len - i);
	}
	header_fini(&p);
	return fields;
}

static void
check_cases(void)
{
	static const size_t pieces[] = { 1, 2, 8, 64, 100000 };
	struct buf out;
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			buf_init(&out, 4096);
			feed(&out, cases[i].in, strlen(cases[i].in),
			    pieces[j]);
			is_str(out.p, cases[i].want, cases[i].name);
			buf_fini(&out);
		}
}

static void
check_nth_and_raw(void)
{
	static const char in[] = "Received: a\r\nX: b\r\n  c \r\n"
	    "received: d\r\n\r\n";
	struct header_parser p;
	struct slice rest;
	struct header h;
	size_t used, at = 0;

	header_init(&p);
	is_int(header_parse(&p, in, strlen(in), &used, &h, &rest),
	    HEADER_FIELD, "first field");
	is_int(h.nth, 1, "first of its name");
	at += used;
	header_parse(&p, in + at, strlen(in) - at, &used, &h, &rest);
	ok(slice_is(h.raw, " b\r\n  c "), "raw is as it came");
	ok(slice_is(h.value, "b  c"), "value is unfolded");
	at += used;
	header_parse(&p, in + at, strlen(in) - at, &used, &h, &rest);
	is_int(h.nth, 2, "the second of its name, in other letters");
	header_fini(&p);
}

/* A field of this many octets, all in all. */
static char *
long_field(size_t len)
{
	char *p = xmalloc(len + 1);

	memset(p, 'x', len);
	memcpy(p, "A: ", 3);
	memcpy(p + len - 2, "\r\n", 3);
	return p;
}

static void
check_limit(const char *in, size_t len, bool good, const char *name)
{
	static const size_t pieces[] = { 1000, 4096, 1 << 22 };
	struct buf out;
	size_t i;

	for (i = 0; i < 3; i++) {
		buf_init(&out, (size_t)8 << 20);
		feed(&out, in, len, pieces[i]);
		ok((out.p[out.len - 1] == '#') == good, "%s, %zu at a time",
		    name, pieces[i]);
		buf_fini(&out);
	}
}

static void
check_limits(void)
{
	char *field = long_field(HEADER_FIELD_MAX);
	struct buf b;
	int i;

	check_limit(field, HEADER_FIELD_MAX, true, "the longest field");
	free(field);
	field = long_field(HEADER_FIELD_MAX + 1);
	check_limit(field, HEADER_FIELD_MAX + 1, false, "a longer one");
	free(field);

	field = long_field(1 << 18);
	buf_init(&b, (size_t)8 << 20);
	for (i = 0; i < 4; i++)
		buf_add(&b, field, 1 << 18);
	check_limit(b.p, b.len, true, "the largest header");
	buf_adds(&b, "B: c\r\n");
	check_limit(b.p, b.len, false, "a larger one");
	free(field);

	buf_reset(&b);
	for (i = 0; i < HEADER_FIELDS_MAX; i++)
		buf_addf(&b, "A%d: b\r\n", i);
	check_limit(b.p, b.len, true, "the most fields");
	buf_adds(&b, "B: c\r\n");
	check_limit(b.p, b.len, false, "one more");
	buf_fini(&b);
}

/* A line without a colon does not fill memory, wherever it is split. */
static void
check_long_lines(void)
{
	static const size_t lens[] = {
		997, 998, 999, 5000, HEADER_FIELD_MAX + 1
	};
	static const size_t pieces[] = { 1, 7, 998, 999, 100000 };
	struct buf in, out, want;
	size_t i, j, k;

	for (i = 0; i < 5; i++) {
		buf_init(&in, 2 * HEADER_FIELD_MAX);
		buf_init(&want, 2 * HEADER_FIELD_MAX);
		for (k = 0; k < lens[i]; k++)
			buf_addc(&in, k == 0 ? 'F' : 'y');
		buf_adds(&in, "\r\nA: b\r\n");
		buf_addc(&want, '#');
		buf_add(&want, in.p, in.len);
		for (j = 0; j < 5; j++) {
			buf_init(&out, 2 * HEADER_FIELD_MAX);
			feed(&out, in.p, in.len, pieces[j]);
			ok(strcmp(out.p, want.p) == 0,
			    "a line of %zu by %zu is body", lens[i],
			    pieces[j]);
			buf_fini(&out);
		}
		buf_fini(&in);
		buf_fini(&want);
	}
}

/* Random octets out of those that matter, whole and in pieces. */
static void
check_any_split(void)
{
	static const char letters[] = "A: \t\r\n>FromB:";
	char in[64], name[64];
	struct buf whole, split;
	unsigned seed = 1;
	int i, j, bad = 0;
	size_t len;

	for (i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		len = (seed >> 16) % sizeof(in);
		for (j = 0; j < (int)len; j++) {
			seed = seed * 1103515245 + 12345;
			in[j] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		buf_init(&whole, 4096);
		buf_init(&split, 4096);
		feed(&whole, in, len, 1000);
		seed = seed * 1103515245 + 12345;
		feed(&split, in, len, 1 + (seed >> 16) % 5);
		bad += whole.len != split.len ||
		    memcmp(whole.p, split.p, whole.len) != 0;
		buf_fini(&whole);
		buf_fini(&split);
	}
	snprintf(name, sizeof(name), "%d random headers, split anywhere", i);
	is_int(bad, 0, name);
}

int
main(void)
{
	check_cases();
	check_nth_and_raw();
	check_limits();
	check_long_lines();
	check_any_split();
	return tap_done();
}
