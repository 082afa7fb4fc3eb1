/* What rules read of a message: only what some rule wants, and within limits
   that are facts. */

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "filters/header.h"
#include "filters/magic_type.h"
#include "filters/policy_content.h"
#include "tap.h"

static struct rules_state *state;

static struct rules *
load(const char *policy)
{
	struct rules *r = rules_load_text("p", policy, strlen(policy), NULL,
	    stderr);

	assert(r != NULL);
	return r;
}

static unsigned
wants_of(const char *policy)
{
	struct rules *r = load(policy);
	unsigned wants = content_wants(r);

	rules_free(&r);
	return wants;
}

static unsigned
wants_field(const char *condition)
{
	char policy[200];

	snprintf(policy, sizeof(policy), "at eom\n reject if %s\n", condition);
	return wants_of(policy);
}

static void
feed(struct content *c, const char *in, size_t len)
{
	struct header_parser hp;
	struct slice rest;
	struct header h;
	size_t used = 0, i = 0, n;

	content_octets(c, in, len);
	header_init(&hp);
	while (header_parse(&hp, in + i, len - i, &used, &h, &rest) ==
	    HEADER_FIELD) {
		content_header(c, &h);
		i += used;
	}
	for (i += used; i < len; i += n) {
		n = len - i < 1000 ? len - i : 1000;
		content_body(c, in + i, n);
	}
	content_end(c);
	content_work(c);
	header_fini(&hp);
}

static struct rules_value
value_of(const struct content *c, enum rules_field f)
{
	struct rules_value v;

	memset(&v, 0, sizeof(v));
	v.type = rules_field_type(f);
	content_field(c, state, f, &v);
	return v;
}

static bool
has_error(const struct content *c, const char *error)
{
	struct rules_value v = value_of(c, FIELD_MIME_ERRORS);
	size_t i;

	for (i = 0; i < v.list.n; i++)
		if (slice_is(v.list.v[i], error))
			return true;
	return false;
}

static void
check_wants(void)
{
	is_int(wants_of("at header\n reject if header.name is \"X\"\n"), 0,
	    "no rule reads content: nothing is looked at");
	is_int(wants_field("header(\"Subject\") is \"x\""), 0,
	    "the header is no content");
	ok(wants_field("any part.type is \"x/y\"") != 0, "types are");
	ok(wants_field("any part.sha256 is \"x\"") !=
	    wants_field("any part.size > 1"), "a digest only if it is read");
	ok(content_wants_magic(wants_field("any part.magic is \"x\"")),
	    "libmagic if it is read");
	ok(!content_wants_magic(wants_field("part.is_encrypted")),
	    "and not otherwise");
}

static const char message[] =
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    "--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n6Q==\r\n"
    "--x\r\nContent-Type: application/x; name=a\r\n\r\nabc\r\n--x--\r\n";

static void
check_values(void)
{
	unsigned wants = wants_field("body is \"\" or any part.sha256 is \"\"");
	struct content *c = content_new(wants, NULL);
	struct rules_value v;

	feed(c, message, sizeof(message) - 1);
	v = value_of(c, FIELD_BODY);
	ok(v.text.len == 3 && memcmp(v.text.p, "\xc3\xa9\n", 3) == 0,
	    "text is UTF-8");
	v = value_of(c, FIELD_PART_SHA256);
	is_int((long long)v.list.n, 2, "two parts have content");
	ok(slice_is(v.list.v[1], "ba7816bf8f01cfea414140de5dae2223"
	    "b00361a396177a9cb410ff61f20015ad"), "the digest of abc");
	v = value_of(c, FIELD_PART_SIZE);
	ok(v.list.n == 2 && v.list.numbers[0] == 1 && v.list.numbers[1] == 3,
	    "sizes are those of what was encoded");
	is_int((long long)value_of(c, FIELD_PART_TYPE).list.n, 3,
	    "three have a type");
	is_int((long long)value_of(c, FIELD_HTML).text.len, 0,
	    "nobody wants HTML");
	content_free(&c);
	c = content_new(wants, NULL);
	content_body(c, "begin 644 a\r\n#", 14);
	content_free(&c);
	ok(c == NULL, "half a message can be thrown away");
}

static void
check_limits(void)
{
	unsigned wants = wants_field("body is \"\" or full is \"\" or "
	    "raw_body is \"\" or links or part.filename or mime.errors");
	struct content *c = content_new(wants, NULL);
	struct buf in;
	unsigned i;

	buf_init(&in, 8 << 20);
	buf_adds(&in, "A: b\r\n\r\n");
	for (i = 0; i < 300000; i++)
		buf_adds(&in, "www.a\r\n");
	feed(c, in.p, in.len);
	ok(has_error(c, "long-text"), "a long text is one");
	is_int((long long)value_of(c, FIELD_RAW_BODY).text.len,
	    (long long)CONTENT_TEXT_MAX, "… and is cut");
	is_int((long long)value_of(c, FIELD_FULL).text.len,
	    (long long)CONTENT_TEXT_MAX, "… with the header");
	ok(value_of(c, FIELD_BODY).text.len < CONTENT_TEXT_MAX + 65536,
	    "… decoded as well");
	ok(has_error(c, "too-many-links"), "too many links");
	is_int((long long)value_of(c, FIELD_LINKS).list.n, CONTENT_LINKS_MAX,
	    "… some of them");
	content_free(&c);

	c = content_new(wants, NULL);
	buf_reset(&in);
	buf_adds(&in, "Content-Type: multipart/mixed; boundary=x\r\n\r\n");
	for (i = 0; i < 900 * 12; i++)
		buf_addf(&in, i % 12 == 0 ? "\r\n--x\r\nContent-Type: a/b; "
		    "name=%u\r\n" : "Content-Type: a/b; name=%u\r\n", i);
	feed(c, in.p, in.len);
	ok(has_error(c, "too-many-names"), "too many names");
	is_int((long long)value_of(c, FIELD_PART_FILENAME).list.n,
	    CONTENT_NAMES_MAX, "… some of them");
	content_free(&c);

	c = content_new(wants, NULL);
	buf_reset(&in);
	buf_adds(&in, "Content-Type: a/b; name=a.zip\r\n\r\nPK\003\004");
	feed(c, in.p, in.len);
	ok(has_error(c, "bad-archive"), "no archive");
	content_free(&c);
	buf_fini(&in);
}

static void
check_type(struct magic_type *m, struct slice octets, const char *type)
{
	char *got = magic_type_of(m, octets.p, octets.len);

	is_str(got, type, type);
	free(got);
}

static void
check_magic(void)
{
	static const char exe[64] = "MZ\x90";
	static const char parts[] = "--x\r\n\r\na text\r\n--x\r\n"
	    "Content-Type: image/png\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n"
	    "TVqQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
	    "--x--\r\n";
	const struct header h = {
		.name = SLICE_STR("Content-Type"),
		.value = SLICE_STR("multipart/mixed; boundary=x"),
	};
	char *why = NULL;
	struct magic_type *m = magic_type_new(&why);
	struct content *c;
	struct rules_value v;

	if (!ok(m != NULL, "libmagic has its data")) {
		free(why);
		return;
	}
	check_type(m, SLICE("%PDF-1.4\n", 9), "application/pdf");
	check_type(m, SLICE("", 0), "application/x-empty");
	check_type(m, SLICE(exe, sizeof(exe)), "application/x-dosexec");
	check_type(m, SLICE("<html><body>x", 13), "text/html");
	check_type(m, SLICE("#!/bin/sh\n:\n", 12), "text/x-shellscript");
	c = content_new(wants_field("any part.magic is \"x\""), m);
	content_header(c, &h);
	content_body(c, parts, sizeof(parts) - 1);
	content_end(c);
	ok(content_is_long(c), "is for a thread");
	content_work(c);
	v = value_of(c, FIELD_PART_MAGIC);
	ok(v.list.n == 2 && slice_is(v.list.v[0], "text/plain") &&
	    slice_is(v.list.v[1], "application/x-dosexec"),
	    "whatever it says it is");
	content_free(&c);
	c = content_new(wants_field("any part.magic is \"x\""), m);
	content_body(c, "x\r\n", 3);
	content_end(c);
	content_free(&c);
	ok(c == NULL, "nobody has to look");
	magic_type_free(&m);
}

static void
check_manual(void)
{
	static char manual[100000];
	FILE *in = fopen("contrib/man/vratar-policy.5", "r");
	char item[100];
	unsigned i;

	assert(in != NULL);
	fread(manual, 1, sizeof(manual) - 1, in);
	fclose(in);
	for (i = 0; content_error_name(i) != NULL; i++) {
		snprintf(item, sizeof(item), "\n.It Cm %s\n",
		    content_error_name(i));
		ok(strstr(manual, item) != NULL, "vratar-policy(5) has %s",
		    content_error_name(i));
	}
}

int
main(void)
{
	struct rules *r = load("at eom\n accept\n");

	state = rules_state_new(r);
	check_wants();
	check_values();
	check_limits();
	check_magic();
	check_manual();
	rules_state_free(&state);
	rules_free(&r);
	return tap_done();
}
