/* The chunked transfer coding: the same for every split. */

#include "filters/chunked.h"

#include "fuzz.h"

struct decoded {
	char			*out;		/* ours */
	size_t			 len, used;
	enum chunked_status	 status;
};

/* Each piece in memory of its own size, so that ASan sees one octet too far. */
static void
decode(struct decoded *r, struct input in, size_t step)
{
	struct chunked c = { 0 };
	struct slice data;
	size_t n, used;
	char *piece;

	*r = (struct decoded){ .out = malloc(in.len + 1) };
	while (r->used < in.len && r->status < CHUNKED_END) {
		n = in.len - r->used < step ? in.len - r->used : step;
		piece = malloc(n);
		memcpy(piece, in.p + r->used, n);
		r->status = chunked_decode(&c, piece, n, &used, &data);
		assert(used <= n && (used > 0 || r->status == CHUNKED_BAD));
		if (r->status == CHUNKED_DATA) {
			assert(data.len > 0 && data.len <= used);
			memcpy(r->out + r->len, data.p, data.len);
			r->len += data.len;
		}
		r->used += used;
		free(piece);
	}
	/* What a piece ends with is no difference. */
	if (r->status == CHUNKED_DATA)
		r->status = CHUNKED_MORE;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	struct decoded whole, cut;
	size_t step = 1 + take(&in) % 16;

	decode(&whole, in, in.len + 1);
	decode(&cut, in, step);
	assert(whole.status == cut.status);
	assert(whole.len == cut.len && whole.used == cut.used);
	assert(memcmp(whole.out, cut.out, whole.len) == 0);
	free(whole.out);
	free(cut.out);
	return 0;
}
