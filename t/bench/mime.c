/*
 * What it costs to look into messages: the scanner alone, and all that a
 * policy can read, over 10 MB; and archives that are made to cost.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "base/mem.h"
#include "filters/magic_type.h"
#include "filters/mime.h"
#include "filters/packed.h"
#include "filters/policy_content.h"

#define SIZE	((size_t)10 << 20)
#define PIECE	((size_t)16 << 10)

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
on_part(void *arg, struct mime_part *p)
{
	(void)arg;
	(void)p;
}

static void
on_data(void *arg, struct mime_part *p, const char *in, size_t len)
{
	(void)p;
	(void)in;
	*(size_t *)arg += len;
}

/* A multipart of a text and three attachments. */
static void
make(struct buf *b, const char *encoding, const char *line)
{
	int part;

	for (part = 0; part < 3; part++) {
		buf_addf(b, "--=_b\r\nContent-Type: application/x\r\n"
		    "Content-Transfer-Encoding: %s\r\n\r\n", encoding);
		while (b->len < SIZE / 3 * (size_t)(part + 1))
			buf_adds(b, line);
	}
	buf_adds(b, "--=_b--\r\n");
}

static void
bench_scanner(const char *name, const struct buf *b)
{
	static const struct mime_handler h = { on_part, on_data, on_part };
	static const struct mime_limits limits = MIME_LIMITS;
	size_t i, n, got = 0, times = 0;
	double start = now(), took;
	struct mime *m;

	do {
		m = mime_new(&limits, &h, &got);
		mime_header(m, SLICE_STR("Content-Type"),
		    SLICE_STR("multipart/mixed; boundary=\"=_b\""));
		for (i = 0; i < b->len; i += n) {
			n = b->len - i < PIECE ? b->len - i : PIECE;
			mime_body(m, b->p + i, n);
		}
		mime_end(m);
		mime_free(&m);
		times++;
	} while ((took = now() - start) < 1);
	printf("%-34s %6.0f MB/s\n", name,
	    (double)(b->len * times) / took / 1e6);
}

static void
bench_content(const char *condition, const struct buf *b,
    struct magic_type *magic)
{
	char policy[200];
	struct content *c;
	struct rules *r;
	size_t i, n, times = 0;
	double start, took;
	struct header h = {
		.name = SLICE_STR("Content-Type"),
		.value = SLICE_STR("multipart/mixed; boundary=\"=_b\""),
	};

	n = (size_t)snprintf(policy, sizeof(policy), "at eom\n reject if %s\n",
	    condition);
	r = rules_load_text("p", policy, n, NULL, stderr);
	start = now();
	do {
		c = content_new(content_wants(r), magic);
		content_header(c, &h);
		for (i = 0; i < b->len; i += n) {
			n = b->len - i < PIECE ? b->len - i : PIECE;
			content_body(c, b->p + i, n);
		}
		content_end(c);
		content_free(&c);
		times++;
	} while ((took = now() - start) < 1);
	printf("%-34s %6.0f MB/s\n", condition,
	    (double)(b->len * times) / took / 1e6);
	rules_free(&r);
}

/* Archives */

static void
on_name(void *arg, struct slice name)
{
	(void)arg;
	(void)name;
}

static void
bench_packed(const char *name, int format, int filter, const char *octets,
    size_t len)
{
	size_t room = 2 * len + (1 << 20), n;
	char *out = xmalloc(room);
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	struct packed_cost cost = { 0, 0 };
	double start;

	archive_write_set_format(a, format);
	archive_write_add_filter(a, filter);
	archive_write_open_memory(a, out, room, &n);
	archive_entry_set_pathname(e, "a.zip");
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_size(e, (la_int64_t)len);
	archive_write_header(a, e);
	archive_write_data(a, octets, len);
	archive_entry_free(e);
	archive_write_close(a);
	archive_write_free(a);
	start = now();
	packed_names(out, n, &cost, on_name, NULL);
	printf("%-34s %6.0f ms\n", name, 1000 * (now() - start));
	free(out);
}

static void
bench_archives(void)
{
	size_t len = (size_t)15 << 20, i;
	char *random = xmalloc(len), *zeros = xcalloc(1, len);

	for (i = 0; i < len; i++)
		random[i] = (char)(rand() % 64 + ' ');
	bench_packed("tar.gz, as much as we unpack", ARCHIVE_FORMAT_TAR_USTAR,
	    ARCHIVE_FILTER_GZIP, random, len);
	bench_packed("tar.bz2", ARCHIVE_FORMAT_TAR_USTAR,
	    ARCHIVE_FILTER_BZIP2, random, len);
	bench_packed("tar.xz", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_XZ,
	    random, len);
	bench_packed("7z", ARCHIVE_FORMAT_7ZIP, ARCHIVE_FILTER_NONE, random,
	    len);
	bench_packed("tar.bz2 of zeros", ARCHIVE_FORMAT_TAR_USTAR,
	    ARCHIVE_FILTER_BZIP2, zeros, len);
	free(random);
	free(zeros);
}

static void
bench_magic(struct magic_type *m, const struct buf *b, const char *name)
{
	double start = now();
	int i;

	for (i = 0; i < 100; i++)
		free(magic_type_of(m, b->p, b->len));
	printf("%-34s %6.2f ms\n", name, 10 * (now() - start));
}

int
main(void)
{
	struct magic_type *magic;
	struct buf base64, qp, plain;
	char *why;

	buf_init(&base64, 2 * SIZE);
	buf_init(&qp, 2 * SIZE);
	buf_init(&plain, 2 * SIZE);
	make(&base64, "base64", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZn"
	    "aGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n");
	make(&qp, "quoted-printable", "Some text with =C3=A4 and =E2=82=AC, "
	    "as it is in mails that are not in English=\r\n");
	make(&plain, "8bit", "Some text as it is in mails that are in English, "
	    "of 72 octets a line.\r\n");
	magic = magic_type_new(&why);
	bench_scanner("scanner, base64", &base64);
	bench_scanner("scanner, quoted-printable", &qp);
	bench_scanner("scanner, not encoded", &plain);
	bench_content("any part.type is \"x\"", &base64, NULL);
	bench_content("any part.filename is \"x\"", &base64, NULL);
	bench_content("any part.sha256 is \"x\"", &base64, NULL);
	bench_content("any part.magic is \"x\"", &base64, magic);
	bench_magic(magic, &plain, "libmagic, a text");
	bench_magic(magic, &base64, "libmagic, base64");
	buf_reset(&plain);
	while (plain.len < 2000)
		buf_adds(&plain, "\n");
	bench_magic(magic, &plain, "libmagic, line ends");
	bench_archives();
	magic_type_free(&magic);
	buf_fini(&base64);
	buf_fini(&qp);
	buf_fini(&plain);
	return 0;
}
