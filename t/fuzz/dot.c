/* Content of DATA: the same for every split, and back again. */

#include "smtp/dot.h"

#include "fuzz.h"

struct decoded {
	struct dot	 d;
	enum dot_status	 status;
	char		*out;		/* ours */
	size_t		 len, used;
};

/* Each piece in memory of its own size, so that ASan sees one octet too far. */
static void
decode(struct decoded *r, struct input in, size_t step, bool normalize)
{
	size_t n, outlen, used;
	char *piece, *out;

	dot_init(&r->d, normalize);
	r->status = DOT_MORE;
	r->out = malloc(dot_room(in.len) + 1);
	r->len = r->used = 0;
	while (r->used < in.len && r->status == DOT_MORE) {
		n = in.len - r->used < step ? in.len - r->used : step;
		piece = malloc(n);
		out = malloc(dot_room(n));
		memcpy(piece, in.p + r->used, n);
		r->status = dot_decode(&r->d, piece, n, out, &outlen, &used);
		assert(outlen <= dot_room(n) && used <= n);
		assert(r->status == DOT_END || used == n);
		memcpy(r->out + r->len, out, outlen);
		r->len += outlen;
		r->used += used;
		free(piece);
		free(out);
	}
}

static void
check_flags(const struct dot *a, const struct dot *b)
{
	assert(a->bare_cr == b->bare_cr && a->bare_lf == b->bare_lf);
	assert(a->nul == b->nul && a->eight_bit == b->eight_bit);
	assert(a->dotted == b->dotted && a->longest == b->longest);
	assert(a->ends_in_crlf == b->ends_in_crlf);
}

/* No CR without LF, no LF without CR; a CR at the very end may get its LF. */
static void
check_canonical(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n')
			assert(i > 0 && p[i - 1] == '\r');
		if (p[i] == '\r')
			assert(i + 1 < len && p[i + 1] == '\n');
	}
}

/* What we send for canonical content is read as that content. */
static void
check_round(const struct decoded *r)
{
	char *wire = malloc(2 * r->len + 8);
	struct decoded again;
	bool at_bol = true;
	size_t n = dot_encode(&at_bol, r->out, r->len, wire);

	assert(n <= 2 * r->len);
	if (!at_bol) {
		memcpy(wire + n, "\r\n", 2);
		n += 2;
	}
	memcpy(wire + n, ".\r\n", 3);
	n += 3;
	decode(&again, (struct input){ wire, n }, n, false);
	assert(again.status == DOT_END && again.used == n);
	assert(again.len == r->len + (at_bol ? 0 : 2));
	assert(memcmp(again.out, r->out, r->len) == 0);
	free(again.out);
	free(wire);
}

static void
check_pass(struct input in, size_t step, bool normalize)
{
	struct dot d;
	char *out = malloc(dot_room(in.len) + dot_room(0) + 1);
	size_t at = 0, len = 0, n;

	dot_init(&d, normalize);
	for (; at < in.len; at += n) {
		n = in.len - at < step ? in.len - at : step;
		len += dot_pass(&d, in.p + at, n, out + len);
	}
	len += dot_pass_end(&d, out + len);
	if (normalize)
		check_canonical(out, len);
	else
		assert(len == in.len && memcmp(out, in.p, len) == 0);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned choice = take(&in);
	bool normalize = choice & 1;
	size_t step = 1 + choice / 2 % 64;
	struct decoded a, b;

	decode(&a, in, in.len, normalize);
	decode(&b, in, step, normalize);
	assert(a.status == b.status && a.used == b.used && a.len == b.len);
	assert(memcmp(a.out, b.out, a.len) == 0);
	check_flags(&a.d, &b.d);
	if (a.status == DOT_END) {
		assert(a.used >= 3);
		assert(memcmp(in.p + a.used - 3, ".\r\n", 3) == 0);
		assert(a.used == 3 ||
		    memcmp(in.p + a.used - 5, "\r\n", 2) == 0);
		if (normalize)
			check_canonical(a.out, a.len);
		if (normalize || (!a.d.bare_cr && !a.d.bare_lf))
			check_round(&a);
	}
	free(a.out);
	free(b.out);
	check_pass(in, step, normalize);
	return 0;
}
