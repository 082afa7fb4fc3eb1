/*
 * codec - base64, quoted-printable and uuencode, from text to octets.
 */

#include "filters/codec.h"

#include <string.h>

#include "base/buf.h"

#define SIX	0x40		/* a character of the alphabet */
#define PAD	0x80

/* RFC 2045, table 1; "-" and "_" are those of RFC 4648 section 5, which some
   clients know as well. */
#define S(n)	(SIX | (n))
static const uint8_t sixes[256] = {
	['A'] = S(0), S(1), S(2), S(3), S(4), S(5), S(6), S(7), S(8), S(9),
		S(10), S(11), S(12), S(13), S(14), S(15), S(16), S(17), S(18),
		S(19), S(20), S(21), S(22), S(23), S(24), S(25),
	['a'] = S(26), S(27), S(28), S(29), S(30), S(31), S(32), S(33), S(34),
		S(35), S(36), S(37), S(38), S(39), S(40), S(41), S(42), S(43),
		S(44), S(45), S(46), S(47), S(48), S(49), S(50), S(51),
	['0'] = S(52), S(53), S(54), S(55), S(56), S(57), S(58), S(59), S(60),
		S(61),
	['+'] = S(62), ['/'] = S(63), ['-'] = S(62), ['_'] = S(63),
	['='] = PAD,
};
#undef S

void
codec_init(struct codec *c, enum codec_kind kind)
{
	memset(c, 0, sizeof(*c));
	c->kind = kind;
}

/* Whole groups of four with nothing between them, which is nearly all there
   is in practice. Moves *in. */
static size_t
whole_groups(const unsigned char **in, const unsigned char *end, char *out)
{
	const unsigned char *p = *in;
	uint8_t a, b, c, d;
	size_t n = 0;

	for (; end - p >= 4; p += 4) {
		a = sixes[p[0]];
		b = sixes[p[1]];
		c = sixes[p[2]];
		d = sixes[p[3]];
		if (!(a & b & c & d & SIX))
			break;
		out[n++] = (char)(a << 2 | (b & 63) >> 4);
		out[n++] = (char)(b << 4 | (c & 63) >> 2);
		out[n++] = (char)(c << 6 | (d & 63));
	}
	*in = p;
	return n;
}

static size_t
base64(struct codec *c, const char *in, size_t len, char *out)
{
	const unsigned char *p = (const unsigned char *)in, *end = p + len;
	size_t n = 0;
	uint8_t six;

	while (p < end) {
		if (c->nbits == 0)
			n += whole_groups(&p, end, out + n);
		if (p == end)
			break;
		six = sixes[*p++];
		if (six == PAD)		/* a group of four ends here */
			c->bits = c->nbits = 0;
		if (!(six & SIX))
			continue;
		c->bits = c->bits << 6 | (six & 63);
		c->nbits += 6;
		if (c->nbits >= 8) {
			c->nbits -= 8;
			out[n++] = (char)(c->bits >> c->nbits);
		}
		/* Four sixes are three octets, and nothing is left over. */
		if (c->nbits == 0)
			c->bits = 0;
	}
	return n;
}

/* Quoted-printable */

/* What was held is text after all. */
static size_t
let_go(struct codec *c, char *out)
{
	size_t n = c->nheld;

	memcpy(out, c->held, n);
	c->nheld = 0;
	c->after_equal = false;
	return n;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Held is "=", "=X" or "=" and blanks; see what ch makes of it. False: ch is
   to be looked at once more. */
static bool
behind_equal(struct codec *c, char ch, char *out, size_t *n)
{
	bool digit = c->nheld == 2 && hex_digit(c->held[1]) >= 0;

	if (digit && hex_digit(ch) >= 0) {
		out[(*n)++] = (char)(hex_digit(c->held[1]) << 4 | hex_digit(ch));
		c->nheld = 0;
		c->after_equal = false;
		return true;
	}
	if (!digit && ch == '\n') {
		c->nheld = 0;
		c->after_equal = false;
		return true;
	}
	if (!digit && c->nheld < sizeof(c->held) &&
	    c->held[c->nheld - 1] != '\r' && (is_blank(ch) || ch == '\r' ||
	    (c->nheld == 1 && hex_digit(ch) >= 0))) {
		c->held[c->nheld++] = ch;
		return true;
	}
	*n += let_go(c, out + *n);
	return false;
}

/* Held are blanks, perhaps with CR behind: the end of a line? */
static bool
behind_blanks(struct codec *c, char ch, char *out, size_t *n)
{
	bool cr = c->nheld > 0 && c->held[c->nheld - 1] == '\r';

	if (ch == '\n') {
		if (cr)
			out[(*n)++] = '\r';
		out[(*n)++] = '\n';
		c->nheld = 0;
		return true;
	}
	if (cr || (c->nheld == sizeof(c->held) && ch != '='))
		*n += let_go(c, out + *n);
	if (is_blank(ch) || ch == '\r') {
		c->held[c->nheld++] = ch;
		return true;
	}
	*n += let_go(c, out + *n);
	if (ch != '=')
		return false;
	c->held[c->nheld++] = ch;
	c->after_equal = true;
	return true;
}

static bool
is_plain(char c)
{
	return c != '=' && !is_blank(c) && c != '\r' && c != '\n';
}

static size_t
quoted_printable(struct codec *c, const char *in, size_t len, char *out)
{
	size_t i = 0, n = 0;
	bool taken;

	while (i < len) {
		while (c->nheld == 0 && i < len && is_plain(in[i]))
			out[n++] = in[i++];
		if (i == len)
			break;
		if (c->after_equal)
			taken = behind_equal(c, in[i], out, &n);
		else
			taken = behind_blanks(c, in[i], out, &n);
		i += taken;
	}
	return n;
}

size_t
codec_decode(struct codec *c, const char *in, size_t len, char *out)
{
	switch (c->kind) {
	case CODEC_BASE64:
		return base64(c, in, len, out);
	case CODEC_QP:
		return quoted_printable(c, in, len, out);
	case CODEC_NONE:
		break;
	}
	memcpy(out, in, len);
	return len;
}

size_t
codec_finish(struct codec *c, char *out)
{
	size_t n = 0;

	if (c->kind == CODEC_QP && c->after_equal && c->nheld > 1 &&
	    hex_digit(c->held[1]) >= 0)
		n = let_go(c, out);
	c->nheld = 0;
	c->after_equal = false;
	return n;
}

/* uuencode */

static int
uu_six(char c)
{
	return c >= ' ' && c <= '`' ? (c - ' ') & 63 : -1;
}

int
codec_uu_line(const char *line, size_t len, char *out)
{
	int count = len > 0 ? uu_six(line[0]) : 0, n = 0, six;
	uint32_t bits = 0;
	unsigned nbits = 0;
	size_t i;

	/* Spaces at the end of a line may have gone. */
	if (count < 0 || len > 1 + ((size_t)count + 2) / 3 * 4 + 2)
		return -1;
	for (i = 1; n < count; i++) {
		six = i < len ? uu_six(line[i]) : 0;
		if (six < 0)
			return -1;
		bits = bits << 6 | (uint32_t)six;
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			out[n++] = (char)(bits >> nbits);
		}
	}
	return n;
}
