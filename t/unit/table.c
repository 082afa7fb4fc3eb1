/* Tables: the format of texthash files, folding, and the parts of an address
   in Postfix's order. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rules/table.h"
#include "tap.h"

static char path[] = "/tmp/vratar-table-XXXXXX";
static char log_path[] = "/tmp/vratar-table-log-XXXXXX";

static void
write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(text, 1, len, f) != len || fclose(f) != 0) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static struct table *
open_file(char **why)
{
	char *spec = xasprintf("texthash:%s", path);
	struct table *t = table_open(spec, why);

	free(spec);
	return t;
}

/* want: value, NULL for not found; why: the message without the file. */
static const struct {
	const char	*name, *text, *key, *want, *why;
	int		 keys;
} files[] = {
	{ "one line", "a@b.c OK\n", "a@b.c", "OK", NULL, 1 },
	{ "no end of line", "a 1", "a", "1", NULL, 1 },
	{ "tabs and spaces", "a \t  1 2  \t\n", "a", "1 2", NULL, 1 },
	{ "CR LF", "a 1\r\nb 2\r\n", "a", "1", NULL, 2 },
	{ "empty file", "", "a", NULL, NULL, 0 },
	{ "only comments", "# a 1\n\n  \n  # b\n", "a", NULL, NULL, 0 },
	{ "comment after a value is part of it", "a 1 # x\n", "a", "1 # x",
	    NULL, 1 },
	{ "keys are folded", "User@Example.ORG Yes\n", "user@example.org",
	    "Yes", NULL, 1 },
	{ "questions are folded", "user@example.org yes\n", "USER@EXAMPLE.ORG",
	    "yes", NULL, 1 },
	{ "continued", "a one\n two\n\tthree\nb x\n", "a", "one two\tthree",
	    NULL, 2 },
	{ "continued over a comment", "a one\n# c\n\n two\n", "a", "one two",
	    NULL, 1 },
	{ "value in the next line", "a\n  one\n", "a", "one", NULL, 1 },
	{ "the first of two is kept", "a 1\nA 2\n", "a", "1", NULL, 1 },
	{ "quoted key", "\"a b\"@c.d OK\n", "\"a b\"@c.d", "OK", NULL, 1 },
	{ "quote in a quoted key", "\"a\\\" b\"@c.d OK\n", "\"a\\\" b\"@c.d",
	    "OK", NULL, 1 },
	{ "UTF-8", "j\xc3\xb6rg@x.y OK\n", "j\xc3\xb6rg@x.y", "OK", NULL, 1 },
	{ "part of a key", "abc 1\n", "ab", NULL, NULL, 1 },
	{ "longer than a key", "abc 1\n", "abcd", NULL, NULL, 1 },
	{ "empty question", "abc 1\n", "", NULL, NULL, 1 },
	{ "no value", "a 1\nb\nc 3\n", NULL, NULL,
	    ":2: the key has no value (try \"KEY OK\")", 0 },
	{ "no value at the end", "a 1\nb  \n", NULL, NULL,
	    ":2: the key has no value (try \"KEY OK\")", 0 },
	{ "first line is a continuation", "\n a 1\n", NULL, NULL,
	    ":2: white space in front of the first key", 0 },
	{ "open quote", "a 1\n\"b c 2\n", NULL, NULL,
	    ":2: a double quote is not closed", 0 },
	{ "open quote of a continued line", "a 1\n\n\"b c\n 2\n\nd 3\n", NULL,
	    NULL, ":3: a double quote is not closed", 0 },
};

static void
test_files(void)
{
	const char *value;
	struct table *t;
	char *why, *want;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		write_file(files[i].text, strlen(files[i].text));
		why = NULL;
		t = open_file(&why);
		if (files[i].why != NULL) {
			want = xasprintf("%s%s", path, files[i].why);
			is_str(why, want, files[i].name);
			ok(t == NULL, "  no table");
			free(want);
			free(why);
			continue;
		}
		if (!ok(t != NULL, "%s", files[i].name)) {
			printf("# %s\n", why);
			continue;
		}
		value = NULL;
		is_int(table_find(t, files[i].key, strlen(files[i].key),
		    &value), files[i].want ? TABLE_FOUND : TABLE_NOT_FOUND,
		    "  result");
		is_str(value, files[i].want, "  value");
		is_int((long long)table_size(t), files[i].keys, "  keys");
		table_free(&t);
		ok(t == NULL, "  freed");
	}
}

static void
test_octets(void)
{
	char *why = NULL, *want, key[5000];
	struct table *t;

	write_file("a 1\nb\0c 2\n", 10);
	t = open_file(&why);
	want = xasprintf("%s:2: a NUL octet", path);
	is_str(why, want, "a NUL in the file");
	free(want);
	free(why);

	write_file("a 1\n", 4);
	t = open_file(&why);
	is_int(table_find(t, "a\0b", 3, NULL), TABLE_NOT_FOUND,
	    "a NUL in the question ends nothing");
	is_int(table_find(t, "ab", 1, NULL), TABLE_FOUND,
	    "a question has a length, and value may be NULL");
	memset(key, 'a', sizeof(key));
	is_int(table_find(t, key, sizeof(key), NULL), TABLE_NOT_FOUND,
	    "a question of any length");
	table_free(&t);
}

static void
test_open(void)
{
	char *why = NULL;
	struct table *t = NULL;

	ok(table_open("texthash:/nonexistent/x", &why) == NULL, "no file");
	is_str(why, "/nonexistent/x: No such file or directory", "  why");
	free(why);
	ok(table_open("texthash:/", &why) == NULL, "a directory");
	is_str(why, "/: Is a directory", "  why");
	free(why);
	ok(table_open("mysql:/etc/x.cf", &why) == NULL, "no type");
	is_str(why, "no table type \"mysql\" (there is texthash: hash: btree: "
	    "lmdb: cdb: pcre: regexp: cidr: inline: static: union: unionmap: "
	    "pipemap: socketmap: tcp:)", "  why");
	free(why);
	ok(table_open("/etc/x", &why) == NULL, "no colon");
	is_str(why, "\"/etc/x\" is not a table "
	    "(try texthash:/etc/postfix/relay_recipients)", "  why");
	free(why);
	ok(table_open("texthash:", &why) == NULL, "no argument");
	free(why);
	table_free(&t);
	write_file("a 1\n", 4);
	t = open_file(&why);
	ok(strncmp(table_spec(t), "texthash:/tmp/", 14) == 0, "spec");
	table_free(&t);
}

static void
test_duplicates(void)
{
	struct buf text;
	char line[512], *why, *where, *want;
	struct table *t;
	int i, warned = 0;
	FILE *f;

	buf_init(&text, 1000);
	for (i = 0; i < 20; i++)
		buf_adds(&text, "same@example.org OK\n");
	write_file(text.p, text.len);
	buf_fini(&text);
	where = xasprintf("file:%s", log_path);
	log_open(where, false);
	t = open_file(&why);
	log_open("stderr", false);
	is_int((long long)table_size(t), 1, "twenty times the same key");
	table_free(&t);
	want = xasprintf("table file=%s line=%d", path, 2);
	f = fopen(log_path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (++warned == 1)
			ok(strstr(line, want) != NULL &&
			    strstr(line, "duplicate=same@example.org") != NULL,
			    "the second is warned of: %s", line);
	if (f != NULL)
		fclose(f);
	is_int(warned, 10, "and then there are not too many warnings");
	free(where);
	free(want);
}

static void
hear(void *arg, const char *mistake)
{
	struct buf *said = arg;

	buf_addf(said, "%s\n", mistake);
}

/* Three ways to open a file with mistakes. */
static void
test_mistakes(void)
{
	char *why = NULL, *spec, *want;
	struct table *t;
	struct buf said;

	write_file("a 1\nb\n\"c 3\n\xff 4\nd 5\n", 19);
	spec = xasprintf("texthash:%s", path);
	want = xasprintf("%s:2: the key has no value (try \"KEY OK\")\n"
	    "%s:3: a double quote is not closed\n"
	    "%s:4: text that is not UTF-8\n", path, path, path);
	buf_init(&said, 10000);
	t = table_open_lenient(spec, hear, &said);
	is_str(said.p, want, "lenient: all mistakes are heard");
	is_int((long long)table_size(t), 2, "  and skipped");
	table_free(&t);
	buf_reset(&said);
	t = table_open_strict(spec, hear, &said);
	is_str(said.p, want, "strict: all mistakes are heard");
	ok(t == NULL, "  and there is no table");
	t = table_open(spec, &why);
	free(want);
	want = xasprintf("%s:2: the key has no value (try \"KEY OK\") "
	    "(and 2 more mistakes)", path);
	is_str(why, want, "strict: the first, and their number");
	free(why);
	buf_reset(&said);
	t = table_open_lenient("texthash:/nonexistent/x", hear, &said);
	ok(t == NULL, "nothing to be lenient with");
	is_str(said.p, "/nonexistent/x: No such file or directory\n", "  why");
	buf_fini(&said);
	free(want);
	free(spec);
}

static const struct {
	const char	*spec, *key, *want;	/* want NULL: not found */
} inlines[] = {
	{ "inline:{a=b}", "a", "b" },
	{ "inline:{a=b}", "A", "b" },
	{ "inline:{ {a = b c}, D=e }", "d", "e" },
	{ "inline:{ {a = b c}, D=e }", "a", "b c" },
	{ "inline:{a=1 a=2}", "a", "2" },
	{ "inline:{a=}", "a", "" },
	{ "inline:{a=b=c}", "a", "b=c" },
	{ "inline:{a={x y}}", "a", "{x y}" },
	{ "inline:{a=b}", "", NULL },
	{ "static:x", "a", "x" },
	{ "static:{ two words }", "a", "two words" },
	{ "static:{}", "a", "" },
	{ "static:x", "", "x" },
};

static const char *const no_inlines[] = {
	"inline:{}", "inline:{ }", "inline:a=b", "inline:{a=b", "inline:{a=b}}",
	"inline:{a}", "inline:{=b}", "inline:{{a b=c}}", "inline:{{a=b}c}",
	"inline:{\xff=b}", "inline:", "static:{x", "static:{x}y", "static:",
};

static void
test_inlines(void)
{
	const char *value;
	struct table *t;
	char *why;
	size_t i;

	for (i = 0; i < sizeof(inlines) / sizeof(inlines[0]); i++) {
		t = table_open(inlines[i].spec, &why);
		value = NULL;
		table_find(t, inlines[i].key, strlen(inlines[i].key), &value);
		is_str(value, inlines[i].want, inlines[i].spec);
		table_free(&t);
	}
	for (i = 0; i < sizeof(no_inlines) / sizeof(no_inlines[0]); i++) {
		why = NULL;
		t = table_open(no_inlines[i], &why);
		ok(t == NULL && why != NULL, "none: %s", no_inlines[i]);
		free(why);
	}
}

static const char *
find(struct table *t, const char *key)
{
	const char *value = NULL;

	return table_find(t, key, strlen(key), &value) == TABLE_FOUND ?
	    value : NULL;
}

/* Changes are seen after a second, and never lost. */
static void
test_reload(void)
{
	char *why, *moved;
	struct table *t;

	log_open("file:/dev/null", false);
	write_file("a 1\n", 4);
	t = open_file(&why);
	is_str(find(t, "a"), "1", "before the change");
	write_file("a 12\nb 3\n", 9);
	is_str(find(t, "a"), "1", "the file is looked at once a second");
	clock_advance(1000);
	is_str(find(t, "a"), "12", "and read again");
	is_str(find(t, "b"), "3", "  all of it");
	write_file("a\nb 4\n", 6);
	clock_advance(1000);
	is_str(find(t, "a"), "12", "a broken file changes nothing");
	is_str(find(t, "b"), "3", "  at all");
	unlink(path);
	clock_advance(1000);
	is_str(find(t, "b"), "3", "neither does one that is gone");
	write_file("a 5\n", 4);
	clock_advance(1000);
	is_str(find(t, "a"), "5", "until it is back");
	moved = xasprintf("%s.new", path);
	is_int(rename(path, moved), 0, "moved away");
	write_file("a 6\n", 4);
	clock_advance(1000);
	is_str(find(t, "a"), "6", "a new file of the same size");
	unlink(moved);
	free(moved);
	table_free(&t);
	log_open("stderr", false);
}

/* More than a megabyte, with this value behind each key. */
static void
write_large(const char *value)
{
	FILE *f = fopen(path, "w");
	int i;

	for (i = 0; i < 50000; i++)
		fprintf(f, "user%d@example.org %s\n", i, value);
	fclose(f);
	clock_advance(1000);
}

/* Look up until the thread has read the file. */
static const char *
find_later(struct table *t, const char *want)
{
	const char *value;
	int tries;

	for (tries = 0; tries < 10000; tries++) {
		value = find(t, "user49999@example.org");
		if (value != NULL && strcmp(value, want) == 0)
			break;
		poll(NULL, 0, 1);
	}
	return value;
}

/* Look up until this is in the log. */
static bool
logged_later(struct table *t, const char *want)
{
	char text[10000];
	bool found = false;
	int tries;
	FILE *f;
	size_t n;

	for (tries = 0; tries < 10000 && !found; tries++) {
		find(t, "user0@example.org");
		f = fopen(log_path, "r");
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
		text[n] = '\0';
		found = strstr(text, want) != NULL;
		poll(NULL, 0, 1);
	}
	return found;
}

static void
test_reload_large(void)
{
	char *why, *where = xasprintf("file:%s", log_path);
	struct table *t;

	log_open(where, false);
	write_large("one");
	t = open_file(&why);
	is_str(find(t, "user0@example.org"), "one", "a large table");
	write_large("two");
	is_str(find(t, "user0@example.org"), "one",
	    "it is read aside: nobody waits for that");
	is_str(find_later(t, "two"), "two", "and then it is there");
	is_int((long long)table_size(t), 50000, "all of it");
	write_large("");
	ok(logged_later(t, ":20: the key has no value"), "what is wrong");
	ok(logged_later(t, "more=49980"), "there is too much of it to be told");
	ok(logged_later(t, "reload=failed"), "so it is not taken");
	is_str(find(t, "user0@example.org"), "two", "the old content stays");
	write_large("five");
	find(t, "user0@example.org");
	table_free(&t);
	ok(t == NULL, "the end comes while it is read");
	log_open("stderr", false);
	free(where);
}

static void
test_reload_patterns(void)
{
	struct table *t;
	char *why, *spec;

	log_open("file:/dev/null", false);
	write_file("/^(a+)+$/ 1\n", 12);
	spec = xasprintf("union:{pcre:%s, inline:{b=2}}", path);
	t = table_open(spec, &why);
	is_str(find(t, "aa"), "1", "a member of a union");
	find(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
	is_int((long long)table_limit_hits(t), 1, "  hits its limit");
	write_file("/c/ 3\n", 6);
	clock_advance(1000);
	is_str(find(t, "c"), "3", "  is read again");
	is_int((long long)table_limit_hits(t), 1, "  and does not forget it");
	table_free(&t);
	free(spec);
	log_open("stderr", false);
}

/* The table has every form; delimiter "+-" unless the row says otherwise. */
static const char *const addresses =
    "user+ext@example.org exact\n"
    "user@example.org plain\n"
    "@example.org domain\n"
    "only+ext@example.net ext\n"
    "user@example.net plain\n"
    "\"a b\"@example.net quoted\n"
    "\"a\\\\b\"@example.net backslash\n"
    "owner@example.net owner\n"
    "list@example.net list\n"
    "postmaster@example.net pm\n"
    "+@example.net plus\n";

static const struct {
	const char	*local, *domain, *delimiter, *want;
} lookups[] = {
	{ "user+ext", "example.org", "+", "exact" },
	{ "user+other", "example.org", "+", "plain" },
	{ "user-other", "example.org", "+-", "plain" },
	{ "user-other", "example.org", "+", "domain" },
	{ "user+other", "example.org", "", "domain" },
	{ "user+other", "example.org", NULL, "domain" },
	{ "USER+Ext", "EXAMPLE.org", "+", "exact" },
	{ "nobody", "example.org", "+", "domain" },
	{ "nobody", "sub.example.org", "+", NULL },
	{ "only+ext", "example.net", "+", "ext" },
	{ "only", "example.net", "+", NULL },
	{ "user+a+b", "example.net", "+", "plain" },
	{ "nobody", "example.net", "+", NULL },
	{ "a b", "example.net", "+", "quoted" },
	{ "a\\b", "example.net", "+", "backslash" },
	{ "owner-list", "example.net", "-", NULL },
	{ "list-request", "example.net", "-", NULL },
	{ "list-other", "example.net", "-", "list" },
	{ "list+request", "example.net", "+", "list" },
	{ "postmaster", "example.net", "m", "pm" },
	{ "+", "example.net", "+", "plus" },
	{ "+x", "example.net", "+", NULL },
	{ "", "example.org", "+", "domain" },
	{ "", "", "+", NULL },
};

static void
test_addresses(void)
{
	const char *value;
	struct table *t;
	char *why;
	size_t i;

	write_file(addresses, strlen(addresses));
	t = open_file(&why);
	for (i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
		value = NULL;
		is_int(table_find_address(t, lookups[i].local,
		    lookups[i].domain, lookups[i].delimiter, &value),
		    lookups[i].want ? TABLE_FOUND : TABLE_NOT_FOUND,
		    lookups[i].local);
		is_str(value, lookups[i].want, "  value");
	}
	table_free(&t);
}

/* Many keys: each is found, and its neighbour that is not there is not. */
static void
test_many(void)
{
	enum { N = 50000 };
	char key[64], *why;
	const char *value;
	struct table *t;
	int i, found = 0, wrong = 0;
	FILE *f = fopen(path, "w");

	for (i = 0; i < N; i++)
		fprintf(f, "user%d@example.org %d\n", 2 * i, i);
	fclose(f);
	t = open_file(&why);
	is_int((long long)table_size(t), N, "many keys");
	for (i = 0; i < 2 * N; i++) {
		snprintf(key, sizeof(key), "user%d@example.org", i);
		if (table_find(t, key, strlen(key), &value) != TABLE_FOUND)
			continue;
		found++;
		wrong += strtol(value, NULL, 10) != i / 2;
	}
	is_int(found, N, "all found");
	is_int(wrong, 0, "with their own values");
	table_free(&t);
}

int
main(void)
{
	close(mkstemp(path));
	close(mkstemp(log_path));
	test_files();
	test_octets();
	test_open();
	test_duplicates();
	test_mistakes();
	test_inlines();
	test_reload();
	test_reload_large();
	test_reload_patterns();
	test_addresses();
	test_many();
	unlink(path);
	unlink(log_path);
	return tap_done();
}
