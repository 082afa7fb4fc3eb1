/*
 * reply - SMTP replies (RFC 5321 section 4.2, RFC 2034, RFC 3463).
 *
 * Text is cleaned twice: when it comes in, because logs and rules see it, and
 * when it goes out, because then nothing depends on who put it there.
 *
 * The words of the next MTA are kept, with one exception: an enhanced code
 * whose class contradicts the basic code ("550 4.7.1") gets the class of the
 * basic code. Clients decide by either of the two, and the basic code is what
 * we acted upon.
 */

#include "smtp/reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_OUT_MAX	512	/* RFC 5321 4.5.3.1.5, with CR LF */

void
reply_init(struct reply *r)
{
	*r = (struct reply){ .code = 0 };
	buf_init(&r->text, REPLY_TEXT_MAX);
}

void
reply_fini(struct reply *r)
{
	buf_fini(&r->text);
}

void
reply_reset(struct reply *r)
{
	buf_reset(&r->text);
	r->code = 0;
	r->lines = 0;
}

/*
 * Octets of the valid UTF-8 sequence at p[0..len) beyond ASCII, 0 for none:
 * no overlong form, surrogate, or C1 control (a terminal obeys those).
 */
static size_t
utf8_sequence(const unsigned char *p, size_t len)
{
	unsigned min, code;
	size_t n;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	min = n == 2 ? 0xa0 : n == 3 ? 0x800 : 0x10000;
	if (len < n)
		return 0;
	code = p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

/* Octets at the start of p that may stand in a reply; at most max of them. */
static size_t
clean_run(const char *p, size_t max)
{
	size_t n = 0, seq;

	while (n < max) {
		unsigned char c = (unsigned char)p[n];

		if (c >= ' ' && c < 0x7f)
			n++;
		else if ((seq = utf8_sequence((const unsigned char *)p + n,
			      max - n)) > 0)
			n += seq;
		else
			break;
	}
	return n;
}

/* Append a line of text with "?" in place of what may not be in one. A TAB is
   legal in a reply and becomes a space. */
static void
add_clean(struct buf *b, const char *p, size_t len)
{
	while (len > 0) {
		size_t n = clean_run(p, len);

		buf_add(b, p, n);
		if (n < len) {
			buf_addc(b, p[n] == '\t' ? ' ' : '?');
			n++;
		}
		p += n;
		len -= n;
	}
}

static void
add_line(struct reply *r, const char *p, size_t len)
{
	if (r->lines++ > 0)
		buf_addc(&r->text, '\n');
	add_clean(&r->text, p, len);
}

/* Reply-code of RFC 5321 4.2, but 200 to 599; -1 for anything else. */
static int
parse_code(const char *p, size_t len)
{
	if (len < 3 || p[0] < '2' || p[0] > '5')
		return -1;
	if (p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9')
		return -1;
	return (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
}

/* One line without its end: REPLY_MORE when it is not the last one. */
static enum reply_status
parse_line(struct reply *r, const char *p, size_t len, const char **why)
{
	int code = parse_code(p, len);
	size_t head = len > 3 ? 4 : 3;

	if (code < 0 || (len > 3 && p[3] != ' ' && p[3] != '-')) {
		*why = "reply without a code";
		return REPLY_BAD;
	}
	if (r->lines > 0 && code != r->code) {
		*why = "code changes inside a reply";
		return REPLY_BAD;
	}
	r->code = code;
	add_line(r, p + head, len - head);
	if (r->lines > REPLY_LINES_MAX || r->text.failed) {
		*why = "reply too long";
		return REPLY_BAD;
	}
	return len > 3 && p[3] == '-' ? REPLY_MORE : REPLY_DONE;
}

enum reply_status
reply_parse(struct reply *r, const char *p, size_t len, size_t *used,
    const char **why)
{
	enum reply_status status = REPLY_MORE;

	*used = 0;
	while (status == REPLY_MORE && len > *used) {
		const char *line = p + *used;
		const char *lf = memchr(line, '\n', len - *used);
		size_t n = lf ? (size_t)(lf - line) + 1 : len - *used;

		/* A caller may never show us more than the limit: a line that
		   has no room for its LF is too long by then. */
		if (n > REPLY_LINE_MAX - (lf == NULL)) {
			*why = "reply line too long";
			return REPLY_BAD;
		}
		if (lf == NULL)
			break;
		*used += n--;
		if (n > 0 && line[n - 1] == '\r')
			n--;
		status = parse_line(r, line, n, why);
	}
	return status;
}

/* 1*3DIGIT; returns their number. */
static size_t
digits(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && n < 3 && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

/* RFC 3463 section 2: status-code = class "." subject "." detail; of any
   class. Returns its length or 0. */
static size_t
status_code(const char *p, size_t len)
{
	size_t n = 1;

	if (len < 5 || (p[0] != '2' && p[0] != '4' && p[0] != '5'))
		return 0;
	for (int i = 0; i < 2; i++) {
		size_t d;

		if (n >= len || p[n] != '.')
			return 0;
		d = digits(p + n + 1, len - n - 1);
		if (d == 0)
			return 0;
		n += 1 + d;
	}
	return n == len || p[n] == ' ' ? n : 0;
}

size_t
reply_enhanced(int code, const char *line, size_t len)
{
	size_t n = status_code(line, len);

	return n > 0 && line[0] == '0' + code / 100 ? n : 0;
}

/* The line of text at *p; moves *p to the next one or, behind the last, to
   NULL. A text without LF is one line, even when it is empty. */
static struct slice
next_line(const char **p, const char *end)
{
	const char *start = *p;
	const char *lf = memchr(start, '\n', (size_t)(end - start));

	*p = lf ? lf + 1 : NULL;
	return SLICE(start, (size_t)((lf ? lf : end) - start));
}

/* The enhanced code for lines that have none: that of the first one that has
   one, without its class: ".7.1". */
static struct slice
default_enhanced(const struct reply *r)
{
	const char *p = r->text.p, *end = p + r->text.len;

	while (p != NULL) {
		struct slice line = next_line(&p, end);
		size_t n = status_code(line.p, line.len);

		if (n > 0)
			return SLICE(line.p + 1, n - 1);
	}
	return SLICE(".0.0", 4);
}

/* Cut what was added to out since start to max octets, at a character. */
static void
cut(struct buf *out, size_t start, size_t max)
{
	if (out->len - start <= max)
		return;
	out->len = start + max;
	while (out->len > start && (out->p[out->len] & 0xc0) == 0x80)
		out->len--;
	out->p[out->len] = '\0';
}

/* One line to a client; enhanced: ".7.1", or length 0 for none. */
static void
format_line(int code, bool last, struct slice enhanced, struct slice text,
    struct buf *out)
{
	/* RFC 4954 section 4: a challenge may be longer, and a part of one is
	   good for nothing. */
	size_t max = code == 334 ? REPLY_LINE_MAX : LINE_OUT_MAX;
	size_t start = out->len;
	char head[5] = { (char)('0' + code / 100), (char)('0' + code / 10 % 10),
		(char)('0' + code % 10), last ? ' ' : '-',
		(char)('0' + code / 100) };

	buf_add(out, head, enhanced.len > 0 ? 5 : 4);
	if (enhanced.len > 0 && status_code(text.p, text.len) > 0) {
		text.p++;
		text.len--;
	} else if (enhanced.len > 0) {
		buf_add(out, enhanced.p, enhanced.len);
		if (text.len > 0)
			buf_addc(out, ' ');
	}
	add_clean(out, text.p, text.len);
	cut(out, start, max - 2);
	buf_adds(out, "\r\n");
}

void
reply_format(const struct reply *r, bool bare, struct buf *out)
{
	const char *p = r->text.p, *end = p + r->text.len;
	struct slice enhanced = SLICE("", 0);

	assert(r->code >= 200 && r->code <= 599);
	if (!bare && r->code / 100 != 3)
		enhanced = default_enhanced(r);
	while (p != NULL) {
		struct slice line = next_line(&p, end);

		format_line(r->code, p == NULL, enhanced, line, out);
	}
}

void
reply_set(struct reply *r, int code, const char *fmt, ...)
{
	char text[REPLY_LINE_MAX];
	const char *p = text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_reset(r);
	r->code = code;
	while (p != NULL) {
		struct slice line = next_line(&p, text + strlen(text));

		add_line(r, line.p, line.len);
	}
}
