/*
 * rewrite_field - a header field in our own words.
 *
 * The value is taken line by line. A line of ASCII is written as it is, and
 * folded where it would be too long: in front of a space, or, where there is
 * none, with a space that was not there. Anything else is encoded words; RFC
 * 2047 gives them 75 octets each and lines of 76.
 */

#include "filters/rewrite.h"

#include <string.h>

#include "base/utf8.h"

#define FIELD_LINE_MAX	998	/* RFC 5322 2.1.1, without CR LF */
#define WORD_MAX	75
#define WORD_LINE_MAX	76

/* The field so far; col: octets of its present line. */
struct writer {
	struct buf	*out;
	size_t		 col;
	bool		 smtputf8;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static size_t
count_spaces(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && is_space(p[n]))
		n++;
	return n;
}

static void
put(struct writer *w, const char *p, size_t len)
{
	buf_add(w->out, p, len);
	w->col += len;
}

static void
fold(struct writer *w)
{
	buf_add(w->out, "\r\n", 2);
	w->col = 0;
}

/* Lines of ASCII or UTF-8 */

/* The end of a character, at or before n. */
static size_t
whole_characters(const char *p, size_t n)
{
	size_t i = n;

	while (i > 0 && ((unsigned char)p[i] & 0xc0) == 0x80)
		i--;
	return i > 0 ? i : n;
}

/* Where to break p[0..len) so that no more than room is in front: a space with
   something in front of it, or anywhere. */
static size_t
find_break(const char *p, size_t room)
{
	size_t spaces = count_spaces(p, room), i;

	for (i = room; i > spaces; i--)
		if (is_space(p[i]))
			return i;
	return whole_characters(p, room);
}

static void
put_text(struct writer *w, const char *p, size_t len)
{
	size_t room, n;

	while (w->col + len > FIELD_LINE_MAX) {
		room = FIELD_LINE_MAX - w->col;
		/* A line of spaces would look like the end of the header. */
		if ((n = count_spaces(p, len)) >= room) {
			p += n - 1;
			len -= n - 1;
			continue;
		}
		n = find_break(p, room);
		put(w, p, n);
		fold(w);
		p += n;
		len -= n;
		if (!is_space(*p))
			put(w, " ", 1);
	}
	put(w, p, len);
}

/* Encoded words */

static bool
is_utf8(const char *p, size_t len)
{
	size_t n;

	for (; len > 0; p += n, len -= n)
		if ((n = utf8_length(p, len)) == 0)
			return false;
	return true;
}

static void
put_base64(struct writer *w, const char *p, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *u = (const unsigned char *)p;
	char four[4];
	size_t i;

	for (i = 0; i < len; i += 3) {
		unsigned b1 = i + 1 < len ? u[i + 1] : 0;
		unsigned b2 = i + 2 < len ? u[i + 2] : 0;

		four[0] = digits[u[i] >> 2];
		four[1] = digits[(u[i] & 3) << 4 | b1 >> 4];
		four[2] = i + 1 < len ? digits[(b1 & 15) << 2 | b2 >> 6] : '=';
		four[3] = i + 2 < len ? digits[b2 & 63] : '=';
		put(w, four, 4);
	}
}

/* How many octets a word may hold that begins in this column. */
static size_t
word_room(size_t col, size_t overhead)
{
	size_t most = WORD_MAX - overhead;

	if (col + overhead >= WORD_LINE_MAX)
		return 0;
	if (most > WORD_LINE_MAX - col - overhead)
		most = WORD_LINE_MAX - col - overhead;
	return most / 4 * 3;
}

static void
put_words(struct writer *w, const char *p, size_t len)
{
	bool utf8 = is_utf8(p, len);
	const char *start = utf8 ? "=?UTF-8?B?" : "=?unknown-8bit?B?";
	size_t overhead = strlen(start) + 2, n;

	for (;;) {
		if (word_room(w->col, overhead) < 6) {
			fold(w);
			put(w, " ", 1);
		}
		n = word_room(w->col, overhead);
		if (n >= len)
			n = len;
		else if (utf8)
			n = whole_characters(p, n);
		put(w, start, strlen(start));
		put_base64(w, p, n);
		put(w, "?=", 2);
		p += n;
		len -= n;
		if (len == 0)
			break;
		fold(w);
		put(w, " ", 1);
	}
}

/* Lines */

static bool
is_eight_bit(char c)
{
	return ((unsigned char)c & 0x80) != 0;
}

/* Words from start up to end have octets above 127. False: there are none. */
static bool
find_eight_bit(const char *p, size_t len, size_t *start, size_t *end)
{
	size_t i = 0, j = len;

	while (i < len && !is_eight_bit(p[i]))
		i++;
	if (i == len)
		return false;
	while (!is_eight_bit(p[j - 1]))
		j--;
	while (i > 0 && !is_space(p[i - 1]))
		i--;
	while (j < len && !is_space(p[j]))
		j++;
	*start = i;
	*end = j;
	return true;
}

static void
put_line(struct writer *w, const char *p, size_t len)
{
	size_t start, end;

	if (!find_eight_bit(p, len, &start, &end) ||
	    (w->smtputf8 && is_utf8(p, len))) {
		put_text(w, p, len);
		return;
	}
	put_text(w, p, start);
	put_words(w, p + start, end - start);
	put_text(w, p + end, len - end);
}

/* What is left of a line of a value. */
static void
clean(struct buf *to, const char *p, size_t len)
{
	size_t i;

	buf_reset(to);
	for (i = 0; i < len; i++)
		buf_addc(to, p[i] == '\r' ? ' ' : p[i] == '\t' ? '\t' :
		    (unsigned char)p[i] < ' ' || p[i] == 127 ? '?' : p[i]);
}

static size_t
line_length(const char *p, size_t *next)
{
	size_t len = strcspn(p, "\n");

	*next = len + (p[len] == '\n');
	return *next > len && len > 0 && p[len - 1] == '\r' ? len - 1 : len;
}

void
rewrite_field(struct buf *out, const char *name, const char *value,
    bool smtputf8)
{
	struct writer w = { .out = out, .smtputf8 = smtputf8 };
	const char *p;
	struct buf line;
	size_t next;

	buf_init(&line, TXN_EDIT_OCTETS);
	put(&w, name, strlen(name));
	put(&w, ":", 1);
	for (p = value; *p != '\0'; p += next) {
		clean(&line, p, line_length(p, &next));
		if (count_spaces(line.p, line.len) == line.len)
			continue;
		if (p != value)
			fold(&w);
		if (!is_space(*line.p))
			put(&w, p == value ? " " : "\t", 1);
		put_line(&w, line.p, line.len);
	}
	buf_add(out, "\r\n", 2);
	buf_fini(&line);
}
