/* Logical lines, and lists within braces. */

#include "rules/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "rules/braces.h"
#include "rules/report.h"
#include "tap.h"

static char path[] = "/tmp/vratar-lines-XXXXXX";
static struct buf said;

static void
hear(void *arg, const char *mistake)
{
	(void)arg;
	buf_addf(&said, "%s;", mistake + strlen(path));
}

/* want: NUMBER:LINE| for each; said: the mistakes without the file. */
static const struct {
	const char	*name, *text, *want, *said;
} files[] = {
	{ "two lines", "a\nb\n", "1:a|2:b|", "" },
	{ "no end of line", "a\nb", "1:a|2:b|", "" },
	{ "empty", "", "", "" },
	{ "nothing in it", "\n# x\n  \n\t# y\n", "", "" },
	{ "continued", "a\n b\n\tc\nd\n", "1:a b\tc|4:d|", "" },
	{ "comments and empty lines within", "a\n\n# x\n b\nc\n",
	    "1:a b|5:c|", "" },
	{ "white space at the end", "a \t\r\nb\v\f\n", "1:a|2:b|", "" },
	{ "white space in front of the first", " a\n b\nc\n", "3:c|",
	    ":1: white space in front of the first key;" },
	{ "only a continuation", "\n\n\ta", "",
	    ":3: white space in front of the first key;" },
	{ "comment with a continuation", "# x\n a\nb\n", "3:b|",
	    ":2: white space in front of the first key;" },
};

static void
read_all(struct lines *l, struct buf *got)
{
	unsigned long number;
	size_t len;
	char *line;

	while ((line = lines_next(l, &len, &number)) != NULL) {
		buf_addf(got, "%lu:%s|", number, line);
		if (strlen(line) != len)
			buf_adds(got, "(another length)");
	}
}

static void
write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(text, 1, len, f) != len || fclose(f) != 0) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void
try(const char *name, const char *text, size_t len, const char *want,
    const char *mistakes)
{
	struct report report = { .say = hear };
	struct lines *l;
	struct buf got;

	buf_reset(&said);
	buf_init(&got, 10000);
	write_file(text, len);
	l = lines_open(path, &report);
	read_all(l, &got);
	is_str(got.p, want, name);
	is_str(said.p, mistakes, "  mistakes");
	is_int(lines_error(l), 0, "  no error");
	lines_close(&l);
	ok(l == NULL, "  closed");
	buf_fini(&got);
}

static void
test_files(void)
{
	struct report report = { .say = hear };
	size_t i, huge = (1 << 20) + 1;
	struct lines *l;
	struct buf got;
	char *text;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		try(files[i].name, files[i].text, strlen(files[i].text),
		    files[i].want, files[i].said);
	try("a NUL", "a\nb\0c\nd\n", 8, "1:a|3:d|", ":2: a NUL octet;");
	text = xmalloc(huge + 3);
	memset(text, 'a', huge);
	memcpy(text + huge, "\nb\n", 3);
	try("a line without end", text, huge + 3, "2:b|",
	    ":1: a line of more than a megabyte;");
	free(text);

	ok(lines_open("/nonexistent", &report) == NULL && errno == ENOENT,
	    "no file");
	l = lines_open("/", &report);
	buf_init(&got, 100);
	read_all(l, &got);
	is_int(lines_error(l), EISDIR, "a directory");
	lines_close(&l);
}

/* Rules in a list, or why not. */
static const struct {
	const char	*list, *want;
} lists[] = {
	{ "{a b}, {c}", "1:a b|2:c|" },
	{ "{ a }{b}", NULL },
	{ "{ # a } { {x} }", "2:{x}|" },
	{ "{}", "" },
	{ "", "" },
	{ "a b", NULL },
	{ "{a", NULL },
	{ "{a}}", NULL },
};

static void
test_lists(void)
{
	struct report report = { .say = hear };
	const char *why;
	struct lines *l;
	struct buf got;
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		why = NULL;
		l = lines_open_list(SLICE_STR(lists[i].list), "x", &report,
		    &why);
		if (lists[i].want == NULL) {
			ok(l == NULL && why != NULL, "no list: %s",
			    lists[i].list);
			lines_close(&l);
			continue;
		}
		buf_init(&got, 1000);
		read_all(l, &got);
		is_str(got.p, lists[i].want, lists[i].list);
		lines_close(&l);
		buf_fini(&got);
	}
}

static const struct {
	const char	*list, *items;
} items[] = {
	{ "a b,c", "a|b|c|" },
	{ " ,\t, a ,,b ", "a|b|" },
	{ "{a, b} c{d e}f", "{a, b}|c{d e}f|" },
	{ "{{a} b}, c", "{{a} b}|c|" },
	{ "{a b", "{a b|" },
	{ "a} b", "a}|b|" },
	{ "", "" },
	{ " , ", "" },
};

static const struct {
	const char	*text, *inside;
} braces[] = {
	{ "{a}", "a" }, { "{ a b }", "a b" }, { "{}", "" }, { "{{a}}", "{a}" },
	{ "{a", NULL }, { "a}", NULL }, { "{a}b", NULL }, { "{a}{b}", NULL },
	{ "{", NULL }, { "", NULL }, { " {a}", NULL }, { "{a}}", NULL },
	{ "{{a}", NULL },
};

static void
test_braces(void)
{
	struct slice rest, item, inside;
	struct buf got;
	size_t i;

	for (i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		buf_init(&got, 1000);
		rest = SLICE_STR(items[i].list);
		while (braces_next(&rest, &item))
			buf_addf(&got, "%.*s|", (int)item.len, item.p);
		is_str(got.p, items[i].items, items[i].list);
		buf_fini(&got);
	}
	for (i = 0; i < sizeof(braces) / sizeof(braces[0]); i++) {
		if (ok(braces_open(SLICE_STR(braces[i].text), &inside) ==
		    (braces[i].inside != NULL), "%s", braces[i].text) &&
		    braces[i].inside != NULL)
			ok(slice_is(inside, braces[i].inside), "  inside");
	}
}

int
main(void)
{
	buf_init(&said, 10000);
	close(mkstemp(path));
	test_files();
	test_lists();
	test_braces();
	unlink(path);
	buf_fini(&said);
	return tap_done();
}
