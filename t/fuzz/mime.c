/* A message in pieces has the parts that it has at once; what begins ends, and
   names and types are fit to be shown. */

#include "filters/mime.h"

#include "fuzz.h"

/* What was seen: a sum over all content and facts of each part, which pieces
   do not change. */
struct seen {
	uint64_t	 sum;
	unsigned	 nparts, nopen;
};

static uint64_t
mix(uint64_t h, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return h;
}

static void
on_begin(void *arg, struct mime_part *p)
{
	struct seen *s = arg;
	uint64_t *hash;

	assert(p->number == ++s->nparts);
	assert(p->type[0] != '\0' && strchr(p->type, '/') != NULL);
	s->sum += mix(p->number, p->type, strlen(p->type));
	for (size_t i = 0; i < p->nnames; i++) {
		assert(p->names[i].len > 0);
		assert(is_printable(p->names[i].p, p->names[i].len));
		s->sum += mix(i, p->names[i].p, p->names[i].len);
	}
	if (p->has_parts)
		return;
	hash = malloc(sizeof(*hash));
	*hash = p->number;
	p->user = hash;
	s->nopen++;
}

static void
on_data(void *arg, struct mime_part *p, const char *in, size_t len)
{
	uint64_t *hash = p->user;

	(void)arg;
	assert(len > 0);
	if (p->number > 0)
		*hash = mix(*hash, in, len);
}

static void
on_end(void *arg, struct mime_part *p)
{
	struct seen *s = arg;

	s->sum += *(uint64_t *)p->user;
	s->nopen--;
	free(p->user);
}

static struct seen
scan(struct input in, unsigned kind, size_t step, unsigned *errors)
{
	static const struct mime_handler h = { on_begin, on_data, on_end };
	static const struct mime_limits limits = {
		.depth = 6, .parts = 30, .header = 500, .decoded = 1500
	};
	static const char *const types[] = {
		"multipart/mixed; boundary=x", "message/rfc822", "text/plain",
		"multipart/digest"
	};
	struct seen s = { .nparts = 0 };
	struct mime *m = mime_new(&limits, &h, &s);
	size_t n;

	mime_header(m, SLICE_STR("Content-Type"), SLICE_STR(types[kind % 4]));
	if (kind & 4)
		mime_header(m, SLICE_STR("Content-Transfer-Encoding"),
		    SLICE_STR("base64"));
	for (size_t i = 0; i < in.len; i += n) {
		n = in.len - i < step ? in.len - i : step;
		mime_body(m, in.p + i, n);
	}
	mime_end(m);
	assert(s.nopen == 0 && s.nparts <= limits.parts);
	*errors = mime_errors(m);
	mime_free(&m);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned kind = take(&in), errors, other;
	size_t step = 1 + take(&in) % 64;
	struct seen a = scan(in, kind, in.len + 1, &errors);
	struct seen b = scan(in, kind, step, &other);

	assert(a.nparts == b.nparts && errors == other);
	assert(errors & MIME_TOO_BIG || a.sum == b.sum);
	return 0;
}
