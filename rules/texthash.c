/*
 * texthash - a text file of keys and values, in memory.
 *
 * The format is that of Postfix (postmap(1), postconf(5)): a logical line
 * starts with text and goes on in lines that start with white space; empty
 * lines and lines whose first text is "#" count for nothing, even in the
 * middle of a logical line. The key ends at the first white space outside
 * double quotes, which stay part of it; the rest is the value.
 *
 * Stricter than Postfix in one thing: a line that Postfix would skip with a
 * warning is a mistake here, because a recipient that is lost from the list
 * is mail that is refused.
 *
 * The text stays in memory as it was read, cut into strings in place, and the
 * entries are one array: a million keys are two allocations and uthash's
 * buckets, and forked workers share the pages.
 */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "rules/table_impl.h"

#define uthash_malloc(size)	xmalloc(size)
#include <uthash.h>

/* The number of keys is known, so the buckets are made for it at once and never
   grow. The macros are expanded in add(). */
#undef HASH_INITIAL_NUM_BUCKETS
#undef HASH_INITIAL_NUM_BUCKETS_LOG2
#define HASH_INITIAL_NUM_BUCKETS	(1U << h->bits)
#define HASH_INITIAL_NUM_BUCKETS_LOG2	h->bits

#define FILE_MAX	((size_t)1 << 30)	/* uthash counts in 32 bits */
#define DUPLICATES_MAX	10			/* warnings for one file */

struct entry {
	char		*key, *value;		/* into text */
	UT_hash_handle	 hh;
};

struct texthash {
	char		*path;
	char		*text;			/* the file, and a NUL */
	size_t		 len;
	struct entry	*entries;		/* room for one a line */
	size_t		 n;
	struct entry	*by_key;		/* uthash */
	unsigned	 bits;			/* 2^bits buckets at first */
	size_t		 duplicates;
};

/* One logical line while it is put together, in place. */
struct logical {
	char		*start, *end;		/* NULL: none */
	unsigned long	 line;			/* of its first octet */
};

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Reading */

static int
read_all(struct texthash *h, int fd)
{
	size_t room = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == 0 && st.st_size > 0)
		room = (size_t)st.st_size < FILE_MAX ? (size_t)st.st_size :
		    FILE_MAX;
	room += 2;	/* one octet to see the end, one for the NUL */
	h->text = xmalloc(room);
	while ((n = read(fd, h->text + h->len, room - h->len - 1)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		h->len += (size_t)n;
		if (h->len > FILE_MAX) {
			errno = EFBIG;
			return -1;
		}
		if (room - h->len < 2)
			h->text = xrealloc(h->text, room *= 2);
	}
	h->text[h->len] = '\0';
	return 0;
}

static int
read_file(struct texthash *h)
{
	int fd, r;

	fd = open(h->path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	r = read_all(h, fd);
	close(fd);
	return r;
}

/* Lines */

/* The first white space outside quotes; NULL when a quote is left open. */
static char *
key_end(char *p, const char *end)
{
	bool quoted = false;

	for (; p < end && (quoted || !is_white(*p)); p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			quoted = !quoted;
	}
	return quoted ? NULL : p;
}

static void
fold(char *p)
{
	for (; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 'a' - 'A');
}

/* Postfix keeps the first of several and warns. */
static void
warn_duplicate(struct texthash *h, const char *key, unsigned long line)
{
	char quoted[256];

	if (++h->duplicates > DUPLICATES_MAX)
		return;
	log_warn(0, "table file=%s line=%lu duplicate=%s%s", h->path, line,
	    log_quote(quoted, sizeof(quoted), key, strlen(key), 60),
	    h->duplicates == DUPLICATES_MAX ? " (no more are shown)" : "");
}

/* NULL, or what is wrong (static). */
static const char *
add(struct texthash *h, struct logical *l)
{
	struct entry *e = &h->entries[h->n], *old;
	unsigned hash;
	char *end;

	while (l->end > l->start && is_white(l->end[-1]))
		l->end--;
	end = key_end(l->start, l->end);
	if (end == NULL)
		return "a double quote is not closed";
	if (end == l->end)
		return "the key has no value (try \"KEY OK\")";
	*l->end = *end = '\0';
	e->key = l->start;
	for (e->value = end + 1; is_white(*e->value); e->value++)
		;
	fold(e->key);
	HASH_VALUE(e->key, (size_t)(end - e->key), hash);
	HASH_FIND_BYHASHVALUE(hh, h->by_key, e->key, (size_t)(end - e->key),
	    hash, old);
	if (old != NULL) {
		warn_duplicate(h, e->key, l->line);
		return NULL;
	}
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, h->by_key, e->key,
	    (size_t)(end - e->key), hash, e);
	h->n++;
	return NULL;
}

/*
 * A continuation is moved to the end of its logical line, over the line end
 * and the comments between: a logical line is never longer than what was read
 * for it.
 */
static void
append(struct logical *l, const char *p, size_t len)
{
	memmove(l->end, p, len);
	l->end += len;
}

/* One line of the file. NULL, or what is wrong, in *line. */
static const char *
take_line(struct texthash *h, struct logical *l, char *p, char *end,
    unsigned long *line)
{
	const char *text = p, *wrong = NULL;
	unsigned long start = l->line;

	while (text < end && is_white(*text))
		text++;
	if (text == end || *text == '#')
		return NULL;
	if (is_white(*p)) {
		if (l->start == NULL)
			return "white space in front of the first key";
		append(l, p, (size_t)(end - p));
		return NULL;
	}
	if (l->start != NULL && (wrong = add(h, l)) != NULL)
		*line = start;
	*l = (struct logical){ .start = p, .end = end, .line = *line };
	return wrong;
}

static const char *
parse(struct texthash *h, unsigned long *line)
{
	char *p = h->text, *limit = h->text + h->len, *end;
	struct logical l = { 0 };
	const char *wrong;

	for (*line = 1; p < limit; p = end + 1, ++*line) {
		end = memchr(p, '\n', (size_t)(limit - p));
		if (end == NULL)
			end = limit;
		if (memchr(p, '\0', (size_t)(end - p)) != NULL)
			return "a NUL octet";
		if ((wrong = take_line(h, &l, p, end, line)) != NULL)
			return wrong;
	}
	*line = l.line;
	return l.start != NULL ? add(h, &l) : NULL;
}

/* Room for one entry a line. */
static void
make_room(struct texthash *h)
{
	const char *p = h->text, *limit = h->text + h->len;
	size_t lines = 1;

	while ((p = memchr(p, '\n', (size_t)(limit - p))) != NULL)
		lines++, p++;
	h->entries = xcalloc(lines, sizeof(h->entries[0]));
	for (h->bits = 5; h->bits < 26 && (size_t)1 << h->bits < lines;)
		h->bits++;
}

/* The table */

static void
texthash_close(void *priv)
{
	struct texthash *h = priv;

	HASH_CLEAR(hh, h->by_key);
	free(h->entries);
	free(h->text);
	free(h->path);
	free(h);
}

static void *
texthash_open(const char *path, char **why)
{
	struct texthash *h = xcalloc(1, sizeof(*h));
	unsigned long line;
	const char *wrong;

	h->path = xstrdup(path);
	if (read_file(h) == -1) {
		*why = xasprintf("%s: %s", path, strerror(errno));
		texthash_close(h);
		return NULL;
	}
	make_room(h);
	if ((wrong = parse(h, &line)) != NULL) {
		*why = xasprintf("%s:%lu: %s", path, line, wrong);
		texthash_close(h);
		return NULL;
	}
	return h;
}

static enum table_result
texthash_find(void *priv, const char *key, size_t len, const char **value)
{
	struct texthash *h = priv;
	struct entry *e;

	HASH_FIND(hh, h->by_key, key, len, e);
	if (e == NULL)
		return TABLE_NOT_FOUND;
	*value = e->value;
	return TABLE_FOUND;
}

static size_t
texthash_size(const void *priv)
{
	const struct texthash *h = priv;

	return h->n;
}

const struct table_type table_texthash = {
	.name	= "texthash",
	.open	= texthash_open,
	.close	= texthash_close,
	.find	= texthash_find,
	.size	= texthash_size,
};
