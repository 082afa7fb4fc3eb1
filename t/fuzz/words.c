/* Whatever a header field holds, UTF-8 comes out; pieces of a text give what
   the whole gives; parameters make names that can be shown. */

#include "filters/words.h"

#include "base/utf8.h"
#include "filters/charset.h"
#include "filters/mime_param.h"
#include "fuzz.h"

static void
check_utf8(const struct buf *b)
{
	size_t i = 0, n;

	assert(!b->failed);
	for (; i < b->len; i += n) {
		n = utf8_length(b->p + i, b->len - i);
		assert(n > 0);
	}
}

static void
on_name(void *arg, struct slice name)
{
	(void)arg;
	assert(name.len > 0 && name.len <= MIME_NAME_MAX);
	assert(is_printable(name.p, name.len));
}

static void
convert(const char *charset, struct input in, size_t step, struct buf *out)
{
	struct charset c;
	size_t n;

	charset_init(&c, SLICE_STR(charset));
	for (size_t i = 0; i < in.len; i += n) {
		n = in.len - i < step ? in.len - i : step;
		charset_convert(&c, in.p + i, n, out);
	}
	charset_fini(&c, out);
}

static void
check_charset(struct input in, unsigned which, size_t step)
{
	static const char *const sets[] = { "", "iso-8859-1", "gb2312",
		"iso-2022-jp", "utf-16", "utf-7", "euc-kr", "big5" };
	struct buf a, b;

	buf_init(&a, 16 * in.len + 100);
	buf_init(&b, 16 * in.len + 100);
	convert(sets[which % 8], in, in.len + 1, &a);
	convert(sets[which % 8], in, step, &b);
	check_utf8(&a);
	assert(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
	buf_fini(&a);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned which = take(&in);
	size_t step = 1 + take(&in) % 16;
	struct slice s = SLICE(in.p, in.len);
	struct buf out;

	buf_init(&out, 16 * in.len + 100);
	words_decode(s, &out);
	check_utf8(&out);
	buf_reset(&out);
	if (mime_param(s, "boundary", &out))
		check_utf8(&out);
	buf_fini(&out);
	mime_names(s, "filename", on_name, NULL);
	check_charset(in, which, step);
	return 0;
}
