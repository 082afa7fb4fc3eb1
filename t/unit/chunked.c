/* The chunked transfer coding: what is right, in pieces of any size, and what
   is not. */

#include "filters/chunked.h"

#include <string.h>

#include "tap.h"

static const struct {
	const char	*wire, *want;		/* want NULL: bad */
	enum chunked_status status;
	size_t		 left;			/* octets behind the end */
} cases[] = {
	{ "0\r\n\r\n", "", CHUNKED_END, 0 },
	{ "5\r\nhello\r\n0\r\n\r\n", "hello", CHUNKED_END, 0 },
	{ "5\r\nhello\r\n0\r\n\r\nICAP", "hello", CHUNKED_END, 4 },
	{ "5\r\nhello\r\n00000000\r\n\r\n", "hello", CHUNKED_END, 0 },
	{ "3;a=b\r\na\r\n\r\n1 ;x\r\nb\r\n0; ieof\r\n\r\n", "a\r\nb",
	    CHUNKED_END, 0 },
	{ "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
	    "01234567890123456789", CHUNKED_END, 0 },
	{ "00000005\r\nhello", "hello", CHUNKED_MORE, 0 },
	{ "", "", CHUNKED_MORE, 0 },
	{ "5\r\nhel", "hel", CHUNKED_MORE, 0 },
	{ "\r\n", NULL, CHUNKED_BAD, 0 },
	{ ";x\r\n", NULL, CHUNKED_BAD, 0 },
	{ "g\r\n", NULL, CHUNKED_BAD, 0 },
	{ "-1\r\n", NULL, CHUNKED_BAD, 0 },
	{ "0x5\r\nhello\r\n", NULL, CHUNKED_BAD, 0 },
	{ " 5\r\nhello\r\n", NULL, CHUNKED_BAD, 0 },
	{ "000000005\r\nhello\r\n", NULL, CHUNKED_BAD, 0 },
	{ "100000000\r\n", NULL, CHUNKED_BAD, 0 },
	{ "5\nhello\r\n0\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "5\r\nhello\n0\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "5\r\nhelloo\r\n0\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "5\r\nhello0\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "5;\n\r\nhello\r\n0\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "5\rhello\r\n0\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "0\r\nTrailer: x\r\n\r\n", NULL, CHUNKED_BAD, 0 },
	{ "0\r\n\n", NULL, CHUNKED_BAD, 0 },
};

/* In pieces of this size. */
static void
decode(const char *wire, size_t piece, struct buf *out,
    enum chunked_status *status, size_t *left)
{
	struct chunked c = { 0 };
	size_t len = strlen(wire), at = 0, used, n;
	struct slice data;

	*status = CHUNKED_MORE;
	while (at < len && *status < CHUNKED_END) {
		n = len - at < piece ? len - at : piece;
		*status = chunked_decode(&c, wire + at, n, &used, &data);
		at += used;
		if (*status == CHUNKED_DATA)
			buf_add(out, data.p, data.len);
	}
	/* Content at the very end is no end. */
	if (*status == CHUNKED_DATA)
		*status = CHUNKED_MORE;
	*left = len - at;
}

int
main(void)
{
	static const size_t pieces[] = { 1, 2, 3, 8, 1000 };
	enum chunked_status status;
	char ext[400], name[100];
	struct buf out;
	size_t i, j, left;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			buf_init(&out, 1000);
			decode(cases[i].wire, pieces[j], &out, &status, &left);
			snprintf(name, sizeof(name), "case %zu in pieces of "
			    "%zu", i, pieces[j]);
			is_int(status, cases[i].status, name);
			if (cases[i].want != NULL) {
				is_str(out.p, cases[i].want, "… content");
				is_int(left, cases[i].left, "… what is behind");
			}
			buf_fini(&out);
		}
	snprintf(ext, sizeof(ext), "5;%0300d\r\n", 0);
	buf_init(&out, 1000);
	decode(ext, 1000, &out, &status, &left);
	is_int(status, CHUNKED_BAD, "a long extension");
	buf_fini(&out);
	return tap_done();
}
