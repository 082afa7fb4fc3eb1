/*
 * conf_text - configuration files as one text without comments, and a place
 * in a file for each line of it.
 *
 * libconfuse reads the result. It could read files and includes itself, but
 * then a mistake behind a comment has the wrong line, a comment in a list is
 * an error, a string that nobody closed is noticed at the end of the file and
 * a brace never. That is settled here, in one pass over the octets of each
 * file.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/conf_impl.h"

#define TEXT_MAX	((size_t)16 << 20)	/* all files together */
#define DEPTH_MAX	10			/* of includes */
#define BRACES_MAX	32

/* Comments and strings */

/* Blank p[0..end); line ends stay. */
static void
blank(char *p, const char *end)
{
	for (; p < end; p++)
		if (*p != '\n')
			*p = ' ';
}

/* The end of the string that starts at p; NULL if its line ends first. */
static char *
string_end(char *p, const char *end)
{
	char quote = *p;

	for (p++; p < end && *p != quote && *p != '\n'; p++)
		if (*p == '\\' && p + 1 < end && p[1] != '\n')
			p++;
	return p < end && *p == quote ? p + 1 : NULL;
}

static bool
starts(const char *p, const char *end, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(end - p) >= len && memcmp(p, what, len) == 0;
}

/* A comment to the end of the line. "//" is one only where a word may start:
   "unix://x" is none. */
static bool
is_line_comment(const char *text, const char *p, const char *end)
{
	return *p == '#' || (starts(p, end, "//") &&
	    (p == text || strchr(" \t\n{},=", p[-1]) != NULL));
}

/*
 * The braces that are open, innermost last. Past BRACES_MAX they are counted
 * only: nothing that we understand is so deep.
 */
struct braces {
	char	*open[BRACES_MAX];
	size_t	 depth;
};

static void
count_brace(struct braces *b, char *p)
{
	if (*p == '{' && b->depth++ < BRACES_MAX)
		b->open[b->depth - 1] = p;
	else if (*p == '}' && b->depth > 0)
		b->depth--;
}

/* libconfuse takes the end of the file for every "}" that is missing. */
static const char *
unclosed_brace(const struct braces *b, char **at)
{
	if (b->depth == 0)
		return NULL;
	*at = b->open[(b->depth < BRACES_MAX ? b->depth : BRACES_MAX) - 1];
	return "the \"{\" here has no \"}\"";
}

/*
 * Blank the comments of text. NULL; or what is wrong (static) at *at, an
 * octet of text.
 */
static const char *
strip_comments(char *text, char *end, char **at)
{
	struct braces braces = { .depth = 0 };
	char *p, *q;

	if ((*at = memchr(text, '\0', (size_t)(end - text))) != NULL)
		return "a NUL octet";
	if (starts(text, end, "\xef\xbb\xbf"))	/* of editors on Windows */
		blank(text, text + 3);
	for (p = text; p < end; p = q) {
		q = p + 1;
		*at = p;
		if (*p == '"' || *p == '\'') {
			if ((q = string_end(p, end)) == NULL)
				return "the string that starts here does not "
				    "end on this line";
		} else if (is_line_comment(text, p, end)) {
			if ((q = memchr(p, '\n', (size_t)(end - p))) == NULL)
				q = end;
			blank(p, q);
		} else if (starts(p, end, "/*")) {
			q = memmem(p + 2, (size_t)(end - p - 2), "*/", 2);
			if (q == NULL)
				return "the comment that starts here does not "
				    "end";
			blank(p, q += 2);
		} else if (*p == '\r') {
			*p = ' ';
		} else {
			count_brace(&braces, p);
		}
	}
	return unclosed_brace(&braces, at);
}

static int
line_of(const char *text, const char *at)
{
	int line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

/* Files */

static int
read_file(const char *file, struct buf *b)
{
	char piece[8192];
	size_t n;
	FILE *f;
	int bad;

	if ((f = fopen(file, "re")) == NULL)
		return -1;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0 && !b->failed)
		buf_add(b, piece, n);
	bad = ferror(f) ? errno : b->failed ? EFBIG : 0;
	fclose(f);
	errno = bad;
	return bad ? -1 : 0;
}

/* include ( "PATH" ), alone on its line. Returns PATH (ours), or NULL. */
static char *
included_path(const char *line, size_t len)
{
	char copy[1024], path[1024];
	int used = 0;

	if (len >= sizeof(copy))
		return NULL;
	memcpy(copy, line, len);
	copy[len] = '\0';
	if (sscanf(copy, " include ( \"%1023[^\"]\" ) %n", path, &used) != 1 ||
	    used == 0 || copy[used] != '\0')
		return NULL;
	return xstrdup(path);
}

static char *
relative_to(const char *file, char *path)
{
	const char *slash = strrchr(file, '/');
	char *full;

	if (*path == '/' || slash == NULL)
		return path;
	full = xasprintf("%.*s/%s", (int)(slash - file), file, path);
	free(path);
	return full;
}

static void
add_line(struct conf_text *t, const char *p, size_t len, const char *file,
    int line)
{
	buf_add(&t->text, p, len);
	buf_addc(&t->text, '\n');
	t->origins = xrealloc(t->origins,
	    (t->nlines + 1) * sizeof(t->origins[0]));
	t->origins[t->nlines++] = (struct conf_origin){ file, line };
}

static int add_file(struct conf_text *t, const char *file, int depth,
    struct mistakes *m);

/* 0, or -1 when the file that is included here is no good. */
static int
include(struct conf_text *t, const char *file, int line, char *path,
    int depth, struct mistakes *m)
{
	int r = -1;

	path = relative_to(file, path);
	if (depth >= DEPTH_MAX)
		mistake_add_file(m, file, line, "more than %d files include "
		    "each other", DEPTH_MAX);
	else if ((r = add_file(t, path, depth + 1, m)) == -1 && errno != 0)
		mistake_add_file(m, file, line, "cannot read %s: %s", path,
		    strerror(errno));
	free(path);
	return r == -1 ? -1 : 0;
}

static int
add_lines(struct conf_text *t, const char *file, const struct buf *b,
    int depth, struct mistakes *m)
{
	const char *p = b->p, *limit = b->p + b->len, *end;
	int line, r = 0;
	char *path;

	for (line = 1; p < limit; p = end + 1, line++) {
		end = memchr(p, '\n', (size_t)(limit - p));
		if (end == NULL)
			end = limit;
		path = included_path(p, (size_t)(end - p));
		if (path == NULL)
			add_line(t, p, (size_t)(end - p), file, line);
		else if (include(t, file, line, path, depth, m) == -1)
			r = -1;
	}
	return r;
}

/* 0; or -1 with errno if it cannot be read, or with errno 0 and a mistake. */
static int
add_file(struct conf_text *t, const char *file, int depth, struct mistakes *m)
{
	const char *wrong;
	struct buf b;
	char *at;
	int r;

	buf_init(&b, TEXT_MAX);
	if (read_file(file, &b) == -1) {
		r = errno;
		buf_fini(&b);
		errno = r;
		return -1;
	}
	t->files = xrealloc(t->files, (t->nfiles + 1) * sizeof(t->files[0]));
	t->files[t->nfiles++] = xstrdup(file);
	file = t->files[t->nfiles - 1];
	if ((wrong = strip_comments(b.p, b.p + b.len, &at)) != NULL) {
		mistake_add_file(m, file, line_of(b.p, at), "%s", wrong);
		r = -1;
	} else {
		r = add_lines(t, file, &b, depth, m);
	}
	buf_fini(&b);
	errno = 0;
	return r;
}

int
conf_text_read(struct conf_text *t, const char *file, struct mistakes *m)
{
	*t = (struct conf_text){ 0 };
	buf_init(&t->text, TEXT_MAX);
	m->where = t;
	if (add_file(t, file, 0, m) == -1) {
		if (errno != 0)
			mistake_add_file(m, file, 0, "%s", strerror(errno));
		return -1;
	}
	if (!t->text.failed)
		return 0;
	mistake_add_file(m, file, 0, "%s", strerror(EFBIG));
	return -1;
}

void
conf_text_fini(struct conf_text *t)
{
	while (t->nfiles > 0)
		free(t->files[--t->nfiles]);
	free(t->files);
	free(t->origins);
	buf_fini(&t->text);
}
