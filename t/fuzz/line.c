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
	assert(is_inside(line, in.p, in.len) && used <= limit);
	assert(line.len == used - (status == LINE_OK ? 2 : 1));
	assert(memchr(line.p, '\n', line.len) == NULL);
	assert(in.p[used - 1] == '\n');
	assert((status == LINE_OK) == (used > 1 && in.p[used - 2] == '\r'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	size_t limit = 2 + take(&in), step = 1 + take(&in) % 64;
	struct slice a, b;
	size_t used_a, used_b;
	enum line_status status;

	while (in.len > 0) {
		status = cut_in_steps(in, limit, in.len, &a, &used_a);
		assert(cut_in_steps(in, limit, step, &b, &used_b) == status);
		if (status == LINE_MORE)
			break;
		check_line(in, limit, status, a, used_a);
		/* In pieces, the end of a line that is too long may not be
		   there yet. */
		if (status == LINE_TOO_LONG)
			assert(used_b <= used_a);
		else
			assert(used_a == used_b && a.p == b.p &&
			    a.len == b.len);
		in.p += used_a;
		in.len -= used_a;
	}
	return 0;
}
