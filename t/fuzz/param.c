/* ESMTP parameters: what was accepted is so again, and travels as one line. */

#include "smtp/param.h"

#include "fuzz.h"

static void
check_forward(struct slice text, unsigned backend_bits)
{
	struct ext_set backend = { .bits = backend_bits };
	struct buf out;
	unsigned missing;

	buf_init(&out, 8192);
	missing = params_forward(&out, text, &backend);
	assert((missing & backend_bits) == 0);
	assert(is_printable(out.p, out.len));
	if (missing == 0 && out.len > 0)
		assert(out.p[0] == ' ' && out.len <= text.len + 1);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	enum param_where where = take(&in) & 1 ? PARAM_MAIL : PARAM_RCPT;
	struct ext_set offered = { .bits = take32(&in) };
	unsigned backend = take32(&in);
	struct params a, b;
	const char *reply = NULL;

	if (params_parse(&a, where, SLICE(in.p, in.len), &offered,
	    &reply) < 0) {
		assert(reply != NULL && reply[0] == '5');
		return 0;
	}
	assert(is_inside(a.text, in.p, in.len));
	assert(params_parse(&b, where, a.text, &offered, &reply) == 0);
	assert(a.present == b.present && a.size == b.size && a.body == b.body &&
	    a.text.len == b.text.len);
	check_forward(a.text, backend);
	if (a.present != 0)
		assert(params_parse(&b, where, a.text, NULL, &reply) < 0);
	return 0;
}
