/* Parts of messages: valid and malformed, the same for any split, and no more
   than the limits allow. */

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "filters/header.h"
#include "filters/mime.h"
#include "tap.h"

/*
 * want: for each part "NUMBER type{names}" with "(" and the content and ")"
 * if it has any; "~" is CR LF. Text around parts is "<…>" behind all.
 */
#define B(s)	"Content-Type: multipart/mixed; boundary=" s "\r\n\r\n"

static const struct {
	const char	*name, *in, *want;
	unsigned	 errors;
} cases[] = {
	{ "no header, no body", "", "1 text/plain()", 0 },
	{ "a text", "Subject: x\r\n\r\nhello\r\n", "1 text/plain(hello~)", 0 },
	{ "no line end", "A: b\r\n\r\nhello", "1 text/plain(hello)", 0 },
	{ "HTML in base64", "Content-Type: TEXT/html\r\n"
	    "Content-Transfer-Encoding: Base64\r\n\r\naGVs\r\nbG8\r\n",
	    "1 text/html(hello)", 0 },
	{ "quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n"
	    "\r\na=\r\nb=3D \r\n", "1 text/plain(ab=~)", 0 },
	{ "two parts", B("x") "--x\r\n\r\na\r\n--x\r\n"
	    "Content-Type: text/html\r\n\r\nb\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/plain(a) 3 text/html(b)", 0 },
	{ "around the parts", B("x") "pre\r\n--x\r\n\r\na\r\n--x--\r\npost",
	    "1 multipart/mixed 2 text/plain(a) <prepost>", 0 },
	{ "an empty part", B("x") "--x\r\n\r\n--x\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/plain() 3 text/plain()", 0 },
	{ "a part that is empty lines", B("x") "--x\r\n\r\n\r\n\r\n--x--",
	    "1 multipart/mixed 2 text/plain(~)", 0 },
	{ "LF only", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n"
	    "--x--\n", "1 multipart/mixed 2 text/plain(a)", 0 },
	{ "spaces behind a boundary", B("x") "--x \t\r\n\r\na\r\n--x-- \r\n",
	    "1 multipart/mixed 2 text/plain(a)", 0 },
	{ "what only begins like a boundary", B("x") "--x\r\n\r\n--xy\r\n-\r\n"
	    "--\r\n--x-\r\n-x\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/plain(--xy~-~--~--x-~-x)", 0 },
	{ "… or like the last", B("x") "--x\r\n\r\na\r\n--x--y\r\n--x---\r\n"
	    "--x--", "1 multipart/mixed 2 text/plain(a~--x--y~--x---)", 0 },
	{ "a boundary inside a line", B("x") "--x\r\n\r\na--x\r\n --x\r\n--x--",
	    "1 multipart/mixed 2 text/plain(a--x~ --x)", 0 },
	{ "a CR in front of a boundary", B("x") "--x\r\n\r\na\r\r\n--x--",
	    "1 multipart/mixed 2 text/plain(a\r)", 0 },
	{ "CR CR LF in the middle", B("x") "--x\r\n\r\na\r\r\nb\r\n--x--",
	    "1 multipart/mixed 2 text/plain(a\r~b)", 0 },
	{ "no end", B("x") "--x\r\n\r\na\r\n",
	    "1 multipart/mixed 2 text/plain(a~)", MIME_NO_END },
	{ "ends with a boundary", B("x") "--x\r\n\r\na\r\n--x",
	    "1 multipart/mixed 2 text/plain(a)", MIME_NO_END },
	{ "ends in a header", B("x") "--x\r\nContent-Type: text/x",
	    "1 multipart/mixed 2 text/x()", MIME_NO_END },
	{ "no part", B("x") "hello\r\n", "1 multipart/mixed <hello~>",
	    MIME_NO_END },
	{ "behind the end", B("x") "--x\r\n\r\na\r\n--x--\r\n--x\r\n\r\nb\r\n"
	    "--x--\r\n", "1 multipart/mixed 2 text/plain(a) "
	    "3 text/plain(b)", MIME_AFTER_END },
	{ "a multipart in a multipart", B("x") "--x\r\n" B("y")
	    "--y\r\n\r\na\r\n--y--\r\n--x\r\n\r\nb\r\n--x--\r\n",
	    "1 multipart/mixed 2 multipart/mixed 3 text/plain(a) "
	    "4 text/plain(b)", 0 },
	{ "… without its end", B("x") "--x\r\n" B("y")
	    "--y\r\n\r\na\r\n--x\r\n\r\nb\r\n--x--\r\n",
	    "1 multipart/mixed 2 multipart/mixed 3 text/plain(a) "
	    "4 text/plain(b)", MIME_NO_END },
	{ "… with a boundary that begins like the other", B("x") "--x\r\n"
	    B("xx") "--xx\r\n\r\na\r\n--xx--\r\n--x\r\n\r\nb\r\n--x--\r\n",
	    "1 multipart/mixed 2 multipart/mixed 3 text/plain(a) "
	    "4 text/plain(b)", 0 },
	{ "… with the same boundary", B("x") "--x\r\n" B("x")
	    "--x\r\n\r\na\r\n--x--\r\n--x\r\n\r\nb\r\n--x--\r\n",
	    "1 multipart/mixed 2 multipart/mixed 3 text/plain(a) "
	    "4 text/plain(b)", MIME_SAME_BOUNDARY },
	{ "… whose boundary is an end of the other", B("x") "--x\r\n" B("x--")
	    "--x--\r\n\r\na\r\n--x----\r\n--x--\r\n",
	    "1 multipart/mixed 2 multipart/mixed 3 text/plain(a)", 0 },
	{ "an attached message", B("x") "--x\r\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n"
	    "Content-Type: text/html\r\n\r\na\r\n--x--\r\n",
	    "1 multipart/mixed 2 message/rfc822 3 text/html(a)", 0 },
	{ "an attached message as the message",
	    "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\na\r\n",
	    "1 message/rfc822 2 text/plain(a~)", 0 },
	{ "an attached message with parts", B("x") "--x\r\n"
	    "Content-Type: message/rfc822\r\n\r\n" B("y")
	    "--y\r\n\r\na\r\n--y--\r\n--x--\r\n", "1 multipart/mixed "
	    "2 message/rfc822 3 multipart/mixed 4 text/plain(a)", 0 },
	{ "a mailbox line in front of it", B("x") "--x\r\n"
	    "Content-Type: message/rfc822\r\n\r\nFrom a Mon\r\n"
	    "Content-Type: text/html\r\n\r\na\r\n--x--\r\n",
	    "1 multipart/mixed 2 message/rfc822 3 text/html(a)", 0 },
	{ "an attached message in base64", B("x") "--x\r\n"
	    "Content-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n"
	    "Q29udGVudC1UeXBlOiB0ZXh0L2h0bWwNCg0KaGk=\r\n--x--\r\n",
	    "1 multipart/mixed 2 message/rfc822 3 text/html(hi)",
	    MIME_ENCODED_PARTS },
	{ "a multipart in base64", "Content-Type: multipart/mixed; "
	    "boundary=x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "LS14DQoNCmhpDQotLXgtLQ0K\r\n",
	    "1 multipart/mixed 2 text/plain(hi)", MIME_ENCODED_PARTS |
	    MIME_NO_END },
	{ "a multipart that says base64 and is not", "Content-Type: "
	    "multipart/mixed; boundary=x\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n"
	    "--x\r\n\r\nhi\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/plain(hi)", MIME_ENCODED_PARTS },
	{ "a digest", "Content-Type: multipart/digest; boundary=x\r\n\r\n"
	    "--x\r\n\r\nSubject: a\r\n\r\nb\r\n--x--\r\n", "1 multipart/digest "
	    "2 message/rfc822 3 text/plain(b)", 0 },
	{ "quotes around the boundary", "Content-Type: multipart/mixed; "
	    "boundary=\"a b\"\r\n\r\n--a b\r\n\r\nhi\r\n--a b--\r\n",
	    "1 multipart/mixed 2 text/plain(hi)", 0 },
	{ "quotes that do not end", "Content-Type: multipart/mixed; "
	    "boundary=\"x\r\n\r\n--x\r\n\r\nhi\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/plain(hi)", 0 },
	{ "no boundary is named", "Content-Type: multipart/mixed\r\n\r\n"
	    "-- \r\n--x\r\n\r\nhi\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/plain(hi) <-- >", MIME_NO_BOUNDARY },
	{ "no boundary is named and none comes", "Content-Type: "
	    "multipart/mixed\r\n\r\nhi\r\n", "1 multipart/mixed <hi~>",
	    MIME_NO_BOUNDARY | MIME_NO_END },
	{ "no MIME-Version, folded", "Content-Type: multipart/mixed;\r\n"
	    "\tboundary=x\r\n\r\n--x\r\nContent-Type:\r\n text/html;\r\n"
	    " name=a.html\r\n\r\nhi\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/html{a.html}(hi)", 0 },
	{ "two types", "Content-Type: text/plain; name=a\r\n"
	    "Content-Type: text/html; name=b\r\n\r\nhi",
	    "1 text/plain{a,b}(hi)", MIME_DUPLICATE_FIELD },
	{ "two boundaries, and the second comes", "Content-Type: "
	    "multipart/mixed; boundary=a\r\nContent-Type: multipart/x; "
	    "boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--a\r\n--b--\r\n",
	    "1 multipart/mixed 2 text/plain(hi~--a)", MIME_DUPLICATE_FIELD },
	{ "two boundaries, and the first comes", "Content-Type: "
	    "multipart/mixed; boundary=a\r\nContent-Type: multipart/x; "
	    "boundary=b\r\n\r\n--a\r\n\r\nhi\r\n--b\r\n--a--\r\n",
	    "1 multipart/mixed 2 text/plain(hi~--b)", MIME_DUPLICATE_FIELD },
	{ "a text that is a multipart as well", "Content-Type: text/plain\r\n"
	    "Content-Type: multipart/mixed; boundary=a\r\n\r\n"
	    "--a\r\n\r\nhi\r\n--a--\r\n", "1 multipart/mixed "
	    "2 text/plain(hi)", MIME_DUPLICATE_FIELD },
	{ "no type", "Content-Type: text\r\n\r\nhi", "1 text/plain(hi)",
	    MIME_BAD_TYPE },
	{ "an empty type", "Content-Type:\r\n\r\nhi", "1 text/plain(hi)", 0 },
	{ "unknown encoding", "Content-Transfer-Encoding: zip\r\n\r\na=3D",
	    "1 text/plain(a=3D)", MIME_BAD_ENCODING },
	{ "names from all over", B("x") "--x\r\nContent-Type: "
	    "application/octet-stream; name=\"a.txt\"\r\n"
	    "Content-Disposition: attachment; filename*=b%2Eexe\r\n\r\n"
	    "hi\r\n--x--", "1 multipart/mixed 2 application/octet-stream"
	    "{a.txt,b.exe}(hi)", 0 },
	{ "space in front of a colon", B("x") "--x\r\nContent-Type : "
	    "text/html\r\n\r\nhi\r\n--x--", "1 multipart/mixed "
	    "2 text/html(hi)", 0 },
	{ "a header without an empty line", B("x") "--x\r\n"
	    "Content-Type: text/html\r\nhello\r\n\r\nhi\r\n--x--",
	    "1 multipart/mixed 2 text/html(hello~~hi)", MIME_BAD_HEADER },
	{ "a header that is a boundary", B("x") "--x\r\n"
	    "Content-Type: text/html\r\n--x--\r\n",
	    "1 multipart/mixed 2 text/html()", 0 },
	{ "… which could be a field as well", B("\"a: b\"") "--a: b\r\n"
	    "Content-Type: text/html\r\n--a: b--\r\n",
	    "1 multipart/mixed 2 text/html()", 0 },
	{ "a header that ends with its own boundary, which could be a field",
	    "Content-Type: multipart/mixed; boundary=\"a:b\"\r\n--a:b\r\n"
	    "Content-Type: text/html\r\n\r\nhi\r\n--a:b\r\n\r\nho\r\n"
	    "--a:b--\r\n", "1 multipart/mixed 2 text/html(hi) "
	    "3 text/plain(ho)", MIME_BAD_HEADER },
	{ "… with a space", "Content-Type: multipart/mixed; "
	    "boundary=\"X: y\"\r\n--X: y\r\nContent-Type: text/html\r\n"
	    "\r\nhi\r\n--X: y--\r\n", "1 multipart/mixed 2 text/html(hi)",
	    MIME_BAD_HEADER },
	{ "… several times", "Content-Type: multipart/mixed; "
	    "boundary=\"a:b\"\r\n--a:b\r\nContent-Type: text/html\r\n--a:b\r\n"
	    "--a:b--\r\nC: d\r\n\r\nho", "1 multipart/mixed "
	    "2 text/html() 3 text/plain() <ho>", MIME_BAD_HEADER },
	{ "… in a part", B("x") "--x\r\nContent-Type: multipart/mixed; "
	    "boundary=\"a:b\"\r\n--a:b\r\nContent-Type: text/html\r\n\r\nhi"
	    "\r\n--a:b--\r\n--x--", "1 multipart/mixed 2 multipart/mixed "
	    "3 text/html(hi)", MIME_BAD_HEADER },
	{ "… of no multipart", "Content-Type: text/plain; boundary=\"a:b\""
	    "\r\n--a:b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "aGVsbG8=", "1 text/plain(hello)", 0 },
	{ "… before it is its own", "--a:b\r\n" B("\"a:b\"") "--a:b\r\n\r\n"
	    "hi\r\n--a:b--", "1 multipart/mixed 2 text/plain(hi)", 0 },
	{ "a header that begins with a space", B("x") "--x\r\n a: b\r\n--x--",
	    "1 multipart/mixed 2 text/plain( a: b)", MIME_BAD_HEADER },
	{ "uuencode", "A: b\r\n\r\nhi\r\nbegin 644 a.exe\r\n%:&5L;&\\\r\n`\r\n"
	    "end\r\nho\r\n", "1 text/plain(hi~begin 644 a.exe~%:&5L;&\\~`~end~"
	    "ho~) 2 application/octet-stream{a.exe}(hello)", 0 },
	{ "uuencode as an encoding", "Content-Type: application/x; "
	    "name=a\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
	    "begin 644 a.exe\n%:&5L;&\\\n`\nend\n", "1 application/x{a}"
	    "(begin 644 a.exe\n%:&5L;&\\\n`\nend\n) "
	    "2 application/octet-stream{a.exe}(hello)", 0 },
	{ "uuencode without an end", "A: b\r\n\r\nbegin 644 a.exe\n%:&5L;&\\\n",
	    "1 text/plain(begin 644 a.exe\n%:&5L;&\\\n) "
	    "2 application/octet-stream{a.exe}(hello)", 0 },
	{ "the word begin", "A: b\r\n\r\nbegin 644\r\nbegin 1 x\r\n",
	    "1 text/plain(begin 644~begin 1 x~)", 0 },
};

#define PARTS	64

/* What comes out, by number; [0] is the text around parts. */
struct seen {
	struct buf	 parts[PARTS];
	unsigned	 nparts, nopen;
};

static void
add_visibly(struct buf *out, const struct buf *in)
{
	size_t i;

	for (i = 0; i < in->len; i++)
		if (in->p[i] == '\r' && in->p[i + 1] == '\n') {
			buf_addc(out, '~');
			i++;
		} else
			buf_addc(out, in->p[i]);
}

static void
on_begin(void *arg, struct mime_part *p)
{
	struct seen *s = arg;
	struct buf *b = &s->parts[p->number];
	size_t i;

	assert(p->number == s->nparts + 1 && p->number < PARTS);
	s->nparts++;
	buf_addf(b, "%u %s", p->number, p->type);
	for (i = 0; i < p->nnames; i++)
		buf_addf(b, "%s%.*s", i ? "," : "{", (int)p->names[i].len,
		    p->names[i].p);
	if (p->nnames > 0)
		buf_addc(b, '}');
	if (p->has_parts)
		return;
	buf_addc(b, '(');
	s->nopen++;
	p->user = b;
}

static void
on_data(void *arg, struct mime_part *p, const char *in, size_t len)
{
	struct seen *s = arg;

	assert(p->number == 0 || p->user == &s->parts[p->number]);
	buf_add(&s->parts[p->number], in, len);
}

static void
on_end(void *arg, struct mime_part *p)
{
	struct seen *s = arg;

	buf_addc(p->user, ')');
	s->nopen--;
}

static void
add_all(const struct seen *s, struct buf *out)
{
	unsigned i;

	for (i = 1; i <= s->nparts; i++) {
		if (i > 1)
			buf_addc(out, ' ');
		add_visibly(out, &s->parts[i]);
	}
	if (s->parts[0].len == 0)
		return;
	buf_adds(out, " <");
	add_visibly(out, &s->parts[0]);
	buf_addc(out, '>');
}

static const struct mime_handler handler = { on_begin, on_data, on_end };

/* Feed a whole message, piece by piece (0: of random sizes). */
static unsigned
scan(const struct mime_limits *limits, const char *in, size_t len,
    size_t piece, struct buf *out)
{
	struct seen s = { .nparts = 0 };
	struct mime *m = mime_new(limits, &handler, &s);
	struct header_parser hp;
	enum header_status st;
	struct slice rest;
	struct header h;
	size_t used = 0, n, i;
	unsigned errors;

	for (i = 0; i < PARTS; i++)
		buf_init(&s.parts[i], (size_t)1 << 20);
	header_init(&hp);
	for (i = 0;; i += used) {
		st = header_parse(&hp, in + i, len - i, &used, &h, &rest);
		if (st == HEADER_MORE)
			st = header_finish(&hp, &h, &rest);
		if (st != HEADER_FIELD)
			break;
		mime_header(m, h.name, h.value);
	}
	if (st == HEADER_END && rest.len > 0)
		mime_body(m, rest.p, rest.len);
	for (i += used; i < len; i += n) {
		n = piece > 0 ? piece : 1 + (size_t)rand() % 40;
		if (n > len - i)
			n = len - i;
		mime_body(m, in + i, n);
	}
	mime_end(m);
	errors = mime_errors(m);
	if (out != NULL)
		add_all(&s, out);
	assert(s.nopen == 0);
	mime_free(&m);
	header_fini(&hp);
	for (i = 0; i < PARTS; i++)
		buf_fini(&s.parts[i]);
	return errors;
}

/* A boundary may have a NUL, and then no C string is it. */
static void
check_nul(void)
{
	static const struct mime_limits limits = MIME_LIMITS;
	static const char in[] = "Content-Type: multipart/mixed; "
	    "boundary=\"a\0b\"\r\n\r\n--a\0b\r\n\r\nhi\r\n--a\r\n--a\0c\r\n"
	    "--a\0b--\r\n";
	struct buf out;

	buf_init(&out, 1000);
	is_int(scan(&limits, in, sizeof(in) - 1, 7, &out), 0, "NUL");
	ok(out.len == 44 && memcmp(out.p, "1 multipart/mixed "
	    "2 text/plain(hi~--a~--a\0c)", 44) == 0, "… in a boundary");
	buf_fini(&out);
}

static void
check_cases(void)
{
	static const struct mime_limits limits = MIME_LIMITS;
	static const size_t pieces[] = { 1, 2, 7, 64, 100000, 0 };
	struct buf out;
	unsigned errors;
	size_t i, j;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			buf_init(&out, 10000);
			errors = scan(&limits, cases[i].in,
			    strlen(cases[i].in), pieces[j], &out);
			is_str(out.p, cases[i].want, cases[i].name);
			is_int(errors, cases[i].errors, "… and its errors");
			buf_fini(&out);
		}
}

/* Limits */

static void
repeat(struct buf *b, const char *s, unsigned n)
{
	while (n-- > 0)
		buf_adds(b, s);
}

static void
check_limits(void)
{
	struct mime_limits limits = MIME_LIMITS;
	struct buf in, out;
	unsigned i;

	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	for (i = 0; i < 100; i++)
		buf_addf(&in, B("b%u") "--b%u\r\n", i, i);
	buf_adds(&in, "\r\nhi");
	is_int(scan(&limits, in.p, in.len, 0, &out), MIME_TOO_DEEP |
	    MIME_NO_END, "too deep");
	ok(strstr(out.p, "21 multipart/mixed(--b20~Content-Type") != NULL,
	    "… what is deeper is content");

	buf_reset(&in);
	for (i = 0; i < 100; i++)
		buf_adds(&in, "Content-Type: message/rfc822\r\n\r\n");
	is_int(scan(&limits, in.p, in.len, 0, NULL), MIME_TOO_DEEP,
	    "messages in messages");

	buf_reset(&in);
	buf_reset(&out);
	buf_adds(&in, B("x"));
	repeat(&in, "--x\r\n\r\na\r\n", 2000);
	limits.parts = 10;
	is_int(scan(&limits, in.p, in.len, 0, &out), MIME_TOO_MANY_PARTS |
	    MIME_NO_END, "too many parts");
	ok(strstr(out.p, "10 text/plain(a)") != NULL &&
	    strstr(out.p, "11 ") == NULL, "… as many as are allowed");
	limits.parts = 1;
	is_int(scan(&limits, "A: b\r\n\r\nbegin 644 a\n#:&5L\nend\n", 30, 3,
	    NULL), MIME_TOO_MANY_PARTS, "a uuencoded one too many");
	limits.parts = 1000;

	buf_reset(&in);
	buf_reset(&out);
	buf_adds(&in, "A: b\r\n\r\n");
	repeat(&in, "x", 1000);
	limits.decoded = 100;
	is_int(scan(&limits, in.p, in.len, 0, &out), MIME_TOO_BIG, "too big");
	is_int((long long)out.len, 114, "… as much as is allowed");
	limits.decoded = 1 << 20;

	buf_reset(&in);
	buf_reset(&out);
	buf_adds(&in, B("x") "--x\r\nContent-Type: text/html;");
	repeat(&in, " a=b\r\n", 20000);
	buf_adds(&in, "Content-Disposition: x; filename=a\r\n\r\nhi\r\n--x--");
	is_int(scan(&limits, in.p, in.len, 0, &out), MIME_LONG_HEADER,
	    "a header too long");
	ok(strstr(out.p, "2 text/html(hi)") != NULL, "… goes on behind it");

	buf_reset(&in);
	buf_reset(&out);
	buf_adds(&in, B("x") "--x\r\n");
	repeat(&in, "xxxxxxxxxx", 3000);
	buf_adds(&in, "\r\n--x--");
	is_int(scan(&limits, in.p, in.len, 0, &out), MIME_BAD_HEADER,
	    "a long line that is no header");
	is_int((long long)out.len, 30000 + 32, "… is content, all of it");
	buf_fini(&in);
	buf_fini(&out);
}

/* A line that might be a boundary is kept until that is known, and what comes
   out is all of it; of a long boundary its beginning counts. */
static void
check_long_lines(void)
{
	static const struct mime_limits limits = MIME_LIMITS;
	static const unsigned lens[] = { 990, 1197, 1198, 1199, 5000, 40000 };
	struct buf in, out;
	size_t i;

	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		buf_reset(&in);
		buf_reset(&out);
		buf_adds(&in, B("x") "--x\r\n\r\n--");
		repeat(&in, "y", lens[i]);
		buf_adds(&in, "\r\n--x--");
		is_int(scan(&limits, in.p, in.len, 0, &out), 0,
		    "a long line that begins as a boundary does");
		is_int((long long)out.len, 34 + lens[i],
		    "… is content, all of it");
	}
	buf_reset(&in);
	buf_reset(&out);
	buf_adds(&in, "Content-Type: multipart/mixed; boundary=\"");
	repeat(&in, "y", MIME_BOUNDARY_MAX + 100);
	buf_adds(&in, "\"\r\n\r\n--");
	repeat(&in, "y", MIME_BOUNDARY_MAX + 100);
	buf_adds(&in, "\r\n\r\nhi");
	is_int(scan(&limits, in.p, in.len, 0, &out), MIME_NO_END,
	    "a long boundary");
	is_str(out.p, "1 multipart/mixed 2 text/plain(hi)", "… is one");
	buf_fini(&in);
	buf_fini(&out);
}

/* Anything */

static void
random_message(struct buf *b)
{
	static const char *const pieces[] = {
		"\r\n", "\r\n", "\r\n", "\n", "\r", "--x", "--x--", "--y",
		"--xy", "--", "-", "a", "hello world", " ", "=", "aGVsbG8=",
		"Content-Type: ", "multipart/mixed", "; boundary=x\r\n",
		"; boundary=y\r\n", "message/rfc822\r\n\r\n", "text/html",
		"Content-Transfer-Encoding: base64\r\n",
		"Content-Transfer-Encoding: quoted-printable\r\n",
		"begin 644 a\r\n", "#:&5L\r\n", "end\r\n", "multipart/digest",
		"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n",
		"--x\r\nContent-Type: multipart/x; boundary=\"a: b\"\r\n",
		"--a: b", "--a: b--\r\n",
		"--x\r\nContent-Type: message/rfc822\r\n\r\n",
	};
	int n = rand() % 60;

	if (rand() % 4)
		buf_adds(b, B("x"));
	while (n-- > 0)
		buf_adds(b, pieces[(size_t)rand() %
		    (sizeof(pieces) / sizeof(pieces[0]))]);
}

static void
check_anything(void)
{
	static const struct mime_limits limits = MIME_LIMITS;
	static const size_t pieces[] = { 1, 7, 64, 0 };
	struct buf in, whole, split;
	unsigned errors;
	size_t i, j;
	bool same = true;

	buf_init(&in, 100000);
	buf_init(&whole, 100000);
	buf_init(&split, 100000);
	for (i = 0; i < 3000 && same; i++) {
		buf_reset(&in);
		buf_reset(&whole);
		random_message(&in);
		errors = scan(&limits, in.p, in.len, in.len, &whole);
		for (j = 0; j < 4 && same; j++) {
			buf_reset(&split);
			same = scan(&limits, in.p, in.len, pieces[j],
			    &split) == errors && split.len == whole.len &&
			    memcmp(split.p, whole.p, whole.len) == 0;
		}
	}
	if (!ok(same, "any split gives the same"))
		printf("#   in %s\n# whole %s\n# split %s\n", in.p, whole.p,
		    split.p);
	buf_fini(&in);
	buf_fini(&whole);
	buf_fini(&split);
}

static void
check_names(void)
{
	unsigned i;

	for (i = 0; i < MIME_NERRORS; i++)
		ok(mime_error_name(i)[0] != '\0', "%s", mime_error_name(i));
}

int
main(void)
{
	srand(1);
	check_cases();
	check_nul();
	check_limits();
	check_long_lines();
	check_anything();
	check_names();
	return tap_done();
}
