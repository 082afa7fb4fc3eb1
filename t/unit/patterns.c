/* pcre, regexp and cidr: rules, if and endif, negation, flags, mistakes,
   limits. What they answer in general is compared with Postfix in
   t/510-postmap.t. */

#include "rules/table.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tap.h"

static struct buf said;

static void
hear(void *arg, const char *mistake)
{
	const char *at = strstr(mistake, "}:");

	(void)arg;
	buf_addf(&said, "%s;", at != NULL ? at + 1 : mistake);
}

static const char *
find(struct table *t, const char *key)
{
	const char *value = NULL;

	switch (table_find(t, key, strlen(key), &value)) {
	case TABLE_FOUND:
		return value;
	case TABLE_NOT_FOUND:
		return NULL;
	case TABLE_FAILED:
		return "(failed)";
	case TABLE_LIMIT:
		break;
	}
	return "(limit)";
}

/* Rules, each as the list has it; key; value. */
static const struct {
	const char	*spec, *key, *want;
} answers[] = {
	{ "pcre:{{/a/ 1}, {/b/ 2}}", "b", "2" },
	{ "pcre:{{/a/ 1}, {/./ 2}}", "xa", "1" },
	{ "pcre:{{/A/ 1}}", "a", "1" },
	{ "pcre:{{/A/i 1}}", "a", NULL },
	{ "pcre:{{/a.b/ 1}}", "a\nb", "1" },
	{ "pcre:{{/a.b/s 1}}", "a\nb", NULL },
	{ "pcre:{{/^b/ 1}}", "a\nb", NULL },
	{ "pcre:{{/^b/m 1}}", "a\nb", "1" },
	{ "pcre:{{/a b/x 1}}", "ab", "1" },
	{ "pcre:{{/b/A 1}}", "ab", NULL },
	{ "pcre:{{/b$/ 1}}", "b\n", "1" },
	{ "pcre:{{/b$/E 1}}", "b\n", NULL },
	{ "pcre:{{/(b.*)c/ $1}}", "bxcyc", "bxcy" },
	{ "pcre:{{/(b.*)c/U $1}}", "bxcyc", "bx" },
	{ "pcre:{{!/a/ 1}}", "b", "1" },
	{ "pcre:{{! !/a/ 1}}", "b", NULL },
	{ "pcre:{{if /a/}, {/b/ 1}, {endif}, {/b/ 2}}", "ab", "1" },
	{ "pcre:{{if /a/}, {/b/ 1}, {endif}, {/b/ 2}}", "b", "2" },
	{ "pcre:{{IF !/a/}, {/b/ 1}, {EndIf}, {/b/ 2}}", "ab", "2" },
	{ "pcre:{{if /a/}, {if /b/}, {/c/ 1}, {endif}, {/c/ 2}, {endif}, "
	    "{/c/ 3}}", "ac", "2" },
	{ "pcre:{{if /a/}, {if /b/}, {/c/ 1}, {endif}, {/c/ 2}, {endif}, "
	    "{/c/ 3}}", "bc", "3" },
	{ "pcre:{{/(a)|(b)/ [$1$2]}}", "b", "[b]" },
	{ "pcre:{{/(a)(b)?(c)?/ [$3]}}", "a", "[]" },
	{ "pcre:{{/a\\Kb(?=c)/ 1}}", "abc", "1" },
	{ "pcre:{{/^.$/ 1}}", "\xc3\xb6", NULL },
	{ "pcre:{{/^(.)/ $1}}", "\xc3\xb6", "(failed)" },
	{ "pcre:{{/./ 1}}", "\xff", NULL },
	{ "pcre:{{/(*UTF)^.$/ 1}}", "\xc3\xb6", "1" },
	{ "pcre:{{#a/b#  1}}", "a/b", NULL },	/* a comment */
	{ "pcre:{{|a/b| 1}}", "a/b", "1" },
	{ "pcre:{{/a\\/b/ 1}}", "a/b", "1" },
	{ "pcre:{}", "a", NULL },

	{ "regexp:{{/a/ 1}, {/b/ 2}}", "b", "2" },
	{ "regexp:{{/A/i 1}}", "a", NULL },
	{ "regexp:{{/a+/ 1}}", "aa", "1" },
	{ "regexp:{{/a\\(b\\)/x <$1>}}", "ab", "<b>" },
	{ "regexp:{{/^b/m 1}}", "a\nb", "1" },
	{ "regexp:{{/^b/ 1}}", "a\nb", NULL },
	{ "regexp:{{/(a)|(b)/ [$1$2]}}", "b", "[b]" },
	{ "regexp:{{/a/!/b/ 1}}", "a", "1" },
	{ "regexp:{{/a/!/b/ 1}}", "ab", NULL },
	{ "regexp:{{/a/!!/b/ 1}}", "ab", "1" },
	{ "regexp:{{!/a/!/b/ 1}}", "c", "1" },
	{ "regexp:{{!/a/!/b/ 1}}", "b", NULL },
	{ "regexp:{{!/a/!/b/ 1}}", "a", NULL },
	{ "regexp:{{/(a)/i! /B/i $1}}", "ab", "a" },
	{ "regexp:{{if !/a/}, {/b/ 1}, {endif}, {/b/ 2}}", "b", "1" },
	{ "regexp:{{/([a-z]*)\\1x/ $1}}", "ababx", "ab" },

	{ "cidr:{{192.0.2.0/24 1}, {0.0.0.0/0 2}}", "192.0.2.200", "1" },
	{ "cidr:{{192.0.2.0/24 1}, {0.0.0.0/0 2}}", "192.0.3.0", "2" },
	{ "cidr:{{192.0.2.0/24 1}, {0.0.0.0/0 2}}", "::1", NULL },
	{ "cidr:{{192.0.2.128/25 1}}", "192.0.2.127", NULL },
	{ "cidr:{{192.0.2.1 1}}", "192.0.2.1", "1" },
	{ "cidr:{{192.0.2.1/31 1}}", "192.0.2.1", NULL },
	{ "cidr:{{192.0.2.0/31 1}}", "192.0.2.1", "1" },
	{ "cidr:{{2001:db8::/32 1}}", "2001:DB8:ffff::1", "1" },
	{ "cidr:{{2001:db8::/33 1}}", "2001:db8:8000::1", NULL },
	{ "cidr:{{[::1] 1}}", "0:0::1", "1" },
	{ "cidr:{{[2001:db8::]/32 1}}", "2001:db8::1", "1" },
	{ "cidr:{{!10.0.0.0/8 1}}", "192.0.2.1", "1" },
	{ "cidr:{{!10.0.0.0/8 1}}", "::1", NULL },
	{ "cidr:{{! ! 10.0.0.0/8 1}}", "10.1.1.1", "1" },
	{ "cidr:{{if 10.0.0.0/8}, {10.1.1.1 1}, {endif}, {0.0.0.0/0 2}}",
	    "10.1.1.1", "1" },
	{ "cidr:{{if !10.0.0.0/8}, {::1 1}, {endif}}", "::1", NULL },
	{ "cidr:{{192.0.2.1 $1 $$ ${}}", "192.0.2.1", NULL },
	{ "cidr:{{192.0.2.1 $1 $$}}", "192.0.2.1", "$1 $$" },
	{ "cidr:{{::ffff:192.0.2.1 1}}", "192.0.2.1", NULL },
	{ "cidr:{{192.0.2.1 1}}", "192.0.2.01", NULL },
	{ "cidr:{{192.0.2.1 1}}", "[192.0.2.1]", NULL },
	{ "cidr:{{0.0.0.0/0 1}}", "example.org", NULL },
	{ "cidr:{{0.0.0.0/0 1}}", "", NULL },
};

static void
test_answers(void)
{
	struct table *t;
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		buf_reset(&said);
		t = table_open_lenient(answers[i].spec, hear, NULL);
		if (t == NULL) {
			is_str(NULL, answers[i].want, answers[i].spec);
			continue;
		}
		is_str(find(t, answers[i].key), answers[i].want,
		    answers[i].spec);
		table_free(&t);
	}
}

/* What is heard, and how many patterns are left. */
static const struct {
	const char	*spec, *said;
	int		 left;
} mistakes[] = {
	{ "pcre:{{/a/ 1}, {/(/ 2}, {/b/ 3}}",
	    ":2: pattern, character 2: missing closing parenthesis;", 2 },
	{ "pcre:{{/a 1}}", ":1: the pattern has no end: its first character "
	    "does not come again;", 0 },
	{ "pcre:{{/a\\/ 1}}", ":1: the pattern has no end: its first character "
	    "does not come again;", 0 },
	{ "pcre:{{!}}", ":1: no pattern (try /pattern/ result);", 0 },
	{ "pcre:{{/a/q 1}}", ":1: unknown flag \"q\" behind the pattern (there "
	    "is imsxAEUX);", 0 },
	{ "pcre:{{/a/}}", ":1: the pattern has no result: it is empty now;",
	    1 },
	{ "pcre:{{/a/ $1}}", ":1: \"$number\", and the pattern matches no "
	    "group;", 0 },
	{ "pcre:{{/(a)/ $2}}", ":1: \"$number\" of a group that the pattern "
	    "does not have;", 0 },
	{ "pcre:{{!/(a)/ $1}}", ":1: \"$number\", and the pattern matches no "
	    "group;", 0 },
	{ "pcre:{{/a/ $x}}", ":1: \"$\" with a name that is no number (try "
	    "${1});", 0 },
	{ "pcre:{{if}}", ":1: if: no pattern (try /pattern/ result);", 0 },
	{ "pcre:{{if /a/}, {/b/ 1}}", ":1: this \"if\" has no \"endif\";", 2 },
	{ "pcre:{{endif}, {/b/ 1}}", ":1: \"endif\" without \"if\";", 1 },
	{ "pcre:{{if /a/ x}, {endif y}}", ":1: text behind the pattern of "
	    "\"if\" (rules within must not be indented);:2: text behind "
	    "\"endif\";", 1 },
	{ "pcre:{{junk}}", ":1: junk is no rule (try /pattern/ result);", 0 },
	{ "pcre:{{a\"b c}}", ":1: \"a\\\"b c\" is no rule (try /pattern/ "
	    "result);", 0 },
	{ "regexp:{{/(/ 1}}", ":1: pattern: Unmatched ( or \\(;", 0 },
	{ "regexp:{{/a/!/(/ 1}}", ":1: pattern: Unmatched ( or \\(;", 0 },
	{ "regexp:{{/a/U 1}}", ":1: unknown flag \"U\" behind the pattern "
	    "(there is imx);", 0 },
	{ "regexp:{{/a/! 1}}", ":1: the pattern has no end: its first "
	    "character does not come again;", 0 },
	{ "cidr:{{192.0.2.1/24 1}}", ":1: 192.0.2.1/24: bits are set behind "
	    "its prefix;", 0 },
	{ "cidr:{{192.0.2.1/33 1}}", ":1: 192.0.2.1/33: not a length of its "
	    "prefix;", 0 },
	{ "cidr:{{192.0.2.0/99999999999999999999 1}}", ":1: 192.0.2.0/"
	    "99999999999999999999: not a length of its prefix;", 0 },
	{ "cidr:{{192.0.2.1/ 1}}", ":1: 192.0.2.1/: not a length of its "
	    "prefix;", 0 },
	{ "cidr:{{192.0.2.01 1}}", ":1: 192.0.2.01: not an IP address;", 0 },
	{ "cidr:{{[::1 1}}", ":1: [::1: no \"]\";", 0 },
	{ "cidr:{{[::1]x 1}}", ":1: [::1]x: text behind \"]\";", 0 },
	{ "cidr:{{192.0.2.1}}", ":1: no result (try \"192.0.2.0/24 OK\");",
	    0 },
	{ "cidr:{{!}}", ":1: no result (try \"192.0.2.0/24 OK\");", 0 },
	{ "cidr:{{if !}}", ":1: \"\": no network (try 192.0.2.0/24 or "
	    "2001:db8::/32);", 0 },
	{ "cidr:{{if 10.0.0.0/8 x}}", ":1: \"10.0.0.0/8 x\": not a length of "
	    "its prefix;", 0 },
	{ "cidr:{{if 10.0.0.0/8}, {endif x}}", ":2: text behind \"endif\";"
	    ":1: this \"if\" has no \"endif\";", 1 },
};

static void
test_mistakes(void)
{
	struct table *t;
	char *why;
	size_t i;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		buf_reset(&said);
		t = table_open_lenient(mistakes[i].spec, hear, NULL);
		is_str(said.p, mistakes[i].said, mistakes[i].spec);
		is_int((long long)table_size(t), mistakes[i].left,
		    "  patterns left");
		table_free(&t);
		why = NULL;
		t = table_open(mistakes[i].spec, &why);
		ok(t == NULL && why != NULL, "  strict: none");
		free(why);
	}
	t = table_open("pcre:{{/(/ 1}, {/)/ 2}, {x}}", &why);
	is_str(why, "{{/(/ 1}, {/)/ 2}, {x}}:1: pattern, character 2: missing "
	    "closing parenthesis (and 2 more mistakes)",
	    "strict: the first and how many");
	free(why);
}

/* Exponential in the length of the subject, if nobody stops it. */
static void
test_limit(void)
{
	const char *subject = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
	    *value;
	struct table *t;
	char *why;

	t = table_open("pcre:{{/^(a+)+$/ 1}}", &why);
	is_str(find(t, "aaa"), "1", "a match within the limit");
	is_int((long long)table_limit_hits(t), 0, "  no hits");
	is_str(find(t, subject), "(limit)", "a pattern that gives up");
	is_str(find(t, subject), "(limit)", "  again");
	is_int((long long)table_limit_hits(t), 2, "  is counted");
	is_int(table_find_text(t, subject, strlen(subject), &value),
	    TABLE_LIMIT, "  in a text, too");
	table_free(&t);

	t = table_open("pcre:{{/^(a+)+$/ 1}, {/b$/ 2}}", &why);
	is_str(find(t, subject), "2", "the next pattern has its say");
	is_int((long long)table_limit_hits(t), 1, "  the hit is counted");
	table_free(&t);
	t = table_open("pcre:{{!/^(a+)+$/ 1}}", &why);
	is_str(find(t, subject), "(limit)", "nor is it a mismatch");
	table_free(&t);
	t = table_open("pcre:{{if !/^(a+)+$/}, {/./ 1}, {endif}}", &why);
	is_str(find(t, subject), "(limit)", "nor in an if");
	table_free(&t);
	t = table_open("union:{pcre:{{/^(a+)+$/ 1}}, inline:{b=2}}", &why);
	is_str(find(t, subject), "(limit)", "nor in a union");
	is_str(find(t, "b"), "2", "  which has other members");
	is_int((long long)table_limit_hits(t), 1, "  counted");
	table_free(&t);
}

/* A line of a message is any octets. */
static void
test_text(void)
{
	char big[200000], *why;
	const char *value;
	struct table *t;

	t = table_open("pcre:{{/^a\\x00b$/ nul}, {/^\\xff$/ ff}, {/(.*)x/ $1}}",
	    &why);
	is_int(table_find_text(t, "a\0b", 3, &value), TABLE_FOUND, "pcre: NUL");
	is_str(value, "nul", "  value");
	is_int(table_find_text(t, "\xff", 1, &value), TABLE_FOUND,
	    "  and what is not UTF-8");
	is_int(table_find_text(t, "a\0b", 1, NULL), TABLE_NOT_FOUND,
	    "  the length counts");
	is_int(table_find(t, "a\0b", 3, NULL), TABLE_NOT_FOUND,
	    "  a key has no NUL");
	memset(big, 'y', sizeof(big));
	is_int(table_find_text(t, big, sizeof(big), NULL), TABLE_LIMIT,
	    "  a text has a limit");
	memset(big, 'x', 100000);
	is_int(table_find_text(t, big, 100000, &value), TABLE_FOUND,
	    "  and may be long");
	is_int((long long)strlen(value), 99999, "  as may be its value");
	table_free(&t);

	t = table_open("regexp:{{/^a[^x]b$/ nul}}", &why);
	is_int(table_find_text(t, "a\0b", 3, NULL), TABLE_FOUND, "regexp: NUL");
	table_free(&t);
	t = table_open("pcre:{{/(.*)/ $1$1$1$1}}", &why);
	is_int(table_find_text(t, big, 100000, &value), TABLE_FAILED,
	    "a value has a limit");
	table_free(&t);
	t = table_open("inline:{a=1}", &why);
	is_int(table_find_text(t, "A", 1, &value), TABLE_FOUND,
	    "a table of keys folds them in a text, too");
	table_free(&t);
}

int
main(void)
{
	buf_init(&said, 10000);
	test_answers();
	test_mistakes();
	test_limit();
	test_text();
	buf_fini(&said);
	return tap_done();
}
