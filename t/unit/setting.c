/* Settings: every type from its text, what is refused and in which words. */

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/net.h"
#include "base/setting.h"
#include "tap.h"

enum fruit { APPLE, PEAR, PLUM };

struct sample {
	char			*name;
	char			*plain;
	enum fruit		 fruit;
	bool			 json, strict;
	int			 count;
	uint64_t		 big;
	size_t			 size;
	uint64_t		 wait;
	struct setting_list	 list;
	struct netset		 nets;
};

static const char *
check_name(const char *text)
{
	return strchr(text, ' ') ? "has a space" : NULL;
}

static const char *const fruits[] = { "apple", "pear", "plum", NULL };
static const char *const formats[] = { "logfmt", "json", NULL };

static const struct setting rows[] = {
	SETTING(sample, name, "name", STRING, .def = "x", .check = check_name),
	SETTING(sample, plain, "plain", STRING, .def = NULL),
	SETTING(sample, fruit, "fruit", WORD, .def = "pear", .words = fruits),
	SETTING(sample, json, "log-format", WORD, .def = "json",
	    .words = formats),
	SETTING(sample, strict, "strict", BOOL, .def = "yes"),
	SETTING(sample, count, "count", COUNT, .def = "7", .min = "2"),
	SETTING(sample, big, "big", COUNT, .def = NULL),
	SETTING(sample, size, "size", SIZE, .def = "50M", .min = "1K",
	    .max = "2G"),
	SETTING(sample, wait, "client-timeout", DURATION, .def = "5m",
	    .min = "1s", .max = "1h"),
	SETTING(sample, list, "list", LIST, .def = NULL, .check = check_name),
	SETTING(sample, nets, "nets", NETWORKS, .def = "127.0.0.0/8"),
	{ .name = NULL }
};

/* Numbers: want is what is stored, why the message. */
static const struct {
	const char	*setting, *text;
	uint64_t	 want;
	const char	*why;
} numbers[] = {
	{ "size", "1000000", 1000000, NULL },
	{ "size", "1K", 1024, NULL },
	{ "size", "64k", 65536, NULL },
	{ "size", "3M", 3 << 20, NULL },
	{ "size", "2G", 2147483648, NULL },
	{ "size", "1023", 0, "\"1023\" is less than 1K" },
	{ "size", "3G", 0, "\"3G\" is more than 2G" },
	{ "size", "1KB", 0, "\"1KB\" is not a size (try 64K, 50M)" },
	{ "size", "K", 0, "\"K\" is not a size (try 64K, 50M)" },
	{ "size", "", 0, "\"\" is not a size (try 64K, 50M)" },
	{ "size", "-1", 0, "\"-1\" is not a size (try 64K, 50M)" },
	{ "size", " 1K", 0, "\" 1K\" is not a size (try 64K, 50M)" },
	{ "client-timeout", "30", 30000, NULL },
	{ "client-timeout", "30s", 30000, NULL },
	{ "client-timeout", "1500ms", 1500, NULL },
	{ "client-timeout", "5m", 300000, NULL },
	{ "client-timeout", "1h", 3600000, NULL },
	{ "client-timeout", "999ms", 0, "\"999ms\" is less than 1s" },
	{ "client-timeout", "2h", 0, "\"2h\" is more than 1h" },
	{ "client-timeout", "1d", 0, "\"1d\" is more than 1h" },
	{ "client-timeout", "5x", 0,
	    "\"5x\" is not a duration (try 300s, 5m)" },
	{ "client-timeout", "1m30s", 0,
	    "\"1m30s\" is not a duration (try 300s, 5m)" },
	{ "client-timeout", "5 m", 0,
	    "\"5 m\" is not a duration (try 300s, 5m)" },
	{ "count", "2", 2, NULL },
	{ "count", "2147483647", 2147483647, NULL },
	{ "count", "1", 0, "\"1\" is less than 2" },
	{ "count", "2147483648", 0, "\"2147483648\" is more than 2147483647" },
	{ "count", "0x10", 0, "\"0x10\" is not a number (try 20)" },
	{ "count", "1K", 0, "\"1K\" is not a number (try 20)" },
	{ "big", "18446744073709551609", 18446744073709551609ULL, NULL },
	{ "big", "18446744073709551620", 0,
	    "\"18446744073709551620\" is not a number (try 20)" },
	{ "big", "99999999999999999999999", 0,
	    "\"99999999999999999999999\" is not a number (try 20)" },
};

static uint64_t
number(const struct sample *s, const char *name)
{
	return strcmp(name, "size") == 0 ? s->size :
	    strcmp(name, "big") == 0 ? s->big :
	    strcmp(name, "count") == 0 ? (uint64_t)s->count : s->wait;
}

static void
test_numbers(void)
{
	struct sample s;
	uint64_t before;
	char *why;
	size_t i;
	int r;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		memset(&s, 0, sizeof(s));
		setting_defaults(rows, &s);
		before = number(&s, numbers[i].setting);
		why = NULL;
		r = setting_set(setting_find(rows, numbers[i].setting), &s,
		    numbers[i].text, &why);
		is_str(why, numbers[i].why, numbers[i].text);
		is_int(r, numbers[i].why ? -1 : 0, "  result");
		is_int((long long)number(&s, numbers[i].setting),
		    (long long)(r == 0 ? numbers[i].want : before),
		    "  value");
		free(why);
		setting_fini(rows, &s);
	}
}

/* NULL for "it was taken". */
static void
refuses(struct sample *s, const char *setting, const char *text,
    const char *want)
{
	char *why = NULL;

	setting_set(setting_find(rows, setting), s, text, &why);
	is_str(why, want, setting);
	free(why);
}

static void
test_defaults(void)
{
	struct sample s = { 0 };

	setting_defaults(rows, &s);
	is_str(s.name, "x", "string");
	is_str(s.plain, NULL, "string without default");
	is_int(s.fruit, PEAR, "word in an enum");
	is_int(s.json, true, "word in a bool");
	is_int(s.strict, true, "bool");
	is_int(s.count, 7, "count");
	is_int((long long)s.size, 50 << 20, "size");
	is_int((long long)s.wait, 300000, "duration");
	is_int((long long)s.list.n, 0, "list without default");
	is_int((long long)s.nets.n, 1, "networks");
	setting_fini(rows, &s);
	is_str(s.name, NULL, "fini leaves no string");
	is_int((long long)s.nets.n, 0, "fini leaves no networks");
	is_int(s.count, 0, "fini leaves no number");
}

static void
test_words(void)
{
	struct sample s = { 0 };

	refuses(&s, "fruit", "plum", NULL);
	is_int(s.fruit, PLUM, "word");
	refuses(&s, "fruit", "APPLE", NULL);
	is_int(s.fruit, APPLE, "word in capitals");
	refuses(&s, "fruit", "peach", "\"peach\" is not one of \"apple\", "
	    "\"pear\", \"plum\"");
	refuses(&s, "fruit", "", "\"\" is not one of \"apple\", \"pear\", "
	    "\"plum\"");
	refuses(&s, "log-format", "json", NULL);
	is_int(s.json, true, "the second word is true");
	refuses(&s, "log-format", "logfmt", NULL);
	is_int(s.json, false, "the first word is false");
	refuses(&s, "strict", "on", NULL);
	is_int(s.strict, true, "on");
	refuses(&s, "strict", "No", NULL);
	is_int(s.strict, false, "No");
	refuses(&s, "strict", "1", "\"1\" is neither \"yes\" nor \"no\"");
	setting_fini(rows, &s);
}

static void
test_texts(void)
{
	struct sample s = { 0 };
	char text[200];

	refuses(&s, "name", "a", NULL);
	refuses(&s, "name", "b c", "\"b c\" has a space");
	is_str(s.name, "a", "a refused text leaves the old one");
	refuses(&s, "name", "a\x1b[2J b", "\"a?[2J b\" has a space");
	memset(text, 'y', sizeof(text));
	memcpy(text + sizeof(text) - 3, " z", 3);
	refuses(&s, "name", text, "\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
	    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy...\" has a space");
	refuses(&s, "list", "one", NULL);
	refuses(&s, "list", "two", NULL);
	refuses(&s, "list", "t w", "\"t w\" has a space");
	is_int((long long)s.list.n, 2, "two in the list");
	is_str(s.list.v[1], "two", "in their order");
	refuses(&s, "nets", "10.0.0.0/8", NULL);
	refuses(&s, "nets", "2001:db8::/32", NULL);
	is_int((long long)s.nets.n, 2, "two networks");
	refuses(&s, "nets", "10.0.0.0/33",
	    "\"10.0.0.0/33\" is no network: not a prefix length");
	setting_fini(rows, &s);
}

static void
test_options(void)
{
	const struct setting *list = setting_find(rows, "list");
	struct sample s = { 0 };
	char *why = NULL;

	refuses(&s, "list", "old", NULL);
	is_int(setting_set_option(list, &s, "a,b, c", &why), 0, "list");
	is_int((long long)s.list.n, 3, "it replaces what was there");
	is_str(s.list.v[2], "c", "commas and spaces separate");
	is_int(setting_set_option(list, &s, "", &why), 0, "empty list");
	is_int((long long)s.list.n, 0, "nothing is in it");
	is_int(setting_set_option(setting_find(rows, "nets"), &s,
	    "10.0.0.0/8,bad", &why), -1, "networks");
	ok(why != NULL && strncmp(why, "\"bad\" is no network: ", 21) == 0,
	    "with the one that is wrong: %s", why);
	free(why);
	is_int(setting_set_option(setting_find(rows, "plain"), &s, "a,b",
	    &why), 0, "a string has commas");
	is_str(s.plain, "a,b", "and keeps them");
	setting_fini(rows, &s);
}

static void
test_names(void)
{
	char longer[100] = { 0 };

	ok(setting_find(rows, "size") == &rows[7], "find");
	ok(setting_find(rows, "siz") == NULL, "find nothing");
	is_str(setting_nearest(rows, "client_timeout"), "client-timeout",
	    "another letter");
	is_str(setting_nearest(rows, "client-timeuot"), "client-timeout",
	    "swapped letters");
	is_str(setting_nearest(rows, "clienttimeout"), "client-timeout",
	    "a letter less");
	is_str(setting_nearest(rows, "fruits"), "fruit", "a letter more");
	is_str(setting_nearest(rows, "policy"), NULL, "nothing like it");
	is_str(setting_nearest(rows, ""), NULL, "nothing");
	memset(longer, 's', sizeof(longer) - 1);
	is_str(setting_nearest(rows, longer), NULL, "too long to be compared");
	is_int(setting_distance("abc", "abc"), 0, "the same");
	is_int(setting_distance("listen", "lisetn"), 1, "a swap is one step");
	is_int(setting_distance("a", "b"), -1, "nothing in common");
}

int
main(void)
{
	test_defaults();
	test_numbers();
	test_words();
	test_texts();
	test_options();
	test_names();
	return tap_done();
}
