/*
 * packed - names of the files in an archive, by libarchive.
 *
 * In a zip file the names stand by themselves. In other formats, and behind
 * gzip and the like, one has to unpack what is in front of a name: that is
 * done here, piece by piece, because libarchive would do it without a limit.
 */

#include "filters/packed.h"

#include <string.h>
#include <strings.h>

#include <archive.h>
#include <archive_entry.h>

struct listing {
	void		(*fn)(void *, struct slice);
	void		*arg;
	unsigned	 facts;
	struct packed_cost *cost;
};

static void list(struct listing *l, const char *p, size_t len, unsigned depth);

/* What an archive begins with, and where. */
static const struct {
	size_t		 at;
	const char	*octets;
	size_t		 len;
} marks[] = {
	{ 0, "PK\003\004", 4 },			/* zip */
	{ 0, "PK\005\006", 4 },			/* … with nothing in it */
	{ 0, "7z\274\257\047\034", 6 },
	{ 0, "Rar!\032\007", 6 },
	{ 0, "MSCF", 4 },			/* cab */
	{ 0, "\037\213", 2 },			/* gzip */
	{ 0, "\037\235", 2 },			/* compress */
	{ 0, "BZh", 3 },
	{ 0, "\3757zXZ", 6 },
	{ 0, "LZIP", 4 },
	{ 0, "\050\265\057\375", 4 },		/* zstd */
	{ 0, "\004\042\115\030", 4 },		/* lz4 */
	{ 0, "xar!", 4 },
	{ 2, "-lh", 3 },			/* lha */
	{ 257, "ustar", 5 },
	{ 0x8001, "CD001", 5 },			/* ISO 9660 */
};

bool
packed_is(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (len >= marks[i].at + marks[i].len && memcmp(p +
		    marks[i].at, marks[i].octets, marks[i].len) == 0)
			return true;
	return false;
}

static const char *const extensions[] = {
	".zip", ".7z", ".rar", ".cab", ".tar", ".tgz", ".tbz", ".tbz2",
	".txz", ".gz", ".bz2", ".xz", ".lz", ".lzma", ".zst", ".lz4", ".z",
	".iso", ".img", ".lha", ".lzh", ".xar", ".jar", ".zipx", ".cpio",
};

bool
packed_has_name(struct slice name)
{
	size_t i, n;

	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		n = strlen(extensions[i]);
		if (name.len > n && strncasecmp(name.p + name.len - n,
		    extensions[i], n) == 0)
			return true;
	}
	return false;
}

/* Only what libarchive does itself: some of its filters run other programs. */
static struct archive *
open_archive(const char *p, size_t len)
{
	struct archive *a = archive_read_new();

	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_compress(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_lzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_format_zip(a);
	archive_read_support_format_7zip(a);
	archive_read_support_format_rar(a);
	archive_read_support_format_rar5(a);
	archive_read_support_format_cab(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_cpio(a);
	archive_read_support_format_iso9660(a);
	archive_read_support_format_lha(a);
	archive_read_support_format_xar(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, p, len) == ARCHIVE_OK)
		return a;
	archive_read_free(a);
	return NULL;
}

/* 100 MB and more in a second: all others take ten times as long. */
static unsigned
weight(struct archive *a)
{
	int filter = archive_filter_code(a, 0);
	const char *format = archive_format_name(a);

	if (filter == ARCHIVE_FILTER_BZIP2 || filter == ARCHIVE_FILTER_XZ ||
	    filter == ARCHIVE_FILTER_LZMA || filter == ARCHIVE_FILTER_LZIP)
		return PACKED_SLOW;
	switch (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) {
	case ARCHIVE_FORMAT_ZIP:
		return format != NULL && (strstr(format, "deflation") ||
		    strstr(format, "uncompressed")) ? 1 : PACKED_SLOW;
	case ARCHIVE_FORMAT_TAR:
	case ARCHIVE_FORMAT_CPIO:
	case ARCHIVE_FORMAT_ISO9660:
	case ARCHIVE_FORMAT_RAW:
		return 1;
	default:
		return PACKED_SLOW;
	}
}

/* Unpack the file at hand, to keep it (NULL: only to get behind it). False:
   it cannot be, or may not. */
static bool
unpack(struct listing *l, struct archive *a, struct buf *keep)
{
	unsigned slow = weight(a);
	const void *p;
	size_t len;
	la_int64_t at;
	int r;

	while ((r = archive_read_data_block(a, &p, &len, &at)) == ARCHIVE_OK ||
	    r == ARCHIVE_WARN) {
		l->cost->noctets += slow * len;
		if (l->cost->noctets > PACKED_OCTETS_MAX) {
			l->facts |= PACKED_TOO_BIG;
			return false;
		}
		if (keep != NULL)
			buf_add(keep, p, len);
	}
	return r == ARCHIVE_EOF;
}

static bool
is_raw(struct archive *a)
{
	return archive_format(a) == ARCHIVE_FORMAT_RAW;
}

/* Can libarchive go to the next file without unpacking this one? */
static bool
is_cheap(struct archive *a)
{
	return (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) ==
	    ARCHIVE_FORMAT_ZIP && archive_filter_count(a) <= 1;
}

/* An archive in the archive, or the one file that gzip packs. */
static bool
look_inside(struct listing *l, struct archive *a, unsigned depth)
{
	struct buf content;
	bool good;

	if (depth == PACKED_DEPTH_MAX) {
		l->facts |= PACKED_TOO_DEEP;
		return is_cheap(a) || unpack(l, a, NULL);
	}
	buf_init(&content, PACKED_OCTETS_MAX);
	good = unpack(l, a, &content);
	if (content.len > 0 && (!is_raw(a) ||
	    packed_is(content.p, content.len)))
		list(l, content.p, content.len, depth + 1);
	buf_fini(&content);
	return good;
}

/* False: the rest cannot be seen. */
static bool
one_file(struct listing *l, struct archive *a, struct archive_entry *e,
    unsigned depth)
{
	const char *name = archive_entry_pathname_utf8(e);
	struct slice s;

	if (name == NULL)
		name = archive_entry_pathname(e);
	s = name != NULL ? SLICE_STR(name) : SLICE("", 0);
	/* No format that is known, and nothing that it was packed with. */
	if (is_raw(a) && archive_filter_count(a) <= 1) {
		l->facts |= PACKED_BROKEN;
		return false;
	}
	if (++l->cost->nfiles > PACKED_FILES_MAX) {
		l->facts |= PACKED_TOO_BIG;
		return false;
	}
	/* A file that gzip packs has a name or not; then it is "data". */
	if (s.len > 0 && !(is_raw(a) && slice_is(s, "data")))
		l->fn(l->arg, s);
	if (archive_entry_is_encrypted(e)) {
		l->facts |= PACKED_ENCRYPTED;
		return true;
	}
	if (is_raw(a) || packed_has_name(s))
		return look_inside(l, a, depth);
	return is_cheap(a) || unpack(l, a, NULL);
}

static void
list(struct listing *l, const char *p, size_t len, unsigned depth)
{
	struct archive *a = open_archive(p, len);
	struct archive_entry *e;
	bool encrypted;
	int r = ARCHIVE_FATAL;

	if (a == NULL) {
		l->facts |= PACKED_BROKEN;
		return;
	}
	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK ||
	    r == ARCHIVE_WARN)
		if (!one_file(l, a, e, depth))
			break;
	encrypted = archive_read_has_encrypted_entries(a) > 0;
	if (encrypted)
		l->facts |= PACKED_ENCRYPTED;
	else if (r != ARCHIVE_EOF && !(l->facts & PACKED_TOO_BIG))
		l->facts |= PACKED_BROKEN;
	archive_read_free(a);
}

unsigned
packed_names(const char *p, size_t len, struct packed_cost *cost,
    void (*fn)(void *, struct slice), void *arg)
{
	struct listing l = { .fn = fn, .arg = arg, .cost = cost };

	list(&l, p, len, 1);
	return l.facts;
}
