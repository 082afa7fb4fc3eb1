/* Base64 and quoted-printable as mail clients read them, for any split; what
   was encoded comes out again. */

#include <stdlib.h>

#include "base/mem.h"
#include "filters/codec.h"
#include "tap.h"

#define TEN	"     \t    "
#define HUNDRED	TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
	const char	*name;
	enum codec_kind	 kind;
	const char	*in, *want;
} cases[] = {
	{ "base64", CODEC_BASE64, "aGVsbG8=", "hello" },
	{ "two pads", CODEC_BASE64, "aGVsbA==", "hell" },
	{ "no padding", CODEC_BASE64, "aGVsbG8", "hello" },
	{ "no padding, two", CODEC_BASE64, "aGVsbA", "hell" },
	{ "line breaks", CODEC_BASE64, "aGVs\r\nbG8=\r\n", "hello" },
	{ "a break inside a group", CODEC_BASE64, "aG\r\nVsb\nG8=", "hello" },
	{ "garbage is skipped", CODEC_BASE64, "a!G*V.s(b)G8\xff=", "hello" },
	{ "behind padding another text", CODEC_BASE64, "aGVsbG8=aGVsbA==",
	    "hellohell" },
	{ "padding in the middle of a group", CODEC_BASE64, "aA=aGVs",
	    "hhel" },
	{ "too much padding", CODEC_BASE64, "aGVs====aGVs", "helhel" },
	{ "one six is no octet", CODEC_BASE64, "aGVsb", "hel" },
	{ "nothing", CODEC_BASE64, "", "" },
	{ "only garbage", CODEC_BASE64, "\r\n!\r\n", "" },
	{ "the other alphabet", CODEC_BASE64, "Pj8_Pj4-", ">?\?>>>" },

	{ "quoted-printable", CODEC_QP, "a=3Db=20c", "a=b c" },
	{ "small digits", CODEC_QP, "=c3=a4", "\xc3\xa4" },
	{ "soft break", CODEC_QP, "a=\r\nb", "ab" },
	{ "soft break, LF", CODEC_QP, "a=\nb", "ab" },
	{ "soft break, blanks behind it", CODEC_QP, "a= \t \r\nb", "ab" },
	{ "hard break", CODEC_QP, "a\r\nb\n", "a\r\nb\n" },
	{ "blanks at the end of a line go", CODEC_QP, "a \t\r\nb ", "a\r\nb" },
	{ "blanks inside stay", CODEC_QP, "a  b", "a  b" },
	{ "no digits behind =", CODEC_QP, "a=zzb", "a=zzb" },
	{ "one digit behind =", CODEC_QP, "a=3 b", "a=3 b" },
	{ "one digit and a break", CODEC_QP, "a=3\r\nb", "a=3\r\nb" },
	{ "blank behind =", CODEC_QP, "a= b", "a= b" },
	{ "= behind =", CODEC_QP, "a==3Db", "a==b" },
	{ "blank, =, break", CODEC_QP, "a =\r\nb", "a b" },
	{ "= at the end", CODEC_QP, "a=", "a" },
	{ "=3 at the end", CODEC_QP, "a=3", "a=3" },
	{ "CR alone", CODEC_QP, "a\rb", "a\rb" },
	{ "CR CR LF", CODEC_QP, "a\r\r\nb", "a\r\r\nb" },
	{ "= CR blank LF", CODEC_QP, "a=\r \nb", "a=\r\nb" },
	{ "50 blanks at the end of a line", CODEC_QP, "a" TEN TEN TEN TEN TEN
	    "\r\nb", "a\r\nb" },
	{ "100 blanks inside", CODEC_QP, "a" HUNDRED "b", "a" HUNDRED "b" },
	{ "= and 50 blanks", CODEC_QP, "a=" TEN TEN TEN TEN TEN "\r\nb", "ab" },
	{ "= and 100 blanks, no end", CODEC_QP, "a=" HUNDRED "b",
	    "a=" HUNDRED "b" },
	{ "= CR x", CODEC_QP, "a=\rb", "a=\rb" },
	{ "8 bit", CODEC_QP, "\xe4=\r\n\xe4", "\xe4\xe4" },
	{ "as it is", CODEC_NONE, "a=3D\r\n ", "a=3D\r\n " },
};

/* Decode in pieces; *len is that of the result, ours to free. */
static char *
decode(enum codec_kind kind, const char *in, size_t len, size_t piece,
    size_t *got)
{
	char *out = xmalloc(len + len / (piece ? piece : 1) * 4 + 4096);
	struct codec c;
	size_t i, n;

	*got = 0;
	codec_init(&c, kind);
	for (i = 0; i < len; i += n) {
		n = piece > 0 ? piece : 1 + (size_t)rand() % 9;
		if (n > len - i)
			n = len - i;
		*got += codec_decode(&c, in + i, n, out + *got);
	}
	*got += codec_finish(&c, out + *got);
	out[*got] = '\0';
	return out;
}

static void
check_cases(void)
{
	static const size_t pieces[] = { 1, 2, 7, 64, 0 };
	size_t i, j, got;
	char *out;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			out = decode(cases[i].kind, cases[i].in,
			    strlen(cases[i].in), pieces[j], &got);
			is_str(out, cases[i].want, cases[i].name);
			free(out);
		}
}

static size_t
encode_base64(const unsigned char *in, size_t len, char *out)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i, n = 0;
	unsigned v;

	for (i = 0; i < len; i += 3) {
		v = (unsigned)in[i] << 16;
		v |= i + 1 < len ? (unsigned)in[i + 1] << 8 : 0;
		v |= i + 2 < len ? in[i + 2] : 0;
		out[n++] = abc[v >> 18];
		out[n++] = abc[v >> 12 & 63];
		out[n++] = i + 1 < len ? abc[v >> 6 & 63] : '=';
		out[n++] = i + 2 < len ? abc[v & 63] : '=';
		if (i % 57 == 54) {
			out[n++] = '\r';
			out[n++] = '\n';
		}
	}
	return n;
}

/* With text: a blank that is not the last of its line stands as it is. */
static size_t
encode_qp(const unsigned char *in, size_t len, char *out, bool text)
{
	size_t i, n = 0, column = 0;

	for (i = 0; i < len; i++) {
		if ((in[i] > ' ' && in[i] < 0x7f && in[i] != '=') || (text &&
		    (in[i] == ' ' || in[i] == '\t') && column < 70 &&
		    i + 1 < len && in[i + 1] != '\r' && in[i + 1] != '\n'))
			column++, out[n++] = (char)in[i];
		else
			column += 3, n += (size_t)sprintf(out + n, "=%02X",
			    in[i]);
		if (column > 70) {
			n += (size_t)sprintf(out + n, "=\r\n");
			column = 0;
		}
	}
	return n;
}

static bool
comes_back(size_t len)
{
	unsigned char *in = xmalloc(len + 1);
	char *text = xmalloc(len * 4 + 100), *out;
	size_t i, n, got, kind;
	bool same = true;

	for (i = 0; i < len; i++)
		in[i] = rand() % 3 ? (unsigned char)rand() :
		    (unsigned char)" \t\r\n="[rand() % 5];
	for (kind = CODEC_BASE64; kind <= CODEC_QP; kind++) {
		n = kind == CODEC_QP ? encode_qp(in, len, text, rand() & 1) :
		    encode_base64(in, len, text);
		out = decode(kind, text, n, (size_t)rand() % 100, &got);
		same &= got == len && memcmp(out, in, len) == 0;
		free(out);
	}
	free(text);
	free(in);
	return same;
}

/* Any input gives the same for any split, and never more than fits. */
static bool
splits_agree(size_t len)
{
	static const char abc[] = "aZ09+/==== \t\r\n\n\xe4";
	char *in = xmalloc(len + 1), *whole, *pieces;
	size_t i, a, b, kind;
	bool same = true;

	for (i = 0; i < len; i++)
		in[i] = abc[(size_t)rand() % (sizeof(abc) - 1)];
	for (kind = CODEC_BASE64; kind <= CODEC_QP; kind++) {
		whole = decode(kind, in, len, len + 1, &a);
		pieces = decode(kind, in, len, 0, &b);
		same &= a == b && memcmp(whole, pieces, a) == 0;
		free(whole);
		free(pieces);
	}
	free(in);
	return same;
}

static void
check_properties(void)
{
	bool back = true, same = true;
	int i;

	for (i = 0; i < 500; i++) {
		back &= comes_back((size_t)rand() % 400);
		same &= splits_agree((size_t)rand() % 400);
	}
	ok(back, "what was encoded comes back");
	ok(same, "any split gives the same");
}

static size_t
encode_uu(const char *in, size_t len, char *out)
{
	size_t i, n = 0;
	uint32_t v;

	out[n++] = (char)(' ' + len);
	for (i = 0; i < len; i += 3) {
		v = (uint32_t)(unsigned char)in[i] << 16;
		v |= i + 1 < len ? (uint32_t)(unsigned char)in[i + 1] << 8 : 0;
		v |= i + 2 < len ? (unsigned char)in[i + 2] : 0;
		out[n++] = (char)(' ' + (v >> 18));
		out[n++] = (char)(' ' + (v >> 12 & 63));
		out[n++] = (char)(' ' + (v >> 6 & 63));
		out[n++] = (char)(' ' + (v & 63));
	}
	return n;
}

static bool
uu_comes_back(size_t len)
{
	char in[64], line[100], out[64];
	size_t i, n;

	for (i = 0; i < len; i++)
		in[i] = (char)rand();
	n = encode_uu(in, len, line);
	if (rand() & 1)			/* "`" is a zero as well */
		for (i = 0; i < n; i++)
			line[i] = line[i] == ' ' ? '`' : line[i];
	while (n > 1 && line[n - 1] == ' ')
		n--;
	return codec_uu_line(line, n, out) == (int)len &&
	    memcmp(out, in, len) == 0;
}

static void
check_uu(void)
{
	bool back = true;
	char out[64];
	int i;

	for (i = 0; i < 2000; i++)
		back &= uu_comes_back(1 + (size_t)rand() % 45);
	ok(back, "uuencoded lines come back");

	is_int(codec_uu_line("%:&5L;&\\", 8, out), 5, "a line");
	ok(memcmp(out, "hello", 5) == 0, "… says hello");
	is_int(codec_uu_line("`", 1, out), 0, "the last line");
	is_int(codec_uu_line("", 0, out), 0, "an empty line ends it, too");
	is_int(codec_uu_line("#:&5", 4, out), 3, "spaces at the end are gone");
	is_int(codec_uu_line("%:&5L;&\\ and more", 17, out), -1, "too long");
	is_int(codec_uu_line("#a\001bc", 5, out), -1, "not of the alphabet");
}

int
main(void)
{
	srand(1);
	check_cases();
	check_properties();
	check_uu();
	return tap_done();
}
