/* Lines that come in pieces are the lines that come at once. */

#include "smtp/line.h"

#include "fuzz.h"

/* Where the first line of p[0..len) ends when step octets come at a time. */
static enum line_status
cut_in_steps(struct input in, size_t limit, size_t step, struct slice *line,
    size_t *used)
{
	enum line_status status = LINE_MORE;
	size_t scanned = 0, here = 0;

	while (here < in.len && status == LINE_MORE) {
		here = in.len - here < step ? in.len : here + step;
		status = line_cut(in.p, here, limit, &scanned, line, used);
	}
	return status;
}

static void
check_line(struct input in, size_t limit, enum line_status status,
    struct slice line, size_t used)
{
	assert(used > 0 && used <= in.len);
	if (status == LINE_TOO_LONG)
		return;
	assert(is_inside(line, in.p, in.len));
	assert(used <= limit || status == LINE_BARE_LF);
	assert(line.len == used - (status == LINE_OK ? 2 : 1));
	assert(memchr(line.p, '\n', line.len) == NULL);
	assert(in.p[used - 1] == '\n');
	assert((status == LINE_OK) == (used > 1 && in.p[used - 2] == '\r'));
}

/* In pieces, a line that is too long is too long before its end comes. */
static void
check_same(enum line_status a, enum line_status b, size_t used_a,
    size_t used_b, size_t limit)
{
	if (a == LINE_TOO_LONG || (a == LINE_BARE_LF && used_a > limit))
		assert((b == a || b == LINE_TOO_LONG) && used_b <= used_a);
	else
		assert(a == b && (a == LINE_MORE || used_a == used_b));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	size_t limit = 2 + take(&in), step = 1 + take(&in) % 64;
	struct slice line, other;
	size_t used, used_other;
	enum line_status status, in_steps;

	while (in.len > 0) {
		status = cut_in_steps(in, limit, in.len, &line, &used);
		in_steps = cut_in_steps(in, limit, step, &other, &used_other);
		check_same(status, in_steps, used, used_other, limit);
		if (status == LINE_MORE)
			break;
		check_line(in, limit, status, line, used);
		in.p += used;
		in.len -= used;
	}
	return 0;
}
