/* XCLIENT: nothing a client names can become a command to the backend. */

#include "smtp/xclient.h"

#include "fuzz.h"
#include "smtp/xtext.h"

static void
check_lines(const struct buf *out, const char *verb, int lines)
{
	const char *p = out->p, *end = out->p + out->len, *lf;
	int n = 0;

	assert(!out->failed);
	for (; p < end; p = lf + 1, n++) {
		lf = memchr(p, '\n', (size_t)(end - p));
		assert(lf != NULL && lf > p && lf[-1] == '\r');
		assert(lf - p + 1 <= XCLIENT_LINE_MAX);
		assert(is_printable(p, (size_t)(lf - p - 1)));
		assert(strncmp(p, verb, strlen(verb)) == 0);
	}
	assert(n == lines);
}

static void
check_format(const struct xclient *x, const char *verb, unsigned offered)
{
	struct buf out;
	int lines;

	buf_init(&out, 16384);
	lines = xclient_format(&out, verb, offered, x);
	check_lines(&out, verb, lines);
	buf_fini(&out);
}

static void
check_xtext(struct input in)
{
	struct buf encoded, decoded;

	buf_init(&encoded, 3 * in.len);
	buf_init(&decoded, in.len);
	xtext_encode(&encoded, in.p, in.len);
	assert(!encoded.failed);
	if (memchr(in.p, '\0', in.len) == NULL)
		assert(xtext_is_valid(encoded.p, encoded.len));
	if (is_printable(in.p, in.len)) {
		assert(xtext_decode(&decoded, encoded.p, encoded.len) == 0);
		assert(decoded.len == in.len &&
		    memcmp(decoded.p, in.p, in.len) == 0);
	}
	buf_reset(&decoded);
	if (xtext_decode(&decoded, in.p, in.len) == 0)
		assert(is_printable(decoded.p, decoded.len));
	buf_fini(&encoded);
	buf_fini(&decoded);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { (const char *)data, size };
	unsigned offered = take32(&in) % (1u << XATTRS);
	struct xclient x = { .name = "before.example" }, before = x;
	struct buf store;
	const char *why = NULL;
	char *text;

	buf_init(&store, 8192);
	if (xclient_parse(&x, SLICE(in.p, in.len), &store, &why) == 0) {
		check_format(&x, "XCLIENT", offered);
		check_format(&x, "XFORWARD", offered);
	} else {
		assert(why != NULL);
		assert(x.name == before.name && x.helo == NULL &&
		    x.login == NULL && x.addr.family == 0);
	}
	buf_fini(&store);

	/* The names may come from DNS and EHLO as well. */
	text = strndup(in.p, in.len);
	x = (struct xclient){ .name = text, .reverse_name = text,
	    .helo = text, .proto = "ESMTP", .login = text };
	check_format(&x, "XCLIENT", offered);
	check_format(&x, "XFORWARD", offered);
	free(text);
	check_xtext(in);
	return 0;
}
