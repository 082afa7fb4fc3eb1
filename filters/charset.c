/*
 * charset - text of any character set to UTF-8.
 *
 * iconv(3) does the work; UTF-8 itself, which is most of what comes, does not
 * need it. The name of a character set comes from a stranger and makes iconv
 * look for a file: only what looks like a name gets there.
 */

#include "filters/charset.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define NONE		((iconv_t)-1)
#define REPLACEMENT	"\xef\xbf\xbd"

/* What the world writes, and what it means. */
static const struct {
	const char	*said, *meant;
} aliases[] = {
	{ "iso-8859-1", "WINDOWS-1252" },
	{ "iso8859-1", "WINDOWS-1252" },
	{ "iso_8859-1", "WINDOWS-1252" },
	{ "latin1", "WINDOWS-1252" },
	{ "iso-8859-9", "WINDOWS-1254" },
	{ "iso-8859-8-i", "ISO-8859-8" },
	{ "iso-8859-8-e", "ISO-8859-8" },
	{ "iso-8859-6-i", "ISO-8859-6" },
	{ "gb2312", "GB18030" },
	{ "gb_2312-80", "GB18030" },
	{ "gbk", "GB18030" },
	{ "x-gbk", "GB18030" },
	{ "shift_jis", "CP932" },
	{ "shift-jis", "CP932" },
	{ "x-sjis", "CP932" },
	{ "ks_c_5601-1987", "CP949" },
	{ "euc-kr", "CP949" },
	{ "x-windows-949", "CP949" },
	{ "tis-620", "CP874" },
	{ "unicode-1-1-utf-7", "UTF-7" },
	{ "x-mac-roman", "MACINTOSH" },
	{ "x-unknown", "UTF-8" },
	{ "unknown-8bit", "UTF-8" },
	{ "utf8", "UTF-8" },
	{ "us-ascii", "UTF-8" },
	{ "ascii", "UTF-8" },
	{ "ansi_x3.4-1968", "UTF-8" },
	{ "default", "UTF-8" },
};

/* A name for iconv, or NULL: unknown. */
static const char *
usable_name(struct slice said, char name[CHARSET_NAME_MAX + 1])
{
	size_t i;

	if (said.len == 0)
		return "UTF-8";
	if (said.len > CHARSET_NAME_MAX)
		return NULL;
	for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (slice_is_nocase(said, aliases[i].said))
			return aliases[i].meant;
	for (i = 0; i < said.len; i++)
		if (!isalnum((unsigned char)said.p[i]) &&
		    strchr("-_.:", said.p[i]) == NULL)
			return NULL;
	memcpy(name, said.p, said.len);
	name[said.len] = '\0';
	return name;
}

void
charset_init(struct charset *c, struct slice name)
{
	char text[CHARSET_NAME_MAX + 1];
	const char *usable = usable_name(name, text);

	c->nheld = 0;
	c->cd = NONE;
	if (usable != NULL && strcasecmp(usable, "UTF-8") != 0)
		c->cd = iconv_open("UTF-8", usable);
}

/* Could p[0..len), which is no character, become one with more octets? */
static bool
is_beginning(const char *p, size_t len)
{
	static const char *const ends[] = { "\x80\x80\x80", "\xbf\xbf\xbf" };
	char whole[8];
	size_t i, n;

	for (i = 0; i < 2 && len < 4; i++)
		for (n = len + 1; n <= 4; n++) {
			memcpy(whole, p, len);
			memcpy(whole + len, ends[i], n - len);
			if (utf8_length(whole, n) == n)
				return true;
		}
	return false;
}

/* Add the characters of p[0..len); returns what is left: the beginning of one
   that may go on, unless this is the end. */
static size_t
add_utf8(const char *p, size_t len, bool end, struct buf *out)
{
	size_t i = 0, start = 0, n;

	while (i < len) {
		n = utf8_length(p + i, len - i);
		if (n > 0) {
			i += n;
			continue;
		}
		buf_add(out, p + start, i - start);
		if (!end && is_beginning(p + i, len - i))
			return len - i;
		buf_adds(out, REPLACEMENT);
		start = ++i;
	}
	buf_add(out, p + start, i - start);
	return 0;
}

void
charset_repair(const char *in, size_t len, struct buf *out)
{
	add_utf8(in, len, true, out);
}

/* The same for iconv. Returns what is left. */
static size_t
add_converted(iconv_t cd, const char *p, size_t len, struct buf *out)
{
	char text[512], *to;
	char *from = (char *)p;
	size_t left = len, room, r;

	for (;;) {
		to = text;
		room = sizeof(text);
		r = iconv(cd, &from, &left, &to, &room);
		buf_add(out, text, (size_t)(to - text));
		if (r != (size_t)-1 || (errno == EINVAL && left < 16))
			return left;
		if (errno == E2BIG)
			continue;
		buf_adds(out, REPLACEMENT);
		from++;
		left--;
	}
}

static size_t
add(struct charset *c, const char *p, size_t len, struct buf *out)
{
	return c->cd == NONE ? add_utf8(p, len, false, out) :
	    add_converted(c->cd, p, len, out);
}

void
charset_convert(struct charset *c, const char *in, size_t len, struct buf *out)
{
	size_t left;

	/* A character that began in the piece before: octet by octet. */
	while (c->nheld > 0 && len > 0) {
		c->held[c->nheld++] = *in++;
		len--;
		left = add(c, c->held, c->nheld, out);
		if (left == sizeof(c->held)) {
			buf_adds(out, REPLACEMENT);
			left = 0;
		}
		memmove(c->held, c->held + c->nheld - left, left);
		c->nheld = left;
	}
	if (len == 0)
		return;
	left = add(c, in, len, out);
	memcpy(c->held, in + len - left, left);
	c->nheld = left;
}

void
charset_fini(struct charset *c, struct buf *out)
{
	if (c->nheld > 0 && c->cd == NONE)
		add_utf8(c->held, c->nheld, true, out);
	else if (c->nheld > 0)
		buf_adds(out, REPLACEMENT);
	if (c->cd != NONE)
		iconv_close(c->cd);
	c->cd = NONE;
	c->nheld = 0;
}

void
charset_text(struct slice name, const char *in, size_t len, struct buf *out)
{
	struct charset c;

	charset_init(&c, name);
	charset_convert(&c, in, len, out);
	charset_fini(&c, out);
}
