/* Names of files in archives, archives in archives, encrypted and broken ones,
   and those that are made to cost. The archives are made here. */

#include <stdlib.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "base/mem.h"
#include "filters/packed.h"
#include "tap.h"

#define ROOM	((size_t)32 << 20)

/* An archive that is being made, in memory. */
struct pack {
	struct archive	*a;
	char		*octets;	/* ours */
	size_t		 len;
};

static void
pack_begin(struct pack *p, int format, int filter, bool secret)
{
	p->a = archive_write_new();
	p->octets = xmalloc(ROOM);
	archive_write_set_format(p->a, format);
	archive_write_add_filter(p->a, filter);
	archive_write_set_bytes_in_last_block(p->a, 1);
	if (secret) {
		archive_write_set_passphrase(p->a, "secret");
		archive_write_set_options(p->a, "zip:encryption=zipcrypt");
	}
	archive_write_open_memory(p->a, p->octets, ROOM, &p->len);
}

static void
pack_add(struct pack *p, const char *name, const char *content, size_t len)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (la_int64_t)len);
	archive_write_header(p->a, e);
	archive_write_data(p->a, content, len);
	archive_entry_free(e);
}

static void
pack_done(struct pack *p)
{
	archive_write_close(p->a);
	archive_write_free(p->a);
}

static void
add_name(void *arg, struct slice name)
{
	buf_add(arg, name.p, name.len);
	buf_addc(arg, '|');
}

static void
check(const char *octets, size_t len, const char *want, unsigned facts,
    const char *name)
{
	struct packed_cost cost = { 0, 0 };
	struct buf out;

	buf_init(&out, 1 << 20);
	is_int(packed_names(octets, len, &cost, add_name, &out), facts, name);
	if (want != NULL)
		is_str(out.p, want, name);
	buf_fini(&out);
}

static const struct {
	const char	*name;
	int		 format, filter;
} kinds[] = {
	{ "zip", ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE },
	{ "7z", ARCHIVE_FORMAT_7ZIP, ARCHIVE_FILTER_NONE },
	{ "tar", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_NONE },
	{ "tar.gz", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP },
	{ "tar.bz2", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_BZIP2 },
	{ "tar.xz", ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_XZ },
	{ "xar", ARCHIVE_FORMAT_XAR, ARCHIVE_FILTER_NONE },
};

static void
check_kinds(void)
{
	struct pack p;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		pack_begin(&p, kinds[i].format, kinds[i].filter, false);
		pack_add(&p, "a.txt", "hello", 5);
		pack_add(&p, "sub/b.exe", "MZ", 2);
		pack_done(&p);
		ok(packed_is(p.octets, p.len), "%s is one", kinds[i].name);
		check(p.octets, p.len, "a.txt|sub/b.exe|", 0, kinds[i].name);
		free(p.octets);
	}
	ok(!packed_is("hello", 5), "hello is none");
	ok(!packed_is("", 0), "nothing is none");
	ok(packed_has_name(SLICE_STR("a.ZIP")), "a.ZIP is the name of one");
	ok(!packed_has_name(SLICE_STR(".zip")) &&
	    !packed_has_name(SLICE_STR("zip")), "others are not");
}

/* A file that is an archive that has a file …: depth of them. */
static struct pack
nested(unsigned depth)
{
	struct pack p, in;
	char name[20];

	pack_begin(&p, ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, false);
	if (depth == 1)
		pack_add(&p, "x.exe", "MZ", 2);
	else {
		in = nested(depth - 1);
		snprintf(name, sizeof(name), "%u.zip", depth - 1);
		pack_add(&p, name, in.octets, in.len);
		free(in.octets);
	}
	pack_done(&p);
	return p;
}

static void
check_nested(void)
{
	struct pack p = nested(3);

	check(p.octets, p.len, "2.zip|1.zip|x.exe|", 0, "three deep");
	free(p.octets);
	p = nested(4);
	check(p.octets, p.len, "3.zip|2.zip|1.zip|", PACKED_TOO_DEEP,
	    "four deep");
	free(p.octets);
}

/* gzip -N of a file has its name; here there is none. */
static void
check_gzip(void)
{
	struct pack in = nested(1), p;

	pack_begin(&p, ARCHIVE_FORMAT_RAW, ARCHIVE_FILTER_GZIP, false);
	pack_add(&p, "data", in.octets, in.len);
	pack_done(&p);
	check(p.octets, p.len, "x.exe|", 0, "a zip in a gzip");
	free(p.octets);
	pack_begin(&p, ARCHIVE_FORMAT_RAW, ARCHIVE_FILTER_GZIP, false);
	pack_add(&p, "data", "hello", 5);
	pack_done(&p);
	check(p.octets, p.len, "", 0, "a text in a gzip");
	free(p.octets);
	free(in.octets);
}

static void
check_encrypted(void)
{
	struct pack p;

	pack_begin(&p, ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, true);
	pack_add(&p, "a.exe", "MZ", 2);
	pack_done(&p);
	check(p.octets, p.len, "a.exe|", PACKED_ENCRYPTED, "encrypted");
	free(p.octets);
}

static void
check_broken(void)
{
	struct pack p;
	size_t i;

	pack_begin(&p, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP, false);
	pack_add(&p, "a.txt", "hello", 5);
	pack_add(&p, "b.txt", "hello", 5);
	pack_done(&p);
	check(p.octets, p.len / 2, NULL, PACKED_BROKEN, "half of one");
	for (i = 0; i < p.len; i += 7)
		p.octets[i] = (char)(p.octets[i] + 101);
	check(p.octets, p.len, NULL, PACKED_BROKEN, "wrong octets");
	check("PK\003\004", 4, "", PACKED_BROKEN, "only its mark");
	check("", 0, "", PACKED_BROKEN, "nothing");
	free(p.octets);
}

static void
check_bombs(void)
{
	char *zeros = xcalloc(1, (size_t)17 << 20), name[20];
	struct pack p;
	int i;

	pack_begin(&p, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP, false);
	pack_add(&p, "a.txt", zeros, (size_t)17 << 20);
	pack_add(&p, "b.exe", "MZ", 2);
	pack_done(&p);
	check(p.octets, p.len, "a.txt|", PACKED_TOO_BIG, "a large file");
	free(p.octets);
	pack_begin(&p, ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, false);
	pack_add(&p, "a.txt", zeros, (size_t)17 << 20);
	pack_add(&p, "b.exe", "MZ", 2);
	pack_done(&p);
	check(p.octets, p.len, "a.txt|b.exe|", 0, "… costs nothing in a zip");
	free(p.octets);
	free(zeros);
	pack_begin(&p, ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, false);
	for (i = 0; i < PACKED_FILES_MAX + 10; i++) {
		snprintf(name, sizeof(name), "%d", i);
		pack_add(&p, name, "", 0);
	}
	pack_done(&p);
	check(p.octets, p.len, NULL, PACKED_TOO_BIG, "many files");
	free(p.octets);
}

int
main(void)
{
	check_kinds();
	check_nested();
	check_gzip();
	check_encrypted();
	check_broken();
	check_bombs();
	return tap_done();
}
