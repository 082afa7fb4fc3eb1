/* A reply of the next MTA, in pieces, and what the client gets of it. */

#include "smtp/reply.h"

#include "fuzz.h"

/* Feed in step octets at a time, keeping what was not consumed. */
static enum reply_status
parse(struct reply *r, struct input in, size_t step, size_t *total)
{
	enum reply_status status = REPLY_MORE;
	size_t here = 0, used;
	const char *why = NULL;

	*total = 0;
	while (here < in.len && status == REPLY_MORE) {
		here = in.len - here < step ? in.len : here + step;
		used = 0;
		status = reply_parse(r, in.p + *total, here - *total, &used,
		    &why);
		assert(used <= here - *total);
		*total += used;
		assert(status != REPLY_BAD || why != NULL);
	}
	return status;
}

/* Every line is short, has the code, and only the last one has no hyphen. */
static void
check_lines(const struct buf *out, int code)
{
	const char *p = out->p, *end = out->p + out->len, *lf;

	assert(!out->failed && out->len > 0);
	for (; p < end; p = lf + 1) {
		lf = memchr(p, '\n', (size_t)(end - p));
		assert(lf != NULL && lf - p >= 4);
		/* A challenge must not be cut. */
		assert(lf - p <= 511 || code == 334);
		assert(lf[-1] == '\r' && is_printable(p, (size_t)(lf - p - 1)));
		assert((p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0' ==
		    code);
		assert(p[3] == (lf + 1 == end ? ' ' : '-'));
	}
}

static void
check_format(const struct reply *r, bool bare)
{
	struct reply again;
	struct buf out;
	size_t used;

	buf_init(&out, 1 << 20);
	reply_init(&again);
	reply_format(r, bare, &out);
	check_lines(&out, r->code);
	if (parse(&again, (struct input){ out.p, out.len }, out.len, &used) ==
	    REPLY_DONE)
		assert(again.code == r->code && used == out.len);
	reply_fini(&again);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	size_t step = 1 + take(&in) % 64, used_a, used_b;
	struct reply a, b;
	enum reply_status status;

	reply_init(&a);
	reply_init(&b);
	status = parse(&a, in, in.len, &used_a);
	assert(parse(&b, in, step, &used_b) == status);
	if (status == REPLY_DONE) {
		assert(used_a == used_b && a.code == b.code &&
		    a.lines == b.lines && strcmp(a.text.p, b.text.p) == 0);
		assert(strlen(a.text.p) == a.text.len);
		assert(a.code >= 200 && a.code <= 599);
		check_format(&a, false);
		check_format(&a, true);
	}
	reply_fini(&a);
	reply_fini(&b);
	return 0;
}
