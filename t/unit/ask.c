/* Tables made of tables, and look-ups that wait for a remote member: the test
   is the server. */

#include "rules/ask.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/remote.h"
#include "tap.h"

/* What the servers say, by port. */
static const struct {
	const char		*port, *key;
	enum table_result	 result;
	const char		*value;
} server[] = {
	{ "1", "a", TABLE_FOUND, "one" },
	{ "1", "one", TABLE_FOUND, "uno" },
	{ "1", "bad", TABLE_FAILED, "" },
	{ "1", "\xff", TABLE_FOUND, "never asked" },
	{ "1", "x", TABLE_FOUND, "\xff" },
	{ "2", "a", TABLE_FOUND, "two" },
	{ "2", "one", TABLE_FOUND, "eins" },
	{ "2", "@b", TABLE_FOUND, "domain" },
};

#define NSERVER	(sizeof(server) / sizeof(server[0]))

static int questions;

static void
answer(struct ask *a)
{
	struct slice key = ask_key(a);
	size_t i;

	questions++;
	for (i = 0; i < NSERVER; i++)
		if (strcmp(ask_remote(a)->port, server[i].port) == 0 &&
		    slice_is(key, server[i].key))
			break;
	if (i < NSERVER)
		ask_answer(a, server[i].result, server[i].value,
		    strlen(server[i].value));
	else
		ask_answer(a, TABLE_NOT_FOUND, NULL, 0);
}

static const char *
run(struct ask *a, const char **value)
{
	while (!ask_run(a))
		answer(a);
	switch (ask_result(a, value)) {
	case TABLE_FOUND:
		return *value;
	case TABLE_NOT_FOUND:
		return NULL;
	case TABLE_FAILED:
		return "(failed)";
	case TABLE_LIMIT:
		break;
	}
	return "(limit)";
}

static const struct {
	const char	*spec, *key, *want;
	int		 questions;
} cases[] = {
	{ "tcp:h:1", "a", "one", 1 },
	{ "tcp:h:1", "A", NULL, 1 },
	{ "tcp:h:1", "bad", "(failed)", 1 },
	{ "tcp:h:1", "\xff", NULL, 0 },
	{ "tcp:h:1", "x", "(failed)", 1 },
	{ "socketmap:inet:h:1:map", "a", "one", 1 },
	{ "union:{tcp:h:1, tcp:h:2}", "a", "one,two", 2 },
	{ "union:{tcp:h:2, static:x, tcp:h:1}", "b", "x", 2 },
	{ "union:{tcp:h:1, tcp:h:2}", "b", NULL, 2 },
	{ "union:{tcp:h:1, tcp:h:2}", "bad", "(failed)", 1 },
	{ "union:{static:x, tcp:h:1}", "bad", "(failed)", 1 },
	{ "union:{inline:{A=i}, tcp:h:1}", "a", "i,one", 1 },
	{ "union:{inline:{a=}, inline:{a=}}", "a", ",", 0 },
	{ "pipemap:{tcp:h:1, tcp:h:2}", "a", "eins", 2 },
	{ "pipemap:{tcp:h:2, tcp:h:1}", "a", NULL, 2 },
	{ "pipemap:{tcp:h:2, tcp:h:1}", "b", NULL, 1 },
	{ "pipemap:{tcp:h:1, tcp:h:2}", "bad", "(failed)", 1 },
	{ "pipemap:{static:bad, tcp:h:1}", "b", "(failed)", 1 },
	{ "pipemap:{tcp:h:1, inline:{ONE=1}}", "a", "1", 1 },
	{ "pipemap:{static:a, union:{tcp:h:1, pipemap:{tcp:h:1, tcp:h:2}}}",
	    "q", "one,eins", 3 },
	{ "unionmap:{inline:{a=1}}", "b", NULL, 0 },
};

static void
test_cases(void)
{
	const char *value;
	struct table *t;
	struct keys k;
	struct ask a;
	char *why;
	size_t i;

	keys_init(&k);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = NULL;
		t = table_open(cases[i].spec, &why);
		if (!ok(t != NULL, "%s", cases[i].spec)) {
			printf("# %s\n", why);
			continue;
		}
		questions = 0;
		keys_one(&k, cases[i].key, strlen(cases[i].key));
		ask_start(&a, t, &k);
		is_str(run(&a, &value), cases[i].want, "  answer");
		is_int(questions, cases[i].questions, "  questions");
		ask_fini(&a);
		is_int(table_is_remote(t), strstr(cases[i].spec, "h:") != NULL,
		    "  remote");
		table_free(&t);
	}
	keys_fini(&k);
}

/* Parts of an address: a remote table hears the whole only, unless the first
   member of the union it is in is a table of keys. */
static const struct {
	const char	*spec, *want;
	int		 questions;
} parts[] = {
	{ "tcp:h:2", NULL, 1 },
	{ "union:{tcp:h:2, static:x}", "x", 1 },
	{ "union:{inline:{q=1}, tcp:h:2}", "domain", 3 },
	{ "inline:{@b=i}", "i", 0 },
	{ "pcre:{{/^@b/ i}}", NULL, 0 },
};

static void
test_parts(void)
{
	const char *value;
	struct table *t;
	struct keys k;
	struct ask a;
	char *why;
	size_t i;

	keys_init(&k);
	keys_recipient(&k, "user+x", "B", "+");
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		t = table_open(parts[i].spec, &why);
		questions = 0;
		ask_start(&a, t, &k);
		is_str(run(&a, &value), parts[i].want, parts[i].spec);
		is_int(questions, parts[i].questions, "  questions");
		ask_fini(&a);
		if (!table_is_remote(t)) {
			value = NULL;
			table_find_keys(t, &k, &value);
			is_str(value, parts[i].want, "  without waiting");
		}
		table_free(&t);
	}
	keys_fini(&k);
}

/* Without somebody who asks the server, nothing is "not found". */
static void
test_not_asked(void)
{
	struct table *t;
	char *why;

	t = table_open("tcp:h:1", &why);
	is_int(table_find(t, "b", 1, NULL), TABLE_FAILED, "remote, not asked");
	is_int(table_find_text(t, "b", 1, NULL), TABLE_FAILED, "  as a text");
	is_int(table_find_address(t, "b", "c", "", NULL), TABLE_FAILED,
	    "  as an address");
	table_free(&t);
	t = table_open("union:{static:x, tcp:h:1}", &why);
	is_int(table_find(t, "b", 1, NULL), TABLE_FAILED, "  in a union");
	table_free(&t);
}

static void
test_bad(void)
{
	static const struct {
		const char	*spec, *why;
	} bad[] = {
		{ "union:{}", "{}: no table within the braces" },
		{ "union:static:x", "static:x: no list of tables within braces "
		    "(try {hash:/etc/a, hash:/etc/b})" },
		{ "union:{static:x, static:{}", "{static:x, static:{}: no list "
		    "of tables within braces "
		    "(try {hash:/etc/a, hash:/etc/b})" },
		{ "union:{static:x, y}", "\"y\" is not a table "
		    "(try texthash:/etc/postfix/relay_recipients)" },
		{ "union:{inline:{a}, hash:/nonexistent}", "inline:{a}: \"a\" "
		    "is not KEY=VALUE (try inline:{a=1, {b = two words}}) "
		    "(and 1 more mistake)" },
		{ "union:{union:{union:{union:{union:{union:{union:{union:{"
		    "union:{static:x}}}}}}}}}", "{union:{static:x}}: tables "
		    "within tables, more than 8 deep" },
		{ "tcp:x", "x: no HOST:PORT" },
		{ "tcp:x:65536", "x:65536: not a port" },
		{ "socketmap:inet:x:0:y", "inet:x:0:y: not a port" },
		{ "socketmap:x", "x: no name of a map at the end (try "
		    "inet:127.0.0.1:8891:name)" },
	};
	struct table *t;
	char *why;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		t = table_open(bad[i].spec, &why);
		ok(t == NULL, "%s", bad[i].spec);
		is_str(why, bad[i].why, "  why");
		free(why);
	}
	t = table_open("union:{union:{union:{union:{union:{union:{union:{"
	    "static:x}}}}}}}", &why);
	ok(t != NULL, "8 deep");
	is_int(table_find(t, "k", 1, NULL), TABLE_FOUND, "  can be asked");
	table_free(&t);
}

int
main(void)
{
	test_cases();
	test_parts();
	test_not_asked();
	test_bad();
	return tap_done();
}
